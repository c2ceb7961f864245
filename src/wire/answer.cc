#include "wire/answer.h"

#include <google/rpc/status.pb.h>
#include <grpc/grpc_security_constants.h>

#include <chrono>
#include <iterator>
#include <string>
#include <vector>

#include "api/error.h"

namespace nexus::wire {
namespace {

// Names and values, with 32 bytes for each field as HTTP/2 counts them.
std::size_t metadata_bytes(const grpc::CallbackServerContext& call) {
    std::size_t bytes = 0;
    for (const auto& [name, value] : call.client_metadata()) bytes += name.size() + value.size() + 32;
    return bytes;
}

constexpr std::size_t kTextBytesMax = 1024;  // told twice, in message and details; clients take 8 KiB of headers

Result<void> check_metadata(const grpc::CallbackServerContext& call, std::size_t bytes_max) {
    if (metadata_bytes(call) <= bytes_max) return {};
    return fail(Fault::exhausted, "the metadata of the call is longer than " + std::to_string(bytes_max) + " bytes");
}

// What a certificate that gRPC has verified says of its owner.
std::vector<std::string> names_of(const grpc::CallbackServerContext& call) {
    std::vector<std::string> names;
    const auto about = call.auth_context();
    if (about == nullptr || !about->IsPeerAuthenticated()) return names;
    for (const char* property : {GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME})
        for (const grpc::string_ref& value : about->FindPropertyValues(property))
            names.emplace_back(value.data(), value.size());
    return names;
}

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

Result<Caller> enter(Context& context, const api::Method& method, const grpc::CallbackServerContext& call) {
    if (auto fits = check_metadata(call, context.options.limits.metadata_bytes_max); !fits)
        return std::unexpected(std::move(fits).error());
    identity::Proof proof{.token = {}, .session = {}, .names = {}, .from = call.peer()};
    std::vector<std::string> names;
    if (method.role && context.door.guard->asks()) {
        const auto [first, last] = call.client_metadata().equal_range("authorization");
        if (first != last && std::next(first) != last)
            return fail(Fault::unauthenticated, "authorization: stands more than once");
        if (first != last) {
            const auto token = identity::bearer_of({first->second.data(), first->second.size()});
            if (!token) return std::unexpected(token.error());
            proof.token = *token;
        } else if (context.door.guard->knows_certificates()) {
            names = names_of(call);
        }
        proof.names = names;
    }
    return api::enter(context.door, method, proof);
}

bool given_up(const grpc::CallbackServerContext& call) {
    return call.IsCancelled() || call.deadline() < std::chrono::system_clock::now();
}

}  // namespace nexus::wire
