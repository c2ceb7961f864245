#include "bench/workers.h"

#include <nexus/v1/nexus.grpc.pb.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>

#include "channel.h"  // of the SDK: measured over its own channels

namespace nexus::bench {

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

namespace {
// Of this process, as every worker tells one.
std::uint64_t instance() {
    static const std::uint64_t drawn = [] {
        std::random_device device;
        return std::uint64_t{device()} << 32 | device();
    }();
    return drawn;
}
}  // namespace

class Workers::Worker final : public grpc::ClientBidiReactor<v1::WorkerMessage, v1::ServerMessage> {
public:
    Worker(const Target& target, std::uint32_t number, std::uint32_t slots, bool tell_started, Ledger& ledger)
        : tell_started_(tell_started), ledger_(ledger) {
        stub_ = v1::WorkerService::NewStub(open(target));
        sdk::authorize(call_, target.token);
        next_.mutable_hello()->set_worker("bench-" + std::to_string(number));
        next_.mutable_hello()->set_slots(slots);
        next_.mutable_hello()->set_instance(instance());
        stub_->async()->Connect(&call_, this);
        AddHold();  // facts are also written from the heartbeat's thread
        StartRead(&in_);
        const std::lock_guard lock(mutex_);
        queued_ = true;
        write_on();
        StartCall();
    }

    void OnReadDone(bool ok) override {
        if (!ok) return let_go();
        const std::int64_t now = now_ns();
        if (in_.has_welcome()) welcome_.store(true);
        for (const v1::FinishedAck& ack : in_.finished_acks())
            (ack.accepted() ? ledger_.acknowledged : ledger_.refused).fetch_add(1, std::memory_order_relaxed);
        {
            const std::lock_guard lock(mutex_);
            for (v1::Assign& assign : *in_.mutable_assign()) run(assign, now);
            write_on();
        }
        StartRead(&in_);
    }

    void OnWriteDone(bool ok) override {
        const std::lock_guard lock(mutex_);
        writing_ = false;
        if (ok) write_on();
    }

    void OnDone(const grpc::Status&) override {
        const std::lock_guard lock(mutex_);
        done_ = true;
        over_.notify_all();
    }

    void beat() {
        const std::lock_guard lock(mutex_);
        if (!held_) return;
        next_.mutable_heartbeat()->set_sequence(++beats_);
        queued_ = true;
        write_on();
    }

    void end() {
        call_.TryCancel();
        let_go();
        std::unique_lock lock(mutex_);
        over_.wait(lock, [this] { return done_; });
    }

    bool welcome() const { return welcome_; }
    bool lost() const { return lost_; }

private:
    void run(v1::Assign& assign, std::int64_t now) {
        std::uint64_t number = 0;
        if (assign.payload().size() >= sizeof number) std::memcpy(&number, assign.payload().data(), sizeof number);
        if (number < ledger_.runs.size() && ledger_.runs[number].fetch_add(1) == 0) ledger_.started_ns[number] = now;
        std::int64_t none = 0;
        ledger_.first_assign_ns.compare_exchange_strong(none, now);
        if (tell_started_) {
            v1::Started& started = *next_.add_started();
            started.set_task_id(assign.task_id());
            started.set_attempt_id(assign.attempt_id());
        }
        v1::Finished& finished = *next_.add_finished();
        finished.set_task_id(std::move(*assign.mutable_task_id()));
        finished.set_attempt_id(std::move(*assign.mutable_attempt_id()));
        finished.set_outcome(v1::OUTCOME_SUCCEEDED);
        finished.set_run_us(1);
        queued_ = true;
    }

    void write_on() {
        if (writing_ || !queued_ || !held_) return;
        out_.Swap(&next_);
        next_.Clear();
        queued_ = false;
        writing_ = true;
        StartWrite(&out_);
    }

    void let_go() {
        {
            const std::lock_guard lock(mutex_);
            if (!held_) return;
            held_ = false;
            lost_ = true;
        }
        RemoveHold();
    }

    const bool tell_started_;
    Ledger& ledger_;
    std::unique_ptr<v1::WorkerService::Stub> stub_;
    grpc::ClientContext call_;
    v1::ServerMessage in_;   // touched by the read under way only
    v1::WorkerMessage out_;  // touched by the write under way only
    std::atomic<bool> welcome_{false}, lost_{false};

    std::mutex mutex_;  // guards all below
    std::condition_variable over_;
    v1::WorkerMessage next_;
    std::uint64_t beats_ = 0;
    bool queued_ = false, writing_ = false, held_ = true, done_ = false;
};

std::shared_ptr<grpc::Channel> open(const Target& target) {
    std::string failure;  // of a file that cannot be read: the calls fail, and say that there is no answer
    auto channel = sdk::open_channel(target.address, target.tls, failure);
    return channel ? std::move(channel) : sdk::open_channel(target.address);
}

Workers::Workers(const Target& target, std::uint32_t count, std::uint32_t slots, bool tell_started, Ledger& ledger) {
    workers_.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i)
        workers_.push_back(std::make_unique<Worker>(target, i, slots, tell_started, ledger));
    heart_ = std::thread([this] { beat(); });
}

Workers::~Workers() {
    stopping_ = true;
    heart_.join();
    for (const auto& worker : workers_) worker->end();
}

void Workers::beat() {
    auto next = Clock::now();
    while (!stopping_) {
        if (Clock::now() >= next) {
            next += std::chrono::seconds(1);
            for (const auto& worker : workers_) worker->beat();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

Result<void> Workers::wait_connected(std::chrono::seconds limit) {
    const auto until = Clock::now() + limit;
    for (const auto& worker : workers_) {
        while (!worker->welcome()) {
            if (Clock::now() > until) return fail(Fault::unavailable, "workers: not all were welcomed in time");
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    return {};
}

std::uint64_t Workers::streams_lost() const {
    std::uint64_t lost = 0;
    for (const auto& worker : workers_) lost += worker->lost() ? 1 : 0;
    return lost;
}

}  // namespace nexus::bench
