#include "cli/session.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <nexus/v1/nexus.grpc.pb.h>

#include "channel.h"  // of the SDK
#include "cli/call.h"
#include "cli/call_failure.h"
#include "cli/health.h"
#include "cli/message_text.h"
#include "cli/submit_stream.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

using Tasks = pb::TaskService::Stub;
using Admin = pb::AdminService::Stub;

// Where a file of TLS cannot be read the first call says so.
std::shared_ptr<grpc::Channel> open(Connection& connection) {
    auto channel = sdk::open_channel(connection.server, connection.tls, connection.failure);
    return channel ? std::move(channel) : sdk::open_channel(connection.server);
}

}  // namespace

struct Session::Channel {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<Tasks> tasks = pb::TaskService::NewStub(channel);
    std::unique_ptr<Admin> admin = pb::AdminService::NewStub(channel);

    Tasks& stub(const Tasks*) const { return *tasks; }
    Admin& stub(const Admin*) const { return *admin; }
};

Session::Session(Connection connection, Interrupt& interrupt)
    : connection_(std::move(connection)),
      interrupt_(interrupt),
      channel_(std::make_unique<Channel>(Channel{.channel = open(connection_)})) {}
Session::~Session() = default;

template <class Stub, class Request, class Response>
Answer<Response> Session::call(std::string doing,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                               const Request& request) {
    if (const std::string field = field_not_text(request); !field.empty())
        return failure(kExitUsage, doing + ": " + field + " is not UTF-8 text");
    if (!connection_.failure.empty()) return failure(kExitUsage, doing + ": " + connection_.failure);
    grpc::ClientContext context;
    prepare(context, connection_);
    const Cancellable cancellable(interrupt_, context);
    Response response;
    Stub& stub = channel_->stub(static_cast<const Stub*>(nullptr));
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return std::unexpected(failure_of(status, doing, connection_, interrupt_.raised()));
    if (connection_.for_people) make_safe(response);
    return response;
}

Answer<pb::SubmitResponse> Session::submit(const pb::TaskSpec& task) {
    pb::SubmitRequest request;
    *request.mutable_task() = task;
    return call("submit", &Tasks::Submit, request);
}

Answer<pb::SubmitBatchResponse> Session::submit_batch(const pb::SubmitBatchRequest& batch) {
    return call("submit", &Tasks::SubmitBatch, batch);
}

std::unique_ptr<SubmitStream> Session::submit_stream() {
    return std::make_unique<SubmitStream>(*channel_->tasks, connection_, interrupt_);
}

Answer<pb::Task> Session::get_task(const std::string& id, bool with_result) {
    pb::GetTaskRequest request;
    request.set_id(id);
    request.set_include_result(with_result);
    return call("get task " + safe_text(id, 40), &Tasks::Get, request);
}

Answer<pb::ReadOutputResponse> Session::read_output(const pb::ReadOutputRequest& request) {
    return call("logs of task " + safe_text(request.id(), 40), &Tasks::ReadOutput, request);
}

Answer<pb::ListTasksResponse> Session::list_tasks(const pb::ListTasksRequest& request) {
    return call("list tasks", &Tasks::List, request);
}

Answer<void> Session::watch_tasks(const pb::WatchTasksRequest& request,
                                  const std::function<bool(const pb::TaskEvent&)>& on_event) {
    if (!connection_.failure.empty()) return failure(kExitUsage, "watch: " + connection_.failure);
    grpc::ClientContext context;
    sdk::authorize(context, connection_.token);
    const Cancellable cancellable(interrupt_, context);
    const auto stream = channel_->tasks->Watch(&context, request);
    pb::TaskEvent event;
    bool more = true;
    while (more && stream->Read(&event)) {
        if (connection_.for_people) make_safe(event);
        more = on_event(event);
    }
    if (!more) context.TryCancel();
    const grpc::Status status = stream->Finish();
    if (!more || status.ok()) return {};
    return std::unexpected(failure_of(status, "watch", connection_, interrupt_.raised()));
}

Answer<pb::Task> Session::cancel_task(const std::string& id, const std::string& reason) {
    pb::CancelTaskRequest request;
    request.set_id(id);
    request.set_reason(reason);
    return call("cancel task " + safe_text(id, 40), &Tasks::Cancel, request);
}

Answer<pb::SubmitResponse> Session::retry_task(const std::string& id) {
    pb::RetryTaskRequest request;
    request.set_id(id);
    return call("retry task " + safe_text(id, 40), &Tasks::Retry, request);
}

Answer<pb::ChangeTasksResponse> Session::cancel_many(const pb::ChangeTasksRequest& request) {
    return call("cancel tasks", &Tasks::CancelMany, request);
}

Answer<pb::ChangeTasksResponse> Session::retry_many(const pb::ChangeTasksRequest& request) {
    return call("retry tasks", &Tasks::RetryMany, request);
}

Answer<pb::Explanation> Session::explain_task(const std::string& id) {
    pb::ExplainTaskRequest request;
    request.set_id(id);
    return call("explain task " + safe_text(id, 40), &Tasks::Explain, request);
}

