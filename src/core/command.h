#pragma once
// Commands: the orders that leave the core, in the order they must be carried out. The engine releases them only after
// the events that caused them are durable. On recovery the commands of replayed events are not carried out again,
// except TaskEnded, from which missing history is filled in.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/estimate.h"
#include "base/ids.h"
#include "base/units.h"
#include "core/task.h"

namespace nexus::core {

// Why this worker: the record kept for every decision. Scores are integers; smaller is better.
struct Candidate {
    WorkerNo worker;
    std::int64_t score = 0;
    std::int32_t band = 0;         // contribution of the band distance
    std::int32_t utilization = 0;  // contribution of the utilisation balance
    std::int32_t speed = 0;        // contribution of the predicted run time there
    std::int32_t preference = 0;   // contribution of preferred labels
    bool operator==(const Candidate&) const = default;
};

// A waiting task that was compared with the chosen one when a slot became free.
struct RunnerUp {
    TaskId task;
    std::int64_t behind_us = 0;  // its key less the chosen one's
    bool operator==(const RunnerUp&) const = default;
};

enum class DecisionReason : std::uint8_t {
    arrival = 1,  // the task arrived and a slot was free
    slot_freed,   // the worker asked for work; this task had the smallest key among those it may run
    bound,        // a push policy had bound it at arrival
    speculation,  // a second copy of a straggler
    probe,        // probation of a worker whose breaker is open
    pinned,
    fallback,    // round-robin, because prediction failed
    pause,       // a longer run was paused for it
    paused,      // it stands still for a shorter one
    resumed,     // it goes on: of all that its slot could run it was next
    preemption,  // a run of lower priority was stopped for it
    preempted,   // it is stopped for a task of higher priority
    prefetched,  // the worker's slots are full and about to become free: it begins there without asking
    recalled,    // it has waited for a slot there for too long, or is wanted elsewhere: it is asked back
};
const char* name_of(DecisionReason reason);

struct Decision {
    DecisionReason reason = DecisionReason::arrival;
    bool fallback = false;
    std::uint32_t policy = 0;  // PolicyKind
    std::int64_t key_us = 0;   // the ordering key, in microseconds of virtual arrival time
    Estimate estimate;
    Duration predicted_run;  // estimate x worker speed x affinity
    std::uint32_t eligible_free = 0;
    std::uint64_t waiting = 0;
    WorkerNo baseline;  // what round-robin would have chosen
    std::uint8_t candidates_count = 0;
    Candidate candidates[3];  // chosen first, then runner-ups
    std::uint8_t others_count = 0;
    RunnerUp others[3];  // the nearest first
    // Of giving way: the other task, the run time that the one giving way is expected to have left, and how many times
    // the other's run that had to be at least.
    TaskId rival;
    Duration remaining;
    std::uint32_t ratio_permille = 0;
    // Of a preemption: the run time that is thrown away, and the wait of the other task that it is expected to save.
    Duration lost, saved;
};

// Start this attempt on this session. Everything a worker must know that is not in the stored body.
struct AssignAttempt {
    TaskId task;
    AttemptId attempt;
    std::uint32_t number = 0;  // 1, 2, ...
    std::uint64_t fence = 0;
    WorkerNo worker;
    SessionId session;
    Duration timeout;   // 0 = none
    WallTime deadline;  // 0 = none
    bool exclusive = false;
    Decision decision;
};

enum class RevokeReason : std::uint8_t { cancelled = 1, superseded, timed_out, preempted, recalled };
struct RevokeAttempt {
    TaskId task;
    AttemptId attempt;
    SessionId session;
    RevokeReason reason = RevokeReason::cancelled;
    Decision decision;  // of a preemption or a recall
};

// Stop this attempt where it is, or let it go on. The session's worker said that it can. Orders of an attempt are
// numbered by `turn`, so that a late answer is told from the present one.
struct PauseAttempt {
    TaskId task;
    AttemptId attempt;
    WorkerNo worker;
    SessionId session;
    std::uint32_t turn = 0;
    bool pause = true;  // false: go on
    Decision decision;
};

// Answer to WorkerJoined: which held attempts go on, which are stopped and not reported.
struct WelcomeWorker {
    WorkerNo worker;
    SessionId session;
    std::vector<AttemptId> keep;
    std::vector<AttemptId> abandon;
    SessionId replaced;  // an older session of the same name that is over now; 0 = none
};

struct DrainWorker {
    SessionId session;
};

// Answer to AttemptFinished: was the report taken? `stale` reports change nothing.
struct AnswerReport {
    AttemptId attempt;
    SessionId session;
    bool accepted = false;
};

// An attempt is over: for learning and history. Sent once per attempt.
struct AttemptEnded {
    TaskId task;
    AttemptId attempt;
    std::uint32_t number = 0;
    WorkerNo worker;
    AttemptOutcome outcome = AttemptOutcome::succeeded;
    Instant assigned_at;
    Instant started_at;  // kNever when it never started
    Duration run;        // as reported; < 0 = unknown
    Duration ran;        // as seen from here, pauses excluded
    Duration predicted_run;
    std::uint64_t peak_memory_bytes = 0;
};

// The task reached its terminal state; the core forgets all but the idempotency key.
struct TaskEnded {
    TaskId task;
    TaskState state = TaskState::succeeded;
    AttemptOutcome last_outcome = AttemptOutcome::succeeded;
    std::uint32_t attempts = 0;
    std::uint32_t failures = 0;
    std::uint32_t crashes = 0;
    Instant submitted_at;
    Instant started_at;  // of the deciding attempt; kNever when none
    Duration run;        // of the deciding attempt; < 0 = unknown
    WorkerNo worker;     // of the deciding attempt
    std::uint64_t result_bytes = 0;
    TaskId cause;  // the `after` task whose end cancelled this one; 0 = none
    Promise promise;
};

// A task went back to waiting after an attempt (for watchers and logs).
struct TaskRequeued {
    TaskId task;
    WaitReason reason = WaitReason::capacity;
    Instant not_before;
};

// Send TimePassed no later than this; replaces any earlier WakeAt. kNever = no timer.
struct WakeAt {
    Instant at;
};

using Command = std::variant<AssignAttempt, RevokeAttempt, WelcomeWorker, DrainWorker, AnswerReport, AttemptEnded,
                             TaskEnded, TaskRequeued, WakeAt, PauseAttempt>;

}  // namespace nexus::core
