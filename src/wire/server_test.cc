// The server over the real engine with stores in memory: what a client may do, and what it may not.
#include "wire/server.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <nexus/v1/nexus.grpc.pb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "wire/live_server_test.h"

namespace nexus::wire {
namespace {

std::string reason_of(const grpc::Status& status) {
    google::rpc::Status details;
    google::rpc::ErrorInfo info;
    if (!details.ParseFromString(status.error_details()) || details.details().empty()) return "";
    return details.details(0).UnpackTo(&info) ? info.reason() : "";
}

TEST_CASE("a task is submitted, runs on a worker stream, and is told as succeeded") {
    Live live;
    grpc::ClientContext call;
    const auto worker = live.workers->Connect(&call);
    REQUIRE(worker->Write(hello_of("w1")));
    v1::ServerMessage orders;
    REQUIRE(worker->Read(&orders));
    REQUIRE(orders.has_welcome());
    CHECK_NE(orders.welcome().session(), 0);
    CHECK_GT(orders.welcome().lease_us(), 0);

    v1::SubmitRequest request = submit_of("resize");
    request.mutable_task()->set_payload("pixels");
    (*request.mutable_task()->mutable_metadata())["who"] = "me";
    grpc::ClientContext submit;
    v1::SubmitResponse submitted;
    REQUIRE(live.tasks->Submit(&submit, request, &submitted).ok());
    CHECK_EQ(submitted.durability(), "disk");
    CHECK_FALSE(submitted.duplicate());

    REQUIRE(worker->Read(&orders));
    REQUIRE_EQ(orders.assign_size(), 1);
    const v1::Assign assign = orders.assign(0);
    CHECK_EQ(assign.task_id(), submitted.id());
    CHECK_EQ(assign.payload(), "pixels");
    CHECK_EQ(assign.metadata().at("who"), "me");

    v1::WorkerMessage facts;
    auto* started = facts.add_started();
    started->set_task_id(assign.task_id());
    started->set_attempt_id(assign.attempt_id());
    auto* finished = facts.add_finished();
    finished->set_task_id(assign.task_id());
    finished->set_attempt_id(assign.attempt_id());
    finished->set_outcome(v1::OUTCOME_SUCCEEDED);
    finished->set_result("small pixels");
    facts.mutable_heartbeat()->set_sequence(7);
    REQUIRE(worker->Write(facts));
    std::uint64_t beat = 0;
    std::string taken;
    while ((beat == 0 || taken.empty()) && worker->Read(&orders)) {
        if (orders.has_heartbeat_ack()) beat = orders.heartbeat_ack().sequence();
        if (orders.finished_acks_size() > 0 && orders.finished_acks(0).accepted())
            taken = orders.finished_acks(0).attempt_id();
    }
    CHECK_EQ(beat, 7);
    CHECK_EQ(taken, assign.attempt_id());

    v1::GetTaskRequest get;
    get.set_id(submitted.id());
    get.set_include_result(true);
    grpc::ClientContext getting;
    v1::Task task;
    REQUIRE(live.tasks->Get(&getting, get, &task).ok());
    CHECK_EQ(task.state(), v1::TASK_STATE_SUCCEEDED);
    CHECK_EQ(task.result(), "small pixels");

    v1::WorkerMessage bye;
    bye.set_goodbye(true);
    REQUIRE(worker->Write(bye));
    worker->WritesDone();
    while (worker->Read(&orders)) {
    }
    CHECK(worker->Finish().ok());
}

TEST_CASE("a submit stream answers batch after batch, in order") {
    Live live;
    grpc::ClientContext call;
    const auto stream = live.tasks->SubmitStream(&call);
    constexpr int kBatches = 40;
    for (int i = 1; i <= kBatches; ++i) {
        v1::SubmitBatchRequest batch;
        for (int k = 0; k < i; ++k) batch.add_tasks()->set_type("t");
        REQUIRE(stream->Write(batch));
    }
    stream->WritesDone();
    v1::SubmitBatchResponse answer;
    for (int i = 1; i <= kBatches; ++i) {
        REQUIRE(stream->Read(&answer));
        CHECK_EQ(answer.results_size(), i);
    }
    CHECK_FALSE(stream->Read(&answer));
    CHECK(stream->Finish().ok());
}

TEST_CASE("a refused batch ends its stream after the answers before it") {
    Live live;
    grpc::ClientContext call;
    const auto stream = live.tasks->SubmitStream(&call);
    v1::SubmitBatchRequest batch;
    batch.add_tasks()->set_type("t");
    REQUIRE(stream->Write(batch));
    batch.add_tasks();  // has no type
    REQUIRE(stream->Write(batch));
    v1::SubmitBatchResponse answer;
    REQUIRE(stream->Read(&answer));
    CHECK_EQ(answer.results_size(), 1);
    CHECK_FALSE(stream->Read(&answer));
    const grpc::Status status = stream->Finish();
    CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    CHECK_MESSAGE(status.error_message().starts_with("tasks[1]"), status.error_message());
}

TEST_CASE("submissions that can never work are refused by name of field, and nothing is stored") {
    Live live;
    const struct {
        const char* field;
        std::function<void(v1::TaskSpec&)> spoil;
    } rows[] = {
        {"type", [](auto& task) { task.clear_type(); }},
        {"type", [](auto& task) { task.set_type(std::string(129, 'a')); }},
        {"type", [](auto& task) { task.set_type("../../x"); }},
        {"type", [](auto& task) { task.set_type("a b"); }},
        {"tenant", [](auto& task) { task.set_tenant("a/b"); }},
        {"queue", [](auto& task) { task.set_queue(std::string("a\0b", 3)); }},
        {"priority", [](auto& task) { task.set_priority(10); }},
        {"payload", [](auto& task) { task.set_payload(std::string((256 << 10) + 1, 'x')); }},
        {"timeout_us", [](auto& task) { task.set_timeout_us(-1); }},
        {"run_at_unix_us", [](auto& task) { task.set_run_at_unix_us(-1); }},
        {"ttl_us", [](auto& task) { task.set_ttl_us(INT64_MIN); }},
        {"after", [](auto& task) { task.add_after("nonsense"); }},
        {"features", [](auto& task) { (*task.mutable_features())["x"] = std::nan(""); }},
        {"features", [](auto& task) { (*task.mutable_features())["x"] = INFINITY; }},
        {"rate_per_s", [](auto& task) { task.set_rate_key("k"), task.set_rate_per_s(-0.5); }},
        {"resources", [](auto& task) { task.mutable_resources()->set_cpu_milli(-1); }},
        {"idempotency_key", [](auto& task) { task.set_idempotency_key(std::string(257, 'k')); }},
    };
    for (const auto& row : rows) {
        CAPTURE(row.field);
        v1::SubmitRequest request = submit_of("t");
        row.spoil(*request.mutable_task());
        grpc::ClientContext call;
        v1::SubmitResponse response;
        const grpc::Status status = live.tasks->Submit(&call, request, &response);
        CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
        CHECK_MESSAGE(status.error_message().find(row.field) != std::string::npos, status.error_message());
        google::rpc::Status details;
        CHECK(details.ParseFromString(status.error_details()));
        CHECK_GE(details.details_size(), 1);
    }
    grpc::ClientContext call;
    v1::Status status;
    REQUIRE(live.admin->GetStatus(&call, {}, &status).ok());
    CHECK_EQ(status.submitted(), 0);
}

TEST_CASE("calls with bad arguments are refused with the right code") {
    Live live;
    const auto code_of = [](const grpc::Status& status) { return static_cast<int>(status.error_code()); };
    grpc::ClientContext calls[12];
    v1::Task task;
    v1::SubmitResponse submitted;
    v1::SubmitBatchResponse batch;
    v1::GetTaskRequest get;
    CHECK_EQ(code_of(live.tasks->Get(&calls[0], get, &task)), grpc::StatusCode::INVALID_ARGUMENT);
    get.set_id(kNoTask);
    CHECK_EQ(code_of(live.tasks->Get(&calls[1], get, &task)), grpc::StatusCode::NOT_FOUND);
    CHECK_EQ(code_of(live.tasks->Submit(&calls[2], {}, &submitted)), grpc::StatusCode::INVALID_ARGUMENT);
    CHECK_EQ(code_of(live.tasks->SubmitBatch(&calls[3], {}, &batch)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::SubmitBatchRequest many;
    for (int i = 0; i < 1001; ++i) many.add_tasks()->set_type("t");
    CHECK_EQ(code_of(live.tasks->SubmitBatch(&calls[4], many, &batch)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::SubmitBatchRequest huge;
    for (int i = 0; i < 9; ++i) {
        huge.add_tasks()->set_type("t");
        huge.mutable_tasks(i)->set_payload(std::string(256 << 10, 'x'));
    }
    CHECK_EQ(code_of(live.tasks->SubmitBatch(&calls[5], huge, &batch)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::ListTasksRequest list;
    v1::ListTasksResponse listed;
    list.set_page_size(1001);
    CHECK_EQ(code_of(live.tasks->List(&calls[6], list, &listed)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::SetPolicyRequest policy;
    v1::SchedulerConfig config;
    policy.set_policy("astrology");
    CHECK_EQ(code_of(live.admin->SetPolicy(&calls[7], policy, &config)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::SetConfigRequest set;
    set.set_etag("1x");
    CHECK_EQ(code_of(live.admin->SetConfig(&calls[8], set, &config)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::ControlWorkerRequest control;
    v1::Worker worker;
    control.set_name("nobody");
    CHECK_EQ(code_of(live.admin->ControlWorker(&calls[9], control, &worker)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::SetOverrideRequest override_request;
    v1::Override made;
    override_request.mutable_override()->set_kind("wish");
    CHECK_EQ(code_of(live.admin->SetOverride(&calls[10], override_request, &made)), grpc::StatusCode::INVALID_ARGUMENT);
    v1::CancelTaskRequest cancel;
    cancel.set_id(kNoTask);
    CHECK_EQ(code_of(live.tasks->Cancel(&calls[11], cancel, &task)), grpc::StatusCode::NOT_FOUND);
    CHECK_GE(live.server->counts().requests_malformed, 6);
}

TEST_CASE("a worker that breaks the protocol is told so and disconnected") {
    Live live;
    const auto with = [](const std::function<void(v1::WorkerMessage&)>& change) {
        v1::WorkerMessage message;
        change(message);
        return message;
    };
    const auto spoiled = [](const std::function<void(v1::Hello&)>& change) {
        v1::WorkerMessage message = hello_of("w");
        change(*message.mutable_hello());
        return message;
    };
    const auto finished = [&](const std::function<void(v1::Finished&)>& change) {
        return with([&](auto& message) {
            v1::Finished& report = *message.add_finished();
            report.set_task_id(kNoTask);
            report.set_attempt_id(kNoTask);
            report.set_outcome(v1::OUTCOME_SUCCEEDED);
            change(report);
        });
    };
    const v1::WorkerMessage beat = with([](auto& message) { message.mutable_heartbeat()->set_sequence(1); });
    const struct {
        const char* what;
        std::vector<v1::WorkerMessage> messages;
    } rows[] = {
        {"heartbeat before hello", {beat}},
        {"empty first message", {{}}},
        {"hello twice", {hello_of("w"), hello_of("w")}},
        {"no name", {hello_of("")}},
        {"long name", {hello_of(std::string(10'000, 'w'))}},
        {"path as name", {hello_of("../w")}},
        {"no slots", {hello_of("w", 0)}},
        {"too many slots", {hello_of("w", 4097)}},
        {"65 labels", {spoiled([](auto& hello) {
             for (int i = 0; i < 65; ++i) (*hello.mutable_labels())["l" + std::to_string(i)] = "x";
         })}},
        {"negative offer", {spoiled([](auto& hello) { hello.mutable_resources()->set_memory_bytes(-5); })}},
        {"held nonsense", {spoiled([](auto& hello) { hello.add_held()->set_task_id("x"); })}},
        {"capacity of none", {hello_of("w"), with([](auto& message) { message.mutable_capacity(); })}},
        {"load is no number",
         {hello_of("w"), with([](auto& message) { message.mutable_heartbeat()->set_cpu_usage(std::nan("")); })}},
        {"progress is infinite", {hello_of("w"), with([](auto& message) {
                                      message.add_progress()->set_task_id(kNoTask);
                                      message.mutable_progress(0)->set_attempt_id(kNoTask);
                                      message.mutable_progress(0)->set_fraction(INFINITY);
                                  })}},
        {"result too long",
         {hello_of("w"), finished([](auto& report) { report.set_result(std::string((256 << 10) + 1, 'r')); })}},
        {"negative run time", {hello_of("w"), finished([](auto& report) { report.set_run_us(-1); })}},
        {"unknown outcome",
         {hello_of("w"), finished([](auto& report) { report.set_outcome(static_cast<v1::Outcome>(77)); })}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        grpc::ClientContext call;
        const auto worker = live.workers->Connect(&call);
        for (const auto& message : row.messages) (void)worker->Write(message);
        v1::ServerMessage orders;
        while (worker->Read(&orders)) {
        }
        const grpc::Status status = worker->Finish();
        CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    }
    CHECK(live.answers());
}

TEST_CASE("field L: of two raw workers of one name that both obey reconnect one works and the other is told to wait") {
    Live live;
    grpc::ClientContext call;
    const auto first = live.workers->Connect(&call);
    REQUIRE(first->Write(hello_of("w", 1)));
    v1::ServerMessage orders;
    REQUIRE(first->Read(&orders));
    REQUIRE(orders.has_welcome());
    grpc::ClientContext submitting;
    v1::SubmitResponse made;
    REQUIRE(live.tasks->Submit(&submitting, submit_of("t"), &made).ok());
    while (orders.assign().empty()) {
        orders.Clear();
        REQUIRE(first->Read(&orders));
    }
    const v1::Assign given = orders.assign(0);
    for (std::uint64_t i = 1; i <= 20; ++i) {
        v1::WorkerMessage beat;
        beat.mutable_heartbeat()->set_sequence(i);
        REQUIRE(first->Write(beat));
        do {
            orders.Clear();
            REQUIRE(first->Read(&orders));
            CHECK_EQ(orders.reconnect(), "");
        } while (orders.heartbeat_ack().sequence() != i);
        grpc::ClientContext other;
        const auto second = live.workers->Connect(&other);
        v1::WorkerMessage hello = hello_of("w", 1);
        hello.mutable_hello()->set_instance(i % 2);  // the first did not say its own
        REQUIRE(second->Write(hello));
        v1::ServerMessage none;
        CHECK_FALSE(second->Read(&none));
        const grpc::Status status = second->Finish();
        CHECK_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
        CHECK_EQ(reason_of(status), "NAME_IN_USE");
    }
    v1::WorkerMessage report;
    v1::Finished& finished = *report.add_finished();
    finished.set_task_id(given.task_id());
    finished.set_attempt_id(given.attempt_id());
    finished.set_outcome(v1::OUTCOME_SUCCEEDED);
    REQUIRE(first->Write(report));
    do {
        orders.Clear();
        REQUIRE(first->Read(&orders));
    } while (orders.finished_acks().empty());
    CHECK(orders.finished_acks(0).accepted());
    grpc::ClientContext asking, listing;
    v1::GetTaskRequest get;
    get.set_id(given.task_id());
    v1::Task task;
    REQUIRE(live.tasks->Get(&asking, get, &task).ok());
    CHECK_EQ(task.state(), v1::TASK_STATE_SUCCEEDED);
    CHECK_EQ(task.attempts_size(), 1);
    v1::ListWorkersResponse fleet;
    REQUIRE(live.admin->ListWorkers(&listing, {}, &fleet).ok());
    REQUIRE_EQ(fleet.workers_size(), 1);
    CHECK_EQ(fleet.workers(0).rivals(), 20);
}

TEST_CASE("a report of an attempt that the worker does not have is answered, not taken") {
    Live live;
    grpc::ClientContext call;
    const auto worker = live.workers->Connect(&call);
    REQUIRE(worker->Write(hello_of("w")));
    v1::WorkerMessage facts;
    for (int i = 0; i < 2; ++i) {
        auto* finished = facts.add_finished();
        finished->set_task_id(kNoTask);
        finished->set_attempt_id(kNoTask);
        finished->set_outcome(v1::OUTCOME_SUCCEEDED);
    }
    REQUIRE(worker->Write(facts));
    int answers = 0;
    v1::ServerMessage orders;
    while (answers < 2 && worker->Read(&orders)) {
        for (const auto& ack : orders.finished_acks()) {
            CHECK_FALSE(ack.accepted());
            CHECK_EQ(ack.reason(), "stale_attempt");
            ++answers;
        }
    }
    CHECK_EQ(answers, 2);
}

TEST_CASE("a watch tells the end of its task and ends itself") {
    Live live;
    grpc::ClientContext submit;
    v1::SubmitResponse submitted;
    REQUIRE(live.tasks->Submit(&submit, submit_of("t"), &submitted).ok());
    grpc::ClientContext call;
    v1::WatchTasksRequest request;
    request.add_ids(submitted.id());
    const auto watch = live.tasks->Watch(&call, request);
    v1::TaskEvent event;
    REQUIRE(watch->Read(&event));
    CHECK_EQ(event.task().state(), v1::TASK_STATE_WAITING);
    grpc::ClientContext cancel;
    v1::CancelTaskRequest cancelling;
    cancelling.set_id(submitted.id());
    v1::Task task;
    REQUIRE(live.tasks->Cancel(&cancel, cancelling, &task).ok());
    while (watch->Read(&event)) {
    }
    CHECK_EQ(event.task().state(), v1::TASK_STATE_CANCELLED);
    CHECK(watch->Finish().ok());
}

TEST_CASE("old capacity reports are counted") {
    Live live;
    grpc::ClientContext call;
    v1::ReportCapacityResponse response;
    const auto stream = live.workers->ReportCapacity(&call, &response);
    v1::WorkerHeartbeat beat;
    beat.set_worker_id("w");
    beat.set_cpu_usage(0.5F);
    REQUIRE(stream->Write(beat));
    REQUIRE(stream->Write(beat));
    stream->WritesDone();
    CHECK(stream->Finish().ok());
    CHECK_EQ(response.received(), 2);
    CHECK_EQ(live.server->counts().legacy_reports, 2);
}

TEST_CASE("bytes that are not gRPC leave the server standing") {
    Live live;
    const std::string rows[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(64, '\xff'),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string(100'000, '\0'),
    };
    for (const std::string& bytes : rows) {
        const int socket = socket_to(live.server->port());
        REQUIRE_GE(socket, 0);
        (void)send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        shutdown(socket, SHUT_WR);
        char sink[4096];
        while (recv(socket, sink, sizeof sink, 0) > 0) {
        }
        close(socket);
    }
    CHECK(live.answers());
}

TEST_CASE("a message that is no protobuf and a method that is none are refused") {
    Live live;
    const struct {
        const char* method;
        std::string bytes;
        grpc::StatusCode code;
    } rows[] = {
        {"/nexus.v1.TaskService/Nothing", "", grpc::StatusCode::UNIMPLEMENTED},
        {"/nobody.Service/Submit", "", grpc::StatusCode::UNIMPLEMENTED},
        {"/nexus.v1.TaskService/Submit", std::string("\xff\xff\xff", 3), grpc::StatusCode::INVALID_ARGUMENT},
        {"/nexus.v1.TaskService/Submit", std::string("\x0a\x03\x0a\x01\xc3", 5), grpc::StatusCode::INVALID_ARGUMENT},
        {"/nexus.v1.TaskService/Submit", std::string(20'000, '\x0b'), grpc::StatusCode::INVALID_ARGUMENT},
    };
    for (const auto& row : rows) {
        CAPTURE(row.method);
        grpc::GenericStub stub(live.channel);
        grpc::CompletionQueue queue;
        grpc::ClientContext context;
        const grpc::Slice slice(row.bytes);
        const grpc::ByteBuffer request(&slice, 1);
        const auto call = stub.PrepareUnaryCall(&context, row.method, request, &queue);
        call->StartCall();
        grpc::ByteBuffer response;
        grpc::Status status;
        call->Finish(&response, &status, nullptr);
        void* tag = nullptr;
        bool ok = false;
        REQUIRE(queue.Next(&tag, &ok));
        CHECK_EQ(status.error_code(), row.code);
    }
    CHECK(live.answers());
}

TEST_CASE("the server outlives a flood of connections that takes its last descriptor") {
    Live live;
    REQUIRE(live.answers());
    rlimit whole{};
    REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &whole), 0);
    const int lowest_free = open("/dev/null", O_RDONLY);
    close(lowest_free);
    int told[2], release[2];
    REQUIRE_EQ(pipe2(told, O_CLOEXEC), 0);
    REQUIRE_EQ(pipe2(release, O_CLOEXEC), 0);
    const std::uint16_t port = live.server->port();
    rlimit tight = whole;
    tight.rlim_cur = static_cast<rlim_t>(lowest_free) + 24;
    REQUIRE_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    const pid_t child = fork();  // makes system calls only: the parent has threads
    if (child == 0) {
        setrlimit(RLIMIT_NOFILE, &whole);
        for (int i = 0; i < 160; ++i) (void)socket_to(port);
        char byte = 'x';
        (void)!write(told[1], &byte, 1);
        (void)!read(release[0], &byte, 1);
        _exit(0);
    }
    REQUIRE_GT(child, 0);
    char byte = 0;
    REQUIRE_EQ(read(told[0], &byte, 1), 1);
    while (live.server->counts().accept_errors == 0) std::this_thread::yield();
    REQUIRE_EQ(write(release[1], &byte, 1), 1);
    REQUIRE_EQ(waitpid(child, nullptr, 0), child);
    CHECK(live.answers());
    setrlimit(RLIMIT_NOFILE, &whole);
    for (const int end : {told[0], told[1], release[0], release[1]}) close(end);
}

TEST_CASE("field L: health is told of the server and of each service; an unknown one is not found") {
    Live live;
    const auto asked = [&live](const std::string& service) {
        grpc::GenericStub stub(live.channel);
        grpc::CompletionQueue queue;
        grpc::ClientContext context;
        std::string bytes;  // HealthCheckRequest { service = 1 }
        if (!service.empty()) bytes = std::string{'\x0a', static_cast<char>(service.size())} + service;
        const grpc::Slice slice(bytes);
        const grpc::ByteBuffer request(&slice, 1);
        const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
        call->StartCall();
        grpc::ByteBuffer response;
        grpc::Status status;
        call->Finish(&response, &status, nullptr);
        void* tag = nullptr;
        bool ok = false;
        REQUIRE(queue.Next(&tag, &ok));
        if (!status.ok()) return std::string(status.error_code() == grpc::StatusCode::NOT_FOUND ? "not found" : "?");
        grpc::Slice answer;
        REQUIRE(response.DumpToSingleSlice(&answer).ok());  // HealthCheckResponse { status = 1 }: 1 serving, 2 not
        return std::string(answer.size() == 2 && answer.begin()[1] == 1 ? "serving" : "not serving");
    };
    const char* const names[] = {"", "nexus.v1.TaskService", "nexus.v1.WorkerService", "nexus.v1.AdminService"};
    for (const bool ready : {true, false, true}) {
        live.server->set_ready(ready);
        for (const char* name : names) {
            CAPTURE(name);
            CHECK_EQ(asked(name), ready ? "serving" : "not serving");
        }
        CHECK_EQ(asked("nexus.v1.NoService"), "not found");
    }
}

TEST_CASE("a start that cannot work says why") {
    Live live;
    const struct {
        std::string address;
        Fault fault;
    } rows[] = {
        {"127.0.0.1:" + std::to_string(live.server->port()), Fault::conflict},
        {"nonsense", Fault::invalid},
        {"example.org:1", Fault::invalid},
        {"127.0.0.1:", Fault::invalid},
        {"127.0.0.1:x", Fault::invalid},
    };
    for (const auto& row : rows) {
        CAPTURE(row.address);
        const auto server = Server::start({.address = row.address}, *live.door);
        REQUIRE_FALSE(server.has_value());
        CHECK_EQ(server.error().fault, row.fault);
    }
}

TEST_CASE("a stop ends streams in good order") {
    Live live;
    grpc::ClientContext call;
    const auto worker = live.workers->Connect(&call);
    REQUIRE(worker->Write(hello_of("w")));
    v1::ServerMessage orders;
    REQUIRE(worker->Read(&orders));
    live.server->stop();
    std::string reconnect;
    while (worker->Read(&orders)) reconnect = orders.reconnect();
    CHECK_FALSE(reconnect.empty());
    CHECK_EQ(worker->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace nexus::wire
