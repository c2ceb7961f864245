#pragma once
// One Connect call: the worker's facts go to the engine, the engine's orders to the worker.
//
//   greeting   the first message must be the hello; nothing is read until the engine has given a session
//   open       facts are reported as they come; a heartbeat is acknowledged at once
//   closing    what is queued is written, then the call ends
//
// Orders that arrive while a write is under way are merged into few messages of about kMessageBytes, because a client
// takes 4 MiB at most. A worker is cut (the call is cancelled) when one write takes longer than
// Limits::worker_stall_max, or when more than Limits::worker_buffer_bytes_max is queued behind a write of more than a
// second.
//
// Owned by gRPC until OnDone and by the engine until disconnected(); whoever is last frees it.

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class WorkerStream final : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::ServerMessage>,
                           public Stream,
                           public engine::WorkerLink,
                           public std::enable_shared_from_this<WorkerStream> {
public:
    static WorkerStream* begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call);
    WorkerStream(Context& context, const api::Method& method, grpc::CallbackServerContext* call, Caller caller)
        : context_(context), method_(method), call_(call), caller_(std::move(caller)) {}

    void send(engine::WorkerOrders orders) override;
    void lost() override;

    void OnReadDone(bool ok) override;
    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;
    void look_after(Clock::time_point now) override;
    void wind_up() override;
    const Caller* caller() const override { return &caller_; }
    void turn_out(const Error& error) override;

private:
    struct Outgoing {
        std::unique_ptr<v1::ServerMessage> message;
        std::size_t bytes = 0;  // estimated
    };

    void greet();
    void connected(Result<SessionId> session);
    void report();
    void leave();  // tells the engine, once, that the stream is over
    void refuse(const Error& error, const char* reason = nullptr);
    // Those below are called with mutex_ held.
    v1::ServerMessage& room_for(std::size_t bytes);
    void read_on();
    void write_on();
    void close(const grpc::Status& status);  // after what is queued
    void cut();

    Context& context_;
    const api::Method& method_;
    grpc::CallbackServerContext* const call_;  // valid until OnDone
    const Caller caller_;
    std::shared_ptr<WorkerStream> self_;  // until OnDone
    v1::WorkerMessage in_;                // touched by the read under way only
    std::string name_;                    // set by the hello, before the session

    std::mutex mutex_;  // guards all below
    std::deque<Outgoing> queue_;
    Outgoing writing_;                          // message set = a write is under way
    std::unique_ptr<v1::ServerMessage> spare_;  // keeps the capacity of a written message
    std::size_t queued_bytes_ = 0;
    Clock::time_point write_began_;
    SessionId session_;
    grpc::Status status_;  // of the end, when closing_
    bool greeted_ = false, closing_ = false, ended_ = false, left_ = false, cut_ = false, lost_ = false;
};

}  // namespace nexus::wire
