#pragma once
// The live configuration of the core. It enters as an event; all numbers are integers in the unit of their name.

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"

namespace nexus::core {

enum class PolicyKind : std::uint8_t {
    predictive = 1,  // algorithms of docs/scheduling.md; late binding
    fcfs,            // late binding, arrival order, least-used free worker
    least_loaded,    // binds at arrival to the shortest line: fewest tasks, running or bound, per slot (JSQ)
    power_of_two,    // binds at arrival to the shorter of two sampled queues
    random,          // binds at arrival to a sampled worker
    round_robin,     // binds at arrival in turn: the old Nexus
    nexus_ema,       // binds at arrival by the old Nexus score
    least_work,      // binds at arrival to the worker with the least predicted work per slot
};
inline constexpr PolicyKind kPolicies[] = {PolicyKind::predictive,   PolicyKind::fcfs,      PolicyKind::least_loaded,
                                           PolicyKind::power_of_two, PolicyKind::random,    PolicyKind::round_robin,
                                           PolicyKind::nexus_ema,    PolicyKind::least_work};
const char* name_of(PolicyKind kind);
// False when the name is unknown.
bool policy_from_name(std::string_view name, PolicyKind& kind);

enum class Placement : std::uint8_t { balanced = 1, fastest };

struct QueueLimits {
    std::string name;
    bool paused = false;
    bool count_fair = false;        // charge tenants per task instead of predicted work
    std::uint32_t running_max = 0;  // 0 = no limit
    bool operator==(const QueueLimits&) const = default;
};
struct TenantLimits {
    std::string name;
    std::uint32_t share = 1;  // weight in fair sharing, >= 1
    std::uint32_t running_max = 0;
    std::uint32_t waiting_max = 0;
    bool operator==(const TenantLimits&) const = default;
};
struct TypeLimits {
    std::string name;
    std::uint32_t running_max = 0;
    bool operator==(const TypeLimits&) const = default;
};

struct Config {
    std::uint32_t version = 1;  // grows with each change
    PolicyKind policy = PolicyKind::predictive;

    // Liveness (contract C12, C13)
    Duration lease = seconds(5);            // of an attempt, from the worker's last contact
    Duration close_grace = seconds(1);      // after a connection closes without goodbye
    Duration reconnect_grace = seconds(4);  // after a server start

    // Ends (contract C14, C15)
    std::uint32_t attempts_max = 3;
    std::uint32_t crashes_max = 3;
    Duration backoff_first = seconds(1);
    Duration backoff_max = minutes(5);
    Duration ttl = hours(24 * 7);
    Duration timeout_grace = seconds(5);  // past an attempt's timeout the server ends it itself
    Duration idempotency_window = hours(24);

    // Order (docs/scheduling.md): key = start + c * tau * b * l - credit * (priority - 5)
    std::uint32_t size_weight_permille = 1000;  // c: 250 protects the tail in overload, 4000 is nearly shortest-first
    std::uint32_t priority_credit_permille = 15'000;  // seconds of credit per level = this x mean task
    // C8: the hard bound on being overtaken by lower or equal priority is the greater of these two.
    Duration overtake_max = seconds(60);
    std::uint32_t overtake_cap_means = 60;  // mean tasks; tau is capped at as many

    // Placement
    Placement placement = Placement::balanced;

    // Breaker, speculation, preemption
    bool breaker = true;
    std::uint32_t breaker_ratio_permille = 2500;
    bool speculation = true;
    std::uint32_t speculation_slots_permille = 50;
    bool preemption = false;
    std::uint32_t preemptions_max = 3;            // per task
    bool pause = false;                           // pause long runs for short ones, on workers that announce it
    std::uint32_t pause_ratio_permille = 20'000;  // the run to be paused is expected to take this x the newcomer's

    // Admission (contract C16)
    std::uint64_t tasks_max = 5'000'000;
    std::uint64_t idempotency_keys_max = 1'000'000;
    std::uint32_t fallback_threshold = 3;  // consecutive prediction failures

    Duration worker_retention = hours(24);  // a worker that is gone is forgotten after it; 0 = never

    bool prefetch = true;  // workers that can hold short tasks ready beyond their slots

    std::vector<QueueLimits> queues;    // sorted by name
    std::vector<TenantLimits> tenants;  // sorted by name
    std::vector<TypeLimits> types;      // sorted by name
    bool operator==(const Config&) const = default;
};

}  // namespace nexus::core
