#pragma once
// The shapes of everything that a task, the configuration and an event are made of, in the order of their bits in the
// presence bitmap (docs/journal.md), with the kinds of facts. Listing a field means a new format version. Of a task's
// spec each field says what it is part of (base/shape.h): its class, the work that an idempotency key stands for, both or
// neither.

#include <tuple>
#include <variant>

#include "base/shape.h"
#include "core/event.h"

namespace nexus {

template <>
struct Shape<Estimate> {
    using T = Estimate;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(p50), NEXUS_MEMBER(p90), NEXUS_MEMBER(mean),
                                               NEXUS_MEMBER(confidence_permille), NEXUS_MEMBER(source)};
};
template <>
struct Shape<core::Act> {
    using T = core::Act;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(caller), NEXUS_MEMBER(author), NEXUS_MEMBER(reason)};
};
template <>
struct Shape<core::Resources> {
    using T = core::Resources;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(cpu_milli), NEXUS_MEMBER(memory_bytes), NEXUS_MEMBER(gpu_milli), NEXUS_MEMBER(custom)};
};
template <>
struct Shape<core::RetryPolicy> {
    using T = core::RetryPolicy;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(attempts_max), NEXUS_MEMBER(backoff_first), NEXUS_MEMBER(backoff_max)};
};
// The first seven are what a plain task carries: their bits fit the first byte of the bitmap.
template <>
struct Shape<core::TaskSpec> {
    using T = core::TaskSpec;
    static constexpr auto members = std::tuple{NEXUS_PART(type, kClass | kWork),
                                               NEXUS_PART(payload_bytes, kNoPart),
                                               NEXUS_FIXED64(body_hash),
                                               NEXUS_FIXED64(idempotency_hi),
                                               NEXUS_FIXED64(idempotency_lo),
                                               NEXUS_PART(tenant, kClass | kWork),
                                               NEXUS_PART(queue, kClass | kWork),
                                               NEXUS_PART(priority, kClass | kWork),
                                               NEXUS_PART(idempotent, kClass | kWork),
                                               NEXUS_PART(exclusive, kClass | kWork),
                                               NEXUS_PART(preemptible, kClass | kWork),
                                               NEXUS_PART(run_at, kWork),
                                               NEXUS_PART(deadline, kWork),
                                               NEXUS_PART(timeout, kClass | kWork),
                                               NEXUS_PART(ttl, kClass | kWork),
                                               NEXUS_PART(retry, kClass | kWork),
                                               NEXUS_PART(labels_required, kClass | kWork),
                                               NEXUS_PART(labels_preferred, kClass | kWork),
                                               NEXUS_PART(labels_forbidden, kClass | kWork),
                                               NEXUS_PART(pinned_worker, kClass | kWork),
                                               NEXUS_PART(resources, kClass | kWork),
                                               NEXUS_PART(after, kWork),
                                               NEXUS_PART(concurrency_key, kWork),
                                               NEXUS_PART(concurrency_max, kWork),
                                               NEXUS_PART(ordering_key, kWork),
                                               NEXUS_PART(rate_key, kWork),
                                               NEXUS_PART(rate_per_1000s, kWork),
                                               NEXUS_PART(redrive_of, kNoPart)};
};
template <>
struct Shape<core::HeldAttempt> {
    using T = core::HeldAttempt;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(paused), NEXUS_MEMBER(waiting)};
};
template <>
struct Shape<core::QueueLimits> {
    using T = core::QueueLimits;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(name), NEXUS_MEMBER(paused), NEXUS_MEMBER(count_fair), NEXUS_MEMBER(running_max)};
};
template <>
struct Shape<core::TenantLimits> {
    using T = core::TenantLimits;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(name), NEXUS_MEMBER(share), NEXUS_MEMBER(running_max), NEXUS_MEMBER(waiting_max)};
};
template <>
struct Shape<core::TypeLimits> {
    using T = core::TypeLimits;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(name), NEXUS_MEMBER(running_max)};
};
template <>
struct Shape<core::Config> {
    using T = core::Config;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(version),
                                               NEXUS_MEMBER(policy),
                                               NEXUS_MEMBER(lease),
                                               NEXUS_MEMBER(close_grace),
                                               NEXUS_MEMBER(reconnect_grace),
                                               NEXUS_MEMBER(attempts_max),
                                               NEXUS_MEMBER(crashes_max),
                                               NEXUS_MEMBER(backoff_first),
                                               NEXUS_MEMBER(backoff_max),
                                               NEXUS_MEMBER(ttl),
                                               NEXUS_MEMBER(timeout_grace),
                                               NEXUS_MEMBER(idempotency_window),
                                               NEXUS_MEMBER(size_weight_permille),
                                               NEXUS_MEMBER(priority_credit_permille),
                                               NEXUS_MEMBER(overtake_cap_means),
                                               NEXUS_MEMBER(overtake_max),
                                               NEXUS_MEMBER(placement),
                                               Retired<Duration>{"hold_max"},
                                               NEXUS_MEMBER(breaker),
                                               NEXUS_MEMBER(breaker_ratio_permille),
                                               NEXUS_MEMBER(speculation),
                                               NEXUS_MEMBER(speculation_slots_permille),
                                               NEXUS_MEMBER(preemption),
                                               NEXUS_MEMBER(preemptions_max),
                                               NEXUS_MEMBER(pause),
                                               NEXUS_MEMBER(tasks_max),
                                               NEXUS_MEMBER(idempotency_keys_max),
                                               NEXUS_MEMBER(fallback_threshold),
                                               NEXUS_MEMBER(queues),
                                               NEXUS_MEMBER(tenants),
                                               NEXUS_MEMBER(types),
                                               NEXUS_MEMBER(pause_ratio_permille),
                                               NEXUS_MEMBER(worker_retention),
                                               NEXUS_MEMBER(prefetch)};
};

