#pragma once
// What every call needs: who calls, whether it still listens, and errors as a status.

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstddef>

#include "base/caller.h"
#include "base/result.h"

namespace nexus::wire {

// With google.rpc.Status in the details. The text is cut to what fits into a header. `reason`: see api::to_status().
grpc::Status to_grpc(const Error& error, const char* reason = nullptr);

// Nothing is proved about a caller yet: all are "anonymous" and may do all.
Caller caller_of(const grpc::CallbackServerContext& call);

// Names and values, with 32 bytes for each field as HTTP/2 counts them.
std::size_t metadata_bytes(const grpc::CallbackServerContext& call);

// Fault exhausted when there is more of it than one call may have.
Result<void> check_metadata(const grpc::CallbackServerContext& call, std::size_t bytes_max);

// The client is gone or its deadline has passed: nothing is to be stored for it any more.
bool given_up(const grpc::CallbackServerContext& call);

}  // namespace nexus::wire
