// The client against a scripted server: lost answers, broken streams, refusals.

#include <doctest/doctest.h>

#include <map>

#include "nexus/client.h"
#include "scripted_server.h"

using namespace nexus;
using namespace nexus::sdk::test;

namespace {

grpc::Status refusal(grpc::StatusCode code, const std::string& reason, std::int64_t retry_after_us = 0) {
    return refusal_of(code, reason, "told by the script", retry_after_us);
}

// Stores tasks by idempotency key, as the real one; what it answers is scripted.
class TaskSide final : public v1::TaskService::Service {
public:
    struct Step {
        grpc::Status status = grpc::Status::OK;
        bool store = true;  // before answering, whatever the answer
    };

    grpc::Status Submit(grpc::ServerContext*, const v1::SubmitRequest* request, v1::SubmitResponse* response) override {
        const std::lock_guard lock(mutex);
        const Step step = next();
        keys.push_back(request->task().idempotency_key());
        if (step.store) *response = stored(request->task());
        return step.status;
    }
    grpc::Status SubmitStream(
        grpc::ServerContext*,
        grpc::ServerReaderWriter<v1::SubmitBatchResponse, v1::SubmitBatchRequest>* stream) override {
        for (v1::SubmitBatchRequest request; stream->Read(&request);) {
            const std::lock_guard lock(mutex);
            const Step step = next();
            batch_sizes.push_back(request.tasks_size());
            v1::SubmitBatchResponse response;
            if (step.store)
                for (const v1::TaskSpec& task : request.tasks()) *response.add_results() = stored(task);
            if (!step.status.ok()) return step.status;
            stream->Write(response);
        }
        return grpc::Status::OK;
    }
    grpc::Status Get(grpc::ServerContext*, const v1::GetTaskRequest* request, v1::Task* task) override {
        const std::lock_guard lock(mutex);
        const Step step = next();
        task->set_id(request->id());
        task->set_state(v1::TASK_STATE_SUCCEEDED);
        task->set_result(request->include_result() ? "result" : "");
        task->add_attempts()->set_worker("w1");
        return step.status;
    }
    grpc::Status Watch(grpc::ServerContext*, const v1::WatchTasksRequest* request,
                       grpc::ServerWriter<v1::TaskEvent>* writer) override {
        const std::lock_guard lock(mutex);
        ++watches;
        v1::TaskEvent event;
        event.mutable_task()->set_id(request->ids_size() > 0 ? request->ids(0) : "any");
        event.mutable_task()->set_state(v1::TASK_STATE_RUNNING);
        writer->Write(event);
        const Step step = next();
        if (!step.status.ok()) return step.status;
        event.mutable_task()->set_state(v1::TASK_STATE_SUCCEEDED);
        writer->Write(event);
        return step.status;
    }

    std::mutex mutex;         // guards all
    std::deque<Step> script;  // one step per request; then all is well
    std::map<std::string, std::string> by_key;
    std::vector<std::string> keys;
    std::vector<int> batch_sizes;
    int watches = 0;

private:
    Step next() {
        if (script.empty()) return {};
        const Step step = script.front();
        script.pop_front();
        return step;
    }
    v1::SubmitResponse stored(const v1::TaskSpec& task) {
        v1::SubmitResponse response;
        const auto [at, made] = by_key.emplace(task.idempotency_key(), "task " + task.payload());
        response.set_id(at->second);
        response.set_duplicate(!made);
        response.mutable_estimate()->set_p50_us(1000);
        response.mutable_eta()->set_finish_p90_unix_us(5);
        return response;
    }
};

struct Rig {
    TaskSide side;
    ServerOnPort server{side};
    Client client{server.target(),
                  {.call_timeout = kPatience,
                   .retry_first = std::chrono::milliseconds(1),
                   .retry_max = std::chrono::milliseconds(2)}};
};

const grpc::Status kUnavailable{grpc::StatusCode::UNAVAILABLE, "away"};
const grpc::Status kInternal{grpc::StatusCode::INTERNAL, "oops"};
const grpc::Status kAborted{grpc::StatusCode::ABORTED, "again"};

std::vector<Task> numbered(std::size_t count) {
    std::vector<Task> tasks(count);
    for (std::size_t i = 0; i < count; ++i) {
        tasks[i].type = "t";
        tasks[i].payload = std::to_string(i);
    }
    return tasks;
}

}  // namespace

