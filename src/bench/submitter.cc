#include "bench/submitter.h"

#include <nexus/v1/nexus.grpc.pb.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/rng.h"
#include "channel.h"  // of the SDK: measured over its own channels

namespace nexus::bench {
namespace {

constexpr std::chrono::milliseconds kPutOff{5};

class Producer {
public:
    Producer(const Target& target, const SubmitPlan& plan, Ledger& ledger)
        : plan_(plan), ledger_(ledger), token_(target.token), stub_(v1::TaskService::NewStub(open(target))) {}
    Result<SubmitOutcome> run();

private:
    struct Call {
        std::uint64_t first = 0;
        std::unique_ptr<grpc::ClientContext> context;
        v1::SubmitRequest one;
        v1::SubmitBatchRequest many;
        v1::SubmitResponse one_done;
        v1::SubmitBatchResponse many_done;
        bool again = false;  // the same request once more
    };

    void fill(Call& call, std::uint64_t first, std::uint64_t count);
    void fill(v1::TaskSpec& task, std::uint64_t number);
    void send(Call& call);
    void answered(Call& call, const grpc::Status& status);
    Call* free_call();  // waits for one; null after an error

    const SubmitPlan plan_;
    Ledger& ledger_;
    const std::string token_;
    std::unique_ptr<v1::TaskService::Stub> stub_;
    std::vector<std::unique_ptr<Call>> calls_;

    std::mutex mutex_;  // guards all below
    std::condition_variable changed_;
    std::vector<Call*> free_;
    std::string error_;
    SubmitOutcome outcome_;
};

void Producer::fill(v1::TaskSpec& task, std::uint64_t number) {
    task.set_type(plan_.type);
    if (!plan_.zone.empty()) (*task.mutable_labels_required())["zone"] = plan_.zone;
    std::string& payload = *task.mutable_payload();
    payload.resize(std::max<std::size_t>(plan_.payload, sizeof number));
    std::memcpy(payload.data(), &number, sizeof number);
    ledger_.submitted_ns[number] = now_ns();
}

void Producer::fill(Call& call, std::uint64_t first, std::uint64_t count) {
    call.first = first;
    if (plan_.batch == 1) return fill(*call.one.mutable_task(), first);
    call.many.Clear();
    for (std::uint64_t i = 0; i < count; ++i) fill(*call.many.add_tasks(), first + i);
}

void Producer::send(Call& call) {
    call.context = std::make_unique<grpc::ClientContext>();
    sdk::authorize(*call.context, token_);
    const auto done = [this, &call](const grpc::Status& status) { answered(call, status); };
    if (plan_.batch == 1)
        stub_->async()->Submit(call.context.get(), &call.one, &call.one_done, done);
    else
        stub_->async()->SubmitBatch(call.context.get(), &call.many, &call.many_done, done);
}

void Producer::answered(Call& call, const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    call.again = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (status.ok())
        outcome_.accepted += plan_.batch == 1 ? 1 : static_cast<std::uint64_t>(call.many_done.results_size());
    else if (call.again)
        ++outcome_.retried;
    else
        error_ = status.error_message();
    free_.push_back(&call);
    changed_.notify_one();
}

Producer::Call* Producer::free_call() {
    for (;;) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !free_.empty(); });
        Call* call = free_.back();
        free_.pop_back();
        if (!error_.empty()) return nullptr;
        if (!call->again) return call;
        lock.unlock();
        std::this_thread::sleep_for(kPutOff);
        send(*call);
    }
}

Result<SubmitOutcome> Producer::run() {
    for (std::uint32_t i = 0; i < plan_.inflight; ++i) {
        calls_.push_back(std::make_unique<Call>());
        free_.push_back(calls_.back().get());
    }
    Rng rng(plan_.seed);
    const auto began = Clock::now();
    auto due = began;
    std::uint64_t next = 0;
    while (next < plan_.tasks) {
        if (plan_.rate > 0) {
            const double gap_s = -std::log1p(-rng.unit()) * plan_.batch / plan_.rate;
            due += std::chrono::nanoseconds(static_cast<std::int64_t>(gap_s * 1e9));
            std::this_thread::sleep_until(due);
        }
        Call* call = free_call();
        if (call == nullptr) break;
        const std::uint64_t count = std::min<std::uint64_t>(plan_.batch, plan_.tasks - next);
        fill(*call, plan_.first + next, count);
        next += count;
        send(*call);
    }
    // All calls must have come back before they are freed, put-off ones included.
    std::unique_lock lock(mutex_);
    for (;;) {
        const auto again = std::find_if(free_.begin(), free_.end(), [](const Call* call) { return call->again; });
        if (again == free_.end() || !error_.empty()) {
            if (free_.size() == plan_.inflight) break;
            changed_.wait(lock);
            continue;
        }
        Call* call = *again;
        free_.erase(again);
        lock.unlock();
        std::this_thread::sleep_for(kPutOff);
        send(*call);
        lock.lock();
    }
    if (!error_.empty()) return fail(Fault::unavailable, "submit: " + error_);
    outcome_.took_s = std::chrono::duration<double>(Clock::now() - began).count();
    return outcome_;
}

}  // namespace

Result<SubmitOutcome> submit_all(const Target& target, const SubmitPlan& plan, Ledger& ledger) {
    return Producer(target, plan, ledger).run();
}

}  // namespace nexus::bench
