#pragma once
// The standard health service of gRPC.

#include <grpcpp/channel.h>

#include <memory>

namespace nexus::cli {

// Asks whether the server as a whole takes work. The status is the call's; `serving` its answer.
grpc::Status check_health(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context, bool& serving);

}  // namespace nexus::cli
