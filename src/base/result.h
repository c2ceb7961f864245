#pragma once
// Errors are values: a Fault for code, a sentence for a person. Each layer prepends what it was doing.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"

namespace nexus {

enum class Fault : std::uint8_t {
    invalid,          // the caller's argument can never work; do not retry
    not_found,        // the thing named does not exist (any more)
    conflict,         // someone else got there first, or the key is taken by another body; read again, then decide
    failed_state,     // the thing exists but its state forbids this (stale attempt, finished task)
    exhausted,        // a limit was met; retry later or raise the limit
    unavailable,      // refused for now: stopping, starting, not the owner. Nothing was done; retry with backoff
    unreachable,      // no answer: whether it was done is unknown. The very same call may be sent again
    failed,           // broken for good, and what was asked last may or may not have happened; only a new start helps
    superseded,       // a newer owner has taken over: nothing was done, and nothing of ours will be any more
    denied,           // the caller may not do this
    corrupt,          // stored bytes are not what was written; a person must look
    no_space,         // the disk is full; work that needs no space goes on
    unsupported,      // a newer format or a missing feature
    unauthenticated,  // who calls is not known: no credential, or one that is not (or no longer) good
};

std::string_view fault_name(Fault fault);

struct Error {
    Fault fault = Fault::invalid;
    std::string what;
    Duration retry_after{};  // of a limit: when to come back; 0 = as its fault says

    // The same error, told from one layer further out: "snapshot 7: checksum mismatch".
    Error during(std::string_view doing) && {
        what.insert(0, ": ");
        what.insert(0, doing);
        return std::move(*this);
    }
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Fault fault, std::string what) {
    return std::unexpected(Error{.fault = fault, .what = std::move(what)});
}

}  // namespace nexus
