#pragma once
// What became of one run: of its tasks, its workers and their troubles. Metrics are made from it.

#include <cstdint>
#include <vector>

#include "base/units.h"
#include "core/scheduler.h"

namespace nexus::simulate {

struct TaskRecord {
    Instant first_start = kNever;
    Instant finish = kNever;  // kNever: never ended
    core::TaskState state = core::TaskState::waiting;
    Duration predicted;  // run time as estimated for the first worker at dispatch
    Duration run{-1};    // of the deciding attempt
    // Finish as told at submission; kNever: not told.
    Instant eta_p50 = kNever, eta_p90 = kNever, eta_p10 = kNever;
    core::ToldAs told_as = core::ToldAs::placed;
    Instant asked_again = kNever, told_again = kNever;  // when, and the finish told then
};

struct WorkerRecord {
    Duration busy;               // slot time within the window
    Duration open;               // breaker not closed, within the window
    std::uint64_t assigned = 0;  // attempts
};

// What became of a worker in trouble.
struct TroubleRecord {
    std::uint32_t worker = 0;
    std::int64_t tasks_to_isolate = -1;  // attempts of it that ended in trouble until its breaker opened; -1: never
    double seconds_to_isolate = -1;
    double seconds_to_readmit = -1;  // from the end of the trouble until the breaker closed; -1: never
};

struct RunRecord {
    std::vector<TaskRecord> tasks;
    std::vector<WorkerRecord> workers;
    std::vector<TroubleRecord> troubles;  // slow and failing ones, in order of Cluster::troubles
    Instant window_from, window_to;       // what is measured: arrivals after the warm-up
    Duration idle_while_waiting;          // slot time during which a closed worker idled while tasks waited
    Instant makespan;
    core::Counters counters;
    std::uint64_t digest = 0;
    std::uint64_t unfinished = 0;
    std::uint64_t revisions = 0;
    std::uint64_t wasted_attempts = 0;       // ended other than by success
    Duration wasted;                         // their slot time
    std::vector<std::uint32_t> decision_ns;  // one in sixteen
    double wall_s = 0;
};

}  // namespace nexus::simulate
