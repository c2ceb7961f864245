#pragma once
// One ReportCapacity call, the old report: counted, and taken as the load of the connected worker of that name, if there
// is one.

#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include <memory>
#include <mutex>
#include <utility>

#include "wire/context.h"

namespace nexus::wire {

// Owned by itself until OnDone, and seen by the server's list of streams.
class CapacityStream final : public grpc::ServerReadReactor<v1::WorkerHeartbeat>, public Stream {
public:
    static CapacityStream* begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                                 v1::ReportCapacityResponse* response);
    CapacityStream(Context& context, const api::Method& method, v1::ReportCapacityResponse* response, Caller caller)
        : context_(context), method_(method), caller_(std::move(caller)), response_(response) {}

    void OnReadDone(bool ok) override;
    void OnDone() override;
    void look_after(Clock::time_point) override {}
    void wind_up() override;
    const Caller* caller() const override { return &caller_; }
    void turn_out(const Error& error) override;

private:
    // The two below are called with mutex_ held.
    void refuse(const Error& error);
    void end(const grpc::Status& status);

    Context& context_;
    const api::Method& method_;
    const Caller caller_;
    v1::ReportCapacityResponse* const response_;
    std::shared_ptr<CapacityStream> self_;  // until OnDone
    v1::WorkerHeartbeat in_;

    std::mutex mutex_;  // guards ended_
    bool ended_ = false;
};

}  // namespace nexus::wire
