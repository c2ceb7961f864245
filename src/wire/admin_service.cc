#include "wire/admin_service.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "api/submit.h"
#include "api/view.h"
#include "engine/config_text.h"
#include "wire/answer.h"

namespace nexus::wire {
namespace {

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

// A page token or etag: a decimal number that we made ourselves; empty = 0.
template <class Number>
Result<Number> to_number(const std::string& text, const char* field) {
    Number number = 0;
    if (text.empty()) return number;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < 0)
        return invalid(std::string(field) + ": not one of ours");
    return number;
}

// Who asks, for the audit: the name they give, else where they come from.
std::string author_of(const std::string& author, const grpc::CallbackServerContext& call) {
    return author.empty() ? call.peer() : author;
}

Result<core::WorkerOrder> to_order(v1::WorkerAction action) {
    switch (action) {
        case v1::WORKER_ACTION_CORDON: return core::WorkerOrder::cordon;
        case v1::WORKER_ACTION_UNCORDON: return core::WorkerOrder::uncordon;
        case v1::WORKER_ACTION_DRAIN: return core::WorkerOrder::drain;
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
        const Result<TaskId> task = api::to_task_id(from.task_id(), "override.task_id");
        if (!task) return std::unexpected(task.error());
        set.task = *task;
    }
    if (from.expires_unix_us() < 0) return invalid("override.expires_unix_us: negative");
    return set;
}

void pause_queue(core::Config& config, const std::string& name, bool paused) {
    auto& queues = config.queues;
    auto at = std::lower_bound(queues.begin(), queues.end(), name,
                               [](const core::QueueLimits& queue, const std::string& key) { return queue.name < key; });
    if (at == queues.end() || at->name != name) at = queues.insert(at, {.name = name});
    at->paused = paused;
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::GetStatus(grpc::CallbackServerContext* call, const v1::StatusRequest*,
                                                  v1::Status* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.status(answer_with<engine::StatusInfo>(
        reactor, [response](const engine::StatusInfo& status) { api::to_message(status, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListWorkers(grpc::CallbackServerContext* call, const v1::ListWorkersRequest*,
                                                    v1::ListWorkersResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.workers(answer_with<std::vector<engine::WorkerInfo>>(
        reactor, [response](const std::vector<engine::WorkerInfo>& workers) {
            for (const auto& worker : workers) api::to_message(worker, *response->add_workers());
        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ControlWorker(grpc::CallbackServerContext* call,
                                                      const v1::ControlWorkerRequest* request, v1::Worker* response) {
    const Result<core::WorkerOrder> order = to_order(request->action());
    if (!order) return refuse(context_, call, order.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.control_worker(
        request->name(), *order, author_of(request->author(), *call), request->reason(),
        answer_with<engine::WorkerInfo>(
            reactor, [response](const engine::WorkerInfo& worker) { api::to_message(worker, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListTypes(grpc::CallbackServerContext* call, const v1::ListTypesRequest*,
                                                  v1::ListTypesResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.types([this, reactor, response](Result<std::vector<predict::TypeStat>>&& types) {
        if (!types) return reactor->Finish(to_grpc(types.error()));
        context_.engine.status(answer_with<engine::StatusInfo>(
            reactor, [response, types = std::move(*types)](const engine::StatusInfo& status) {
                api::to_message(types, status.accuracy, *response);
            }));
    });
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetType(grpc::CallbackServerContext* call, const v1::GetTypeRequest* request,
                                                v1::TypeStat* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.type(request->type(),
                         answer_with<predict::TypeStat>(
                             reactor, [response](const predict::TypeStat& type) { api::to_message(type, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ResetType(grpc::CallbackServerContext* call,
                                                  const v1::ResetTypeRequest* request, v1::TypeStat* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.reset_type(request->type(), author_of(request->author(), *call), request->reason(),
                               answer_with<predict::TypeStat>(reactor, [response](const predict::TypeStat& type) {
                                   api::to_message(type, *response);
                               }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::OverrideEstimate(grpc::CallbackServerContext* call,
                                                         const v1::OverrideEstimateRequest* request,
                                                         v1::TypeStat* response) {
    if (request->estimate_us() < 0)
        return refuse(context_, call, {.fault = Fault::invalid, .what = "estimate_us: negative"});
    if (request->expires_unix_us() < 0)
        return refuse(context_, call, {.fault = Fault::invalid, .what = "expires_unix_us: negative"});
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.force_estimate(request->type(), {request->estimate_us()}, {request->expires_unix_us()},
                                   author_of(request->author(), *call), request->reason(),
                                   answer_with<predict::TypeStat>(reactor, [response](const predict::TypeStat& type) {
                                       api::to_message(type, *response);
                                   }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetConfig(grpc::CallbackServerContext* call, const v1::GetConfigRequest*,
                                                  v1::SchedulerConfig* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.config(answer_with<core::Config>(
        reactor, [response](const core::Config& config) { api::to_message(config, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::configure(grpc::CallbackServerContext* call, std::uint32_t version,
                                                  std::function<Result<void>(core::Config&)> change,
                                                  const std::string& author, std::string reason,
                                                  v1::SchedulerConfig* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.configure(version, std::move(change), author_of(author, *call), std::move(reason),
                              answer_with<core::Config>(reactor, [response](const core::Config& config) {
                                  api::to_message(config, *response);
                              }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::SetConfig(grpc::CallbackServerContext* call,
                                                  const v1::SetConfigRequest* request, v1::SchedulerConfig* response) {
    const auto version = to_number<std::uint32_t>(request->etag(), "etag");
    if (!version) return refuse(context_, call, version.error());
    if (request->toml().size() > engine::kConfigTextBytesMax)
        return refuse(context_, call, {.fault = Fault::invalid, .what = "toml: too long"});
    auto change = [toml = request->toml()](core::Config& config) -> Result<void> {
        const auto named = engine::apply_config_text(toml, config);
        if (!named) return std::unexpected(named.error());
        return {};
    };
    return configure(call, *version, std::move(change), request->author(), request->reason(), response);
}

grpc::ServerUnaryReactor* AdminService::SetPolicy(grpc::CallbackServerContext* call,
                                                  const v1::SetPolicyRequest* request, v1::SchedulerConfig* response) {
    core::PolicyKind policy{};
    if (!core::policy_from_name(request->policy(), policy))
        return refuse(context_, call, {.fault = Fault::invalid, .what = "policy: no such policy"});
    auto change = [policy](core::Config& config) -> Result<void> {
        config.policy = policy;
        return {};
    };
    return configure(call, 0, std::move(change), request->author(), request->reason(), response);
}

grpc::ServerUnaryReactor* AdminService::ControlQueue(grpc::CallbackServerContext* call,
                                                     const v1::ControlQueueRequest* request, v1::Status* response) {
    if (request->queue().empty() || request->queue().size() > 128)
        return refuse(context_, call, {.fault = Fault::invalid, .what = "queue: not 1 to 128 bytes"});
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    auto change = [name = request->queue(), paused = request->paused()](core::Config& config) -> Result<void> {
        pause_queue(config, name, paused);
        return engine::check_config(config);
    };
    context_.engine.configure(
        0, std::move(change), author_of(request->author(), *call), request->reason(),
        [this, reactor, response](const Result<core::Config>& config) {
            if (!config) return reactor->Finish(to_grpc(config.error()));
            context_.engine.status(answer_with<engine::StatusInfo>(
                reactor, [response](const engine::StatusInfo& status) { api::to_message(status, *response); }));
        });
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::SetOverride(grpc::CallbackServerContext* call,
                                                    const v1::SetOverrideRequest* request, v1::Override* response) {
    Result<core::OverrideSet> set = to_override(request->override());
    if (!set) return refuse(context_, call, set.error());
    const v1::Override& asked = request->override();
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    engine::OverrideInfo info{.set = *set,
                              .expires = {asked.expires_unix_us()},
                              .author = author_of(asked.author(), *call),
                              .reason = asked.reason()};
    auto told = [response, info](std::uint64_t number) mutable {
        info.set.number = number;
        api::to_message(info, *response);
    };
    context_.engine.set_override(std::move(*set), info.expires, info.author, info.reason,
                                 answer_with<std::uint64_t>(reactor, std::move(told)));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ClearOverride(grpc::CallbackServerContext* call,
                                                      const v1::ClearOverrideRequest* request, v1::Override* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.clear_override(
        request->number(), author_of(request->author(), *call),
        answer_with<std::uint64_t>(reactor, [response](std::uint64_t number) { response->set_number(number); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListOverrides(grpc::CallbackServerContext* call,
                                                      const v1::ListOverridesRequest*,
                                                      v1::ListOverridesResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.overrides(answer_with<std::vector<engine::OverrideInfo>>(
        reactor, [response](const std::vector<engine::OverrideInfo>& all) {
            for (const auto& one : all) api::to_message(one, *response->add_overrides());
        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListDecisions(grpc::CallbackServerContext* call,
                                                      const v1::ListDecisionsRequest* request,
                                                      v1::ListDecisionsResponse* response) {
    const auto before = to_number<std::uint64_t>(request->page_token(), "page_token");
    if (!before) return refuse(context_, call, before.error());
    const Result<std::size_t> size = api::to_page_size(request->page_size());
    if (!size) return refuse(context_, call, size.error());
    history::DecisionQuery query{.worker = request->worker(), .before = *before, .limit = *size};
    if (!request->task_id().empty()) {
        const Result<TaskId> task = api::to_task_id(request->task_id(), "task_id");
        if (!task) return refuse(context_, call, task.error());
        query.task = *task;
    }
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    auto told = [response, limit = *size](const std::vector<history::DecisionInfo>& decisions) {
        for (const auto& decision : decisions) api::to_message(decision, *response->add_decisions());
        if (decisions.size() >= limit) response->set_next_page_token(std::to_string(decisions.back().number));
    };
    context_.engine.decisions(std::move(query),
                              answer_with<std::vector<history::DecisionInfo>>(reactor, std::move(told)));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListAudit(grpc::CallbackServerContext* call,
                                                  const v1::ListAuditRequest* request,
                                                  v1::ListAuditResponse* response) {
    const auto before = to_number<std::int64_t>(request->page_token(), "page_token");
    if (!before) return refuse(context_, call, before.error());
    const Result<std::size_t> size = api::to_page_size(request->page_size());
    if (!size) return refuse(context_, call, size.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    auto told = [response, limit = *size](const std::vector<history::AuditRow>& rows) {
        for (const auto& row : rows) api::to_message(row, *response->add_entries());
        if (rows.size() >= limit) response->set_next_page_token(std::to_string(rows.back().at.us));
    };
    context_.engine.audit(*size, *before, answer_with<std::vector<history::AuditRow>>(reactor, std::move(told)));
    return reactor;
}

}  // namespace nexus::wire
