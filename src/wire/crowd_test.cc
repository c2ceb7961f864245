// Clients that do not read, do not answer, or come in crowds: each costs the server no more than its limits say, and
// the others do not notice.
#include <ifaddrs.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "wire/live_server_test.h"

namespace nexus::wire {
namespace {

// True when it holds before the time is up.
template <class Condition>
bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
}

v1::SubmitBatchResponse submit(Live& live, const std::string& type, int count, std::size_t payload_bytes) {
    v1::SubmitBatchRequest batch;
    for (int i = 0; i < count; ++i) {
        v1::TaskSpec& task = *batch.add_tasks();
        task.set_type(type);
        task.set_payload(std::string(payload_bytes, 'x'));
    }
    grpc::ClientContext call;
    v1::SubmitBatchResponse made;
    const auto status = live.tasks->SubmitBatch(&call, batch, &made);
    CAPTURE(status.error_message());
    REQUIRE(status.ok());
    return made;
}

TEST_CASE("T19: a worker that never reads is cut, and its tasks go to one that does") {
    Live live({.worker_buffer_bytes_max = 256 << 10, .worker_stall_max = seconds(1)});
    grpc::ClientContext deaf_call;
    const auto deaf_channel = live.connect();
    const auto deaf_stub = v1::WorkerService::NewStub(deaf_channel);
    const auto deaf = deaf_stub->Connect(&deaf_call);
    REQUIRE(deaf->Write(hello_of("deaf", 64)));
    REQUIRE(comes_true([&] { return live.server->counts().worker_streams_open == 1; }));
    for (int i = 0; i < 4; ++i) submit(live, "big", 8, 200 << 10);
    CHECK(comes_true([&] { return live.server->counts().worker_streams_cut == 1; }));
    CHECK(comes_true([&] { return live.server->counts().worker_streams_open == 0; }));

    grpc::ClientContext call;
    const auto reader = live.workers->Connect(&call);
    REQUIRE(reader->Write(hello_of("reader", 64)));
    int assigned = 0;
    v1::ServerMessage message;
    while (assigned < 32 && reader->Read(&message)) assigned += message.assign_size();
    CHECK_EQ(assigned, 32);
    call.TryCancel();
    deaf_call.TryCancel();
    (void)reader->Finish();
    (void)deaf->Finish();
}

TEST_CASE("field L: a watcher that reads too slowly is told so when it reads again, and the tasks go on") {
    Live live({.watch_tasks_max = 64, .watch_stall_max = seconds(60)});
    grpc::ClientContext watch_call;
    v1::WatchTasksRequest everything;
    everything.set_type("watched");
    const auto watch = live.tasks->Watch(&watch_call, everything);
    REQUIRE(comes_true([&] { return live.server->counts().watches_open == 1; }));
    for (int round = 0; round < 40 && live.server->counts().watches_cut == 0; ++round) submit(live, "watched", 200, 10);
    REQUIRE_EQ(live.server->counts().watches_cut, 1);
    v1::TaskEvent event;
    while (watch->Read(&event)) {
    }
    const grpc::Status status = watch->Finish();
    CHECK_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK_NE(status.error_message().find("watch again"), std::string::npos);
    CHECK_FALSE(status.error_details().empty());
    CHECK(live.answers());
}

TEST_CASE("field L: a watcher that reads nothing at all is cut") {
    Live live({.watch_tasks_max = 1'000'000,
               .watch_bytes_max = 1 << 30,
               .watches_bytes_max = 1 << 30,
               .watch_stall_max = seconds(1)});
    grpc::ClientContext watch_call;
    v1::WatchTasksRequest everything;
    everything.set_type("watched");
    const auto watch = live.tasks->Watch(&watch_call, everything);
    REQUIRE(comes_true([&] { return live.server->counts().watches_open == 1; }));
    // More than the window of the connection can grow to.
    for (int round = 0; round < 400 && live.server->counts().watches_cut == 0; ++round)
        submit(live, "watched", 500, 10);
    REQUIRE(comes_true([&] { return live.server->counts().watches_cut == 1; }));
    v1::TaskEvent event;
    while (watch->Read(&event)) {
    }
    CHECK_EQ(watch->Finish().error_code(), grpc::StatusCode::CANCELLED);
    CHECK(live.answers());
}

TEST_CASE("field L: 1,500 named tasks and a batch of 1,000 cut no watcher; of each task the newest state comes") {
    Live live;
    v1::WatchTasksRequest named;
    for (int i = 0; i < 2; ++i) {
        const auto made = submit(live, "watched", 1000, 10);
        for (const auto& one : made.results()) named.add_ids(one.id());
    }
    // Nothing is read until all of them have been cancelled, and little fits on the way.
    grpc::ChannelArguments narrow;
    narrow.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    narrow.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    narrow.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
    const auto slow = v1::TaskService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(live.server->port()), grpc::InsecureChannelCredentials(), narrow));
    grpc::ClientContext call;
    const auto watch = slow->Watch(&call, named);
    for (const std::string& id : named.ids()) {
        grpc::ClientContext cancelling;
        v1::CancelTaskRequest cancel;
        cancel.set_id(id);
        v1::Task cancelled;
        REQUIRE(live.tasks->Cancel(&cancelling, cancel, &cancelled).ok());
    }
    std::set<std::string> ended;
    v1::TaskEvent event;
    while (watch->Read(&event))
        if (event.task().state() == v1::TASK_STATE_CANCELLED) ended.insert(event.task().id());
    const grpc::Status status = watch->Finish();
    CHECK_MESSAGE(status.ok(), status.error_message());
    CHECK_EQ(ended.size(), 2000);
}

