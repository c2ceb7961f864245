#pragma once
// The server as the command line sees it: one method per call of nexus.v1, with a deadline, a Failure that names the
// server, what was asked and the next step, and Ctrl-C that cancels the call in flight. The connection and the reading
// of failures are the SDK's; its Client is not used, because verbs print whole messages and are not tried again.
//
// Threads: one call at a time per Session.

#include <functional>
#include <memory>
#include <string>

#include "cli/connection.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "nexus/v1/nexus.pb.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace nexus::cli {

namespace pb = ::nexus::v1;

class SubmitStream;

class Session {
public:
    Session(Connection connection, Interrupt& interrupt);
    ~Session();

    Answer<pb::SubmitResponse> submit(const pb::TaskSpec& task);
    Answer<pb::SubmitBatchResponse> submit_batch(const pb::SubmitBatchRequest& batch);
    std::unique_ptr<SubmitStream> submit_stream();
    Answer<pb::Task> get_task(const std::string& id, bool with_result);
    Answer<pb::ReadOutputResponse> read_output(const pb::ReadOutputRequest& request);
    Answer<pb::ListTasksResponse> list_tasks(const pb::ListTasksRequest& request);
    // Calls `on_event` until it returns false (then the answer is fine), the stream ends or Ctrl-C.
    Answer<void> watch_tasks(const pb::WatchTasksRequest& request,
                             const std::function<bool(const pb::TaskEvent&)>& on_event);
    Answer<pb::Task> cancel_task(const std::string& id, const std::string& reason);
    Answer<pb::SubmitResponse> retry_task(const std::string& id);
    // All that a filter finds, or those that are named: one page of them.
    Answer<pb::ChangeTasksResponse> cancel_many(const pb::ChangeTasksRequest& request);
    Answer<pb::ChangeTasksResponse> retry_many(const pb::ChangeTasksRequest& request);
    Answer<pb::Explanation> explain_task(const std::string& id);

    Answer<pb::Status> status();
    Answer<pb::Attention> attention();
    // What the health service says of the server as a whole: does it take new tasks?
    Answer<bool> ready();
    Answer<pb::ListWorkersResponse> list_workers(const pb::ListWorkersRequest& request = {});
    Answer<pb::Worker> control_worker(const pb::ControlWorkerRequest& request);
    Answer<pb::ListTypesResponse> list_types();
    Answer<pb::TypeStat> get_type(const std::string& type);
    Answer<pb::TypeStat> reset_type(const pb::ResetTypeRequest& request);
    Answer<pb::TypeStat> override_estimate(const pb::OverrideEstimateRequest& request);
    Answer<pb::SchedulerConfig> get_config(bool effective = false);
    Answer<pb::ListConfigVersionsResponse> config_versions(const pb::ListConfigVersionsRequest& request);
    Answer<pb::SchedulerConfig> roll_back_config(const pb::RollbackConfigRequest& request);
    Answer<pb::SchedulerConfig> reload_config(const pb::ReloadConfigRequest& request);
    Answer<pb::SchedulerConfig> set_config(const pb::SetConfigRequest& request);
    Answer<pb::SchedulerConfig> set_policy(const pb::SetPolicyRequest& request);
    Answer<pb::ListPoliciesResponse> list_policies();
    Answer<pb::ListQueuesResponse> list_queues();
    Answer<pb::Queue> get_queue(const std::string& queue);
    Answer<pb::Status> control_queue(const pb::ControlQueueRequest& request);
    Answer<pb::Override> set_override(const pb::Override& override);
    Answer<pb::Override> clear_override(const pb::ClearOverrideRequest& request);
    Answer<pb::ListOverridesResponse> list_overrides();
    Answer<pb::ListDecisionsResponse> list_decisions(const pb::ListDecisionsRequest& request);
    Answer<pb::CreateTokenResponse> create_token(const pb::CreateTokenRequest& request);
    Answer<pb::ListTokensResponse> list_tokens();
    Answer<pb::Token> revoke_token(const pb::RevokeTokenRequest& request);
    Answer<pb::Identity> who_am_i();
    Answer<pb::ListAuditResponse> list_audit(const pb::ListAuditRequest& request);
    Answer<pb::VerifyAuditResponse> verify_audit();

    const std::string& server() const { return connection_.server; }
    Interrupt& interrupt() { return interrupt_; }

private:
    struct Channel;
    template <class Stub, class Request, class Response>
    Answer<Response> call(std::string doing,
                          grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                          const Request& request);

    Connection connection_;
    Interrupt& interrupt_;
    std::unique_ptr<Channel> channel_;
};

}  // namespace nexus::cli
