#include <iterator>
#include <string_view>

#include "core/command.h"
#include "core/config.h"
#include "core/task.h"

namespace nexus::core {

const char* name_of(TaskState state) {
    static constexpr const char* names[] = {"unknown", "waiting",   "assigned", "running", "succeeded",
                                            "dead",    "cancelled", "expired",  "paused"};
    return names[static_cast<unsigned>(state) < std::size(names) ? static_cast<unsigned>(state) : 0];
}

const char* name_of(WaitReason reason) {
    static constexpr const char* names[] = {
        "none",        "not_before", "dependency",         "retry_backoff", "held",     "queue_paused", "ordering",
        "concurrency", "rate",       "no_eligible_worker", "breaker",       "capacity", "lease"};
    return names[static_cast<unsigned>(reason) < std::size(names) ? static_cast<unsigned>(reason) : 0];
}

const char* name_of(WaitCause cause) {
    static constexpr const char* names[] = {"none",         "run_at",       "dependencies",    "failures",
                                            "hold",         "ordering_key", "concurrency_key", "rate_key",
                                            "worker_line",  "paused",       "lost_worker",     "queue_paused",
                                            "queue_limit",  "tenant_limit", "type_limit",      "no_worker",
                                            "disconnected", "demands",      "cordoned",        "suspected",
                                            "breakers",     "workers_busy", "tasks_ahead",     "breakers_beside",
                                            "refused",      "prefetched"};
    return names[static_cast<unsigned>(cause) < std::size(names) ? static_cast<unsigned>(cause) : 0];
}

const char* name_of(AttemptOutcome outcome) {
    static constexpr const char* names[] = {"unknown",   "succeeded",     "failed",   "timed_out",
                                            "cancelled", "out_of_memory", "rejected", "worker_lost",
                                            "preempted", "superseded",    "recalled"};
    return names[static_cast<unsigned>(outcome) < std::size(names) ? static_cast<unsigned>(outcome) : 0];
}

const char* name_of(DecisionReason reason) {
    static constexpr const char* names[] = {"unknown", "arrival",    "slot_freed", "bound",      "speculation",
                                            "probe",   "pinned",     "fallback",   "pause",      "paused",
                                            "resumed", "preemption", "preempted",  "prefetched", "recalled"};
    return names[static_cast<unsigned>(reason) < std::size(names) ? static_cast<unsigned>(reason) : 0];
}

static constexpr const char* kPolicyNames[] = {"unknown", "predictive",  "fcfs",      "least-loaded", "power-of-two",
                                               "random",  "round-robin", "nexus-ema", "least-work"};

const char* name_of(PolicyKind kind) {
    return kPolicyNames[static_cast<unsigned>(kind) < std::size(kPolicyNames) ? static_cast<unsigned>(kind) : 0];
}

bool policy_from_name(std::string_view name, PolicyKind& kind) {
    for (unsigned i = 1; i < std::size(kPolicyNames); ++i) {
        if (name != kPolicyNames[i]) continue;
        kind = static_cast<PolicyKind>(i);
        return true;
    }
    return false;
}

const char* name_of(ToldAs as) {
    static constexpr const char* names[] = {"placed", "queued", "backlog", "after"};
    return names[static_cast<std::size_t>(as)];
}

}  // namespace nexus::core
