#include "wire/capacity_stream.h"

#include <utility>

#include "api/worker.h"
#include "wire/answer.h"

namespace nexus::wire {

CapacityStream* CapacityStream::begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                                      v1::ReportCapacityResponse* response) {
    auto caller = enter(context, method, *call);
    const auto stream = std::make_shared<CapacityStream>(context, method, response, caller ? *caller : Caller{});
    stream->self_ = stream;
    const bool open = context.streams.add(stream);
    const std::lock_guard lock(stream->mutex_);
    if (!caller)
        stream->end(to_grpc(caller.error()));
    else if (open)
        stream->StartRead(&stream->in_);
    else
        stream->end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
    return stream.get();
}

void CapacityStream::OnReadDone(bool ok) {
    const std::lock_guard lock(mutex_);
    if (!ok) return end(grpc::Status::OK);
    if (in_.worker_id().empty()) return refuse({.fault = Fault::invalid, .what = "worker_id: empty"});
    const auto load = api::to_load(static_cast<double>(in_.cpu_usage()), static_cast<double>(in_.memory_usage()));
    if (!load) return refuse(load.error());
    if (in_.queue_depth() < 0) return refuse({.fault = Fault::invalid, .what = "queue_depth: negative"});
    response_->set_received(response_->received() + 1);
    context_.counters.legacy_reports.fetch_add(1, std::memory_order_relaxed);
    if (const SessionId session = context_.workers.find(in_.worker_id(), caller_.name)) {
        engine::WorkerReport report;
        report.load = *load;
        context_.door.engine.report(session, std::move(report));
    } else if (context_.door.heard) {
        context_.door.heard(in_.worker_id(), *load);
    }
    if (!ended_) StartRead(&in_);
}

void CapacityStream::OnDone() {
    context_.streams.remove(this);
    self_.reset();
}

void CapacityStream::turn_out(const Error& error) {
    const std::lock_guard lock(mutex_);
    end(to_grpc(error));
}

void CapacityStream::wind_up() {
    const std::lock_guard lock(mutex_);
    end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
}

void CapacityStream::refuse(const Error& error) {
    context_.malformed();
    end(to_grpc(error));
}

void CapacityStream::end(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    context_.door.counts->add(method_, status.error_code());
    Finish(status);
}

}  // namespace nexus::wire
