#pragma once
// The shape of everything that is stored inside an event: which members each struct has, in the order of their bits in
// the presence bitmap (docs/journal.md). One list serves writing, reading and describing, so the three cannot disagree.
// Private to the journal room.
//
// A struct that gains a field fails to compile here until the field is listed. Listing a field means a new format
// version: append it at the end of its list, never insert or reorder.

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "core/event.h"

namespace nexus::journal {

// How the bytes of a member look when the default of its type (varint) would be wasteful: hashes and seeds use all 64
// bits.
enum class Form : std::uint8_t { natural, fixed64 };

template <class Struct, class Type>
struct Member {
    const char* name;
    Type Struct::* at;
    Form form = Form::natural;
};
template <class Struct, class Type>
Member(const char*, Type Struct::*) -> Member<Struct, Type>;
template <class Struct, class Type>
Member(const char*, Type Struct::*, Form) -> Member<Struct, Type>;

// Counts the members of an aggregate by trying how many initialisers it takes.
struct Anything {
    template <class T>
    operator T() const;
};
template <class T, class... Args>
consteval std::size_t member_count() {
    if constexpr (requires { T{Args{}..., Anything{}}; })
        return member_count<T, Args..., Anything>();
    else
        return sizeof...(Args);
}

template <class T>
struct Shape;  // has `members`; facts also have `kind` and `name`
template <class T>
concept Shaped = requires { Shape<T>::members; };

// A member that went away: its bit stays taken. It is never written; what an older release wrote is read and dropped.
template <class Type>
struct Retired {
    const char* name;
    using Was = Type;
};
template <class Member>
concept Living = requires(Member m) { m.at; };

#define NEXUS_MEMBER(field) \
    Member {                \
        #field, &T::field   \
    }
#define NEXUS_FIXED64(field)             \
    Member {                             \
        #field, &T::field, Form::fixed64 \
    }

template <>
struct Shape<Estimate> {
    using T = Estimate;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(p50), NEXUS_MEMBER(p90), NEXUS_MEMBER(mean),
                                               NEXUS_MEMBER(confidence_permille), NEXUS_MEMBER(source)};
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
    static constexpr auto members = std::tuple{NEXUS_MEMBER(type),
                                               NEXUS_MEMBER(payload_bytes),
                                               NEXUS_FIXED64(body_hash),
                                               NEXUS_FIXED64(idempotency_hi),
                                               NEXUS_FIXED64(idempotency_lo),
                                               NEXUS_MEMBER(tenant),
                                               NEXUS_MEMBER(queue),
                                               NEXUS_MEMBER(priority),
                                               NEXUS_MEMBER(idempotent),
                                               NEXUS_MEMBER(exclusive),
                                               NEXUS_MEMBER(preemptible),
                                               NEXUS_MEMBER(run_at),
                                               NEXUS_MEMBER(deadline),
                                               NEXUS_MEMBER(timeout),
                                               NEXUS_MEMBER(ttl),
                                               NEXUS_MEMBER(retry),
                                               NEXUS_MEMBER(labels_required),
                                               NEXUS_MEMBER(labels_preferred),
                                               NEXUS_MEMBER(labels_forbidden),
                                               NEXUS_MEMBER(pinned_worker),
                                               NEXUS_MEMBER(resources),
                                               NEXUS_MEMBER(after),
                                               NEXUS_MEMBER(concurrency_key),
                                               NEXUS_MEMBER(concurrency_max),
                                               NEXUS_MEMBER(ordering_key),
                                               NEXUS_MEMBER(rate_key),
                                               NEXUS_MEMBER(rate_per_1000s),
                                               NEXUS_MEMBER(redrive_of)};
};
template <>
struct Shape<core::HeldAttempt> {
    using T = core::HeldAttempt;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(paused)};
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
                                               NEXUS_MEMBER(pause_ratio_permille)};
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

NEXUS_FACT(EngineStarted, 1, NEXUS_FIXED64(seed), NEXUS_MEMBER(wall_offset));
NEXUS_FACT(WallMoved, 2, NEXUS_MEMBER(wall_offset));
NEXUS_FACT(ConfigChanged, 3, NEXUS_MEMBER(config));
NEXUS_FACT(TaskSubmitted, 4, NEXUS_MEMBER(task), NEXUS_MEMBER(spec), NEXUS_MEMBER(estimate));
NEXUS_FACT(EstimateRevised, 5, NEXUS_MEMBER(task), NEXUS_MEMBER(estimate));
NEXUS_FACT(CancelRequested, 6, NEXUS_MEMBER(task), NEXUS_MEMBER(reason));
NEXUS_FACT(WorkerJoined, 7, NEXUS_MEMBER(name), NEXUS_MEMBER(session), NEXUS_MEMBER(labels), NEXUS_MEMBER(slots),
           NEXUS_MEMBER(offered), NEXUS_MEMBER(types), NEXUS_MEMBER(held), NEXUS_MEMBER(can_pause));
NEXUS_FACT(WorkerCapacityChanged, 8, NEXUS_MEMBER(session), NEXUS_MEMBER(slots), NEXUS_MEMBER(offered),
           NEXUS_MEMBER(draining));
