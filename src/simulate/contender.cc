#include "simulate/contender.h"

namespace nexus::simulate {

Result<Contender> make_contender(std::string_view name) {
    Contender made{.name = std::string(name)};
    made.config.ttl = hours(24 * 365 * 100);  // a task that expired would be missing among the responses
    if (name == "oracle-srpt") {
        made.oracle = made.srpt_limit = true;
        return made;
    }
    std::string_view policy = name;
    if (policy.starts_with("oracle-")) {
        made.oracle = true;
        policy.remove_prefix(7);
    }
    if (policy.ends_with("+pause")) {
        made.config.pause = true;
        policy.remove_suffix(6);
    }
    if (!core::policy_from_name(policy, made.config.policy)) {
        std::string known;
        for (const core::PolicyKind kind : core::kPolicies) known += core::name_of(kind) + std::string(", ");
        return fail(Fault::invalid, "policy '" + std::string(name) + "' is unknown; known are " + known +
                                        "each also as oracle-..., predictive+pause, and oracle-srpt");
    }
    return made;
}

bool Contender::uses_estimates() const {
    switch (config.policy) {
        case core::PolicyKind::random:
        case core::PolicyKind::round_robin:
        case core::PolicyKind::power_of_two: return false;
        default: return true;
    }
}

}  // namespace nexus::simulate
