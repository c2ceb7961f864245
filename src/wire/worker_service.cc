#include "wire/worker_service.h"

#include <memory>
#include <mutex>
#include <utility>

#include "api/worker.h"
#include "wire/answer.h"
#include "wire/worker_stream.h"

namespace nexus::wire {
namespace {

// One ReportCapacity call. Owned by itself until OnDone, and seen by the server's list of streams.
class CapacityStream final : public grpc::ServerReadReactor<v1::WorkerHeartbeat>, public Stream {
public:
    CapacityStream(Context& context, v1::ReportCapacityResponse* response) : context_(context), response_(response) {}

    static CapacityStream* begin(Context& context, v1::ReportCapacityResponse* response) {
        const auto stream = std::make_shared<CapacityStream>(context, response);
        stream->self_ = stream;
        const bool open = context.streams.add(stream);
        const std::lock_guard lock(stream->mutex_);
        if (open)
            stream->StartRead(&stream->in_);
        else
            stream->end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
        return stream.get();
    }

    void OnReadDone(bool ok) override {
        const std::lock_guard lock(mutex_);
        if (!ok) return end(grpc::Status::OK);
        if (in_.worker_id().empty()) return refuse({.fault = Fault::invalid, .what = "worker_id: empty"});
        const auto load = api::to_load(static_cast<double>(in_.cpu_usage()), static_cast<double>(in_.memory_usage()));
        if (!load) return refuse(load.error());
        if (in_.queue_depth() < 0) return refuse({.fault = Fault::invalid, .what = "queue_depth: negative"});
        response_->set_received(response_->received() + 1);
        context_.counters.legacy_reports.fetch_add(1, std::memory_order_relaxed);
        if (const SessionId session = context_.workers.find(in_.worker_id())) {
            engine::WorkerReport report;
            report.load = *load;
            context_.engine.report(session, std::move(report));
        }
        if (!ended_) StartRead(&in_);
    }

    void OnDone() override {
        context_.streams.remove(this);
        self_.reset();
    }

    void look_after(Clock::time_point) override {}
    void wind_up() override {
        const std::lock_guard lock(mutex_);
        end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
    }

private:
    void refuse(const Error& error) {
        context_.counters.requests_malformed.fetch_add(1, std::memory_order_relaxed);
        end(to_grpc(error));
    }
    void end(const grpc::Status& status) {
        if (std::exchange(ended_, true)) return;
        Finish(status);
    }

    Context& context_;
    v1::ReportCapacityResponse* const response_;
    std::shared_ptr<CapacityStream> self_;  // until OnDone
    v1::WorkerHeartbeat in_;

    std::mutex mutex_;  // guards ended_
    bool ended_ = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>* WorkerService::Connect(
    grpc::CallbackServerContext* call) {
    context_.counters.requests.fetch_add(1, std::memory_order_relaxed);
    return WorkerStream::begin(context_, call);
}

grpc::ServerReadReactor<v1::WorkerHeartbeat>* WorkerService::ReportCapacity(grpc::CallbackServerContext*,
                                                                            v1::ReportCapacityResponse* response) {
    context_.counters.requests.fetch_add(1, std::memory_order_relaxed);
    return CapacityStream::begin(context_, response);
}

}  // namespace nexus::wire
