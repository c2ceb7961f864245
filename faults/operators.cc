#include "faults/operators.h"

#include <variant>

#include "engine/audit.h"
#include "faults/violation.h"

namespace nexus::faults {

void Operators::follow(std::uint64_t number, const core::Event& event, bool live) {
    std::erase_if(overrides_, [&](const auto& entry) { return entry.second.expires <= event.at; });
    std::erase_if(forced_, [&](const auto& entry) { return entry.second.expires <= event.at; });
    if (const auto* set = std::get_if<core::OverrideSet>(&event.what)) {
        acts_[number] = set->act;
        if (set->expires > event.at && (!set->task || live)) overrides_[set->number] = *set;
    } else if (const auto* cleared = std::get_if<core::OverrideCleared>(&event.what)) {
        acts_[number] = cleared->act;
        overrides_.erase(cleared->number);
    } else if (const auto* forced = std::get_if<core::EstimateForced>(&event.what)) {
        acts_[number] = forced->act;
        forced_.erase(forced->type);
        if (forced->estimate.us > 0 && forced->expires > event.at) forced_[forced->type] = *forced;
    } else if (const auto* reset = std::get_if<core::TypeReset>(&event.what)) {
        acts_[number] = reset->act;
    } else if (const auto* control = std::get_if<core::WorkerControlled>(&event.what)) {
        acts_[number] = control->act;
    } else if (const auto* config = std::get_if<core::ConfigChanged>(&event.what)) {
        acts_[number] = config->act;
    }
}

void Operators::task_ended(TaskId task) {
    std::erase_if(overrides_, [&](const auto& entry) { return entry.second.task == task; });
}

void Operators::override_acked(std::uint64_t number) const {
    demand(acts_.contains(number), "U1", "override " + std::to_string(number) + " was acknowledged and is in no event");
}

void Operators::recovered(const core::Scheduler& core) const {
    const auto overrides = core.overrides();
    demand(overrides.size() == overrides_.size(), "U1",
           std::to_string(overrides.size()) + " overrides are in force after a restart, not " +
               std::to_string(overrides_.size()));
    for (const core::OverrideSet& set : overrides) {
        const auto known = overrides_.find(set.number);
        demand(known != overrides_.end() && known->second == set, "U1",
               "override " + std::to_string(set.number) + " is another after a restart");
    }
    const auto forced = core.forced_estimates();
    demand(
        forced.size() == forced_.size(), "U1",
        std::to_string(forced.size()) + " estimates are forced after a restart, not " + std::to_string(forced_.size()));
    for (const core::EstimateForced& one : forced) {
        const auto known = forced_.find(one.type);
        demand(known != forced_.end() && known->second == one, "U1",
               "the forced estimate of " + one.type + " is another after a restart");
    }
}

void Operators::audited(const std::vector<history::AuditRow>& rows) const {
    std::map<std::uint64_t, const history::AuditRow*> by_number;
    for (const history::AuditRow& row : rows) {
        demand(by_number.emplace(row.place.number, &row).second, "U2",
               "the audit has event " + std::to_string(row.place.number) + " twice");
        demand(acts_.contains(row.place.number), "U2",
               "the audit has event " + std::to_string(row.place.number) + ", no act");
    }
    std::string before;
    for (const auto& [number, act] : acts_) {
        const auto row = by_number.find(number);
        demand(row != by_number.end(), "U2", "the audit lacks the act of event " + std::to_string(number));
        demand(row->second->author == act.author && row->second->reason == act.reason, "U2",
               "the audit tells event " + std::to_string(number) + " otherwise");
        demand(row->second->hash == engine::chain_hash(before, *row->second), "U2",
               "the audit's chain breaks at event " + std::to_string(number));
        before = row->second->hash;
    }
}

}  // namespace nexus::faults
