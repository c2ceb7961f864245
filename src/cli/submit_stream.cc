#include "cli/submit_stream.h"

#include "channel.h"  // of the SDK
#include "cli/call_failure.h"

namespace nexus::cli {

std::unique_ptr<grpc::ClientReaderWriter<pb::SubmitBatchRequest, pb::SubmitBatchResponse>> SubmitStream::open(
    pb::TaskService::Stub& stub) {
    sdk::authorize(context_, connection_.token);
    return stub.SubmitStream(&context_);
}

Answer<void> SubmitStream::finish() {
    const grpc::Status status = stream_->Finish();
    if (status.ok()) return {};
    return std::unexpected(failure_of(status, "submit", connection_, interrupt_.raised()));
}

}  // namespace nexus::cli
