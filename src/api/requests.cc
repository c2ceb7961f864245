#include "api/requests.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>
#include <utility>

#include "api/error.h"
#include "api/sentences.h"
#include "api/submit.h"
#include "base/spelling.h"
#include "config/toml.h"

namespace nexus::api {
namespace {

constexpr std::size_t kSearchBytesMax = 128;

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

// A version of the configuration; empty = 0, any.
Result<std::uint32_t> to_version(const std::string& etag) {
    std::uint32_t number = 0;
    if (etag.empty()) return number;
    const auto [end, error] = std::from_chars(etag.data(), etag.data() + etag.size(), number);
    if (error != std::errc{} || end != etag.data() + etag.size())
        return invalid("etag: invalid, read the configuration again");
    return number;
}

// A request about one task.
template <class Request>
Result<Request> about(const std::string& id) {
    const Result<TaskId> task = to_task_id(id, "id");
    if (!task) return std::unexpected(task.error());
    Result<Request> request{std::in_place};
    request->task = *task;
    return request;
}

bool is_empty(const engine::TaskFilter& filter) {
    return filter.states.empty() && filter.type.empty() && filter.tenant.empty() && filter.queue.empty() &&
           filter.worker.empty() && filter.search.empty() && filter.submitted_from.us == 0 &&
           filter.submitted_to.us == 0;
}

// A request about many tasks. What would change everything by an oversight is refused.
template <class Request>
Result<Request> to_many(v1::ChangeTasksRequest& from) {
    constexpr int kMost = 1000;
    Result<engine::TaskFilter> filter = to_filter(from.filter());
    if (!filter) return std::unexpected(with_prefix(std::move(filter).error(), "filter."));
    if (from.filter().page_size() != 0) return invalid("filter.page_size: is told by limit here");
    if (from.limit() > kMost) return invalid("limit: more than 1000");
    if (from.ids_size() > kMost) return invalid("ids: more than 1000");
    if (from.ids_size() > 0 && (!is_empty(*filter) || !from.filter().page_token().empty()))
        return invalid("ids: give either these or a filter");
    if (from.ids_size() == 0 && is_empty(*filter))
        return invalid("filter: names nothing, which would be every task; say at least one thing, e.g. states or type");
    Result<Request> request{std::in_place};
    for (const std::string& id : from.ids()) {
        const Result<TaskId> task = to_task_id(id, "ids");
        if (!task) return std::unexpected(task.error());
        request->tasks.push_back(*task);
    }
    request->filter = std::move(*filter);
    request->page = from.filter().page_token();
    request->reason = from.reason();
    request->dry_run = from.dry_run();
    request->limit = from.limit() == 0 ? kMost : from.limit();
    return request;
}

Result<core::WorkerOrder> to_order(v1::WorkerAction action) {
    switch (action) {
        case v1::WORKER_ACTION_CORDON: return core::WorkerOrder::cordon;
        case v1::WORKER_ACTION_UNCORDON: return core::WorkerOrder::uncordon;
        case v1::WORKER_ACTION_DRAIN: return core::WorkerOrder::drain;
        case v1::WORKER_ACTION_FORGET: return core::WorkerOrder::forget;
        case v1::WORKER_ACTION_CLOSE_BREAKER: return core::WorkerOrder::close_breaker;
        default: return invalid("action: no such action");
    }
}

Result<core::OverrideSet> to_override(const v1::Override& from) {
    constexpr struct {
        std::string_view name;
        core::OverrideKind kind;
    } kKinds[] = {{"pin", core::OverrideKind::pin},
                  {"hold", core::OverrideKind::hold},
                  {"boost", core::OverrideKind::boost},
                  {"exclude", core::OverrideKind::exclude}};
    core::OverrideSet set{.type = from.type(), .worker = from.worker(), .boost = {from.boost_us()}};
    const auto kind =
        std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& row) { return row.name == from.kind(); });
    if (kind == std::end(kKinds)) return invalid("override.kind: not one of pin, hold, boost, exclude");
    set.kind = kind->kind;
    if (!from.task_id().empty()) {
        const Result<TaskId> task = to_task_id(from.task_id(), "override.task_id");
        if (!task) return std::unexpected(task.error());
        set.task = *task;
    }
    if (from.expires_unix_us() < 0) return invalid("override.expires_unix_us: negative");
    return set;
}

}  // namespace

// ---- tasks

