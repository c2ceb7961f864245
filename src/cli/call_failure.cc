#include "cli/call_failure.h"

#include <fmt/format.h>

#include <string_view>

#include "base/quantity.h"
#include "cli/text.h"
#include "client_messages.h"  // of the SDK: reads a status and its details

namespace nexus::cli {
namespace {

int exit_code_of(FailureKind kind, grpc::StatusCode code) {
    switch (kind) {
        case FailureKind::invalid: return kExitUsage;
        case FailureKind::not_found: return kExitNotFound;
        case FailureKind::conflict:
        case FailureKind::failed_state:
        case FailureKind::exhausted:
        case FailureKind::denied: return kExitRefused;
        default: break;
    }
    switch (code) {
        case grpc::StatusCode::ABORTED: return kExitRefused;
        case grpc::StatusCode::UNAVAILABLE: return kExitUnavailable;
        case grpc::StatusCode::DEADLINE_EXCEEDED: return kExitTimedOut;
        default: return kExitFailure;
    }
}

// gRPC's own words for a failed connection are long; these are what a person needs of them.
std::string plain_reason(const std::string& message) {
    const auto has = [&](std::string_view part) { return message.find(part) != std::string::npos; };
    if (has("Connection refused")) return "connection refused";
    if (has("http1.x")) return "it answers in HTTP/1, not gRPC";
    if (has("DNS resolution failed") || has("Domain name not found")) return "the host name is not known";
    if (has("Socket closed") || has("Connection reset") || has("Broken pipe") || has("Endpoint read failed"))
        return "the connection broke";
    if (has("No route to host") || has("Network is unreachable")) return "no route to the host";
    return safe_text(message, 300);
}

std::string next_step(const nexus::Failure& failure, grpc::StatusCode code, std::string_view reason,
                      bool connection_in_tls) {
    const bool server_said_so = !failure.reason.empty();
    if (code == grpc::StatusCode::UNAVAILABLE && !server_said_so) {
        if (connection_in_tls)
            return "does the server speak TLS there, and does --tls-ca name who signed its certificate?";
        if (reason.starts_with("the connection broke"))
            return "is it a server that speaks TLS? try --tls or --tls-ca FILE";
        if (reason.starts_with("it answers in HTTP/1"))
            return "is that the port of the page? gRPC listens on 7070 by default";
        return "is `nexus serve` running? try `nexus dev`, or name another server with --server or NEXUS_SERVER";
    }
    if (code == grpc::StatusCode::DEADLINE_EXCEEDED) return "give it longer with --timeout, or see `nexus doctor`";
    if (code == grpc::StatusCode::UNAUTHENTICATED)
        return "give a token with --token-file FILE or NEXUS_TOKEN, or name a profile; see `nexus profile --help`";
    if (code == grpc::StatusCode::PERMISSION_DENIED) return "see `nexus whoami`";
    if (failure.kind == FailureKind::unsupported) return "the server is of another version; see `nexus version`";
    return failure.retry_after ? "try again in " + span_text(failure.retry_after->count()) : std::string();
}

}  // namespace

Failure failure_of(const grpc::Status& status, const std::string& doing, const Connection& connection,
                   bool interrupted) {
    const grpc::StatusCode code = status.error_code();
    if (code == grpc::StatusCode::CANCELLED && interrupted)
        return {.exit_code = kExitInterrupted, .what = doing + ": interrupted", .next = {}};
    const nexus::Failure failure = sdk::to_failure(status);
    const std::string reason = code == grpc::StatusCode::DEADLINE_EXCEEDED
                                   ? "no answer within " + duration_text(connection.timeout)
                                   : plain_reason(failure.message);
    return {.exit_code = exit_code_of(failure.kind, code),
            .what = fmt::format("{} on {}: {}", doing, connection.server, reason),
            .next = next_step(failure, code, reason, connection.tls.has_value()),
            .definite = !failure.reason.empty() && failure.kind != FailureKind::unknown};
}

}  // namespace nexus::cli
