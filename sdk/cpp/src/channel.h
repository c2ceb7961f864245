#pragma once
// How this library connects: plain text or TLS, keepalive, and a connection of its own for every channel.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "nexus/client.h"

namespace nexus::sdk {

// A file of `tls` that cannot be read is an Error text in `failure`, and the channel is null.
std::shared_ptr<grpc::Channel> open_channel(const std::string& target, const std::optional<TlsFiles>& tls,
                                            std::string& failure);
// In plain text; never null.
std::shared_ptr<grpc::Channel> open_channel(const std::string& target);

// Sets the authorization header when there is a token.
void authorize(grpc::ClientContext& context, const std::string& token);

}  // namespace nexus::sdk
