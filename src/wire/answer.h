#pragma once
// How a unary call is answered from the engine's callback.

#include <functional>
#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include "base/result.h"
#include "engine/service.h"
#include "wire/context.h"

namespace nexus::wire {

// With google.rpc.Status in the details. The text is cut to what fits into a header.
grpc::Status to_grpc(const Error& error);

// Nothing is proved about a caller yet: all are "anonymous" and may do all.
Caller caller_of(const grpc::CallbackServerContext& call);

// The client is gone or its deadline has passed: nothing is to be stored for it any more.
bool given_up(const grpc::CallbackServerContext& call);

inline grpc::ServerUnaryReactor* finish(grpc::CallbackServerContext* call, const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(status);
    return reactor;
}

// Refuses a request that the engine never sees.
grpc::ServerUnaryReactor* refuse(Context& context, grpc::CallbackServerContext* call, const Error& error);

// A callback that fills the response by `fill(T&&)` and ends the call. gRPC keeps reactor and response until then. The
// result is taken by reference: GCC 12 takes the move of one by value for a read of what is not there.
template <class T, class Fill>
engine::Done<T> answer_with(grpc::ServerUnaryReactor* reactor, Fill fill) {
    return [reactor, fill = std::move(fill)](Result<T>&& result) mutable {
        if (!result) return reactor->Finish(to_grpc(result.error()));
        fill(std::move(*result));
        reactor->Finish(grpc::Status::OK);
    };
}

}  // namespace nexus::wire
