#pragma once
// nexus.v1.TaskService. Never blocks; each call is answered from the engine's callback.

#include <nexus/v1/nexus.grpc.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class TaskService final : public v1::TaskService::CallbackService {
public:
    explicit TaskService(Context& context) : context_(context) {}

    grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* call, const v1::SubmitRequest* request,
                                     v1::SubmitResponse* response) override;
    grpc::ServerUnaryReactor* SubmitBatch(grpc::CallbackServerContext* call, const v1::SubmitBatchRequest* request,
                                          v1::SubmitBatchResponse* response) override;
    grpc::ServerBidiReactor<v1::SubmitBatchRequest, v1::SubmitBatchResponse>* SubmitStream(
        grpc::CallbackServerContext* call) override;
    grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* call, const v1::GetTaskRequest* request,
                                  v1::Task* response) override;
    grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* call, const v1::ListTasksRequest* request,
                                   v1::ListTasksResponse* response) override;
    grpc::ServerWriteReactor<v1::TaskEvent>* Watch(grpc::CallbackServerContext* call,
                                                   const v1::WatchTasksRequest* request) override;
    grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* call, const v1::CancelTaskRequest* request,
                                     v1::Task* response) override;
    grpc::ServerUnaryReactor* Retry(grpc::CallbackServerContext* call, const v1::RetryTaskRequest* request,
                                    v1::SubmitResponse* response) override;
    grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* call, const v1::ExplainTaskRequest* request,
                                      v1::Explanation* response) override;

private:
    Context& context_;
};

}  // namespace nexus::wire
