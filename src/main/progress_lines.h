#pragma once
// How far a verb is that takes long: a line on standard error each second.

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "cli/interrupt.h"
#include "cli/text.h"

namespace nexus::journal_verbs {

// Ends the work with the fault unavailable after Ctrl-C. `interrupt` must outlive it.
inline std::function<Result<void>(std::string_view, std::uint64_t, std::uint64_t)> progress_lines(
    const cli::Interrupt& interrupt) {
    using Clock = std::chrono::steady_clock;
    return [&interrupt, due = Clock::now() + std::chrono::seconds(1)](std::string_view what, std::uint64_t done,
                                                                      std::uint64_t of) mutable -> Result<void> {
        if (interrupt.raised()) return fail(Fault::unavailable, "interrupted");
        if (Clock::now() < due) return {};
        due = Clock::now() + std::chrono::seconds(1);
        fmt::print(stderr, "nexus: {} {}{}\n", what, cli::count_text(done),
                   of > 0 ? " of " + cli::count_text(of) : std::string());
        return {};
    };
}

}  // namespace nexus::journal_verbs
