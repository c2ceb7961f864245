#pragma once
// What readers cost those who submit: the same small stream of tasks, alone and beside readers, turn by turn in one run,
// while very many tasks wait that no worker may run.

#include <cstdint>

#include "base/result.h"
#include "bench/report.h"

namespace nexus::bench {

struct ReadersOptions {
    std::uint64_t pending = 500'000;  // tasks that wait for a label that no worker has
    std::uint32_t rounds = 6;         // of each: alone, then beside readers
    std::uint32_t seconds = 8;        // of one half of a round
    double rate = 50;                 // tasks per second that are measured
    std::uint64_t seed = 1;
};
// Readers are one open page (the live stream) and a list of waiting tasks once a second, over HTTP. Also measured: how
// long a filter takes to find the one task of its type behind all others.
Result<Report> run_readers(const ReadersOptions& options);

}  // namespace nexus::bench
