#pragma once
// What a Fault is called at each face of the server: one table for gRPC, HTTP, the command line and the error details.
//
// An Error that blames one field says so at its start: "tasks[3].payload: longer than 262144 bytes". field_of() finds
// it; it becomes BadRequest.field_violations and the `field` of a problem document.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace google::rpc {
class Status;
}

namespace nexus::api {

struct FaultRow {
    Fault fault;
    const char* reason;  // ErrorInfo.reason, domain "nexus"
    std::uint8_t grpc;   // grpc::StatusCode
    std::uint16_t http;
    std::uint8_t exit;     // of the command line
    std::uint8_t retry_s;  // advised wait; 0 = retrying does not help
};

const FaultRow& row_of(Fault fault);
// When to try again; 0 = trying again does not help.
Duration retry_after(const Error& error);

// Of any gRPC code, those that have no Fault included. Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 refused or
// conflict, 5 unavailable, 124 timed out.
std::uint16_t http_of_grpc(int code);
int exit_of_grpc(int code);
std::string_view name_of_grpc(int code);  // "NOT_FOUND"; "UNKNOWN" when there is no such code

// Empty when the error blames no field.
std::string_view field_of(const Error& error);

// The error with `prefix` before the field that it begins with, unless it has it already or begins with no field.
Error with_prefix(Error error, std::string_view prefix);

// Of a worker's hello: the Fault::failed_state of Engine::connect. It may try again; no other failed_state may.
inline constexpr const char* kNameInUse = "NAME_IN_USE";

// `reason` stands for that of the fault's row, where one is told more exactly.
google::rpc::Status to_status(const Error& error, const char* reason = nullptr);

}  // namespace nexus::api