TEST_CASE("submit tries again after unknown outcomes, with one key, and makes one task") {
    Rig rig;
    rig.side.script = {{kUnavailable, false}, {kInternal, true}, {kAborted, true}};
    const auto made = rig.client.submit({.type = "t", .payload = "p"});
    REQUIRE(made);
    CHECK_EQ(made->id, "task p");
    CHECK(made->duplicate);
    CHECK_EQ(made->estimate.p50, Micros(1000));
    CHECK_EQ(made->eta.finish_p90.time_since_epoch(), Micros(5));
    CHECK_EQ(rig.side.keys, std::vector<std::string>(4, rig.side.keys[0]));
    CHECK_EQ(rig.side.keys[0].size(), 36);
    CHECK_EQ(rig.side.by_key.size(), 1);
    REQUIRE(rig.client.submit({.type = "t", .payload = "q"}));
    CHECK_NE(rig.side.keys[4], rig.side.keys[0]);
    REQUIRE(rig.client.submit({.type = "t", .payload = "q", .idempotency_key = "mine"}));
    CHECK_EQ(rig.side.keys[5], "mine");
}

TEST_CASE("definite refusals come back at once, typed") {
    struct Row {
        grpc::StatusCode code;
        FailureKind kind;
    };
    const Row rows[] = {
        {grpc::StatusCode::INVALID_ARGUMENT, FailureKind::invalid},
        {grpc::StatusCode::OUT_OF_RANGE, FailureKind::invalid},
        {grpc::StatusCode::NOT_FOUND, FailureKind::not_found},
        {grpc::StatusCode::ALREADY_EXISTS, FailureKind::conflict},
        {grpc::StatusCode::FAILED_PRECONDITION, FailureKind::failed_state},
        {grpc::StatusCode::PERMISSION_DENIED, FailureKind::denied},
        {grpc::StatusCode::UNAUTHENTICATED, FailureKind::denied},
        {grpc::StatusCode::UNIMPLEMENTED, FailureKind::unsupported},
    };
    for (const Row& row : rows) {
        CAPTURE(static_cast<int>(row.code));
        Rig rig;
        rig.side.script = {{refusal(row.code, "BECAUSE"), false}};
        const auto made = rig.client.submit({.type = "t"});
        REQUIRE_FALSE(made);
        CHECK_EQ(made.error().kind, row.kind);
        CHECK_EQ(made.error().reason, "BECAUSE");
        CHECK_EQ(made.error().idempotency_key, rig.side.keys[0]);
        CHECK_EQ(rig.side.keys.size(), 1);
    }
}

TEST_CASE("field L: a status without our word is never definite: the same call is made again, with its key") {
    for (const grpc::StatusCode code :
         {grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::UNIMPLEMENTED, grpc::StatusCode::INVALID_ARGUMENT,
          grpc::StatusCode::NOT_FOUND, grpc::StatusCode::PERMISSION_DENIED, grpc::StatusCode::CANCELLED,
          grpc::StatusCode::INTERNAL, grpc::StatusCode::UNAVAILABLE}) {
        CAPTURE(static_cast<int>(code));
        google::rpc::Status foreign;  // a proxy may use the same details
        google::rpc::ErrorInfo info;
        info.set_reason("EXHAUSTED");
        info.set_domain("proxy.example");
        foreign.add_details()->PackFrom(info);
        Rig rig;
        rig.side.script = {{{code, "bare"}, false}, {{code, "foreign", foreign.SerializeAsString()}, false}};
        const auto made = rig.client.submit({.type = "t"});
        REQUIRE(made);
        REQUIRE_EQ(rig.side.keys.size(), 3);
        CHECK_EQ(rig.side.keys[0], rig.side.keys[1]);
        CHECK_EQ(rig.side.keys[0], rig.side.keys[2]);
        // And when there is no time to ask again, that is what the caller is told.
        Client hasty(rig.server.target(), {.call_timeout = std::chrono::microseconds(1)});
        rig.side.script = {{{code, "bare"}, false}};
        const auto unknown = hasty.submit({.type = "t", .idempotency_key = "k"});
        REQUIRE_FALSE(unknown);
        CHECK_EQ(unknown.error().kind, FailureKind::unknown);
        CHECK_EQ(unknown.error().idempotency_key, "k");
    }
}