Result<engine::SubmitTasks> to_request(v1::SubmitRequest& from, const Door& door) {
    if (!from.has_task()) return invalid("task: missing");
    Result<engine::Submission> item = to_submission(*from.mutable_task(), "task", door.payload_bytes_max);
    if (!item) return std::unexpected(std::move(item).error());
    Result<engine::SubmitTasks> request{std::in_place};
    request->items.push_back(std::move(*item));
    return request;
}

Result<engine::SubmitTasks> to_request(v1::SubmitBatchRequest& from, const Door& door) {
    auto items = to_submissions(from, door.tasks_max, door.payload_bytes_max);
    if (!items) return std::unexpected(std::move(items).error());
    return engine::SubmitTasks{std::move(*items)};
}

Result<engine::GetTask> to_request(v1::GetTaskRequest& from, const Door&) {
    auto request = about<engine::GetTask>(from.id());
    if (request) request->with_result = from.include_result();
    return request;
}

Result<engine::ReadOutput> to_request(v1::ReadOutputRequest& from, const Door&) {
    auto request = about<engine::ReadOutput>(from.id());
    if (!request) return request;
    request->attempt = from.attempt();
    request->out_from = from.stdout_from();
    request->err_from = from.stderr_from();
    return request;
}

Result<engine::ListTasks> to_request(v1::ListTasksRequest& from, const Door&) {
    Result<engine::TaskFilter> filter = to_filter(from);
    if (!filter) return std::unexpected(std::move(filter).error());
    const Result<std::size_t> size = to_page_size(from.page_size());
    if (!size) return std::unexpected(size.error());
    return engine::ListTasks{.filter = std::move(*filter), .limit = *size, .page = from.page_token()};
}

Result<engine::CancelTask> to_request(v1::CancelTaskRequest& from, const Door&) {
    auto request = about<engine::CancelTask>(from.id());
    if (request) request->reason = from.reason();
    return request;
}

Result<engine::RetryTask> to_request(v1::RetryTaskRequest& from, const Door&) {
    return about<engine::RetryTask>(from.id());
}

Result<engine::CancelMany> to_cancel_many(v1::ChangeTasksRequest& from, const Door&) {
    return to_many<engine::CancelMany>(from);
}

Result<engine::RetryMany> to_retry_many(v1::ChangeTasksRequest& from, const Door&) {
    return to_many<engine::RetryMany>(from);
}

Result<engine::ExplainTask> to_request(v1::ExplainTaskRequest& from, const Door&) {
    return about<engine::ExplainTask>(from.id());
}

// ---- operators

Result<engine::ReadState> to_request(v1::StatusRequest&, const Door&) {
    return engine::ReadState{};
}

Result<engine::ReadState> to_request(v1::ListWorkersRequest& from, const Door&) {
    for (const int state : from.states())
        if (state < v1::WORKER_STATE_READY || state >= v1::WorkerState_ARRAYSIZE)
            return invalid("states: no such state");
    return engine::ReadState{};
}

Result<engine::ReadState> to_request(v1::GetAttentionRequest&, const Door&) {
    return engine::ReadState{};
}

Result<engine::ReadSeries> to_request(v1::GetSeriesRequest& from, const Door&) {
    for (const auto& [name, value] : {std::pair{"from_unix_us", from.from_unix_us()},
                                      {"to_unix_us", from.to_unix_us()},
                                      {"step_us", from.step_us()}})
        if (value < 0) return invalid(std::string(name) + ": negative");
    return engine::ReadSeries{{.names = {from.names().begin(), from.names().end()},
                               .from = {from.from_unix_us()},
                               .to = {from.to_unix_us()},
                               .step = {from.step_us()}}};
}

Result<engine::GetWorker> to_request(v1::GetWorkerRequest& from, const Door&) {
    return engine::GetWorker{from.name()};
}

Result<engine::ListHappened> to_request(v1::ListWorkerEventsRequest& from, const Door&) {
    return engine::ListHappened{.of_type = false, .about = from.name()};
}

Result<engine::ListHappened> to_request(v1::ListTypeEventsRequest& from, const Door&) {
    return engine::ListHappened{.of_type = true, .about = from.type()};
}

Result<engine::ListTenants> to_request(v1::ListTenantsRequest&, const Door&) {
    return engine::ListTenants{};
}

Result<engine::ListLimits> to_request(v1::ListLimitsRequest&, const Door&) {
    return engine::ListLimits{};
}