TEST_CASE("field L: a watch of a task that nobody knows ends, and says which") {
    Live live;
    v1::WatchTasksRequest request;
    request.add_ids(submit(live, "watched", 1, 10).results(0).id());
    request.add_ids(kNoTask);
    grpc::ClientContext call;
    const auto watch = live.tasks->Watch(&call, request);
    v1::TaskEvent event;
    while (watch->Read(&event)) {
    }
    const grpc::Status status = watch->Finish();
    CHECK_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    CHECK_NE(status.error_message().find(kNoTask), std::string::npos);
}

TEST_CASE("field L: large metadata is taken, too large is its call's own loss: no neighbour pays") {
    Live live;
    const auto one = v1::TaskService::NewStub(live.connect());
    const auto call_with = [&](std::size_t bytes, v1::SubmitResponse& made) {
        grpc::ClientContext call;
        if (bytes > 0) call.AddMetadata("x-large", std::string(bytes, 'm'));
        return one->Submit(&call, submit_of("t"), &made);
    };
    v1::SubmitResponse made;
    CHECK(call_with(7'900, made).ok());
    CHECK(call_with(40'000, made).ok());
    std::atomic<int> bare = 0, fine = 0, large = 0;
    std::vector<std::thread> neighbours;
    std::atomic<bool> over = false;
    for (int i = 0; i < 4; ++i)
        neighbours.emplace_back([&] {
            while (!over) {
                v1::SubmitResponse mine;
                const grpc::Status status = call_with(0, mine);
                if (status.ok())
                    ++fine;
                else
                    ++bare;
            }
        });
    for (int i = 0; i < 20; ++i) {
        v1::SubmitResponse mine;
        const grpc::Status status = call_with(100'000, mine);
        const bool ours =
            status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && !status.error_details().empty();
        large += ours ? 1 : 0;
    }
    over = true;
    for (auto& neighbour : neighbours) neighbour.join();
    CHECK_EQ(large.load(), 20);
    CHECK_GT(fine.load(), 0);
    CHECK_EQ(bare.load(), 0);
}

TEST_CASE("field L: the metadata of a stream has the limit of a call's") {
    Live live;
    // The status of one stream of each kind, opened with so much of it.
    const auto statuses = [&live](std::size_t bytes) {
        const auto large = [bytes](grpc::ClientContext& call) { call.AddMetadata("x-large", std::string(bytes, 'm')); };
        std::vector<grpc::Status> all;
        grpc::ClientContext calls[4];
        for (grpc::ClientContext& call : calls) large(call);
        const auto worker = live.workers->Connect(&calls[0]);
        (void)worker->Write(hello_of("w"));
        (void)worker->WritesDone();
        v1::ServerMessage orders;
        while (worker->Read(&orders)) continue;
        all.push_back(worker->Finish());
        const auto submit = live.tasks->SubmitStream(&calls[1]);
        (void)submit->WritesDone();
        v1::SubmitBatchResponse made;
        while (submit->Read(&made)) continue;
        all.push_back(submit->Finish());
        v1::WatchTasksRequest nobody;
        nobody.add_ids(kNoTask);
        const auto watch = live.tasks->Watch(&calls[2], nobody);
        v1::TaskEvent event;
        while (watch->Read(&event)) continue;
        all.push_back(watch->Finish());
        v1::ReportCapacityResponse received;
        const auto capacity = live.workers->ReportCapacity(&calls[3], &received);
        (void)capacity->WritesDone();
        all.push_back(capacity->Finish());
        return all;
    };
    const std::vector<grpc::Status> taken = statuses(40'000);
    CHECK(taken[0].ok());
    CHECK(taken[1].ok());
    CHECK_EQ(taken[2].error_code(), grpc::StatusCode::NOT_FOUND);
    CHECK(taken[3].ok());
    for (const grpc::Status& status : statuses(100'000)) {
        CHECK_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
        CHECK_NE(status.error_message().find("metadata"), std::string::npos);
        CHECK_FALSE(status.error_details().empty());
    }
}

TEST_CASE("field L: a worker may merge what the manual says; a message that is too long is told by name") {
    Live live;
    submit(live, "big", 12, 10);
    grpc::ClientContext call;
    const auto stream = live.workers->Connect(&call);
    REQUIRE(stream->Write(hello_of("merger", 12)));
    v1::WorkerMessage merged;
    v1::ServerMessage message;
    while (merged.finished_size() < 12 && stream->Read(&message))
        for (const v1::Assign& assign : message.assign()) {
            v1::Finished& finished = *merged.add_finished();
            finished.set_task_id(assign.task_id());
            finished.set_attempt_id(assign.attempt_id());
            finished.set_outcome(v1::OUTCOME_SUCCEEDED);
            finished.set_result(std::string(250 << 10, 'r'));
        }
    REQUIRE(stream->Write(merged));
    int accepted = 0;
    while (accepted < 12 && stream->Read(&message))
        for (const v1::FinishedAck& ack : message.finished_acks()) accepted += ack.accepted() ? 1 : 0;
    CHECK_EQ(accepted, 12);
    merged.add_finished()->set_result(std::string(250 << 10, 'r'));
    REQUIRE(stream->Write(merged));
    while (stream->Read(&message)) {
    }
    const grpc::Status status = stream->Finish();
    CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    CHECK_MESSAGE(status.error_message().starts_with("message: longer than 3145728 bytes"), status.error_message());
}

TEST_CASE("field L: a worker that comes back draining gets nothing") {
    Live live;
    submit(live, "work", 4, 10);
    grpc::ClientContext call;
    const auto stream = live.workers->Connect(&call);
    v1::WorkerMessage hello = hello_of("leaving", 4);
    hello.mutable_hello()->set_draining(true);
    REQUIRE(stream->Write(hello));
    v1::ServerMessage message;
    REQUIRE(stream->Read(&message));
    CHECK(message.has_welcome());
    CHECK_EQ(message.assign_size(), 0);
    v1::WorkerMessage back;
    back.mutable_capacity()->set_slots(4);
    REQUIRE(stream->Write(back));
    int assigned = 0;
    while (assigned < 4 && stream->Read(&message)) assigned += message.assign_size();
    CHECK_EQ(assigned, 4);
    call.TryCancel();
    (void)stream->Finish();
}

TEST_CASE("C12: a peer that answers no ping is cut off, one that does stays") {
    Live live;
    const int silent = socket_to(live.server->port());
    REQUIRE_GE(silent, 0);
    const std::string greeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9);
    REQUIRE_EQ(send(silent, greeting.data(), greeting.size(), MSG_NOSIGNAL), static_cast<ssize_t>(greeting.size()));
    std::string heard;
    const bool closed = comes_true([&] {
        pollfd readable{.fd = silent, .events = POLLIN, .revents = 0};
        if (poll(&readable, 1, 100) <= 0) return false;
        char bytes[4096];
        const ssize_t got = recv(silent, bytes, sizeof bytes, 0);
        if (got > 0) heard.append(bytes, static_cast<std::size_t>(got));
        return got <= 0;
    });
    CHECK(closed);
    CHECK_NE(heard.find(std::string("\0\0\x08\x06\0", 5)), std::string::npos);  // the ping
    close(silent);

    grpc::ClientContext call;
    const auto stream = live.workers->Connect(&call);
    REQUIRE(stream->Write(hello_of("answers")));
    v1::ServerMessage message;
    REQUIRE(stream->Read(&message));
    for (std::uint64_t beat = 1; beat <= 4; ++beat) {  // longer than the silent one lived
        v1::WorkerMessage alive;
        alive.mutable_heartbeat()->set_sequence(beat);
        REQUIRE(stream->Write(alive));
        REQUIRE(stream->Read(&message));
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    CHECK_EQ(live.server->counts().worker_streams_open, 1);
    call.TryCancel();
    (void)stream->Finish();
}

// An address of this machine that is not loopback; empty when there is none.
std::string own_address() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return {};
    std::string found;
    for (const ifaddrs* at = list; at != nullptr && found.empty(); at = at->ifa_next) {
        if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
        const auto& address = reinterpret_cast<const sockaddr_in&>(*at->ifa_addr).sin_addr;
        char text[INET_ADDRSTRLEN] = {};
        if (ntohl(address.s_addr) >> 24 != 127) found = inet_ntop(AF_INET, &address, text, sizeof text);
    }
    freeifaddrs(list);
    return found;
}

TEST_CASE("one address may have only so many connections, loopback any number") {
    constexpr std::uint32_t kPerAddress = 4;
    const std::string address = own_address();
    if (address.empty()) {
        MESSAGE("this machine has no address beside loopback: not tested");
        return;
    }
    Live live({.connections_per_ip_max = kPerAddress}, "0.0.0.0:0");
    std::vector<int> crowd;
    for (std::uint32_t i = 0; i < 3 * kPerAddress; ++i) {
        const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(live.server->port());
        REQUIRE_EQ(inet_pton(AF_INET, address.c_str(), &to.sin_addr), 1);
        REQUIRE_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
        crowd.push_back(socket);
    }
    CHECK(comes_true([&] { return live.server->counts().connections_refused == 2 * kPerAddress; }));
    CHECK_EQ(live.server->counts().connections_open, kPerAddress);
    CHECK(live.answers());  // by loopback
    for (const int socket : crowd) close(socket);
    CHECK(comes_true([&] { return live.server->counts().connections_open <= 2; }));
}

}  // namespace
}  // namespace nexus::wire
