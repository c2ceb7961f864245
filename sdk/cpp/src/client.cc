#include "nexus/client.h"

#include <set>

#include "client_inner.h"

namespace nexus {
namespace {

using TaskStub = v1::TaskService::Stub;

Answer<TaskView> viewed(Answer<v1::Task> task) {
    if (!task) return std::unexpected(std::move(task.error()));
    return sdk::to_view(std::move(*task));
}

}  // namespace

std::string random_key() {
    const std::uint64_t high = (sdk::random_bits() & ~0xF000ULL) | 0x4000ULL;  // UUID version 4, and its variant
    const std::uint64_t low = (sdk::random_bits() & 0x3FFF'FFFF'FFFF'FFFFULL) | 0x8000'0000'0000'0000ULL;
    constexpr char kHex[] = "0123456789abcdef";
    std::string text;
    for (int nibble = 0; nibble < 32; ++nibble) {
        if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) text.push_back('-');
        const std::uint64_t from = nibble < 16 ? high : low;
        text.push_back(kHex[(from >> (60 - 4 * (nibble % 16))) & 0xF]);
    }
    return text;
}

Client::Client(std::string target, ClientOptions options) : inner_(std::make_unique<Inner>()) {
    inner_->target = std::move(target);
    inner_->options = std::move(options);
    inner_->channel = sdk::open_channel(inner_->target, inner_->options.tls, inner_->failure);
    if (inner_->channel) inner_->stub = v1::TaskService::NewStub(inner_->channel);
}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

bool Client::ready(Micros timeout) {
    return inner_->channel && inner_->channel->WaitForConnected(std::chrono::system_clock::now() + timeout);
}

Answer<Submitted> Client::submit(const Task& task) {
    const std::string key = task.idempotency_key.empty() ? random_key() : task.idempotency_key;
    v1::SubmitRequest request;
    sdk::fill(*request.mutable_task(), task, key);
    Answer<v1::SubmitResponse> response = inner_->call(&TaskStub::Submit, request, inner_->options.call_timeout);
    if (response) return sdk::to_submitted(std::move(*response));
    response.error().idempotency_key = key;
    return std::unexpected(std::move(response.error()));
}

Answer<TaskView> Client::get(std::string_view id) {
    v1::GetTaskRequest request;
    request.set_id(std::string(id));
    request.set_include_result(true);
    return viewed(inner_->call(&TaskStub::Get, request, inner_->options.call_timeout));
}

Answer<TaskView> Client::cancel(std::string_view id, std::string_view reason) {
    v1::CancelTaskRequest request;
    request.set_id(std::string(id));
    request.set_reason(std::string(reason));
    return viewed(inner_->call(&TaskStub::Cancel, request, inner_->options.call_timeout));
}

Answer<TaskPage> Client::list(const TaskQuery& query) {
    v1::ListTasksRequest request;
    sdk::fill(request, query);
    Answer<v1::ListTasksResponse> response = inner_->call(&TaskStub::List, request, inner_->options.call_timeout);
    if (!response) return std::unexpected(std::move(response.error()));
    TaskPage page{.next_page_token = response->next_page_token()};
    for (v1::Task& task : *response->mutable_tasks()) page.tasks.push_back(sdk::to_view(std::move(task)));
    return page;
}

// Not repeated by itself after an unknown outcome: the call carries no key, and a second one would make a second task.
Answer<Submitted> Client::retry(std::string_view id) {
    if (!inner_->stub) return std::unexpected(Failure{.kind = FailureKind::invalid, .message = inner_->failure});
    v1::RetryTaskRequest request;
    request.set_id(std::string(id));
    grpc::ClientContext context;
    inner_->prepare(context, inner_->options.call_timeout);
    v1::SubmitResponse response;
    const grpc::Status status = inner_->stub->Retry(&context, request, &response);
    if (!status.ok()) return std::unexpected(inner_->about(sdk::to_failure(status)));
    return sdk::to_submitted(std::move(response));
}

Answer<std::string> Client::explain(std::string_view id) {
    v1::ExplainTaskRequest request;
    request.set_id(std::string(id));
    const auto response = inner_->call(&TaskStub::Explain, request, inner_->options.call_timeout);
    if (!response) return std::unexpected(response.error());
    return sdk::to_text(*response);
}

Answer<void> Client::watch(const WatchQuery& query, Micros timeout,
                           const std::function<bool(const TaskView&)>& on_change) {
    const Inner::SteadyTime end = std::chrono::steady_clock::now() + timeout;
    v1::WatchTasksRequest request;
    for (const std::string& id : query.ids) request.add_ids(id);
    request.set_type(query.type);
    request.set_tenant(query.tenant);
    std::set<std::string> open(query.ids.begin(), query.ids.end());
    sdk::Backoff delays = inner_->backoff();
    bool enough = false;
    const auto read_on = [&](Micros time_left) -> Answer<void> {
        if (!inner_->stub) return std::unexpected(Failure{.kind = FailureKind::invalid, .message = inner_->failure});
        grpc::ClientContext context;
        inner_->prepare(context, time_left);
        const auto reader = inner_->stub->Watch(&context, request);
        for (v1::TaskEvent event; !enough && reader->Read(&event);) {
            delays.reset();
            const TaskView view = sdk::to_view(std::move(*event.mutable_task()));
            if (is_finished(view.state)) open.erase(view.id);
            enough = !on_change(view) || (!query.ids.empty() && open.empty());
        }
        if (enough) context.TryCancel();
        const grpc::Status status = reader->Finish();
        if (enough) return {};
        if (!status.ok()) return std::unexpected(inner_->about(sdk::to_failure(status)));
        return std::unexpected(Failure{.message = inner_->target + ": the server ended the watch"});
    };
    return sdk::with_retries(
        delays, [end] { return Inner::until(end); }, [this](Micros delay) { inner_->pause(delay); }, read_on);
}

Answer<TaskView> Client::wait(std::string_view id, Micros timeout) {
    const auto finished = watch({.ids = {std::string(id)}}, timeout, [](const TaskView&) { return true; });
    if (!finished) return std::unexpected(finished.error());
    return get(id);
}

}  // namespace nexus