Result<engine::GetFreeSlots> to_request(v1::GetFreeSlotsRequest& from, const Door&) {
    constexpr int kLabelsMost = 64;
    engine::GetFreeSlots request{.type = from.type(), .labels = {}};
    if (from.labels_size() > kLabelsMost) return invalid("labels: at most " + std::to_string(kLabelsMost));
    for (const std::string& label : from.labels()) {
        const std::size_t equals = label.find('=');
        if (equals == std::string::npos) return invalid("labels: '" + label + "' is not name=value");
        request.labels.emplace_back(label.substr(0, equals), label.substr(equals + 1));
    }
    return request;
}

Result<engine::ListTypeRuns> to_request(v1::ListTypeRunsRequest& from, const Door&) {
    constexpr std::uint32_t kMost = 500;
    if (from.page_size() > kMost) return invalid("page_size: at most " + std::to_string(kMost));
    return engine::ListTypeRuns{.type = from.type(), .limit = from.page_size() == 0 ? kMost : from.page_size()};
}

Result<engine::ListTypeRuns> to_request(v1::GetTypeReliabilityRequest& from, const Door&) {
    return engine::ListTypeRuns{.type = from.type()};
}

Result<engine::ControlWorker> to_request(v1::ControlWorkerRequest& from, const Door&) {
    const Result<core::WorkerOrder> order = to_order(from.action());
    if (!order) return std::unexpected(order.error());
    return engine::ControlWorker{
        .name = from.name(), .order = *order, .author = from.author(), .reason = from.reason()};
}

Result<engine::ListTypes> to_request(v1::ListTypesRequest&, const Door&) {
    return engine::ListTypes{};
}

Result<engine::GetType> to_request(v1::GetTypeRequest& from, const Door&) {
    return engine::GetType{from.type()};
}

Result<engine::ResetType> to_request(v1::ResetTypeRequest& from, const Door&) {
    return engine::ResetType{.type = from.type(), .author = from.author(), .reason = from.reason()};
}

Result<engine::ForceEstimate> to_request(v1::OverrideEstimateRequest& from, const Door&) {
    if (from.estimate_us() < 0) return invalid("estimate_us: negative");
    if (from.expires_unix_us() < 0) return invalid("expires_unix_us: negative");
    return engine::ForceEstimate{.type = from.type(),
                                 .estimate = {from.estimate_us()},
                                 .expires = {from.expires_unix_us()},
                                 .author = from.author(),
                                 .reason = from.reason()};
}

Result<engine::Configure> to_request(v1::SetConfigRequest& from, const Door&) {
    const auto version = to_version(from.etag());
    if (!version) return std::unexpected(version.error());
    if (from.toml().size() > config::kTextBytesMax) return invalid("toml: too long");
    return engine::Configure{.version = *version,
                             .toml = from.toml(),
                             .author = from.author(),
                             .reason = from.reason(),
                             .dry_run = from.dry_run()};
}

Result<engine::RollBackConfig> to_request(v1::RollbackConfigRequest& from, const Door&) {
    const auto version = to_version(from.etag());
    if (!version) return std::unexpected(version.error());
    if (from.version() == 0) return invalid("version: missing; see ListConfigVersions");
    return engine::RollBackConfig{.to = from.version(),
                                  .version = *version,
                                  .author = from.author(),
                                  .reason = from.reason(),
                                  .dry_run = from.dry_run()};
}

Result<engine::ListConfigVersions> to_request(v1::ListConfigVersionsRequest& from, const Door&) {
    const Result<std::size_t> size = to_page_size(from.page_size());
    if (!size) return std::unexpected(size.error());
    return engine::ListConfigVersions{.limit = *size, .page = from.page_token(), .version = from.version()};
}

Result<engine::SetPolicy> to_request(v1::SetPolicyRequest& from, const Door&) {
    engine::SetPolicy request{.author = from.author(), .reason = from.reason()};
    std::string name = from.policy();
    std::ranges::replace(name, '_', '-');  // as in the environment
    if (core::policy_from_name(name, request.policy)) return request;
    std::vector<std::string_view> known;
    for (const core::PolicyKind kind : core::kPolicies) known.emplace_back(core::name_of(kind));
    return invalid("policy: no such policy" + did_you_mean(name, known));
}

