#include "wire/admin_service.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "api/submit.h"
#include "api/view.h"
#include "base/name.h"
#include "config/toml.h"
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

}  // namespace

grpc::ServerUnaryReactor* AdminService::GetStatus(grpc::CallbackServerContext* call, const v1::StatusRequest*,
                                                  v1::Status* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::GetStatus{},
                        answer_with<engine::StatusInfo>(reactor, [response](const engine::StatusInfo& status) {
                            api::to_message(status, *response);
                        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListWorkers(grpc::CallbackServerContext* call, const v1::ListWorkersRequest*,
                                                    v1::ListWorkersResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ListWorkers{},
                        answer_with<std::vector<engine::WorkerInfo>>(
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
    context_.engine.ask(
        caller_of(*call), engine::ControlWorker{request->name(), *order, request->author(), request->reason()},
        answer_with<engine::WorkerInfo>(
            reactor, [response](const engine::WorkerInfo& worker) { api::to_message(worker, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListTypes(grpc::CallbackServerContext* call, const v1::ListTypesRequest*,
                                                  v1::ListTypesResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ListTypes{},
                        answer_with<engine::TypesInfo>(reactor, [response](const engine::TypesInfo& types) {
                            api::to_message(types.types, types.accuracy, *response);
                        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetType(grpc::CallbackServerContext* call, const v1::GetTypeRequest* request,
                                                v1::TypeStat* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::GetType{request->type()},
                        answer_with<predict::TypeStat>(
                            reactor, [response](const predict::TypeStat& type) { api::to_message(type, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ResetType(grpc::CallbackServerContext* call,
                                                  const v1::ResetTypeRequest* request, v1::TypeStat* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ResetType{request->type(), request->author(), request->reason()},
                        answer_with<predict::TypeStat>(
                            reactor, [response](const predict::TypeStat& type) { api::to_message(type, *response); }));
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
    context_.engine.ask(caller_of(*call),
                        engine::ForceEstimate{request->type(),
                                              {request->estimate_us()},
                                              {request->expires_unix_us()},
                                              request->author(),
                                              request->reason()},
                        answer_with<predict::TypeStat>(
                            reactor, [response](const predict::TypeStat& type) { api::to_message(type, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetConfig(grpc::CallbackServerContext* call, const v1::GetConfigRequest*,
                                                  v1::SchedulerConfig* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::GetConfig{},
                        answer_with<core::Config>(
                            reactor, [response](const core::Config& config) { api::to_message(config, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::SetConfig(grpc::CallbackServerContext* call,
                                                  const v1::SetConfigRequest* request, v1::SchedulerConfig* response) {
    const auto version = to_number<std::uint32_t>(request->etag(), "etag");
    if (!version) return refuse(context_, call, version.error());
    if (request->toml().size() > config::kTextBytesMax)
        return refuse(context_, call, {.fault = Fault::invalid, .what = "toml: too long"});
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call),
                        engine::Configure{*version, request->toml(), request->author(), request->reason()},
                        answer_with<core::Config>(
                            reactor, [response](const core::Config& config) { api::to_message(config, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::SetPolicy(grpc::CallbackServerContext* call,
                                                  const v1::SetPolicyRequest* request, v1::SchedulerConfig* response) {
    core::PolicyKind policy{};
    if (!core::policy_from_name(request->policy(), policy))
        return refuse(context_, call, {.fault = Fault::invalid, .what = "policy: no such policy"});
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::SetPolicy{policy, request->author(), request->reason()},
                        answer_with<core::Config>(
                            reactor, [response](const core::Config& config) { api::to_message(config, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ControlQueue(grpc::CallbackServerContext* call,
                                                     const v1::ControlQueueRequest* request, v1::Status* response) {
    if (!is_name(request->queue()))
        return refuse(context_, call, {.fault = Fault::invalid, .what = "queue: " + std::string(kNameRule)});
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(
        caller_of(*call), engine::PauseQueue{request->queue(), request->paused(), request->author(), request->reason()},
        answer_with<engine::StatusInfo>(
            reactor, [response](const engine::StatusInfo& status) { api::to_message(status, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::SetOverride(grpc::CallbackServerContext* call,
                                                    const v1::SetOverrideRequest* request, v1::Override* response) {
    Result<core::OverrideSet> set = to_override(request->override());
    if (!set) return refuse(context_, call, set.error());
    const v1::Override& asked = request->override();
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call),
                        engine::SetOverride{std::move(*set), {asked.expires_unix_us()}, asked.author(), asked.reason()},
                        answer_with<engine::OverrideInfo>(reactor, [response](const engine::OverrideInfo& info) {
                            api::to_message(info, *response);
                        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ClearOverride(grpc::CallbackServerContext* call,
                                                      const v1::ClearOverrideRequest* request, v1::Override* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(
        caller_of(*call), engine::ClearOverride{request->number(), request->author()},
        answer_with<std::uint64_t>(reactor, [response](std::uint64_t number) { response->set_number(number); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListOverrides(grpc::CallbackServerContext* call,
                                                      const v1::ListOverridesRequest*,
                                                      v1::ListOverridesResponse* response) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ListOverrides{},
                        answer_with<std::vector<engine::OverrideInfo>>(
                            reactor, [response](const std::vector<engine::OverrideInfo>& all) {
                                for (const auto& one : all) api::to_message(one, *response->add_overrides());
                            }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListDecisions(grpc::CallbackServerContext* call,
                                                      const v1::ListDecisionsRequest* request,
                                                      v1::ListDecisionsResponse* response) {
    const Result<std::size_t> size = api::to_page_size(request->page_size());
    if (!size) return refuse(context_, call, size.error());
    history::DecisionQuery query;
    query.worker = request->worker();
    query.number = request->number();
    query.limit = *size;
    if (!request->task_id().empty()) {
        const Result<TaskId> task = api::to_task_id(request->task_id(), "task_id");
        if (!task) return refuse(context_, call, task.error());
        query.task = *task;
    }
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    auto told = [response](const engine::DecisionPage& page) { api::to_message(page, *response); };
    context_.engine.ask(caller_of(*call), engine::ListDecisions{std::move(query), request->page_token()},
                        answer_with<engine::DecisionPage>(reactor, std::move(told)));
    return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListAudit(grpc::CallbackServerContext* call,
                                                  const v1::ListAuditRequest* request,
                                                  v1::ListAuditResponse* response) {
    const Result<std::size_t> size = api::to_page_size(request->page_size());
    if (!size) return refuse(context_, call, size.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    auto told = [response](const engine::AuditPage& page) { api::to_message(page, *response); };
    context_.engine.ask(caller_of(*call), engine::ListAudit{*size, request->page_token()},
                        answer_with<engine::AuditPage>(reactor, std::move(told)));
    return reactor;
}

}  // namespace nexus::wire
