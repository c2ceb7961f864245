#pragma once
// What the engine shows -> nexus.v1 messages. Each call fills an empty message. Unknown values (-1, kNever, 0) are left
// unset. No checks and no errors: the engine's values are always expressible.

#include <string>
#include <string_view>
#include <vector>

#include <nexus/v1/nexus.pb.h>

#include "base/estimate.h"
#include "core/config.h"
#include "engine/messages.h"
#include "engine/requests.h"
#include "identity/guard.h"

namespace nexus::api {

struct Door;  // methods.h

void to_message(const Estimate& estimate, v1::Estimate& out);
void to_message(const core::Resources& resources, v1::Resources& out);
void to_message(const engine::Submitted& submitted, std::string_view durability, v1::SubmitResponse& out);
void to_message(const engine::TaskInfo& task, v1::Task& out);
void to_message(const engine::TaskPage& page, v1::ListTasksResponse& out);
void to_message(const engine::OutputText& text, v1::ReadOutputResponse& out);
// Takes out what came from the task's program (results, errors, notes), which may be as sensitive as its payload: for
// callers without Role::payload.
void hide_what_programs_wrote(v1::Task& task);
// Its waits, what was predicted of it and what it asked for.
void tell_story(const engine::TaskInfo& task, v1::Task& out);
void to_message(const core::TaskSpec& spec, v1::TaskSpec& out);
// When the decision's run was to end on the workers that were not chosen.
void tell_alternatives(const engine::Explanation& explanation, v1::Explanation& out);
void to_message(const history::DecisionInfo& decision, v1::Decision& out);
void to_message(const engine::Explanation& explanation, v1::Explanation& out);
v1::WorkerState worker_state_of(const engine::WorkerInfo& worker);
void to_message(const engine::WorkerInfo& worker, v1::Worker& out);
void to_message(const engine::TypeInfo& type, v1::TypeStat& out);
void to_message(const engine::TypesInfo& types, v1::ListTypesResponse& out);
void to_message(const std::vector<engine::WorkerInfo>& workers, v1::ListWorkersResponse& out);
void to_message(const engine::StatusInfo& status, v1::Status& out);                    // rss_bytes is this process's
void to_message(const engine::StatusInfo& status, const Door& door, v1::Status& out);  // with its name and disk
void to_message(const engine::ReadModel& state, const Door& door, v1::Attention& out);
void to_message(const engine::WorkerDetail& detail, v1::Worker& out);
void to_message(const std::vector<engine::Happened>& events, v1::ListHappenedResponse& out);
void to_message(const engine::SeriesInfo& series, v1::Series& out);
void to_message(const std::vector<engine::TenantInfo>& tenants, v1::ListTenantsResponse& out);
void to_message(const std::vector<engine::LimitInfo>& limits, v1::ListLimitsResponse& out);
void to_message(const engine::FreeSlotsInfo& free, v1::FreeSlots& out);
void to_message(const std::vector<engine::TypeRunInfo>& runs, v1::ListTypeRunsResponse& out);
void to_message(const std::vector<engine::TypeRunInfo>& runs, v1::TypeReliability& out);
void to_message(const core::Config& config, v1::SchedulerConfig& out);
void to_message(const core::Config& config, v1::ListPoliciesResponse& out);
void to_message(const engine::QueueInfo& queue, v1::Queue& out);
void to_message(const std::vector<engine::QueueInfo>& queues, v1::ListQueuesResponse& out);
void to_message(const engine::ChangedMany& changed, v1::ChangeTasksResponse& out);
void to_message(const engine::OverrideInfo& info, v1::Override& out);
void to_message(const std::vector<engine::OverrideInfo>& all, v1::ListOverridesResponse& out);
void to_message(const identity::Token& token, v1::Token& out);
void to_message(const Caller& caller, const identity::Guard& guard, v1::Identity& out);
void to_message(const history::AuditRow& row, v1::AuditEntry& out);
void to_message(const engine::Reconfigured& done, v1::SchedulerConfig& out);
void to_message(const engine::ConfigVersionsPage& page, v1::ListConfigVersionsResponse& out);
void to_message(const engine::AuditVerdict& verdict, v1::VerifyAuditResponse& out);
void to_message(const engine::DecisionPage& page, v1::ListDecisionsResponse& out);
void to_message(const engine::AuditPage& page, v1::ListAuditResponse& out);

}  // namespace nexus::api
