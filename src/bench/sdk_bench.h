#pragma once
// What users of the C++ SDK get: tasks that are submitted by nexus::Client and run by nexus::Worker, whose handlers do
// nothing or sleep, against a real server with its store on this disk.

#include <cstdint>

#include "base/result.h"
#include "bench/report.h"

namespace nexus::bench {

struct SdkOptions {
    std::uint64_t tasks = 50'000;
    std::uint32_t workers = 2;
    std::uint32_t slots = 50;   // per worker
    std::uint64_t task_us = 0;  // that a handler sleeps
    double rate = 0;            // calls a second, one task each; 0 = all are submitted before the workers come
    std::uint32_t payload = 100;
    std::uint64_t seed = 1;
};

// At full speed all tasks wait before the workers connect, so that the processor time of this process is theirs. The
// gap is the time from the end of a handler to the start of the next one on the same thread, while tasks wait.
// `complete` is false when tasks were lost or ran twice.
Result<Report> run_sdk(const SdkOptions& options, bool& complete);

}  // namespace nexus::bench