NEXUS_FACT(WorkerSuspected, 9, NEXUS_MEMBER(session));
NEXUS_FACT(WorkerRecovered, 10, NEXUS_MEMBER(session));
NEXUS_FACT(WorkerLeft, 11, NEXUS_MEMBER(session), NEXUS_MEMBER(planned));
NEXUS_FACT(WorkerLost, 12, NEXUS_MEMBER(session), NEXUS_MEMBER(last_contact));
NEXUS_FACT(WorkerControlled, 13, NEXUS_MEMBER(name), NEXUS_MEMBER(order));
NEXUS_FACT(WorkerSpeedLearned, 14, NEXUS_MEMBER(worker), NEXUS_MEMBER(speed_ppm), NEXUS_MEMBER(deviation_ppm));
NEXUS_FACT(AffinityLearned, 15, NEXUS_MEMBER(type), NEXUS_MEMBER(hardware), NEXUS_MEMBER(factor_ppm));
NEXUS_FACT(TrustLearned, 16, NEXUS_MEMBER(trust_ppm));
NEXUS_FACT(AttemptStarted, 17, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session));
NEXUS_FACT(AttemptFinished, 18, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session), NEXUS_MEMBER(run),
           NEXUS_MEMBER(outcome), NEXUS_MEMBER(retryable), NEXUS_MEMBER(result_bytes), NEXUS_MEMBER(peak_memory_bytes));
NEXUS_FACT(OverrideSet, 19, NEXUS_MEMBER(number), NEXUS_MEMBER(kind), NEXUS_MEMBER(task), NEXUS_MEMBER(type),
           NEXUS_MEMBER(worker), NEXUS_MEMBER(boost), NEXUS_MEMBER(expires));
NEXUS_FACT(OverrideCleared, 20, NEXUS_MEMBER(number));
template <>
struct Shape<core::TimePassed> {
    static constexpr std::uint64_t kind = 21;
    static constexpr const char* name = "TimePassed";
    static constexpr std::tuple<> members{};
};

NEXUS_FACT(AttemptPaused, 22, NEXUS_MEMBER(task), NEXUS_MEMBER(attempt), NEXUS_MEMBER(session), NEXUS_MEMBER(turn),
           NEXUS_MEMBER(paused), NEXUS_MEMBER(run));

#undef NEXUS_FACT
#undef NEXUS_FIXED64
#undef NEXUS_MEMBER

inline constexpr std::uint64_t kKindLast = 22;

template <class Members>
inline constexpr std::size_t kLiving = 0;
template <class... Members>
inline constexpr std::size_t kLiving<const std::tuple<Members...>> = (std::size_t{0} + ... + (Living<Members> ? 1 : 0));

// Every member of every shape is listed, and the kinds of the variant are exactly 1 .. kKindLast.
template <class T>
inline constexpr bool kListsAllMembers = kLiving<decltype(Shape<T>::members)> == member_count<T>();
static_assert(kListsAllMembers<Estimate>);
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

// Calls f(member) for each member of T, in the order of the bitmap, retired ones included.
template <class T, class F>
constexpr void for_each_bit(F&& f) {
    std::apply([&](const auto&... member) { (f(member), ...); }, Shape<T>::members);
}
// The same without those.
template <class T, class F>
constexpr void for_each_member(F&& f) {
    for_each_bit<T>([&](const auto& member) {
        if constexpr (Living<decltype(member)>) f(member);
    });
}

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
        case EstimateSource::forced: return true;
    }
    return false;
}
constexpr bool known(core::PolicyKind v) {
    switch (v) {
        case core::PolicyKind::predictive:
        case core::PolicyKind::fcfs:
        case core::PolicyKind::least_loaded:
        case core::PolicyKind::power_of_two:
        case core::PolicyKind::random:
        case core::PolicyKind::round_robin:
        case core::PolicyKind::nexus_ema:
        case core::PolicyKind::least_work: return true;
    }
    return false;
}
constexpr bool known(core::Placement v) {
    switch (v) {
        case core::Placement::balanced:
        case core::Placement::fastest: return true;
    }
    return false;
}
constexpr bool known(core::WorkerOrder v) {
    switch (v) {
        case core::WorkerOrder::cordon:
        case core::WorkerOrder::uncordon:
        case core::WorkerOrder::drain: return true;
    }
    return false;
}
constexpr bool known(core::OverrideKind v) {
    switch (v) {
        case core::OverrideKind::pin:
        case core::OverrideKind::hold:
        case core::OverrideKind::boost:
        case core::OverrideKind::exclude: return true;
    }
    return false;
}
constexpr bool known(core::AttemptOutcome v) {
    switch (v) {
        case core::AttemptOutcome::succeeded:
        case core::AttemptOutcome::failed:
        case core::AttemptOutcome::timed_out:
        case core::AttemptOutcome::cancelled:
        case core::AttemptOutcome::out_of_memory:
        case core::AttemptOutcome::rejected:
        case core::AttemptOutcome::worker_lost:
        case core::AttemptOutcome::preempted:
        case core::AttemptOutcome::superseded: return true;
    }
    return false;
}

}  // namespace nexus::journal
