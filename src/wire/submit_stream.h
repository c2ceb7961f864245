#pragma once
// One SubmitStream call: batches in, one answer per batch out, in the order of the batches.
//
// At most Limits::stream_batches_max batches are being stored or wait for the client to read their answers; then reading
// pauses, which is the client's back-pressure. When one answer is not read for Limits::submit_stall_max the call is
// cancelled, and at most Limits::submit_streams_max are open: a flood of clients that never read holds memory for so
// long, and so much, and no more. A batch that is refused ends the stream with its error after the answers before it were sent: batches
// behind it were not looked at, or their outcome is unknown to the client, who repeats them under their idempotency
// keys.
//
// The stream is owned by gRPC until OnDone and by the engine's callbacks under way; whoever is last frees it.

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class SubmitStream final : public grpc::ServerBidiReactor<v1::SubmitBatchRequest, v1::SubmitBatchResponse>,
                           public Stream,
                           public std::enable_shared_from_this<SubmitStream> {
public:
    static SubmitStream* begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call);
    SubmitStream(Context& context, const api::Method& method, grpc::CallbackServerContext* call, Caller caller)
        : context_(context), method_(method), call_(call), caller_(std::move(caller)) {}

    void OnReadDone(bool ok) override;
    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;
    void look_after(Clock::time_point now) override;
    void wind_up() override;
    const Caller* caller() const override { return &caller_; }
    void turn_out(const Error& error) override;

private:
    struct Slot {
        std::optional<Result<std::vector<engine::Submitted>>> result;  // none while it is being stored
    };

    void settle(std::uint64_t number, Result<std::vector<engine::Submitted>> result);
    // The two below are called with mutex_ held.
    void go_on();
    void end(const grpc::Status& status);

    Context& context_;
    const api::Method& method_;
    grpc::CallbackServerContext* const call_;  // valid until OnDone
    const Caller caller_;
    identity::Limits::Place place_;       // among its caller's streams
    std::shared_ptr<SubmitStream> self_;  // until OnDone
    v1::SubmitBatchRequest in_;           // touched by the read under way only
    v1::SubmitBatchResponse out_;         // touched by the write under way only

    std::mutex mutex_;  // guards all below
    std::deque<Slot> slots_;
    Clock::time_point write_began_;
    std::uint64_t first_ = 0;  // number of slots_.front()
    bool reading_ = false, writing_ = false, input_over_ = false, ended_ = false, stopping_ = false;
    bool cut_ = false;
};

}  // namespace nexus::wire
