#include "wire/answer.h"

#include <google/rpc/status.pb.h>

#include <chrono>
#include <string>

#include "api/error.h"

namespace nexus::wire {
namespace {

constexpr std::size_t kTextBytesMax = 1024;  // told twice, in message and details; clients take 8 KiB of headers

}  // namespace

grpc::Status to_grpc(const Error& error, const char* reason) {
    Error told = error;
    if (told.what.size() > kTextBytesMax) {
        std::size_t end = kTextBytesMax;
        while (end > 0 && (static_cast<unsigned char>(told.what[end]) & 0xC0) == 0x80) --end;
        told.what.resize(end);
    }
    const auto code = static_cast<grpc::StatusCode>(api::row_of(told.fault).grpc);
    return {code, told.what, api::to_status(told, reason).SerializeAsString()};
}

Caller caller_of(const grpc::CallbackServerContext& call) {
    return {.name = "anonymous", .tenant = {}, .roles = kAllRoles, .from = call.peer()};
}

std::size_t metadata_bytes(const grpc::CallbackServerContext& call) {
    std::size_t bytes = 0;
    for (const auto& [name, value] : call.client_metadata()) bytes += name.size() + value.size() + 32;
    return bytes;
}

Result<void> check_metadata(const grpc::CallbackServerContext& call, std::size_t bytes_max) {
    if (metadata_bytes(call) <= bytes_max) return {};
    return fail(Fault::exhausted, "the metadata of the call is longer than " + std::to_string(bytes_max) + " bytes");
}

bool given_up(const grpc::CallbackServerContext& call) {
    return call.IsCancelled() || call.deadline() < std::chrono::system_clock::now();
}

}  // namespace nexus::wire
