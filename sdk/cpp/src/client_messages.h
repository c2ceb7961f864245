#pragma once
// Between the client's plain values and the messages of nexus.v1.

#include <grpcpp/support/status.h>
#include <nexus/v1/nexus.pb.h>

#include <string>

#include "nexus/client.h"

namespace nexus::sdk {

// `key` is sent as the idempotency key.
void fill(v1::TaskSpec& to, const Task& task, const std::string& key);
void fill(v1::ListTasksRequest& to, const TaskQuery& query);

Submitted to_submitted(v1::SubmitResponse&& response);
TaskView to_view(v1::Task&& task);
std::string to_text(const v1::Explanation& explanation);

// Of a status that is not OK; reads the google.rpc details. Only what the server itself says is definite: a status
// without its ErrorInfo comes from the library or a proxy on the way, which know nothing of what was stored.
Failure to_failure(const grpc::Status& status);

}  // namespace nexus::sdk
