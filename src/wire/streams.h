#pragma once
// The streaming methods: which code serves which row of the table.

#include <grpcpp/impl/rpc_method.h>
#include <grpcpp/impl/rpc_service_method.h>

#include <string_view>

#include "api/methods.h"
#include "wire/context.h"

namespace nexus::wire {

struct StreamRow {
    std::string_view name;  // api::Method::name
    grpc::internal::RpcMethod::RpcType type;
    grpc::internal::MethodHandler* (*handler)(Context& context, const api::Method& method);  // gRPC owns it
};

// Null when nothing serves it.
const StreamRow* find_stream(std::string_view name);

}  // namespace nexus::wire
