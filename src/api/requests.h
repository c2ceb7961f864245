#pragma once
// nexus.v1 request messages -> requests to the engine, one overload per message. Faults: invalid, starting with the
// field. Payloads and texts may be moved out of the message.

#include <nexus/v1/nexus.pb.h>

#include "api/methods.h"
#include "base/result.h"
#include "engine/requests.h"

namespace nexus::api {

Result<engine::SubmitTasks> to_request(v1::SubmitRequest& from, const Door& door);
Result<engine::SubmitTasks> to_request(v1::SubmitBatchRequest& from, const Door& door);
Result<engine::GetTask> to_request(v1::GetTaskRequest& from, const Door& door);
Result<engine::ReadOutput> to_request(v1::ReadOutputRequest& from, const Door& door);
Result<engine::ListTasks> to_request(v1::ListTasksRequest& from, const Door& door);
Result<engine::CancelTask> to_request(v1::CancelTaskRequest& from, const Door& door);
Result<engine::RetryTask> to_request(v1::RetryTaskRequest& from, const Door& door);
Result<engine::CancelMany> to_cancel_many(v1::ChangeTasksRequest& from, const Door& door);
Result<engine::RetryMany> to_retry_many(v1::ChangeTasksRequest& from, const Door& door);
Result<engine::ExplainTask> to_request(v1::ExplainTaskRequest& from, const Door& door);

Result<engine::ReadState> to_request(v1::StatusRequest& from, const Door& door);
Result<engine::ReadState> to_request(v1::ListWorkersRequest& from, const Door& door);
Result<engine::ReadState> to_request(v1::GetAttentionRequest& from, const Door& door);
Result<engine::ReadSeries> to_request(v1::GetSeriesRequest& from, const Door& door);
Result<engine::GetWorker> to_request(v1::GetWorkerRequest& from, const Door& door);
Result<engine::ListHappened> to_request(v1::ListWorkerEventsRequest& from, const Door& door);
Result<engine::ListHappened> to_request(v1::ListTypeEventsRequest& from, const Door& door);
Result<engine::ListTenants> to_request(v1::ListTenantsRequest& from, const Door& door);
Result<engine::ListLimits> to_request(v1::ListLimitsRequest& from, const Door& door);
Result<engine::GetFreeSlots> to_request(v1::GetFreeSlotsRequest& from, const Door& door);
Result<engine::ListTypeRuns> to_request(v1::ListTypeRunsRequest& from, const Door& door);
Result<engine::ListTypeRuns> to_request(v1::GetTypeReliabilityRequest& from, const Door& door);
Result<engine::ControlWorker> to_request(v1::ControlWorkerRequest& from, const Door& door);
Result<engine::ListTypes> to_request(v1::ListTypesRequest& from, const Door& door);
Result<engine::GetType> to_request(v1::GetTypeRequest& from, const Door& door);
Result<engine::ResetType> to_request(v1::ResetTypeRequest& from, const Door& door);
Result<engine::ForceEstimate> to_request(v1::OverrideEstimateRequest& from, const Door& door);
Result<engine::Configure> to_request(v1::SetConfigRequest& from, const Door& door);
Result<engine::RollBackConfig> to_request(v1::RollbackConfigRequest& from, const Door& door);
Result<engine::ListConfigVersions> to_request(v1::ListConfigVersionsRequest& from, const Door& door);
Result<engine::SetPolicy> to_request(v1::SetPolicyRequest& from, const Door& door);
Result<engine::GetConfig> to_request(v1::ListPoliciesRequest& from, const Door& door);
Result<engine::ListQueues> to_request(v1::ListQueuesRequest& from, const Door& door);
Result<engine::GetQueue> to_request(v1::GetQueueRequest& from, const Door& door);
Result<engine::PauseQueue> to_request(v1::ControlQueueRequest& from, const Door& door);
Result<engine::SetOverride> to_request(v1::SetOverrideRequest& from, const Door& door);
Result<engine::ClearOverride> to_request(v1::ClearOverrideRequest& from, const Door& door);
Result<engine::ListOverrides> to_request(v1::ListOverridesRequest& from, const Door& door);
Result<engine::ListDecisions> to_request(v1::ListDecisionsRequest& from, const Door& door);
Result<engine::ListAudit> to_request(v1::ListAuditRequest& from, const Door& door);
Result<engine::VerifyAudit> to_request(v1::VerifyAuditRequest& from, const Door& door);

Result<engine::IssueToken> to_request(v1::CreateTokenRequest& from, const Door& door);  // without id and hash
Result<engine::ListTokens> to_request(v1::ListTokensRequest& from, const Door& door);
Result<engine::RevokeToken> to_request(v1::RevokeTokenRequest& from, const Door& door);

}  // namespace nexus::api
