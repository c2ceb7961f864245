#pragma once
// A call that the server refused or did not answer, as a person and a script need it. What the SDK reads from the status
// (its kind, the words of the server, when to try again) is the SDK's; the exit code and the next step are ours.

#include <grpcpp/support/status.h>

#include <string>

#include "cli/connection.h"
#include "cli/failure.h"

namespace nexus::cli {

// `doing` is what was asked ("get task 0190…"). `interrupted`: Ctrl-C was pressed, so that a cancelled call is its doing.
Failure failure_of(const grpc::Status& status, const std::string& doing, const Connection& connection,
                   bool interrupted);

}  // namespace nexus::cli
