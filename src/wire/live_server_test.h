#pragma once
// For the tests of this room: the server over the real engine with stores in memory, and a client's means.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <grpcpp/create_channel.h>
#include <netinet/in.h>
#include <nexus/v1/nexus.grpc.pb.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>

#include "api/methods.h"
#include "engine/runner.h"
#include "history/memory/memory_history.h"
#include "store/memory/memory_journal.h"
#include "wire/server.h"

namespace nexus::wire {

using WorkerCall = grpc::ClientReaderWriter<v1::WorkerMessage, v1::ServerMessage>;

inline constexpr const char* kNoTask = "00000000-0000-7000-8000-00000000000a";

struct Live {
    store::MemoryJournal journal;
    history::MemoryHistory history;
    std::unique_ptr<engine::Runner> engine;
    std::unique_ptr<api::Door> door;
    std::unique_ptr<Server> server;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::TaskService::Stub> tasks;
    std::unique_ptr<v1::WorkerService::Stub> workers;
    std::unique_ptr<v1::AdminService::Stub> admin;

    explicit Live(Limits limits = {}, const std::string& address = "127.0.0.1:0",
                  std::shared_ptr<identity::Guard> guard = {}) {
        engine::Options options;
        if (guard) options.publish_tokens = [guard](auto tokens) { guard->publish(std::move(tokens)); };
        auto started = engine::Runner::start(std::move(options), journal, history);
        REQUIRE(started.has_value());
        engine = std::move(*started);
        door = std::make_unique<api::Door>(*engine, "disk", guard);
        auto serving = Server::start({.address = address, .limits = limits}, *door);
        REQUIRE(serving.has_value());
        server = std::move(*serving);
        channel = connect();
        tasks = v1::TaskService::NewStub(channel);
        workers = v1::WorkerService::NewStub(channel);
        admin = v1::AdminService::NewStub(channel);
    }
    ~Live() {
        server->stop();
        engine->stop();
    }

    // A connection of its own.
    std::shared_ptr<grpc::Channel> connect() const {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        arguments.SetMaxSendMessageSize(-1);
        return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
    }
    bool answers() const {
        grpc::ClientContext call;
        call.set_wait_for_ready(true);
        call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        v1::Status status;
        const auto stub = v1::AdminService::NewStub(connect());
        return stub->GetStatus(&call, {}, &status).ok();
    }
};

inline v1::SubmitRequest submit_of(const std::string& type) {
    v1::SubmitRequest request;
    request.mutable_task()->set_type(type);
    return request;
}

inline v1::WorkerMessage hello_of(const std::string& name, std::uint32_t slots = 2) {
    v1::WorkerMessage message;
    message.mutable_hello()->set_worker(name);
    message.mutable_hello()->set_slots(slots);
    return message;
}

inline int socket_to(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket >= 0) (void)connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return socket;
}

}  // namespace nexus::wire