TEST_CASE("a full server is asked again after the time it named") {
    Rig rig;
    rig.side.script = {{refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "EXHAUSTED", 2000), false}};
    CHECK(rig.client.submit({.type = "t"}).has_value());
    CHECK_EQ(rig.side.keys.size(), 2);
    // Not when its time is longer than ours.
    Client hasty(rig.server.target(), {.call_timeout = std::chrono::milliseconds(500)});
    rig.side.script = {{refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "EXHAUSTED", 900'000), false}};
    const auto made = hasty.submit({.type = "t"});
    REQUIRE_FALSE(made);
    CHECK_EQ(made.error().kind, FailureKind::exhausted);
    CHECK_EQ(made.error().retry_after, Micros(900'000));
}

TEST_CASE("a server that is not there: unknown outcome, with the key to ask again") {
    Rig rig;
    rig.server.stop();
    Client client(rig.server.target(), {.call_timeout = std::chrono::milliseconds(20)});
    CHECK_FALSE(client.ready(std::chrono::milliseconds(1)));
    const auto made = client.submit({.type = "t", .idempotency_key = "k"});
    REQUIRE_FALSE(made);
    CHECK_EQ(made.error().kind, FailureKind::unknown);
    CHECK_EQ(made.error().idempotency_key, "k");
    CHECK(made.error().message.starts_with(rig.server.target()));
}

TEST_CASE("submit_many cuts batches, keeps the order of answers, and tells its progress") {
    Rig rig;
    std::vector<std::size_t> told;
    const auto answers = rig.client.submit_many(
        numbered(25), {.batch = 10, .progress = [&](std::size_t answered) { told.push_back(answered); }});
    REQUIRE_EQ(answers.size(), 25);
    for (std::size_t i = 0; i < answers.size(); ++i) CHECK_EQ(answers[i]->id, "task " + std::to_string(i));
    CHECK_EQ(rig.side.batch_sizes, std::vector<int>{10, 10, 5});
    CHECK_EQ(told, std::vector<std::size_t>{10, 20, 25});
    CHECK(rig.client.submit_many({}).empty());
}

TEST_CASE("submit_many cuts batches by bytes too") {
    Rig rig;
    std::vector<Task> tasks = numbered(9);
    for (Task& task : tasks) task.payload.assign(200'000, 'a');
    for (const auto& answer : rig.client.submit_many(tasks)) CHECK(answer.has_value());
    CHECK_EQ(rig.side.batch_sizes, std::vector<int>{5, 4});
}

TEST_CASE("submit_many survives broken streams without storing anything twice") {
    Rig rig;
    rig.side.script = {{}, {kUnavailable, true}, {}, {kInternal, false}, {}, {kUnavailable, true}};
    const auto answers = rig.client.submit_many(numbered(50), {.batch = 10, .in_flight = 3});
    for (std::size_t i = 0; i < answers.size(); ++i) {
        REQUIRE(answers[i]);
        CHECK_EQ(answers[i]->id, "task " + std::to_string(i));
    }
    CHECK_EQ(rig.side.by_key.size(), 50);
}

TEST_CASE("a refused batch is answered as refused, the others are stored") {
    Rig rig;
    rig.side.script = {{}, {refusal(grpc::StatusCode::INVALID_ARGUMENT, "INVALID"), false}};
    const auto answers = rig.client.submit_many(numbered(30), {.batch = 10, .in_flight = 1});
    for (std::size_t i = 0; i < answers.size(); ++i) {
        CAPTURE(i);
        CHECK_EQ(answers[i].has_value(), i < 10 || i >= 20);
        if (!answers[i]) CHECK_EQ(answers[i].error().kind, FailureKind::invalid);
    }
    CHECK_EQ(rig.side.by_key.size(), 20);
}

TEST_CASE("wait watches through broken streams until the end, and brings the result") {
    Rig rig;
    rig.side.script = {{kUnavailable, false}};
    const auto task = rig.client.wait("id-1", kPatience);
    REQUIRE(task);
    CHECK(task->finished_well());
    CHECK_EQ(task->id, "id-1");
    CHECK_EQ(task->result, "result");
    CHECK_EQ(task->attempts.at(0).worker, "w1");
    CHECK_EQ(rig.side.watches, 2);
}

TEST_CASE("wait for what does not exist, or not long enough") {
    Rig rig;
    rig.side.script = {{refusal(grpc::StatusCode::NOT_FOUND, "NOT_FOUND"), false}};
    CHECK_EQ(rig.client.wait("none", kPatience).error().kind, FailureKind::not_found);
    rig.side.script = {100, {kUnavailable, false}};
    CHECK_EQ(rig.client.wait("slow", std::chrono::milliseconds(10)).error().kind, FailureKind::unknown);
}

TEST_CASE("watch tells changes until told enough") {
    Rig rig;
    std::vector<TaskState> seen;
    const auto done = rig.client.watch({.type = "t"}, kPatience, [&](const TaskView& task) {
        seen.push_back(task.state);
        return seen.size() < 3;
    });
    CHECK(done.has_value());
    CHECK_EQ(seen, std::vector<TaskState>{TaskState::running, TaskState::succeeded, TaskState::running});
}
