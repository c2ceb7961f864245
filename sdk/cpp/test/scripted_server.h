#pragma once
// A gRPC server inside the test that does exactly what the test says: it welcomes, assigns, loses acknowledgements,
// drops connections, and goes away and comes back on the same port.

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <nexus/v1/nexus.grpc.pb.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace nexus::sdk::test {

// How long a test waits for what must happen. Reached only by a test that fails.
constexpr auto kPatience = std::chrono::seconds(20);

// As the real one refuses: with a reason of ours in the details.
inline grpc::Status refusal_of(grpc::StatusCode code, const std::string& reason, const std::string& text,
                               std::int64_t retry_after_us = 0) {
    google::rpc::Status details;
    details.set_code(code);
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain("nexus");
    details.add_details()->PackFrom(info);
    if (retry_after_us > 0) {
        google::rpc::RetryInfo retry;
        retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(retry_after_us * 1000));
        details.add_details()->PackFrom(retry);
    }
    return {code, text, details.SerializeAsString()};
}

// One worker stream as the server sees it. All calls from the test's thread.
class Session {
public:
    using Stream = grpc::ServerReaderWriter<v1::ServerMessage, v1::WorkerMessage>;

    Session(grpc::ServerContext& context, Stream& stream) : context_(context), stream_(stream) {}

    const v1::Hello& hello() const { return hello_; }

    // Nothing once the stream has ended.
    void send(const v1::ServerMessage& message) {
        const std::lock_guard lock(write_);
        if (!over_) stream_.Write(message);
    }
    void welcome(std::vector<std::string> abandon = {}) {
        v1::ServerMessage message;
        message.mutable_welcome()->set_session(1);
        message.mutable_welcome()->set_lease_us(5'000'000);
        message.mutable_welcome()->set_heartbeat_us(1'000'000);
        for (const std::string& id : abandon) message.mutable_welcome()->add_abandon(id);
        send(message);
    }
    void assign(const std::string& id, const std::string& type = "t",
                const std::function<void(v1::Assign&)>& more = {}) {
        v1::ServerMessage message;
        v1::Assign& assign = *message.add_assign();
        assign.set_task_id("task-" + id);
        assign.set_attempt_id(id);
        assign.set_attempt(1);
        assign.set_type(type);
        if (more) more(assign);
        send(message);
    }
    void acknowledge(const std::string& id, bool accepted = true) {
        v1::ServerMessage message;
        message.add_finished_acks()->set_attempt_id(id);
        message.mutable_finished_acks(0)->set_accepted(accepted);
        send(message);
    }
    void revoke(const std::string& id, v1::RevokeReason reason) {
        v1::ServerMessage message;
        message.add_revoke()->set_attempt_id(id);
        message.mutable_revoke(0)->set_reason(reason);
        send(message);
    }
    // The connection breaks.
    void drop() {
        const std::lock_guard lock(write_);
        if (!over_) context_.TryCancel();
    }

    // True once what was heard so far satisfies `enough`.
    bool heard(const std::function<bool(const v1::WorkerMessage&)>& enough) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [&] { return enough(heard_); });
    }
    bool heard_started(const std::string& id) {
        return heard([&](const v1::WorkerMessage& all) {
            for (const auto& started : all.started())
                if (started.attempt_id() == id) return true;
            return false;
        });
    }
    // The first report of the attempt; waits for it.
    v1::Finished finished(const std::string& id) {
        v1::Finished found;
        heard([&](const v1::WorkerMessage& all) {
            for (const auto& finished : all.finished())
                if (finished.attempt_id() == id) return found = finished, true;
            return false;
        });
        return found;
    }
    std::size_t reports() {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(heard_.finished_size());
    }
    bool ended() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [&] { return ended_; });
    }

    // The server's thread of this stream.
    bool read_hello() {
        v1::WorkerMessage message;
        if (!stream_.Read(&message) || !message.has_hello()) return false;
        hello_ = message.hello();
        return true;
    }
    void read_on(bool acknowledge_heartbeats) {
        for (v1::WorkerMessage message; stream_.Read(&message);) {
            if (message.has_heartbeat() && acknowledge_heartbeats) {
                v1::ServerMessage ack;
                ack.mutable_heartbeat_ack()->set_sequence(message.heartbeat().sequence());
                send(ack);
            }
            const std::lock_guard lock(mutex_);
            heard_.MergeFrom(message);
            changed_.notify_all();
        }
        {
            const std::lock_guard lock(write_);  // gRPC takes the stream away next, also from beneath a write
            over_ = true;
        }
        const std::lock_guard lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }

private:
    grpc::ServerContext& context_;
    Stream& stream_;
    v1::Hello hello_;
    std::mutex write_;  // one write at a time, none when over
    bool over_ = false;
    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    v1::WorkerMessage heard_;
    bool ended_ = false;
};

class WorkerSide final : public v1::WorkerService::Service {
public:
    grpc::Status Connect(grpc::ServerContext* context, Session::Stream* stream) override {
        const auto session = std::make_shared<Session>(*context, *stream);
        if (!session->read_hello()) return grpc::Status::OK;
        {
            const std::lock_guard lock(mutex_);
            if (!refusal_.ok()) return refusal_;
            waiting_.push_back(session);
            changed_.notify_all();
        }
        session->read_on(acknowledge_heartbeats);
        return grpc::Status::OK;
    }
    // The next stream that said hello. Null when none comes.
    std::shared_ptr<Session> accept() {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, kPatience, [&] { return !waiting_.empty(); })) return nullptr;
        const auto session = waiting_.front();
        waiting_.pop_front();
        return session;
    }

    // What those who connect from now on are answered; OK: they are taken.
    void refuse(grpc::Status status) {
        const std::lock_guard lock(mutex_);
        refusal_ = std::move(status);
    }

    bool acknowledge_heartbeats = true;

private:
    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    grpc::Status refusal_ = grpc::Status::OK;
    std::deque<std::shared_ptr<Session>> waiting_;
};

// Serves `service` on one port, from start() to stop(), as often as wanted.
class ServerOnPort {
public:
    explicit ServerOnPort(grpc::Service& service) : service_(service) { start(); }
    ~ServerOnPort() { stop(); }

    void start() {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(), &port_);
        builder.RegisterService(&service_);
        // As the real server: keepalive pings of once a second are welcome.
        builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
        builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
        server_ = builder.BuildAndStart();
    }
    void stop() {
        if (!server_) return;
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
        server_.reset();
    }
    std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

private:
    grpc::Service& service_;
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
};

}  // namespace nexus::sdk::test
