#include "wire/task_service.h"

#include <utility>

#include "api/submit.h"
#include "api/view.h"
#include "wire/answer.h"
#include "wire/submit_stream.h"
#include "wire/watch_stream.h"

namespace nexus::wire {
namespace {

// gRPC made the request for this call alone and nobody reads it after us: its payloads are moved, not copied.
template <class Message>
Message& taken(const Message* request) {
    return const_cast<Message&>(*request);
}

grpc::Status too_late() {
    return {grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline passed before the call was taken"};
}

void count(Context& context) {
    context.counters.requests.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

grpc::ServerUnaryReactor* TaskService::Submit(grpc::CallbackServerContext* call, const v1::SubmitRequest* request,
                                              v1::SubmitResponse* response) {
    count(context_);
    if (given_up(*call)) return finish(call, too_late());
    if (!request->has_task()) return refuse(context_, call, {.fault = Fault::invalid, .what = "task: missing"});
    Result<engine::Submission> item =
        api::to_submission(*taken(request).mutable_task(), "task", context_.options.limits.payload_bytes_max);
    if (!item) return refuse(context_, call, item.error());
    std::vector<engine::Submission> items;
    items.push_back(std::move(*item));
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(
        caller_of(*call), engine::SubmitTasks{std::move(items)},
        answer_with<std::vector<engine::Submitted>>(reactor, [this, response](std::vector<engine::Submitted> done) {
            api::to_message(done.front(), context_.options.durability, *response);
        }));
    return reactor;
}

grpc::ServerUnaryReactor* TaskService::SubmitBatch(grpc::CallbackServerContext* call,
                                                   const v1::SubmitBatchRequest* request,
                                                   v1::SubmitBatchResponse* response) {
    count(context_);
    if (given_up(*call)) return finish(call, too_late());
    const Limits& limits = context_.options.limits;
    auto items = api::to_submissions(taken(request), limits.batch_max, limits.payload_bytes_max);
    if (!items) return refuse(context_, call, items.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::SubmitTasks{std::move(*items)},
                        answer_with<std::vector<engine::Submitted>>(
                            reactor, [this, response](const std::vector<engine::Submitted>& done) {
                                response->mutable_results()->Reserve(static_cast<int>(done.size()));
                                for (const auto& submitted : done)
                                    api::to_message(submitted, context_.options.durability, *response->add_results());
                            }));
    return reactor;
}

grpc::ServerBidiReactor<v1::SubmitBatchRequest, v1::SubmitBatchResponse>* TaskService::SubmitStream(
    grpc::CallbackServerContext* call) {
    count(context_);
    return SubmitStream::begin(context_, call);
}

grpc::ServerUnaryReactor* TaskService::Get(grpc::CallbackServerContext* call, const v1::GetTaskRequest* request,
                                           v1::Task* response) {
    count(context_);
    const Result<TaskId> task = api::to_task_id(request->id(), "id");
    if (!task) return refuse(context_, call, task.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::GetTask{*task, request->include_result()},
                        answer_with<engine::TaskInfo>(
                            reactor, [response](const engine::TaskInfo& info) { api::to_message(info, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* TaskService::List(grpc::CallbackServerContext* call, const v1::ListTasksRequest* request,
                                            v1::ListTasksResponse* response) {
    count(context_);
    Result<engine::TaskFilter> filter = api::to_filter(*request);
    if (!filter) return refuse(context_, call, filter.error());
    const Result<std::size_t> size = api::to_page_size(request->page_size());
    if (!size) return refuse(context_, call, size.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ListTasks{std::move(*filter), *size, request->page_token()},
                        answer_with<engine::TaskPage>(
                            reactor, [response](const engine::TaskPage& page) { api::to_message(page, *response); }));
    return reactor;
}

grpc::ServerWriteReactor<v1::TaskEvent>* TaskService::Watch(grpc::CallbackServerContext* call,
                                                            const v1::WatchTasksRequest* request) {
    count(context_);
    return WatchStream::begin(context_, call, *request);
}

grpc::ServerUnaryReactor* TaskService::Cancel(grpc::CallbackServerContext* call, const v1::CancelTaskRequest* request,
                                              v1::Task* response) {
    count(context_);
    if (given_up(*call)) return finish(call, too_late());
    const Result<TaskId> task = api::to_task_id(request->id(), "id");
    if (!task) return refuse(context_, call, task.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::CancelTask{*task, request->reason()},
                        answer_with<engine::TaskInfo>(
                            reactor, [response](const engine::TaskInfo& info) { api::to_message(info, *response); }));
    return reactor;
}

grpc::ServerUnaryReactor* TaskService::Retry(grpc::CallbackServerContext* call, const v1::RetryTaskRequest* request,
                                             v1::SubmitResponse* response) {
    count(context_);
    if (given_up(*call)) return finish(call, too_late());
    const Result<TaskId> task = api::to_task_id(request->id(), "id");
    if (!task) return refuse(context_, call, task.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::RetryTask{*task},
                        answer_with<engine::Submitted>(reactor, [this, response](const engine::Submitted& done) {
                            api::to_message(done, context_.options.durability, *response);
                        }));
    return reactor;
}

grpc::ServerUnaryReactor* TaskService::Explain(grpc::CallbackServerContext* call, const v1::ExplainTaskRequest* request,
                                               v1::Explanation* response) {
    count(context_);
    const Result<TaskId> task = api::to_task_id(request->id(), "id");
    if (!task) return refuse(context_, call, task.error());
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    context_.engine.ask(caller_of(*call), engine::ExplainTask{*task},
                        answer_with<engine::Explanation>(
                            reactor, [response](const engine::Explanation& why) { api::to_message(why, *response); }));
    return reactor;
}

}  // namespace nexus::wire
