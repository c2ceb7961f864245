#pragma once
// Batches of tasks go out and their answers come back in the same order, on one stream.
//
// Threads: send() and receive() may be called from two threads.

#include <grpcpp/grpcpp.h>
#include <nexus/v1/nexus.grpc.pb.h>

#include <memory>

#include "cli/connection.h"
#include "cli/failure.h"
#include "cli/interrupt.h"

namespace nexus::cli {

namespace pb = ::nexus::v1;

class SubmitStream {
public:
    // All three must outlive it.
    SubmitStream(pb::TaskService::Stub& stub, const Connection& connection, Interrupt& interrupt)
        : connection_(connection), interrupt_(interrupt), stream_(open(stub)) {}

    // False: the stream is over, see finish().
    bool send(const pb::SubmitBatchRequest& batch) { return stream_->Write(batch); }
    bool receive(pb::SubmitBatchResponse& answers) { return stream_->Read(&answers); }
    void send_done() { stream_->WritesDone(); }
    Answer<void> finish();                   // once, after receive() gave false
    void cancel() { context_.TryCancel(); }  // from any thread

private:
    std::unique_ptr<grpc::ClientReaderWriter<pb::SubmitBatchRequest, pb::SubmitBatchResponse>> open(
        pb::TaskService::Stub& stub);

    const Connection& connection_;
    Interrupt& interrupt_;
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReaderWriter<pb::SubmitBatchRequest, pb::SubmitBatchResponse>> stream_;
};

}  // namespace nexus::cli
