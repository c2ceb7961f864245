#include "worker_stream.h"

#include <nexus/v1/nexus.grpc.pb.h>

#include "channel.h"
#include "client_messages.h"

namespace nexus::sdk {
namespace {

constexpr int kMessageKeptBytes = 64 << 10;
constexpr const char* kNameInUse = "NAME_IN_USE";  // ErrorInfo.reason

bool is_refusal(grpc::StatusCode code) {
    return code == grpc::StatusCode::INVALID_ARGUMENT || code == grpc::StatusCode::PERMISSION_DENIED ||
           code == grpc::StatusCode::UNAUTHENTICATED || code == grpc::StatusCode::UNIMPLEMENTED ||
           code == grpc::StatusCode::OUT_OF_RANGE;
}

class GrpcStream final : public WorkerStream, private grpc::ClientBidiReactor<v1::WorkerMessage, v1::ServerMessage> {
public:
    GrpcStream(std::shared_ptr<grpc::Channel> channel, const std::string& token, Callbacks callbacks)
        : callbacks_(std::move(callbacks)), stub_(v1::WorkerService::NewStub(channel)) {
        authorize(context_, token);
    }

    void open(std::shared_ptr<GrpcStream> self) {
        self_ = std::move(self);
        stub_->async()->Connect(&context_, this);
        AddHold();  // write() comes from outside of the reactions; without a hold the call could end beneath it
        StartRead(&incoming_);
        StartCall();
    }
    v1::WorkerMessage& message() override {
        // It is used again and again, since most of what its making costs is memory; but not that of large results.
        if (outgoing_.GetCachedSize() > kMessageKeptBytes) outgoing_ = {};
        return outgoing_;
    }
    void write() override { StartWrite(&outgoing_); }
    void half_close() override { StartWritesDone(); }
    void release() override { RemoveHold(); }
    void cancel() override {
        context_.TryCancel();
        RemoveHold();
    }

private:
    void OnReadDone(bool ok) override {
        if (!ok) return callbacks_.on_ended();
        callbacks_.on_message(std::move(incoming_));
        incoming_.Clear();
        StartRead(&incoming_);
    }
    void OnWriteDone(bool ok) override {
        if (ok) callbacks_.on_written();
    }
    void OnDone(const grpc::Status& status) override {
        // From here on the receiver may destroy this.
        const auto on_done = std::move(callbacks_.on_done);
        std::shared_ptr<WorkerStream> self = std::move(self_);
        on_done({.refused = is_refusal(status.error_code()),
                 .name_in_use = to_failure(status).reason == kNameInUse,
                 .text = status.error_message()},
                std::move(self));
    }

    Callbacks callbacks_;
    std::unique_ptr<v1::WorkerService::Stub> stub_;
    grpc::ClientContext context_;
    v1::ServerMessage incoming_;
    v1::WorkerMessage outgoing_;
    std::shared_ptr<GrpcStream> self_;  // while the call is open, so that gRPC may call us
};

}  // namespace

std::shared_ptr<WorkerStream> open_stream(const std::string& target, const std::optional<TlsFiles>& tls,
                                          const std::string& token, WorkerStream::Callbacks callbacks,
                                          std::string& failure) {
    auto channel = open_channel(target, tls, failure);
    if (!channel) return nullptr;
    auto stream = std::make_shared<GrpcStream>(std::move(channel), token, std::move(callbacks));
    stream->open(stream);
    return stream;
}

}  // namespace nexus::sdk
