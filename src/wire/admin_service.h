#pragma once
// nexus.v1.AdminService: what operators see and change. Never blocks; each call is answered from the engine's callback.

#include <nexus/v1/nexus.grpc.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class AdminService final : public v1::AdminService::CallbackService {
public:
    explicit AdminService(Context& context) : context_(context) {}

    grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* call, const v1::StatusRequest* request,
                                        v1::Status* response) override;
    grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* call, const v1::ListWorkersRequest* request,
                                          v1::ListWorkersResponse* response) override;
    grpc::ServerUnaryReactor* ControlWorker(grpc::CallbackServerContext* call, const v1::ControlWorkerRequest* request,
                                            v1::Worker* response) override;
    grpc::ServerUnaryReactor* ListTypes(grpc::CallbackServerContext* call, const v1::ListTypesRequest* request,
                                        v1::ListTypesResponse* response) override;
    grpc::ServerUnaryReactor* GetType(grpc::CallbackServerContext* call, const v1::GetTypeRequest* request,
                                      v1::TypeStat* response) override;
    grpc::ServerUnaryReactor* ResetType(grpc::CallbackServerContext* call, const v1::ResetTypeRequest* request,
                                        v1::TypeStat* response) override;
    grpc::ServerUnaryReactor* OverrideEstimate(grpc::CallbackServerContext* call,
                                               const v1::OverrideEstimateRequest* request,
                                               v1::TypeStat* response) override;
    grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* call, const v1::GetConfigRequest* request,
                                        v1::SchedulerConfig* response) override;
    grpc::ServerUnaryReactor* SetConfig(grpc::CallbackServerContext* call, const v1::SetConfigRequest* request,
                                        v1::SchedulerConfig* response) override;
    grpc::ServerUnaryReactor* SetPolicy(grpc::CallbackServerContext* call, const v1::SetPolicyRequest* request,
                                        v1::SchedulerConfig* response) override;
    grpc::ServerUnaryReactor* ControlQueue(grpc::CallbackServerContext* call, const v1::ControlQueueRequest* request,
                                           v1::Status* response) override;
    grpc::ServerUnaryReactor* SetOverride(grpc::CallbackServerContext* call, const v1::SetOverrideRequest* request,
                                          v1::Override* response) override;
    grpc::ServerUnaryReactor* ClearOverride(grpc::CallbackServerContext* call, const v1::ClearOverrideRequest* request,
                                            v1::Override* response) override;
    grpc::ServerUnaryReactor* ListOverrides(grpc::CallbackServerContext* call, const v1::ListOverridesRequest* request,
                                            v1::ListOverridesResponse* response) override;
    grpc::ServerUnaryReactor* ListDecisions(grpc::CallbackServerContext* call, const v1::ListDecisionsRequest* request,
                                            v1::ListDecisionsResponse* response) override;
    grpc::ServerUnaryReactor* ListAudit(grpc::CallbackServerContext* call, const v1::ListAuditRequest* request,
                                        v1::ListAuditResponse* response) override;

private:
    Context& context_;
};

}  // namespace nexus::wire