Answer<pb::Status> Session::status() {
    return call("status", &Admin::GetStatus, {});
}

Answer<pb::Attention> Session::attention() {
    return call("attention", &Admin::GetAttention, {});
}

Answer<bool> Session::ready() {
    grpc::ClientContext context;
    prepare(context, connection_);
    const Cancellable cancellable(interrupt_, context);
    bool serving = false;
    const grpc::Status status = check_health(channel_->channel, context, serving);
    if (status.ok()) return serving;
    return std::unexpected(failure_of(status, "health", connection_, interrupt_.raised()));
}

Answer<pb::ListWorkersResponse> Session::list_workers(const pb::ListWorkersRequest& request) {
    return call("list workers", &Admin::ListWorkers, request);
}

Answer<pb::Worker> Session::control_worker(const pb::ControlWorkerRequest& request) {
    return call("worker " + safe_text(request.name(), 128), &Admin::ControlWorker, request);
}

Answer<pb::ListTypesResponse> Session::list_types() {
    return call("list types", &Admin::ListTypes, {});
}

Answer<pb::TypeStat> Session::get_type(const std::string& type) {
    pb::GetTypeRequest request;
    request.set_type(type);
    return call("type " + safe_text(type, 128), &Admin::GetType, request);
}

Answer<pb::TypeStat> Session::reset_type(const pb::ResetTypeRequest& request) {
    return call("reset type " + safe_text(request.type(), 128), &Admin::ResetType, request);
}

Answer<pb::TypeStat> Session::override_estimate(const pb::OverrideEstimateRequest& request) {
    return call("force type " + safe_text(request.type(), 128), &Admin::OverrideEstimate, request);
}

Answer<pb::SchedulerConfig> Session::get_config(bool effective) {
    pb::GetConfigRequest request;
    request.set_effective(effective);
    return call("get the configuration", &Admin::GetConfig, request);
}

Answer<pb::ListConfigVersionsResponse> Session::config_versions(const pb::ListConfigVersionsRequest& request) {
    return call("list the versions of the configuration", &Admin::ListConfigVersions, request);
}

Answer<pb::SchedulerConfig> Session::roll_back_config(const pb::RollbackConfigRequest& request) {
    return call("roll the configuration back", &Admin::RollbackConfig, request);
}

Answer<pb::SchedulerConfig> Session::reload_config(const pb::ReloadConfigRequest& request) {
    return call("reload the configuration", &Admin::ReloadConfig, request);
}

Answer<pb::SchedulerConfig> Session::set_config(const pb::SetConfigRequest& request) {
    return call("set the configuration", &Admin::SetConfig, request);
}

Answer<pb::SchedulerConfig> Session::set_policy(const pb::SetPolicyRequest& request) {
    return call("set the policy", &Admin::SetPolicy, request);
}

Answer<pb::ListPoliciesResponse> Session::list_policies() {
    return call("list policies", &Admin::ListPolicies, {});
}

Answer<pb::ListQueuesResponse> Session::list_queues() {
    return call("list queues", &Admin::ListQueues, {});
}

Answer<pb::Queue> Session::get_queue(const std::string& queue) {
    pb::GetQueueRequest request;
    request.set_queue(queue);
    return call("queue " + safe_text(queue, 128), &Admin::GetQueue, request);
}

Answer<pb::Status> Session::control_queue(const pb::ControlQueueRequest& request) {
    return call("queue " + safe_text(request.queue(), 128), &Admin::ControlQueue, request);
}

Answer<pb::Override> Session::set_override(const pb::Override& override) {
    pb::SetOverrideRequest request;
    *request.mutable_override() = override;
    return call("set the override", &Admin::SetOverride, request);
}

Answer<pb::Override> Session::clear_override(const pb::ClearOverrideRequest& request) {
    return call(fmt::format("clear override {}", request.number()), &Admin::ClearOverride, request);
}

Answer<pb::ListOverridesResponse> Session::list_overrides() {
    return call("list overrides", &Admin::ListOverrides, {});
}

Answer<pb::ListDecisionsResponse> Session::list_decisions(const pb::ListDecisionsRequest& request) {
    return call("list decisions", &Admin::ListDecisions, request);
}

Answer<pb::CreateTokenResponse> Session::create_token(const pb::CreateTokenRequest& request) {
    return call("create a token for " + safe_text(request.name(), 128), &Admin::CreateToken, request);
}

Answer<pb::ListTokensResponse> Session::list_tokens() {
    return call("list tokens", &Admin::ListTokens, {});
}

Answer<pb::Token> Session::revoke_token(const pb::RevokeTokenRequest& request) {
    return call("revoke token " + safe_text(request.id(), 40), &Admin::RevokeToken, request);
}

Answer<pb::Identity> Session::who_am_i() {
    return call("whoami", &Admin::WhoAmI, {});
}

Answer<pb::ListAuditResponse> Session::list_audit(const pb::ListAuditRequest& request) {
    return call("list the audit log", &Admin::ListAudit, request);
}

Answer<pb::VerifyAuditResponse> Session::verify_audit() {
    return call("verify the audit log", &Admin::VerifyAudit, {});
}

}  // namespace nexus::cli
