#include "cli/submit_stream.h"

#include "cli/call_failure.h"

namespace nexus::cli {

Answer<void> SubmitStream::finish() {
    const grpc::Status status = stream_->Finish();
    if (status.ok()) return {};
    return std::unexpected(failure_of(status, "submit", connection_, interrupt_.raised()));
}

}  // namespace nexus::cli
