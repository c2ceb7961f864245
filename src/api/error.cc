#include "api/error.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <iterator>

#include "base/must.h"

namespace nexus::api {
namespace {

constexpr FaultRow kFaults[] = {
    {.fault = Fault::invalid, .reason = "INVALID", .grpc = 3, .http = 400, .exit = 2, .retry_s = 0},
    {.fault = Fault::not_found, .reason = "NOT_FOUND", .grpc = 5, .http = 404, .exit = 3, .retry_s = 0},
    {.fault = Fault::conflict, .reason = "CONFLICT", .grpc = 6, .http = 409, .exit = 4, .retry_s = 0},
    {.fault = Fault::failed_state, .reason = "FAILED_STATE", .grpc = 9, .http = 409, .exit = 4, .retry_s = 0},
    {.fault = Fault::exhausted, .reason = "EXHAUSTED", .grpc = 8, .http = 429, .exit = 4, .retry_s = 1},
    {.fault = Fault::unavailable, .reason = "UNAVAILABLE", .grpc = 14, .http = 503, .exit = 5, .retry_s = 1},
    {.fault = Fault::unreachable, .reason = "UNREACHABLE", .grpc = 14, .http = 503, .exit = 5, .retry_s = 1},
    {.fault = Fault::failed, .reason = "FAILED", .grpc = 13, .http = 500, .exit = 1, .retry_s = 0},
    {.fault = Fault::superseded, .reason = "SUPERSEDED", .grpc = 14, .http = 503, .exit = 5, .retry_s = 1},
    {.fault = Fault::denied, .reason = "DENIED", .grpc = 7, .http = 403, .exit = 4, .retry_s = 0},
    {.fault = Fault::corrupt, .reason = "CORRUPT", .grpc = 15, .http = 500, .exit = 1, .retry_s = 0},
    {.fault = Fault::no_space, .reason = "NO_SPACE", .grpc = 8, .http = 507, .exit = 4, .retry_s = 5},
    {.fault = Fault::unsupported, .reason = "UNSUPPORTED", .grpc = 12, .http = 501, .exit = 1, .retry_s = 0},
    {.fault = Fault::unauthenticated, .reason = "UNAUTHENTICATED", .grpc = 16, .http = 401, .exit = 4, .retry_s = 0},
};

struct CodeRow {
    const char* name;
    std::uint16_t http;
    std::uint8_t exit;
};

// By grpc::StatusCode, 0 to 16.
constexpr CodeRow kCodes[] = {
    {"OK", 200, 0},
    {"CANCELLED", 499, 1},
    {"UNKNOWN", 500, 1},
    {"INVALID_ARGUMENT", 400, 2},
    {"DEADLINE_EXCEEDED", 504, 124},
    {"NOT_FOUND", 404, 3},
    {"ALREADY_EXISTS", 409, 4},
    {"PERMISSION_DENIED", 403, 4},
    {"RESOURCE_EXHAUSTED", 429, 4},
    {"FAILED_PRECONDITION", 409, 4},
    {"ABORTED", 409, 4},
    {"OUT_OF_RANGE", 400, 2},
    {"UNIMPLEMENTED", 501, 1},
    {"INTERNAL", 500, 1},
    {"UNAVAILABLE", 503, 5},
    {"DATA_LOSS", 500, 1},
    {"UNAUTHENTICATED", 401, 4},
};

const CodeRow& code_row(int code) {
    const bool known = code >= 0 && code < static_cast<int>(std::size(kCodes));
    return kCodes[known ? code : 2];
}

bool is_field_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '[' || c == ']';
}

std::string_view first_field(std::string_view what) {
    std::size_t end = 0;
    while (end < what.size() && is_field_character(what[end])) ++end;
    const bool named = end > 0 && what.substr(end).starts_with(": ");
    return named ? what.substr(0, end) : std::string_view{};
}

}  // namespace

const FaultRow& row_of(Fault fault) {
    const auto index = static_cast<std::size_t>(fault);
    MUST(index < std::size(kFaults));
    MUST(kFaults[index].fault == fault);
    return kFaults[index];
}

Duration retry_after(const Error& error) {
    return error.retry_after.us > 0 ? error.retry_after : seconds(row_of(error.fault).retry_s);
}

std::uint16_t http_of_grpc(int code) {
    return code_row(code).http;
}
int exit_of_grpc(int code) {
    return code_row(code).exit;
}
std::string_view name_of_grpc(int code) {
    return code_row(code).name;
}

std::string_view field_of(const Error& error) {
    return error.fault == Fault::invalid ? first_field(error.what) : std::string_view{};
}

Error with_prefix(Error error, std::string_view prefix) {
    if (!first_field(error.what).empty() && !error.what.starts_with(prefix)) error.what.insert(0, prefix);
    return error;
}

google::rpc::Status to_status(const Error& error, const char* reason) {
    const FaultRow& row = row_of(error.fault);
    google::rpc::Status status;
    status.set_code(row.grpc);
    status.set_message(error.what);
    google::rpc::ErrorInfo info;
    info.set_reason(reason != nullptr ? reason : row.reason);
    info.set_domain("nexus");
    status.add_details()->PackFrom(info);
    if (const std::string_view field = field_of(error); !field.empty()) {
        google::rpc::BadRequest bad;
        auto* violation = bad.add_field_violations();
        violation->set_field(std::string(field));
        violation->set_description(error.what.substr(field.size() + 2));
        status.add_details()->PackFrom(bad);
    }
    if (const Duration wait = retry_after(error); wait.us > 0) {
        google::rpc::RetryInfo retry;
        retry.mutable_retry_delay()->set_seconds(wait.us / 1'000'000);
        retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(wait.us % 1'000'000 * 1000));
        status.add_details()->PackFrom(retry);
    }
    return status;
}

}  // namespace nexus::api
