#include "api/methods.h"

#include <nexus/v1/nexus.pb.h>

#include <algorithm>
#include <utility>

#include "api/configuration.h"
#include "api/error.h"
#include "api/requests.h"
#include "api/view.h"
#include "base/must.h"
#include "identity/roles.h"

namespace nexus::api {
namespace {

// ---- answers of the engine -> response messages; those that need no more than the value are to_message of view.h

template <class Answer, class Response>
void fill(const Door&, const Answer& answer, Response& out) {
    to_message(answer, out);
}

void fill(const Door& door, const engine::Submitted& done, v1::SubmitResponse& out) {
    to_message(done, door.durability, out);
}
void fill(const Door& door, const std::vector<engine::Submitted>& done, v1::SubmitResponse& out) {
    to_message(done.front(), door.durability, out);
}
void fill(const Door& door, const std::vector<engine::Submitted>& done, v1::SubmitBatchResponse& out) {
    out.mutable_results()->Reserve(static_cast<int>(done.size()));
    for (const auto& submitted : done) to_message(submitted, door.durability, *out.add_results());
}
void fill(const Door& door, const std::shared_ptr<const engine::ReadModel>& state, v1::Status& out) {
    to_message(state->status, door, out);
}
void fill(const Door& door, const std::shared_ptr<const engine::ReadModel>& state, v1::Attention& out) {
    to_message(*state, door, out);
}
void fill(const Door&, const std::shared_ptr<const engine::ReadModel>& state, v1::ListWorkersResponse& out) {
    to_message(state->workers, out);
}
void fill(const Door&, const std::shared_ptr<const identity::Tokens>& tokens, v1::ListTokensResponse& out) {
    for (const auto& [id, token] : tokens->all()) to_message(*token, *out.add_tokens());
}
void fill(const Door&, std::uint64_t number, v1::Override& out) {
    out.set_number(number);
}

// One name for a field, wherever it is found to be wrong: where it stands in the request.
template <class Request>
Error told(Error error, std::size_t) {
    return error;
}
template <>
Error told<v1::SubmitRequest>(Error error, std::size_t) {
    return error.what.starts_with("task:") ? error : with_prefix(std::move(error), "task.");
}
template <>
Error told<v1::SubmitBatchRequest>(Error error, std::size_t tasks) {
    return in_batch(std::move(error), tasks);
}
template <>
Error told<v1::SetOverrideRequest>(Error error, std::size_t) {
    return with_prefix(std::move(error), "override.");
}

// What a caller without Role::payload does not see.
template <class Response>
void hide(Response&) {}
void hide(v1::Task& task) {
    hide_what_programs_wrote(task);
}
void hide(v1::ListTasksResponse& page) {
    for (v1::Task& task : *page.mutable_tasks()) hide(task);
}
void hide(v1::Explanation& explanation) {
    const std::string said = explanation.task().error();
    hide(*explanation.mutable_task());
    std::string& summary = *explanation.mutable_summary();  // it repeats what was said
    const std::size_t at = summary.find(said);
    if (explanation.task().error() != said && at != std::string::npos)
        summary.replace(at, said.size(), explanation.task().error());
}

// What of an answer was asked for; most are given whole.
template <class Request>
struct Wanted {
    explicit Wanted(const Request&) {}
    template <class Response>
    void choose(Response&) const {}
};
template <>
struct Wanted<v1::ListWorkersRequest> {
    std::uint32_t states = 0;  // a bit each; 0 = all
    explicit Wanted(const v1::ListWorkersRequest& request) {
        for (const int state : request.states()) states |= 1U << static_cast<unsigned>(state);
    }
    void choose(v1::ListWorkersResponse& out) const {
        if (states == 0) return;
        auto& workers = *out.mutable_workers();
        const auto others = std::ranges::remove_if(workers, [this](const v1::Worker& worker) {
            return (states >> static_cast<unsigned>(worker.state()) & 1U) == 0;
        });
        workers.erase(others.begin(), others.end());
    }
};

template <class Request>
std::size_t tasks_in(const Request&) {
    return 0;
}
std::size_t tasks_in(const v1::SubmitRequest&) {
    return 1;
}
std::size_t tasks_in(const v1::SubmitBatchRequest& request) {
    return static_cast<std::size_t>(request.tasks_size());
}

// Who is bound to a tenant need not name it.
template <class Request>
void name_own_tenant(const Caller&, Request&) {}
void name_own_tenant(const Caller& caller, v1::SubmitRequest& request) {
    if (request.has_task()) name_tenant(caller, *request.mutable_task());
}
void name_own_tenant(const Caller& caller, v1::SubmitBatchRequest& request) {
    name_tenant(caller, request);
}

// How a message becomes a request to the engine, where its type alone does not say it.
struct ByType {
    template <class Request>
    static auto convert(Request& request, const Door& door) {
        return to_request(request, door);
    }
};
struct AsCancelMany {
    static auto convert(v1::ChangeTasksRequest& request, const Door& door) { return to_cancel_many(request, door); }
};
struct AsRetryMany {
    static auto convert(v1::ChangeTasksRequest& request, const Door& door) { return to_retry_many(request, door); }
};

template <class Request, class Response, bool kReadsPayloads, class As>
void run(Door& door, const Caller& caller, Message& message, Message& response, engine::Done<void> done) {
    if (kReadsPayloads && !has_role(caller.roles, Role::payload))
        return done(fail(Fault::denied, "what programs wrote is for those who may read payloads"));
    const std::size_t tasks = tasks_in(static_cast<Request&>(message));
    if (tasks > 0)
        if (auto room = door.guard->limits.take_tasks(caller, tasks); !room)
            return done(std::unexpected(std::move(room).error()));
    name_own_tenant(caller, static_cast<Request&>(message));
    auto request = As::convert(static_cast<Request&>(message), door);
    if (!request) return done(std::unexpected(told<Request>(std::move(request).error(), tasks)));
    using Asked = typename decltype(request)::value_type;
    const Wanted<Request> wanted(static_cast<Request&>(message));
    door.engine.ask(caller, std::move(*request),
                    [&door, tasks, wanted, sees_all = has_role(caller.roles, Role::payload),
                     &out = static_cast<Response&>(response),
                     done = std::move(done)](Result<typename Asked::Answer>&& answer) mutable {
                        if (!answer) return done(std::unexpected(told<Request>(std::move(answer).error(), tasks)));
                        fill(door, *answer, out);
                        wanted.choose(out);
                        if (!sees_all) hide(out);
                        done({});
                    });
}

// The secret is made here and told here: neither the engine nor anything that is kept ever has it.
void create_token(Door& door, const Caller& caller, Message& message, Message& response, engine::Done<void> done) {
    auto request = to_request(static_cast<v1::CreateTokenRequest&>(message), door);
    if (!request) return done(std::unexpected(std::move(request).error()));
    identity::Secret secret = identity::make_secret();
    request->token.id = std::move(secret.id);
    request->token.hash = std::move(secret.hash);
    door.engine.ask(caller, std::move(*request),
                    [text = std::move(secret.text), &out = static_cast<v1::CreateTokenResponse&>(response),
                     done = std::move(done)](Result<identity::Token>&& token) mutable {
                        if (!token) return done(std::unexpected(std::move(token).error()));
                        to_message(*token, *out.mutable_token());
                        out.set_secret(text);
                        done({});
                    });
}

void who_am_i(Door& door, const Caller& caller, Message&, Message& response, engine::Done<void> done) {
    to_message(caller, *door.guard, static_cast<v1::Identity&>(response));
    done({});
}

// A row that is carried out by code of its own.
template <class Request, class Response>
constexpr Method with_run(Method row, Run run) {
    row.run = run;
    row.request = []() -> const Message& { return Request::default_instance(); };
    row.response = []() -> const Message& { return Response::default_instance(); };
    return row;
}

template <class Request, class Response, bool kReadsPayloads = false, class As = ByType>
constexpr Method unary(Method row) {
    using Asked = typename decltype(As::convert(std::declval<Request&>(), std::declval<Door&>()))::value_type;
    row.changes = !engine::kLooks<Asked>;
    row.reads_payloads = kReadsPayloads;
    return with_run<Request, Response>(row, run<Request, Response, kReadsPayloads, As>);
}

// ---- the table

constexpr std::uint32_t kSubmitBytes = 2 << 20;  // what gRPC takes of one message
constexpr std::uint32_t kConfigBytes = 512 << 10;

constexpr Method kMethods[] = {
    // tasks
    unary<v1::SubmitRequest, v1::SubmitResponse>({.name = "/nexus.v1.TaskService/Submit",
                                                  .rest = {Verb::post, "/v1/tasks", "task", 202, "/v1/tasks/"},
                                                  .role = Role::submitter,
                                                  .fleet = false,
                                                  .body_bytes_max = kSubmitBytes}),
    unary<v1::SubmitBatchRequest, v1::SubmitBatchResponse>({.name = "/nexus.v1.TaskService/SubmitBatch",
                                                            .rest = {Verb::post, "/v1/tasks/batch", "*", 202},
                                                            .role = Role::submitter,
                                                            .fleet = false,
                                                            .body_bytes_max = kSubmitBytes}),
    {.name = "/nexus.v1.TaskService/SubmitStream",
     .kind = Kind::stream,
     .rest = {},
     .role = Role::submitter,
     .fleet = false,
     .changes = true,
     .body_bytes_max = kSubmitBytes},
    unary<v1::GetTaskRequest, v1::Task>({.name = "/nexus.v1.TaskService/Get",
                                         .rest = {Verb::get, "/v1/tasks/{id}"},
                                         .role = Role::viewer,
                                         .fleet = false}),
    unary<v1::ReadOutputRequest, v1::ReadOutputResponse, true>({.name = "/nexus.v1.TaskService/ReadOutput",
                                                                .rest = {Verb::get, "/v1/tasks/{id}/output"},
                                                                .role = Role::viewer,
                                                                .fleet = false}),
    unary<v1::ListTasksRequest, v1::ListTasksResponse>(
        {.name = "/nexus.v1.TaskService/List", .rest = {Verb::get, "/v1/tasks"}, .role = Role::viewer, .fleet = false}),
    {.name = "/nexus.v1.TaskService/Watch",
     .kind = Kind::stream,
     .rest = {},
     .role = Role::viewer,
     .fleet = false,
     .body_bytes_max = kConfigBytes},
    unary<v1::CancelTaskRequest, v1::Task>({.name = "/nexus.v1.TaskService/Cancel",
                                            .rest = {Verb::post, "/v1/tasks/{id}/cancel", "*"},
                                            .role = Role::submitter,
                                            .fleet = false}),
    unary<v1::RetryTaskRequest, v1::SubmitResponse>(
        {.name = "/nexus.v1.TaskService/Retry",
         .rest = {Verb::post, "/v1/tasks/{id}/retry", "*", 202, "/v1/tasks/"},
         .role = Role::submitter,
         .fleet = false}),
    unary<v1::ChangeTasksRequest, v1::ChangeTasksResponse, false, AsCancelMany>(
        {.name = "/nexus.v1.TaskService/CancelMany",
         .rest = {Verb::post, "/v1/tasks/cancel", "*"},
         .role = Role::submitter,
         .fleet = false}),
    unary<v1::ChangeTasksRequest, v1::ChangeTasksResponse, false, AsRetryMany>(
        {.name = "/nexus.v1.TaskService/RetryMany",
         .rest = {Verb::post, "/v1/tasks/retry", "*"},
         .role = Role::submitter,
         .fleet = false}),
    unary<v1::ExplainTaskRequest, v1::Explanation>({.name = "/nexus.v1.TaskService/Explain",
                                                    .rest = {Verb::get, "/v1/tasks/{id}/explain"},
                                                    .role = Role::viewer,
                                                    .fleet = false}),

    // workers
    {.name = "/nexus.v1.WorkerService/Connect",
     .kind = Kind::stream,
     .rest = {},
     .role = Role::worker,
     .changes = true,
     .body_bytes_max = kSubmitBytes},
    {.name = "/nexus.v1.WorkerService/ReportCapacity", .kind = Kind::stream, .rest = {}, .role = Role::worker},

    // operators: what they see
    unary<v1::StatusRequest, v1::Status>(
        {.name = "/nexus.v1.AdminService/GetStatus", .rest = {Verb::get, "/v1/status"}, .role = Role::viewer}),
    unary<v1::ListWorkersRequest, v1::ListWorkersResponse>(
        {.name = "/nexus.v1.AdminService/ListWorkers", .rest = {Verb::get, "/v1/workers"}, .role = Role::viewer}),
    unary<v1::GetAttentionRequest, v1::Attention>(
        {.name = "/nexus.v1.AdminService/GetAttention", .rest = {Verb::get, "/v1/attention"}, .role = Role::viewer}),
    unary<v1::GetSeriesRequest, v1::Series>(
        {.name = "/nexus.v1.AdminService/GetSeries", .rest = {Verb::get, "/v1/series"}, .role = Role::viewer}),
    unary<v1::GetWorkerRequest, v1::Worker>(
        {.name = "/nexus.v1.AdminService/GetWorker", .rest = {Verb::get, "/v1/workers/{name}"}, .role = Role::viewer}),
    unary<v1::ListWorkerEventsRequest, v1::ListHappenedResponse>({.name = "/nexus.v1.AdminService/ListWorkerEvents",
                                                                  .rest = {Verb::get, "/v1/workers/{name}/events"},
                                                                  .role = Role::viewer}),
    unary<v1::ListTypeRunsRequest, v1::ListTypeRunsResponse>({.name = "/nexus.v1.AdminService/ListTypeRuns",
                                                              .rest = {Verb::get, "/v1/types/{type}/runs"},
                                                              .role = Role::viewer}),
    unary<v1::GetTypeReliabilityRequest, v1::TypeReliability>({.name = "/nexus.v1.AdminService/GetTypeReliability",
                                                               .rest = {Verb::get, "/v1/types/{type}/reliability"},
                                                               .role = Role::viewer}),
    unary<v1::ListTypeEventsRequest, v1::ListHappenedResponse>({.name = "/nexus.v1.AdminService/ListTypeEvents",
                                                                .rest = {Verb::get, "/v1/types/{type}/events"},
                                                                .role = Role::viewer}),
    unary<v1::ListTenantsRequest, v1::ListTenantsResponse>(
        {.name = "/nexus.v1.AdminService/ListTenants", .rest = {Verb::get, "/v1/tenants"}, .role = Role::viewer}),
    unary<v1::ListLimitsRequest, v1::ListLimitsResponse>(
        {.name = "/nexus.v1.AdminService/ListLimits", .rest = {Verb::get, "/v1/limits"}, .role = Role::viewer}),
    unary<v1::GetFreeSlotsRequest, v1::FreeSlots>(
        {.name = "/nexus.v1.AdminService/GetFreeSlots", .rest = {Verb::get, "/v1/fleet/free"}, .role = Role::viewer}),
    with_run<v1::GetConfigSchemaRequest, v1::ConfigSchema>({.name = "/nexus.v1.AdminService/GetConfigSchema",
                                                            .rest = {Verb::get, "/v1/config/schema"},
                                                            .role = Role::viewer},
                                                           run_get_schema),
    unary<v1::ListTypesRequest, v1::ListTypesResponse>(
        {.name = "/nexus.v1.AdminService/ListTypes", .rest = {Verb::get, "/v1/types"}, .role = Role::viewer}),
    unary<v1::GetTypeRequest, v1::TypeStat>(
        {.name = "/nexus.v1.AdminService/GetType", .rest = {Verb::get, "/v1/types/{type}"}, .role = Role::viewer}),
    unary<v1::ListQueuesRequest, v1::ListQueuesResponse>(
        {.name = "/nexus.v1.AdminService/ListQueues", .rest = {Verb::get, "/v1/queues"}, .role = Role::viewer}),
    unary<v1::GetQueueRequest, v1::Queue>(
        {.name = "/nexus.v1.AdminService/GetQueue", .rest = {Verb::get, "/v1/queues/{queue}"}, .role = Role::viewer}),
    unary<v1::ListPoliciesRequest, v1::ListPoliciesResponse>(
        {.name = "/nexus.v1.AdminService/ListPolicies", .rest = {Verb::get, "/v1/policies"}, .role = Role::viewer}),
    with_run<v1::GetConfigRequest, v1::SchedulerConfig>(
        {.name = "/nexus.v1.AdminService/GetConfig", .rest = {Verb::get, "/v1/config"}, .role = Role::viewer},
        run_get_config),
    unary<v1::ListConfigVersionsRequest, v1::ListConfigVersionsResponse>(
        {.name = "/nexus.v1.AdminService/ListConfigVersions",
         .rest = {Verb::get, "/v1/config/history"},
         .role = Role::viewer}),
    unary<v1::ListOverridesRequest, v1::ListOverridesResponse>(
        {.name = "/nexus.v1.AdminService/ListOverrides", .rest = {Verb::get, "/v1/overrides"}, .role = Role::viewer}),
    unary<v1::ListDecisionsRequest, v1::ListDecisionsResponse>(
        {.name = "/nexus.v1.AdminService/ListDecisions", .rest = {Verb::get, "/v1/decisions"}, .role = Role::viewer}),
    unary<v1::ListAuditRequest, v1::ListAuditResponse>(
        {.name = "/nexus.v1.AdminService/ListAudit", .rest = {Verb::get, "/v1/audit"}, .role = Role::viewer}),
    unary<v1::VerifyAuditRequest, v1::VerifyAuditResponse>(
        {.name = "/nexus.v1.AdminService/VerifyAudit", .rest = {Verb::get, "/v1/audit/verify"}, .role = Role::viewer}),

    // operators: what they change
    unary<v1::ControlWorkerRequest, v1::Worker>({.name = "/nexus.v1.AdminService/ControlWorker",
                                                 .rest = {Verb::post, "/v1/workers/{name}/{action}", "*"},
                                                 .role = Role::operator_role,
                                                 .audited = true}),
    unary<v1::ResetTypeRequest, v1::TypeStat>({.name = "/nexus.v1.AdminService/ResetType",
                                               .rest = {Verb::post, "/v1/types/{type}/reset", "*"},
                                               .role = Role::operator_role,
                                               .audited = true}),
    unary<v1::OverrideEstimateRequest, v1::TypeStat>({.name = "/nexus.v1.AdminService/OverrideEstimate",
                                                      .rest = {Verb::put, "/v1/types/{type}/estimate", "*"},
                                                      .role = Role::operator_role,
                                                      .audited = true}),
    unary<v1::SetConfigRequest, v1::SchedulerConfig>({.name = "/nexus.v1.AdminService/SetConfig",
                                                      .rest = {Verb::put, "/v1/config", "*"},
                                                      .role = Role::admin,
                                                      .audited = true,
                                                      .body_bytes_max = kConfigBytes}),
    unary<v1::RollbackConfigRequest, v1::SchedulerConfig>({.name = "/nexus.v1.AdminService/RollbackConfig",
                                                           .rest = {Verb::post, "/v1/config/rollback", "*"},
                                                           .role = Role::admin,
                                                           .audited = true}),
    with_run<v1::ReloadConfigRequest, v1::SchedulerConfig>({.name = "/nexus.v1.AdminService/ReloadConfig",
                                                            .rest = {Verb::post, "/v1/config/reload", "*"},
                                                            .role = Role::admin,
                                                            .changes = true,
                                                            .audited = true},
                                                           run_reload),
    unary<v1::SetPolicyRequest, v1::SchedulerConfig>({.name = "/nexus.v1.AdminService/SetPolicy",
                                                      .rest = {Verb::put, "/v1/policy", "*"},
                                                      .role = Role::admin,
                                                      .audited = true}),
    unary<v1::ControlQueueRequest, v1::Status>({.name = "/nexus.v1.AdminService/ControlQueue",
                                                .rest = {Verb::put, "/v1/queues/{queue}", "*"},
                                                .role = Role::operator_role,
                                                .audited = true}),
    unary<v1::SetOverrideRequest, v1::Override>({.name = "/nexus.v1.AdminService/SetOverride",
                                                 .rest = {Verb::post, "/v1/overrides", "override"},
                                                 .role = Role::operator_role,
                                                 .audited = true}),
    unary<v1::ClearOverrideRequest, v1::Override>({.name = "/nexus.v1.AdminService/ClearOverride",
                                                   .rest = {Verb::remove, "/v1/overrides/{number}"},
                                                   .role = Role::operator_role,
                                                   .audited = true}),

    // credentials
    with_run<v1::CreateTokenRequest, v1::CreateTokenResponse>({.name = "/nexus.v1.AdminService/CreateToken",
                                                               .rest = {Verb::post, "/v1/tokens", "*", 201},
                                                               .role = Role::admin,
                                                               .changes = true,
                                                               .audited = true},
                                                              create_token),
    unary<v1::ListTokensRequest, v1::ListTokensResponse>(
        {.name = "/nexus.v1.AdminService/ListTokens", .rest = {Verb::get, "/v1/tokens"}, .role = Role::admin}),
    unary<v1::RevokeTokenRequest, v1::Token>({.name = "/nexus.v1.AdminService/RevokeToken",
                                              .rest = {Verb::remove, "/v1/tokens/{id}"},
                                              .role = Role::admin,
                                              .audited = true}),
    with_run<v1::WhoAmIRequest, v1::Identity>(
        {.name = "/nexus.v1.AdminService/WhoAmI", .rest = {Verb::get, "/v1/whoami"}, .role = Role::any, .fleet = false},
        who_am_i),

    // over HTTP alone
    {.name = "http/watch",
     .kind = Kind::page,
     .rest = {Verb::get, "/v1/tasks/watch"},
     .role = Role::viewer,
     .fleet = false},
    {.name = "http/watch_task",
     .kind = Kind::page,
     .rest = {Verb::get, "/v1/tasks/{id}/watch"},
     .role = Role::viewer,
     .fleet = false},
    {.name = "http/openapi", .kind = Kind::page, .rest = {Verb::get, "/v1/openapi.json"}, .role = {}},
    // The old Nexus: whoever calls it shows a key of its own (http/old_nexus.h), and no token.
    {.name = "http/scheduler_health", .kind = Kind::page, .rest = {Verb::get, "/scheduler/health"}, .role = {}},
    {.name = "http/scheduler_status",
     .kind = Kind::page,
     .rest = {Verb::get, "/scheduler/status"},
     .role = Role::viewer},
    {.name = "http/scheduler_workers",
     .kind = Kind::page,
     .rest = {Verb::get, "/scheduler/workers"},
     .role = Role::viewer},
    {.name = "http/scheduler_predictions",
     .kind = Kind::page,
     .rest = {Verb::get, "/scheduler/predictions"},
     .role = Role::viewer},
    {.name = "http/scheduler_reset",
     .kind = Kind::page,
     .rest = {Verb::remove, "/scheduler/predictions/{taskType}"},
     .role = Role::operator_role,
     .changes = true,
     .audited = true},
    {.name = "http/scheduler_config",
     .kind = Kind::page,
     .rest = {Verb::put, "/scheduler/config", "*"},
     .role = Role::operator_role,
     .changes = true,
     .audited = true},
    {.name = "http/scheduler_override",
     .kind = Kind::page,
     .rest = {Verb::post, "/scheduler/override", "*"},
     .role = Role::operator_role,
     .changes = true,
     .audited = true,
     .body_bytes_max = kSubmitBytes},
    // Each topic is as open as the method that it follows.
    {.name = "http/live", .kind = Kind::page, .rest = {Verb::get, "/v1/live"}, .role = Role::viewer, .fleet = false},
    {.name = "http/metrics", .kind = Kind::page, .rest = {Verb::get, "/metrics"}, .role = Role::viewer},
    {.name = "http/sign_in",
     .kind = Kind::page,
     .rest = {Verb::post, "/v1/session", "*"},
     .role = {},
     .fleet = false,
     .changes = true,
     .audited = true,
     .body_bytes_max = 4 << 10},
    {.name = "http/sign_out",
     .kind = Kind::page,
     .rest = {Verb::remove, "/v1/session", "", 204},
     .role = Role::any,
     .fleet = false,
     .changes = true},
    {.name = "http/livez", .kind = Kind::page, .rest = {Verb::get, "/livez"}, .role = {}},
    {.name = "http/readyz", .kind = Kind::page, .rest = {Verb::get, "/readyz"}, .role = {}},
    {.name = "http/healthz", .kind = Kind::page, .rest = {Verb::get, "/healthz"}, .role = {}},
    {.name = "http/page", .kind = Kind::page, .rest = {Verb::get, "/"}, .role = {}},
    {.name = "http/index.html", .kind = Kind::page, .rest = {Verb::get, "/index.html"}, .role = {}},
    {.name = "http/asset", .kind = Kind::page, .rest = {Verb::get, "/assets/{file}"}, .role = {}},
    {.name = "http/icon", .kind = Kind::page, .rest = {Verb::get, "/icon.svg"}, .role = {}},
    {.name = "http/favicon", .kind = Kind::page, .rest = {Verb::get, "/favicon.ico"}, .role = {}},

    // of the gRPC library
    {.name = "/grpc.health.v1.Health/Check", .kind = Kind::builtin, .rest = {}, .role = {}},
    {.name = "/grpc.health.v1.Health/Watch", .kind = Kind::builtin, .rest = {}, .role = {}},
    {.name = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     .kind = Kind::builtin,
     .rest = {},
     .role = Role::viewer},
};
static_assert(std::size(kMethods) <= MethodCounts::kMethodsMax);

}  // namespace

Door::Door(engine::Service& service, std::string level, std::shared_ptr<identity::Guard> keeper)
    : engine(service),
      guard(keeper ? std::move(keeper) : std::make_shared<identity::Guard>()),
      durability(std::move(level)),
      counts(std::make_unique<MethodCounts>()) {}
Door::~Door() = default;

Result<Caller> enter(Door& door, const Method& method, const identity::Proof& proof) {
    if (!method.role)
        return Caller{.name = "anonymous", .tenant = {}, .roles = 0, .credential = {}, .from = proof.from};
    auto caller = door.guard->who(proof);
    if (!caller) return caller;
    if (auto ok = allow(method, *caller); !ok) return std::unexpected(std::move(ok).error());
    return caller;
}

Result<void> allow(const Method& method, const Caller& caller) {
    if (method.role && !has_role(caller.roles, *method.role))
        return fail(Fault::denied, "this needs the role " + std::string(identity::name_of(*method.role)) + "; " +
                                       caller.name + " has " + identity::text_of(caller.roles));
    if (method.fleet && !caller.tenant.empty())
        return fail(Fault::denied,
                    "this is about the whole fleet; " + caller.name + " is bound to tenant " + caller.tenant);
    return {};
}

std::span<const Method> methods() {
    return kMethods;
}

const Method* find_method(std::string_view name) {
    const auto row =
        std::ranges::find(kMethods, name, [](const Method& method) { return std::string_view(method.name); });
    return row == std::end(kMethods) ? nullptr : row;
}

int code_of(const Result<void>& outcome) {
    return outcome ? 0 : row_of(outcome.error().fault).grpc;
}

}  // namespace nexus::api
