#pragma once
// What users of the C++ SDK get: tasks that are submitted by nexus::Client and run by nexus::Worker, whose handlers do
// nothing or sleep, against a real server with its store on this disk.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "bench/report.h"

namespace nexus::bench {

struct SdkOptions {
    std::uint64_t tasks = 50'000;
    std::uint32_t workers = 2;
    std::uint32_t slots = 50;                 // per worker
    std::uint64_t task_us = 0;                // that a handler sleeps
    std::optional<std::uint32_t> prefetch{};  // WorkerOptions::prefetch_max; unset = the SDK's own
    std::uint32_t batch = 0;                  // tasks that a handler takes at once, 2..1000; else one
    double rate = 0;  // calls a second, one task each; 0 = all are submitted before the workers come
    std::uint32_t payload = 100;
    std::uint64_t seed = 1;
};

// At full speed all tasks wait before the workers connect, so that the processor time of this process is theirs. The
// gap is the time from the end of a handler to the start of the next one in the same slot, while tasks wait; which slot a
// handler gets is nobody's business, so it is taken to be the one that became free last, and slots that nobody needs do
// not count. `complete` is false when tasks were lost or ran twice.
Result<Report> run_sdk(const SdkOptions& options, bool& complete);

// One run for each of 1, 4, 16 and 50 slots with tasks of 0, 1 and 10 ms, of at most `options.tasks` tasks or some
// seconds each.
Result<std::vector<Report>> run_sdk_grid(SdkOptions options, bool& complete);

}  // namespace nexus::bench
