#pragma once
// nexus.v1.WorkerService.

#include <nexus/v1/nexus.grpc.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class WorkerService final : public v1::WorkerService::CallbackService {
public:
    explicit WorkerService(Context& context) : context_(context) {}

    grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>* Connect(grpc::CallbackServerContext* call) override;
    // The old report: counted, and taken as the load of the connected worker of that name, if there is one.
    grpc::ServerReadReactor<v1::WorkerHeartbeat>* ReportCapacity(grpc::CallbackServerContext* call,
                                                                 v1::ReportCapacityResponse* response) override;

private:
    Context& context_;
};

}  // namespace nexus::wire
