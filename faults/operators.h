#pragma once
// What operators did, in the witness's own books: from the durable events alone it knows which overrides and forced
// estimates are in force and what the audit must hold.
//
//   U1  whatever a server recovers from, it knows each override and forced estimate that is in force, with who and why
//   U2  the audit has each act exactly once, in a chain that holds, whatever crashed and whatever the history lost

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/scheduler.h"
#include "history/history_store.h"

namespace nexus::faults {

class Operators {
public:
    // A durable event, before the core has judged it. `live`: the task that it names is live.
    void follow(std::uint64_t number, const core::Event& event, bool live);
    void task_ended(TaskId task);
    void override_acked(std::uint64_t number) const;                 // U1
    void recovered(const core::Scheduler& core) const;               // U1
    void audited(const std::vector<history::AuditRow>& rows) const;  // U2; newest first
    std::size_t in_force() const { return overrides_.size() + forced_.size(); }

private:
    std::map<std::uint64_t, core::OverrideSet> overrides_;
    std::map<std::string, core::EstimateForced> forced_;
    std::map<std::uint64_t, core::Act> acts_;  // those that the audit must hold, by number
};

}  // namespace nexus::faults