// The facts. Kind numbers are for ever: a fact that goes away keeps its number, a new one takes the next.
#define NEXUS_FACT(Name, number, ...)                            \
    template <>                                                  \
    struct Shape<core::Name> {                                   \
        using T = core::Name;                                    \
        static constexpr std::uint64_t kind = number;            \
        static constexpr const char* name = #Name;               \
        static constexpr auto members = std::tuple{__VA_ARGS__}; \
    }

NEXUS_FACT(EngineStarted, 1, NEXUS_FIXED64(seed), NEXUS_MEMBER(wall_offset), NEXUS_MEMBER(epoch), NEXUS_MEMBER(shard));
NEXUS_FACT(WallMoved, 2, NEXUS_MEMBER(wall_offset));
NEXUS_FACT(ConfigChanged, 3, NEXUS_MEMBER(config), NEXUS_MEMBER(act));
NEXUS_FACT(TaskSubmitted, 4, NEXUS_MEMBER(task), NEXUS_MEMBER(spec), NEXUS_MEMBER(estimate), NEXUS_MEMBER(promise));
NEXUS_FACT(EstimateRevised, 5, NEXUS_MEMBER(task), NEXUS_MEMBER(estimate));
NEXUS_FACT(CancelRequested, 6, NEXUS_MEMBER(task),
           (Moved<T, std::string>{"reason", [](T& cancel) -> std::string& { return cancel.act.reason; }}),
           NEXUS_MEMBER(act));
NEXUS_FACT(WorkerJoined, 7, NEXUS_MEMBER(name), NEXUS_MEMBER(session), NEXUS_MEMBER(labels), NEXUS_MEMBER(slots),
           NEXUS_MEMBER(offered), NEXUS_MEMBER(types), NEXUS_MEMBER(held), NEXUS_MEMBER(can_pause),
           NEXUS_MEMBER(prefetch_max));
NEXUS_FACT(WorkerCapacityChanged, 8, NEXUS_MEMBER(session), NEXUS_MEMBER(slots), NEXUS_MEMBER(offered),
           NEXUS_MEMBER(draining));
NEXUS_FACT(WorkerSuspected, 9, NEXUS_MEMBER(session));
NEXUS_FACT(WorkerRecovered, 10, NEXUS_MEMBER(session));
NEXUS_FACT(WorkerLeft, 11, NEXUS_MEMBER(session), NEXUS_MEMBER(planned));
NEXUS_FACT(WorkerLost, 12, NEXUS_MEMBER(session), NEXUS_MEMBER(last_contact));
NEXUS_FACT(WorkerControlled, 13, NEXUS_MEMBER(name), NEXUS_MEMBER(order), NEXUS_MEMBER(act));
NEXUS_FACT(WorkerSpeedLearned, 14, NEXUS_MEMBER(worker), NEXUS_MEMBER(speed_ppm), NEXUS_MEMBER(deviation_ppm));
NEXUS_FACT(AffinityLearned, 15, NEXUS_MEMBER(type), NEXUS_MEMBER(hardware), NEXUS_MEMBER(factor_ppm));
NEXUS_FACT(TrustLearned, 16, NEXUS_MEMBER(trust_ppm));
NEXUS_FACT(AttemptStarted, 17, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session), NEXUS_MEMBER(waited));
NEXUS_FACT(AttemptFinished, 18, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session), NEXUS_MEMBER(run),
           NEXUS_MEMBER(outcome), NEXUS_MEMBER(retryable), NEXUS_MEMBER(result_bytes), NEXUS_MEMBER(peak_memory_bytes));
NEXUS_FACT(OverrideSet, 19, NEXUS_MEMBER(number), NEXUS_MEMBER(kind), NEXUS_MEMBER(task), NEXUS_MEMBER(type),
           NEXUS_MEMBER(worker), NEXUS_MEMBER(boost), NEXUS_MEMBER(expires), NEXUS_MEMBER(act));
NEXUS_FACT(OverrideCleared, 20, NEXUS_MEMBER(number), NEXUS_MEMBER(act));
template <>
struct Shape<core::TimePassed> {
    static constexpr std::uint64_t kind = 21;
    static constexpr const char* name = "TimePassed";
    static constexpr std::tuple<> members{};
};

