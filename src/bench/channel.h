#pragma once
// A connection of its own to the server, set up as the SDK sets up its channels.

#include <grpcpp/channel.h>

#include <memory>
#include <string>

namespace nexus::bench {

std::shared_ptr<grpc::Channel> open_channel(const std::string& address);

}  // namespace nexus::bench
