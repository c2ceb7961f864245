#pragma once
// A gRPC service made from the table of methods (api/methods.h). Unary methods are parsed, carried out and answered
// here; streams have code of their own.
//
// The request is taken as bytes: what a caller may not do, and what is too long, is refused before it is parsed. Never
// blocks; a call is answered from the engine's callback.

#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/byte_buffer.h>

#include <string_view>

#include "api/methods.h"
#include "wire/context.h"

namespace nexus::wire {

class MethodService final : public grpc::Service {
public:
    // `name` as in "nexus.v1.TaskService": the rows of that service.
    MethodService(Context& context, std::string_view name);

private:
    grpc::ServerUnaryReactor* answer(const api::Method& method, grpc::CallbackServerContext* call,
                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response);

    Context& context_;
};

}  // namespace nexus::wire