Result<engine::GetConfig> to_request(v1::ListPoliciesRequest&, const Door&) {
    return engine::GetConfig{};
}

Result<engine::ListQueues> to_request(v1::ListQueuesRequest&, const Door&) {
    return engine::ListQueues{};
}

Result<engine::GetQueue> to_request(v1::GetQueueRequest& from, const Door&) {
    return engine::GetQueue{from.queue()};
}

Result<engine::PauseQueue> to_request(v1::ControlQueueRequest& from, const Door&) {
    return engine::PauseQueue{
        .queue = from.queue(), .paused = from.paused(), .author = from.author(), .reason = from.reason()};
}

Result<engine::SetOverride> to_request(v1::SetOverrideRequest& from, const Door&) {
    Result<core::OverrideSet> set = to_override(from.override());
    if (!set) return std::unexpected(std::move(set).error());
    return engine::SetOverride{.set = std::move(*set),
                               .expires = {from.override().expires_unix_us()},
                               .author = from.override().author(),
                               .reason = from.override().reason()};
}

Result<engine::ClearOverride> to_request(v1::ClearOverrideRequest& from, const Door&) {
    return engine::ClearOverride{.number = from.number(), .author = from.author()};
}

Result<engine::ListOverrides> to_request(v1::ListOverridesRequest&, const Door&) {
    return engine::ListOverrides{};
}

Result<engine::ListDecisions> to_request(v1::ListDecisionsRequest& from, const Door&) {
    const Result<std::size_t> size = to_page_size(from.page_size());
    if (!size) return std::unexpected(size.error());
    engine::ListDecisions request{.query = {}, .page = from.page_token()};
    request.query.worker = from.worker();
    request.query.number = from.number();
    request.query.limit = *size;
    request.query.type = from.type();
    request.query.fallback = from.fallback();
    if (from.from_unix_us() < 0) return invalid("from_unix_us: negative");
    if (from.to_unix_us() < 0) return invalid("to_unix_us: negative");
    request.query.from = {from.from_unix_us()};
    request.to = {from.to_unix_us()};
    if (!from.kind().empty() && !is_decision_code(from.kind()))
        return invalid("kind: no decision is made for a reason of this name");
    request.query.kind = from.kind();
    if (from.task_id().empty()) return request;
    const Result<TaskId> task = to_task_id(from.task_id(), "task_id");
    if (!task) return std::unexpected(task.error());
    request.query.task = *task;
    return request;
}

// ---- credentials

Result<engine::IssueToken> to_request(v1::CreateTokenRequest& from, const Door&) {
    engine::IssueToken request{.token = {}, .author = from.author(), .reason = from.reason()};
    for (const int number : from.roles()) {
        // The numbers count from 1 what the bits of Role count from 0.
        if (number <= v1::ROLE_NAME_UNSPECIFIED || number > v1::ROLE_NAME_ADMIN) return invalid("roles: no such role");
        request.token.roles = static_cast<Roles>(request.token.roles | 1U << static_cast<unsigned>(number - 1));
    }
    request.token.name = from.name();
    request.token.tenant = from.tenant();
    request.token.expires = {from.expires_unix_us()};
    return request;
}

Result<engine::ListTokens> to_request(v1::ListTokensRequest&, const Door&) {
    return engine::ListTokens{};
}

Result<engine::RevokeToken> to_request(v1::RevokeTokenRequest& from, const Door&) {
    return engine::RevokeToken{.id = from.id(), .author = from.author(), .reason = from.reason()};
}

Result<engine::ListAudit> to_request(v1::ListAuditRequest& from, const Door&) {
    const Result<std::size_t> size = to_page_size(from.page_size());
    if (!size) return std::unexpected(size.error());
    if (from.search().size() > kSearchBytesMax)
        return invalid("search: at most " + std::to_string(kSearchBytesMax) + " bytes");
    if (from.from_unix_us() < 0) return invalid("from_unix_us: negative");
    if (from.to_unix_us() < 0) return invalid("to_unix_us: negative");
    engine::ListAudit request{.query = {}, .page = from.page_token()};
    request.query.limit = *size;
    request.query.search = from.search();
    request.query.from = {from.from_unix_us()};
    request.query.to = {from.to_unix_us()};
    return request;
}

Result<engine::VerifyAudit> to_request(v1::VerifyAuditRequest&, const Door&) {
    return engine::VerifyAudit{};
}

}  // namespace nexus::api
