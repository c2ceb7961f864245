#pragma once
// What every call needs: who calls, whether it still listens, and errors as a status.

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstddef>

#include "api/methods.h"
#include "base/caller.h"
#include "base/result.h"
#include "wire/context.h"

namespace nexus::wire {

// With google.rpc.Status in the details. The text is cut to what fits into a header. `reason`: see api::to_status().
grpc::Status to_grpc(const Error& error, const char* reason = nullptr);

// Who calls, when they may call the method: see api::enter(). Faults besides: exhausted, when there is more
// metadata than one call may have.
Result<Caller> enter(Context& context, const api::Method& method, const grpc::CallbackServerContext& call);

// The client is gone or its deadline has passed: nothing is to be stored for it any more.
bool given_up(const grpc::CallbackServerContext& call);

}  // namespace nexus::wire