NEXUS_FACT(AttemptPaused, 22, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session), NEXUS_MEMBER(turn),
           NEXUS_MEMBER(paused), NEXUS_MEMBER(run));
NEXUS_FACT(EstimateForced, 23, NEXUS_MEMBER(type), NEXUS_MEMBER(estimate), NEXUS_MEMBER(expires), NEXUS_MEMBER(act));
NEXUS_FACT(TypeReset, 24, NEXUS_MEMBER(type), NEXUS_MEMBER(act));
NEXUS_FACT(TokenIssued, 25, NEXUS_MEMBER(id), NEXUS_MEMBER(hash), NEXUS_MEMBER(name), NEXUS_MEMBER(roles),
           NEXUS_MEMBER(tenant), NEXUS_MEMBER(expires), NEXUS_MEMBER(act));
NEXUS_FACT(TokenRevoked, 26, NEXUS_MEMBER(id), NEXUS_MEMBER(name), NEXUS_MEMBER(act));
NEXUS_FACT(SignedIn, 27, NEXUS_MEMBER(id), NEXUS_MEMBER(name), NEXUS_MEMBER(act));

#undef NEXUS_FACT

inline constexpr std::uint64_t kKindLast = 27;

// Every member of every shape is listed, and the kinds of the variant are exactly 1 .. kKindLast.
static_assert(kListsAllMembers<Estimate>);
static_assert(kListsAllMembers<core::Act>);
static_assert(kListsAllMembers<core::Resources>);
static_assert(kListsAllMembers<core::RetryPolicy>);
static_assert(kListsAllMembers<core::TaskSpec>);
static_assert(kListsAllMembers<core::HeldAttempt>);
static_assert(kListsAllMembers<core::QueueLimits>);
static_assert(kListsAllMembers<core::TenantLimits>);
static_assert(kListsAllMembers<core::TypeLimits>);
static_assert(kListsAllMembers<core::Config>);

template <class Variant>
struct FactList;
template <class... Facts>
struct FactList<std::variant<Facts...>> {
    static constexpr bool complete = (kListsAllMembers<Facts> && ...);
    static constexpr std::uint64_t kinds_seen = ((std::uint64_t{1} << Shape<Facts>::kind) | ...);
};
static_assert(FactList<core::Fact>::complete, "a fact has a field that is not stored");
static_assert(FactList<core::Fact>::kinds_seen == (std::uint64_t{1} << (kKindLast + 1)) - 2, "kinds are 1..last");

// Is this a value that this release knows? The compiler's switch warning finds a value added elsewhere and not here.
constexpr bool known(EstimateSource v) {
    switch (v) {
        case EstimateSource::none:
        case EstimateSource::fallback:
        case EstimateSource::hint:
        case EstimateSource::global:
        case EstimateSource::prefix:
        case EstimateSource::ema:
        case EstimateSource::type_mode:
        case EstimateSource::user_mode:
        case EstimateSource::scaled_mode:
        case EstimateSource::joined_mode:
        case EstimateSource::worker_mode:
        case EstimateSource::model:
        case EstimateSource::forced:
        case EstimateSource::sibling_mode:
        case EstimateSource::sibling_wait: return true;
    }
    return false;
}

}  // namespace nexus

namespace nexus::core {

constexpr bool known(PolicyKind v) {
    switch (v) {
        case PolicyKind::predictive:
        case PolicyKind::fcfs:
        case PolicyKind::least_loaded:
        case PolicyKind::power_of_two:
        case PolicyKind::random:
        case PolicyKind::round_robin:
        case PolicyKind::nexus_ema:
        case PolicyKind::least_work: return true;
    }
    return false;
}
constexpr bool known(Placement v) {
    switch (v) {
        case Placement::balanced:
        case Placement::fastest: return true;
    }
    return false;
}
constexpr bool known(WorkerOrder v) {
    switch (v) {
        case WorkerOrder::cordon:
        case WorkerOrder::uncordon:
        case WorkerOrder::drain:
        case WorkerOrder::forget:
        case WorkerOrder::close_breaker: return true;
    }
    return false;
}
constexpr bool known(OverrideKind v) {
    switch (v) {
        case OverrideKind::pin:
        case OverrideKind::hold:
        case OverrideKind::boost:
        case OverrideKind::exclude: return true;
    }
    return false;
}
constexpr bool known(AttemptOutcome v) {
    switch (v) {
        case AttemptOutcome::succeeded:
        case AttemptOutcome::failed:
        case AttemptOutcome::timed_out:
        case AttemptOutcome::cancelled:
        case AttemptOutcome::out_of_memory:
        case AttemptOutcome::rejected:
        case AttemptOutcome::worker_lost:
        case AttemptOutcome::preempted:
        case AttemptOutcome::superseded:
        case AttemptOutcome::recalled: return true;
    }
    return false;
}

}  // namespace nexus::core
