#pragma once
// Runs one contender through one world: the production core on simulated time. What the engine does around the core is
// done here the same way: estimate and submit, carry out commands, learn from ended attempts, hand learned speeds and
// trust back as events, re-estimate waiting tasks when their type's estimate has moved, note overdue attempts.
// Deterministic: one world and one contender give one record, digest included, timings excepted.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/scheduler.h"
#include "simulate/contender.h"
#include "simulate/world.h"

namespace nexus::simulate {

struct TaskRecord {
    Instant first_start = kNever;
    Instant finish = kNever;  // kNever: never ended
    core::TaskState state = core::TaskState::waiting;
    Duration predicted;                          // run time as estimated for the first worker at dispatch
    Duration run{-1};                            // of the deciding attempt
    Instant eta_p50 = kNever, eta_p90 = kNever;  // finish as told at submission; kNever: not told
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

struct DriverOptions {
    double warm_up = 0.2;    // share of the tasks that is not measured
    bool idempotent = true;  // tasks may be run twice at once
    bool eta = true;         // ask for the ETA at submission
    bool check = false;      // check the core's invariants after every event: slow
};

Result<RunRecord> run(const World& world, const Contender& contender, const DriverOptions& options = {});

}  // namespace nexus::simulate
