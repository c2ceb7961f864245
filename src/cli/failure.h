#pragma once
// How a command ends when it does not succeed: an exit code for scripts, a sentence and a next step for a person.

#include <expected>
#include <string>
#include <utility>

namespace nexus::cli {

// Documented in docs/cli.md; tested in test/e2e.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotFound = 3;
inline constexpr int kExitRefused = 4;      // conflict, wrong state, limit met, not allowed
inline constexpr int kExitUnavailable = 5;  // no answer: the outcome of a change is unknown
inline constexpr int kExitTimedOut = 124;
inline constexpr int kExitInterrupted = 130;

struct Failure {
    int exit_code = kExitFailure;
    std::string what;       // what failed, on what, why
    std::string next;       // what to do about it; may be empty
    bool definite = false;  // the server said that it has done nothing
};

template <class T>
using Answer = std::expected<T, Failure>;

inline std::unexpected<Failure> failure(int exit_code, std::string what, std::string next = {}) {
    return std::unexpected(Failure{.exit_code = exit_code, .what = std::move(what), .next = std::move(next)});
}

// Writes "nexus: what" and "  next" to standard error and returns the exit code.
int report(const Failure& failure);

}  // namespace nexus::cli
