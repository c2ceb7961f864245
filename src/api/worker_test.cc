#include "api/worker.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>

namespace nexus::api {
namespace {

constexpr const char* kTask = "0192f0c1-7b1a-7c3d-8e4f-0123456789ab";
constexpr const char* kAttempt = "11111111-2222-3333-4444-555555555555";

v1::Finished* add_finished(v1::WorkerMessage& message) {
    v1::Finished* finished = message.add_finished();
    finished->set_task_id(kTask);
    finished->set_attempt_id(kAttempt);
    finished->set_outcome(v1::OUTCOME_SUCCEEDED);
    return finished;
}

v1::Progress* add_progress(v1::WorkerMessage& message) {
    v1::Progress* progress = message.add_progress();
    progress->set_task_id(kTask);
    progress->set_attempt_id(kAttempt);
    return progress;
}

v1::Written* add_written(v1::WorkerMessage& message) {
    v1::Written* written = message.add_written();
    written->set_task_id(kTask);
    written->set_attempt_id(kAttempt);
    return written;
}

TEST_CASE("to_report refuses what cannot be, and names the field") {
    using M = v1::WorkerMessage;
    const double nan = std::nan("");
    const double inf = std::numeric_limits<double>::infinity();
    const struct {
        const char* name;
        std::function<void(M&)> change;
        const char* field;
    } rows[] = {
        {"P8 started without ids", [](M& m) { m.add_started(); }, "started[0].task_id"},
        {"P8 finished, attempt garbage", [](M& m) { add_finished(m)->set_attempt_id("x"); }, "finished[0].attempt_id"},
        {"P16 result limit + 1", [](M& m) { add_finished(m)->set_result(std::string((256 << 10) + 1, 'r')); },
         "finished[0].result"},
        {"P20 negative duration", [](M& m) { add_finished(m)->set_run_us(-1); }, "finished[0].run_us"},
        {"negative memory", [](M& m) { add_finished(m)->set_peak_memory_bytes(-1); }, "finished[0].peak_memory_bytes"},
        {"outcome unset", [](M& m) { add_finished(m)->set_outcome(v1::OUTCOME_UNSPECIFIED); }, "finished[0].outcome"},
        {"G6 outcome unknown", [](M& m) { add_finished(m)->set_outcome(static_cast<v1::Outcome>(77)); },
         "finished[0].outcome"},
        {"P18 progress negative", [](M& m) { add_progress(m)->set_fraction(-0.1); }, "progress[0].fraction"},
        {"P18 progress NaN", [=](M& m) { add_progress(m)->set_fraction(nan); }, "progress[0].fraction"},
        {"written without ids", [](M& m) { m.add_written(); }, "written[0].task_id"},
        {"written limit + 1", [](M& m) { add_written(m)->set_stderr(std::string((64 << 10) + 1, 'e')); },
         "written[0].stderr"},
        {"P6 capacity 0", [](M& m) { m.mutable_capacity()->set_slots(0); }, "capacity.slots"},
        {"P6 capacity 2^32-1", [](M& m) { m.mutable_capacity()->set_slots(UINT32_MAX); }, "capacity.slots"},
        {"P21 cpu NaN", [=](M& m) { m.mutable_heartbeat()->set_cpu_usage(nan); }, "heartbeat.cpu_usage"},
        {"P21 memory inf", [=](M& m) { m.mutable_heartbeat()->set_memory_usage(inf); }, "heartbeat.memory_usage"},
        {"P21 cpu negative", [](M& m) { m.mutable_heartbeat()->set_cpu_usage(-1); }, "heartbeat.cpu_usage"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        M message;
        row.change(message);
        const auto report = to_report(message);
        REQUIRE_FALSE(report);
        CHECK_EQ(report.error().fault, Fault::invalid);
        CHECK_MESSAGE(report.error().what.starts_with(std::string(row.field) + ": "), report.error().what);
    }
}

TEST_CASE("to_report clamps and cuts what is merely too much") {
    v1::WorkerMessage message;
    add_progress(message)->set_fraction(2.5);
    message.mutable_heartbeat()->set_cpu_usage(100);
    add_finished(message)->set_error(std::string(4095, 'e') + "\xC3\xA9");  // the last character crosses the limit
    const auto report = to_report(message);
    REQUIRE(report);
    CHECK_EQ(report->progress[0].fraction, 1.0);
    CHECK_EQ(report->load->cpu_usage, 1.0);
    CHECK_EQ(report->finished[0].error, std::string(4095, 'e'));
}

TEST_CASE("to_report bounds the number of reports") {
    v1::WorkerMessage message;
    for (int i = 0; i < 3; ++i) add_finished(message);
    CHECK_EQ(to_report(message, {.reports_max = 2}).error().what, "finished: too many");
    CHECK(to_report(message, {.reports_max = 3}));
}

TEST_CASE("to_report carries every field") {
    v1::WorkerMessage message;
    v1::Finished* finished = add_finished(message);
    finished->set_outcome(v1::OUTCOME_FAILED);
    finished->set_result("r");
    finished->set_error("e");
    finished->set_not_retryable(true);
    finished->set_run_us(5);
    finished->set_peak_memory_bytes(6);
    message.mutable_capacity()->set_slots(7);
    message.mutable_capacity()->set_draining(true);
    message.set_goodbye(true);
    const auto report = to_report(message);
    REQUIRE(report);
    REQUIRE_EQ(report->finished.size(), 1);
    const engine::AttemptReport& got = report->finished[0];
    CHECK_EQ(to_text(got.task), kTask);
    CHECK_EQ(to_text(got.attempt), kAttempt);
    CHECK_EQ(got.outcome, core::AttemptOutcome::failed);
    CHECK_FALSE(got.retryable);
    CHECK_EQ(got.run.us, 5);
    CHECK_EQ(got.peak_memory_bytes, 6);
    CHECK_EQ(got.result, "r");
    CHECK_EQ(got.error, "e");
    CHECK_EQ(report->capacity->slots, 7);
    CHECK(report->capacity->draining);
    CHECK(report->goodbye);
    CHECK_FALSE(report->load);
}

TEST_CASE("to_hello sorts, and refuses what cannot be") {
    v1::Hello hello;
    hello.set_worker("w");
    hello.set_slots(2);
    hello.add_types("b");
    hello.add_types("a");
    hello.add_types("b");
    (*hello.mutable_labels())["z"] = "1";
    (*hello.mutable_labels())["a"] = "2";
    v1::HeldAttempt* held = hello.add_held();
    held->set_task_id(kTask);
    held->set_attempt_id(kAttempt);
    v1::Hello copy = hello;
    const auto good = to_hello(copy);
    REQUIRE(good);
    CHECK_EQ(good->joined.types, std::vector<std::string>{"a", "b"});
    CHECK_EQ(good->joined.labels, core::Labels{{"a", "2"}, {"z", "1"}});
    CHECK_EQ(good->joined.held.size(), 1);
    CHECK_EQ(good->joined.offered.cpu_milli, -1);

    copy = hello;
    copy.set_slots(0);
    CHECK_EQ(to_hello(copy).error().what, "hello.slots: not in 1..4096");
    copy = hello;
    copy.set_slots(4097);
    CHECK_EQ(to_hello(copy).error().what, "hello.slots: not in 1..4096");
    copy = hello;
    copy.mutable_held(0)->set_task_id("?");
    CHECK_EQ(to_hello(copy).error().what, "hello.held[0].task_id: not an id");
    copy = hello;
    CHECK_EQ(to_hello(copy, {.held_max = 0}).error().what, "hello.held: too many");
}

TEST_CASE("add_orders merges") {
    const TaskId task = *parse_id<TaskId>(kTask);
    const AttemptId attempt = *parse_id<AttemptId>(kAttempt);
    engine::WorkerOrders first;
    first.welcome = core::WelcomeWorker{.session = {7}, .keep = {attempt}};
    first.lease = seconds(5);
    engine::WorkerOrders second;
    engine::TaskBody body{.payload = "p", .metadata = {{"m", "v"}}};
    second.assign.push_back({.order = {.task = task, .attempt = attempt, .number = 2, .deadline = {1'500}},
                             .type = "t",
                             .body = std::make_shared<const engine::TaskBody>(body)});
    second.answers.push_back({.attempt = attempt, .accepted = false});
    second.revoke.push_back({.task = task, .attempt = attempt, .reason = core::RevokeReason::preempted});
    v1::ServerMessage message;
    add_orders(first, "1.0", {1'000}, message);
    add_orders(second, "1.0", {1'000}, message);
    CHECK_EQ(message.welcome().session(), 7);
    CHECK_EQ(message.welcome().keep(0), kAttempt);
    CHECK_EQ(message.welcome().lease_us(), 5'000'000);
    REQUIRE_EQ(message.assign_size(), 1);
    CHECK_EQ(message.assign(0).payload(), "p");
    CHECK_EQ(message.assign(0).metadata().at("m"), "v");
    CHECK_EQ(message.assign(0).deadline_in_us(), 500);
    CHECK_EQ(message.finished_acks(0).reason(), "stale_attempt");
    CHECK_EQ(message.revoke(0).reason(), v1::REVOKE_REASON_PREEMPTED);
    CHECK_FALSE(message.has_drain());
}

TEST_CASE("a look and its answer, and the resources of an assignment, keep all they say") {
    const auto task = *parse_id<TaskId>(kTask);
    const auto attempt = *parse_id<AttemptId>(kAttempt);
    engine::WorkerOrders orders;
    orders.looks.push_back({.task = task, .attempt = attempt, .number = 7, .out_from = 8, .err_from = 9});
    v1::ServerMessage message;
    add_orders(orders, "1", {}, message);
    REQUIRE_EQ(message.look_size(), 1);
    CHECK_EQ(message.look(0).task_id(), kTask);
    CHECK_EQ(message.look(0).attempt_id(), kAttempt);
    CHECK_EQ(message.look(0).number(), 7);
    CHECK_EQ(message.look(0).stdout_from(), 8);
    CHECK_EQ(message.look(0).stderr_from(), 9);

    v1::WorkerMessage answer;
    v1::Written* written = add_written(answer);
    written->set_number(7);
    written->set_stdout("out");
    written->set_stderr(std::string(64 << 10, 'e'));
    written->set_stdout_from(100);
    written->set_stderr_from(200);
    written->set_running(true);
    const auto report = to_report(answer);
    REQUIRE(report.has_value());
    REQUIRE_EQ(report->written.size(), 1);
    const engine::OutputPart& part = report->written[0];
    CHECK_EQ(part.task, task);
    CHECK_EQ(part.attempt, attempt);
    CHECK_EQ(part.number, 7);
    CHECK_EQ(part.out, "out");
    CHECK_EQ(part.err.size(), 64 << 10);
    CHECK_EQ(part.out_from, 100);
    CHECK_EQ(part.err_from, 200);
    CHECK(part.running);

    engine::Assignment assignment;
    v1::Assign plain, asked;
    to_message(assignment, {}, plain);
    CHECK_FALSE(plain.has_resources());
    assignment.resources = {.cpu_milli = 500, .memory_bytes = 1 << 20};
    to_message(assignment, {}, asked);
    CHECK_EQ(asked.resources().cpu_milli(), 500);
    CHECK_EQ(asked.resources().memory_bytes(), 1 << 20);
}

}  // namespace
}  // namespace nexus::api
