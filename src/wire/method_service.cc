#include "wire/method_service.h"

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>
#include <utility>

#include "base/must.h"
#include "wire/answer.h"
#include "wire/streams.h"

namespace nexus::wire {
namespace {

using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;
using UnaryHandler = grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

// What lives as long as a call.
struct Unary {
    Context& context;
    const api::Method& method;
    grpc::ServerUnaryReactor* reactor;
    grpc::ByteBuffer* out;  // gRPC keeps it until the end of the call
    std::unique_ptr<google::protobuf::Message> request, response;

    void finish(const Result<void>& outcome) {
        context.door.counts->add(method, api::code_of(outcome));
        if (!outcome) {
            if (outcome.error().fault == Fault::invalid)
                context.counters.requests_malformed.fetch_add(1, std::memory_order_relaxed);
            return reactor->Finish(to_grpc(outcome.error()));
        }
        bool own_buffer = false;
        reactor->Finish(grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::MessageLite>(*response, out,
                                                                                                       &own_buffer));
    }
};

}  // namespace

MethodService::MethodService(Context& context, std::string_view name) : context_(context) {
    int index = 0;
    for (const api::Method& method : api::methods()) {
        const std::string_view full(method.name);
        const bool ours = full.starts_with('/') && full.substr(1).starts_with(name) && full[name.size() + 1] == '/';
        if (!ours) continue;
        if (method.kind == api::Kind::unary) {
            AddMethod(new RpcServiceMethod(method.name, RpcMethod::NORMAL_RPC, nullptr));
            MarkMethodRawCallback(
                index, new UnaryHandler([this, &method](grpc::CallbackServerContext* call,
                                                        const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
                    return answer(method, call, request, response);
                }));
        } else {
            const StreamRow* stream = find_stream(full);
            MUST(stream != nullptr);  // a row without code
            AddMethod(new RpcServiceMethod(method.name, stream->type, nullptr));
            MarkMethodCallback(index, stream->handler(context, method));
        }
        ++index;
    }
}

grpc::ServerUnaryReactor* MethodService::answer(const api::Method& method, grpc::CallbackServerContext* call,
                                                const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
    context_.counters.requests.fetch_add(1, std::memory_order_relaxed);
    auto unary = std::make_unique<Unary>(context_, method, call->DefaultReactor(), response);
    grpc::ServerUnaryReactor* const reactor = unary->reactor;
    const auto refuse = [&](Fault fault, std::string what) {
        unary->finish(std::unexpected(Error{fault, std::move(what)}));
        return reactor;
    };
    if (method.changes && given_up(*call)) {
        context_.door.counts->add(method, grpc::StatusCode::DEADLINE_EXCEEDED);
        reactor->Finish({grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline passed before the call was taken"});
        return reactor;
    }
    if (request->Length() > method.body_bytes_max)
        return refuse(Fault::invalid, "the request is longer than " + std::to_string(method.body_bytes_max) + " bytes");
    unary->request.reset(method.request().New());
    unary->response.reset(method.response().New());
    // gRPC made the buffer for this call alone.
    auto* bytes = const_cast<grpc::ByteBuffer*>(request);
    if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(bytes, unary->request.get()).ok())
        return refuse(Fault::invalid, "the request is not a " + unary->request->GetTypeName());
    Unary& kept = *unary;
    method.run(context_.door, caller_of(*call), *kept.request, *kept.response,
               [unary = std::move(unary)](Result<void>&& outcome) { unary->finish(outcome); });
    return reactor;
}

}  // namespace nexus::wire
