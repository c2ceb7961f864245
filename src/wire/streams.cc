#include "wire/streams.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include <algorithm>
#include <iterator>

#include "wire/capacity_stream.h"
#include "wire/submit_stream.h"
#include "wire/watch_stream.h"
#include "wire/worker_stream.h"

namespace nexus::wire {
namespace {

using grpc::internal::MethodHandler;
using grpc::internal::RpcMethod;

void count(Context& context) {
    context.counters.requests.fetch_add(1, std::memory_order_relaxed);
}

constexpr StreamRow kStreams[] = {
    {"/nexus.v1.TaskService/SubmitStream", RpcMethod::BIDI_STREAMING,
     [](Context& context, const api::Method& method) -> MethodHandler* {
         return new grpc::internal::CallbackBidiHandler<v1::SubmitBatchRequest, v1::SubmitBatchResponse>(
             [&](grpc::CallbackServerContext* call) {
                 count(context);
                 return SubmitStream::begin(context, method, call);
             });
     }},
    {"/nexus.v1.TaskService/Watch", RpcMethod::SERVER_STREAMING,
     [](Context& context, const api::Method& method) -> MethodHandler* {
         // As bytes: who may not call it is refused before they are looked at.
         return new grpc::internal::CallbackServerStreamingHandler<grpc::ByteBuffer, v1::TaskEvent>(
             [&](grpc::CallbackServerContext* call, const grpc::ByteBuffer* request) {
                 count(context);
                 return WatchStream::begin(context, method, call, *request);
             });
     }},
    {"/nexus.v1.WorkerService/Connect", RpcMethod::BIDI_STREAMING,
     [](Context& context, const api::Method& method) -> MethodHandler* {
         return new grpc::internal::CallbackBidiHandler<v1::WorkerMessage, v1::ServerMessage>(
             [&](grpc::CallbackServerContext* call) {
                 count(context);
                 return WorkerStream::begin(context, method, call);
             });
     }},
    {"/nexus.v1.WorkerService/ReportCapacity", RpcMethod::CLIENT_STREAMING,
     [](Context& context, const api::Method& method) -> MethodHandler* {
         return new grpc::internal::CallbackClientStreamingHandler<v1::WorkerHeartbeat, v1::ReportCapacityResponse>(
             [&](grpc::CallbackServerContext* call, v1::ReportCapacityResponse* response) {
                 count(context);
                 return CapacityStream::begin(context, method, call, response);
             });
     }},
};

}  // namespace

const StreamRow* find_stream(std::string_view name) {
    const auto row = std::ranges::find(kStreams, name, &StreamRow::name);
    return row == std::end(kStreams) ? nullptr : row;
}

}  // namespace nexus::wire
