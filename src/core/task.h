#pragma once
// What a task is: the words shared by events, commands and queries of the core.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/estimate.h"
#include "base/ids.h"
#include "base/units.h"

namespace nexus::core {

using NameValue = std::pair<std::string, std::string>;
using Labels = std::vector<NameValue>;  // sorted by name, no name twice

// Amounts asked for or offered. As an offer, -1 means unlimited.
struct Resources {
    std::int64_t cpu_milli = 0;
    std::int64_t memory_bytes = 0;
    std::int64_t gpu_milli = 0;
    std::vector<std::pair<std::string, std::int64_t>> custom;  // sorted by name
    bool operator==(const Resources&) const = default;
};

struct RetryPolicy {
    std::uint32_t attempts_max = 0;  // 0 = Config::attempts_max
    Duration backoff_first;          // 0 = Config::backoff_first
    Duration backoff_max;            // 0 = Config::backoff_max
    bool operator==(const RetryPolicy&) const = default;
};

inline constexpr std::uint8_t kPriorityMax = 9;
inline constexpr std::uint8_t kPriorityDefault = 5;

// Everything the core needs to know of a task. The payload, metadata and trace context are not part of it: they are
// stored beside the journal by task id.
struct TaskSpec {
    std::string type;
    std::string tenant = "default";
    std::string queue = "default";
    std::uint8_t priority = kPriorityDefault;  // 0 (lowest) .. 9
    bool idempotent = false;
    bool exclusive = false;
    bool preemptible = false;
    WallTime run_at;    // 0 = at once
    WallTime deadline;  // 0 = none; not started after
    Duration timeout;   // 0 = none; of one attempt
    Duration ttl;       // 0 = Config::ttl
    RetryPolicy retry;
    Labels labels_required;
    Labels labels_preferred;
    Labels labels_forbidden;
    std::string pinned_worker;
    Resources resources;
    std::vector<TaskId> after;
    std::string concurrency_key;
    std::uint32_t concurrency_max = 0;
    std::string ordering_key;
    std::string rate_key;
    std::uint32_t rate_per_1000s = 0;  // starts per 1000 seconds
    // 128-bit hash of (tenant, idempotency key), 0 = no key; and 64-bit hash of the whole body.
    std::uint64_t idempotency_hi = 0;
    std::uint64_t idempotency_lo = 0;
    std::uint64_t body_hash = 0;
    std::uint64_t payload_bytes = 0;
    TaskId redrive_of;
    bool operator==(const TaskSpec&) const = default;
};

// `paused`: its attempt stands still on its worker, so that a shorter one may use the slot.
enum class TaskState : std::uint8_t { waiting = 1, assigned, running, succeeded, dead, cancelled, expired, paused };

constexpr bool is_terminal(TaskState state) {
    return state >= TaskState::succeeded && state != TaskState::paused;
}

// Why a waiting task waits: always exactly one. Numbers equal nexus.v1.WaitReason.
enum class WaitReason : std::uint8_t {
    none = 0,
    not_before,
    dependency,
    retry_backoff,
    held,
    queue_paused,
    ordering,
    concurrency,
    rate,
    no_eligible_worker,
    breaker,
    capacity,
    lease,
};

// What exactly it waits for. The words for people are api's (api/sentences.h).
enum class WaitCause : std::uint8_t {
    none = 0,
    run_at,
    dependencies,  // count: how many have not succeeded yet
    failures,      // count: so far; 0 after a rejection
    hold,
    ordering_key,
    concurrency_key,  // count: at a time
    rate_key,
    worker_line,   // name: the worker it was bound to at arrival
    paused,        // name: the worker whose slot shorter tasks use
    lost_worker,   // name: the worker whose lease runs
    queue_paused,  // name
    queue_limit,   // name
    tenant_limit,  // name
    type_limit,    // name
    no_worker,
    disconnected,  // this and the next four: what keeps most workers from it
    demands,       // labels, type, pin or resources
    cordoned,      // or draining
    suspected,
    breakers,
    workers_busy,
    tasks_ahead,      // count
    breakers_beside,  // count: workers with a free slot but an open breaker, beside busy ones
    refused,          // those that may run it gave it back
    prefetched,       // name: the worker on which it is ready, and begins when a slot becomes free
};

// How one attempt ended.
enum class AttemptOutcome : std::uint8_t {
    succeeded = 1,
    failed,
    timed_out,
    cancelled,
    out_of_memory,
    rejected,     // the worker never started it
    worker_lost,  // silent or gone beyond its lease
    preempted,
    superseded,  // a speculative copy finished first
    recalled,    // it was prefetched, and taken back or lost before it began: it counts as no attempt
};

// How a task stood when it was told when it would be done: it had a slot; fewer tasks were before it than there are
// slots, or more; it comes after others, whose times say nothing of the queue and are not judged.
enum class ToldAs : std::uint8_t { placed = 0, queued, backlog, after };
inline constexpr std::size_t kToldAs = 4;

// What was told at its submission of when a task would be done. kNever: nothing.
struct Promise {
    Instant p10 = kNever, p50 = kNever, p90 = kNever;
    ToldAs as = ToldAs::placed;
    bool operator==(const Promise&) const = default;
};

const char* name_of(TaskState state);
const char* name_of(WaitReason reason);
const char* name_of(ToldAs as);
const char* name_of(WaitCause cause);
const char* name_of(AttemptOutcome outcome);

}  // namespace nexus::core
