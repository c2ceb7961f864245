// submit_many: batches through one SubmitStream, a few in flight, each stored whole or not at all.
//
// An answer belongs to the oldest batch without one. When the stream breaks, what was not answered is sent again with
// the same keys through a new stream, so nothing is stored twice; when it ends with a refusal, that refusal is the
// answer to the oldest unanswered batch, and the rest continues.

#include <deque>

#include "client_inner.h"

namespace nexus {
namespace {

// The server takes messages of 2 MiB; half of that leaves room for what is not payload.
constexpr std::size_t kBatchBytesMax = 1024 * 1024;
constexpr std::size_t kBatchTasksMax = 1000;
constexpr std::size_t kTaskOverheadBytes = 256;

struct Batch {
    std::size_t first = 0;  // index of its first task
    v1::SubmitBatchRequest request;
    std::size_t size() const { return static_cast<std::size_t>(request.tasks_size()); }
};

std::size_t weight_of(const Task& task) {
    std::size_t bytes = task.payload.size() + kTaskOverheadBytes;
    for (const auto& [key, value] : task.metadata) bytes += key.size() + value.size();
    return bytes;
}

// The batch that begins with task `first`, which there is.
Batch cut_batch(std::span<const Task> tasks, std::size_t first, std::size_t batch_max) {
    Batch batch{.first = first, .request = {}};
    std::size_t bytes = 0;
    const std::size_t size_max = std::clamp<std::size_t>(batch_max, 1, kBatchTasksMax);
    for (std::size_t i = first; i < tasks.size() && batch.size() < size_max; ++i) {
        bytes += weight_of(tasks[i]);
        if (i > first && bytes > kBatchBytesMax) break;
        const std::string key = tasks[i].idempotency_key.empty() ? random_key() : tasks[i].idempotency_key;
        sdk::fill(*batch.request.add_tasks(), tasks[i], key);
    }
    return batch;
}

}  // namespace

std::vector<Answer<Submitted>> Client::submit_many(std::span<const Task> tasks, const BulkOptions& options) {
    std::vector<Answer<Submitted>> answers(tasks.size());
    const std::size_t in_flight = std::max<std::size_t>(options.in_flight, 1);
    std::deque<Batch> open;  // not answered yet, oldest first; as many as may be on their way: none = all are answered
    std::size_t cut = 0;
    const auto cut_more = [&] {
        while (open.size() < in_flight && cut < tasks.size()) {
            open.push_back(cut_batch(tasks, cut, options.batch));
            cut += open.back().size();
        }
    };
    cut_more();
    std::size_t answered = 0;
    const auto settle = [&](std::size_t count) {
        open.pop_front();
        cut_more();
        answered += count;
        if (options.progress) options.progress(answered);
    };
    const auto refuse = [&](const Failure& failure) {
        for (int i = 0; i < open.front().request.tasks_size(); ++i) {
            Failure own = failure;
            own.idempotency_key = open.front().request.tasks(i).idempotency_key();
            answers[open.front().first + static_cast<std::size_t>(i)] = std::unexpected(std::move(own));
        }
        settle(open.front().size());
    };

    Inner::SteadyTime end = std::chrono::steady_clock::now() + options.timeout;  // moves on with each answer
    sdk::Backoff delays = inner_->backoff();
    const auto one_stream = [&](Micros time_left) -> Answer<void> {
        if (!inner_->stub) return std::unexpected(Failure{.kind = FailureKind::invalid, .message = inner_->failure});
        grpc::ClientContext context;
        inner_->prepare(context, time_left);
        const auto stream = inner_->stub->SubmitStream(&context);
        std::size_t sent = 0;
        v1::SubmitBatchResponse response;
        while (!open.empty()) {
            while (sent < open.size() && sent < in_flight && stream->Write(open[sent].request)) ++sent;
            // Also after a write that failed: answers may still be on their way.
            if (!stream->Read(&response)) break;
            if (static_cast<std::size_t>(response.results_size()) != open.front().size()) {
                context.TryCancel();
                break;
            }
            for (int i = 0; i < response.results_size(); ++i)
                answers[open.front().first + static_cast<std::size_t>(i)] =
                    sdk::to_submitted(std::move(*response.mutable_results(i)));
            delays.reset();
            end = std::chrono::steady_clock::now() + options.timeout;
            settle(open.front().size());
            sent -= std::min<std::size_t>(sent, 1);
        }
        if (open.empty()) stream->WritesDone();
        const grpc::Status status = stream->Finish();
        if (open.empty()) return {};
        if (status.ok()) return std::unexpected(Failure{.message = inner_->target + ": the server ended the stream"});
        return std::unexpected(inner_->about(sdk::to_failure(status)));
    };
    while (!open.empty()) {
        const Answer<void> done = sdk::with_retries(
            delays, [&end] { return Inner::until(end); }, [this](Micros delay) { inner_->pause(delay); }, one_stream);
        if (!done) refuse(done.error());
    }
    return answers;
}

}  // namespace nexus
