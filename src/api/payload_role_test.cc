// Who may not read payloads sees nothing of what programs wrote: not in results, errors and notes, and no output.
#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "api/methods.h"

#include <nexus/v1/nexus.pb.h>

namespace nexus::api {
namespace {

constexpr const char* kSecret = "hunter2";
constexpr const char* kTask = "0192f0c1-7b1a-7c3d-8e4f-0123456789ab";
constexpr Roles kWithoutPayload = kAllRoles & ~static_cast<Roles>(Role::payload);

engine::TaskInfo told_task(core::TaskState state) {
    const std::string said = std::string("psql ended with exit code 2: password ") + kSecret;
    engine::TaskInfo info{.task = TaskId{1, 2}};
    info.state = state;
    info.error = state == core::TaskState::cancelled ? "cancelled: by the owner" : said;
    info.result = said;
    engine::AttemptInfo attempt{.number = 1, .worker = "w1"};
    attempt.outcome = "failed";
    attempt.error = said;
    attempt.progress_note = said;
    info.attempts.push_back(attempt);
    return info;
}

// An engine that answers everything with what a program wrote.
struct Talkative final : engine::Service {
    int asked_for_output = 0;
    core::TaskState state = core::TaskState::dead;
    void call(Caller, engine::Call call) override {
        if (auto* get = std::get_if<engine::Asked<engine::GetTask>>(&call)) return get->done(told_task(state));
        if (auto* cancel = std::get_if<engine::Asked<engine::CancelTask>>(&call)) return cancel->done(told_task(state));
        if (auto* list = std::get_if<engine::Asked<engine::ListTasks>>(&call))
            return list->done(engine::TaskPage{.tasks = {told_task(state), told_task(state)}, .next = {}});
        if (auto* why = std::get_if<engine::Asked<engine::ExplainTask>>(&call)) {
            engine::Explanation explanation;
            explanation.task = told_task(state);
            return why->done(std::move(explanation));
        }
        if (auto* output = std::get_if<engine::Asked<engine::ReadOutput>>(&call)) {
            ++asked_for_output;
            engine::OutputText text;
            text.out = text.err = text.result = kSecret;
            return output->done(std::move(text));
        }
        engine::refuse(call, {Fault::not_found, "not of this test"});
    }
    engine::WatchId watch(Caller, std::vector<TaskId>, engine::TaskFilter, engine::TaskWatcher) override { return 1; }
    void unwatch(engine::WatchId) override {}
    void connect(Caller, engine::WorkerHello, std::shared_ptr<engine::WorkerLink>, engine::Done<SessionId>) override {}
    void report(SessionId, engine::WorkerReport) override {}
    void disconnected(SessionId) override {}
    std::vector<engine::Check> checks() const override { return {}; }
};

struct Asked {
    Talkative engine;
    Door door{engine};

    // All that the caller is told: the answer's bytes, or the error's text.
    std::string told(const char* name, Roles roles, Fault* fault = nullptr) {
        const Method* method = find_method(name);
        REQUIRE(method != nullptr);
        const std::unique_ptr<Message> request(method->request().New()), response(method->response().New());
        if (const auto* id = request->GetDescriptor()->FindFieldByName("id"))
            request->GetReflection()->SetString(request.get(), id, kTask);
        std::optional<Result<void>> outcome;
        method->run(door, {.name = "someone", .tenant = {}, .roles = roles, .from = "here"}, *request, *response,
                    [&](Result<void> done) { outcome = std::move(done); });
        REQUIRE(outcome.has_value());
        if (*outcome) return response->SerializeAsString();
        if (fault != nullptr) *fault = outcome->error().fault;
        return outcome->error().what;
    }
};

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("a caller without Role::payload sees neither results nor what programs said in errors and notes") {
    Asked asked;
    for (const char* name : {"/nexus.v1.TaskService/Get", "/nexus.v1.TaskService/List", "/nexus.v1.TaskService/Explain",
                             "/nexus.v1.TaskService/Cancel"}) {
        CAPTURE(name);
        CHECK(has(asked.told(name, kAllRoles), kSecret));
        const std::string hidden = asked.told(name, kWithoutPayload);
        CHECK_FALSE(has(hidden, kSecret));
        CHECK(has(hidden, "(for those who may read payloads)"));
        CHECK(has(hidden, "w1"));
    }
    // What the server itself says stays.
    asked.engine.state = core::TaskState::cancelled;
    CHECK(has(asked.told("/nexus.v1.TaskService/Get", kWithoutPayload), "cancelled: by the owner"));
    CHECK_FALSE(has(asked.told("/nexus.v1.TaskService/Get", kWithoutPayload), kSecret));
}

TEST_CASE("output is refused to a caller without Role::payload, and no worker is asked for it") {
    Asked asked;
    Fault fault{};
    const std::string refused = asked.told("/nexus.v1.TaskService/ReadOutput", kWithoutPayload, &fault);
    CHECK_EQ(fault, Fault::denied);
    CHECK_FALSE(has(refused, kSecret));
    CHECK_EQ(asked.engine.asked_for_output, 0);
    CHECK(has(asked.told("/nexus.v1.TaskService/ReadOutput", kAllRoles), kSecret));
    for (const Method& method : methods())
        CHECK_MESSAGE(method.reads_payloads == (std::string_view(method.name) == "/nexus.v1.TaskService/ReadOutput"),
                      method.name);
}

}  // namespace
}  // namespace nexus::api
