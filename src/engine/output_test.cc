#include <doctest/doctest.h>

#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

struct Watched : World {
    std::vector<Result<OutputText>> answers;
    void look(TaskId task, std::uint32_t attempt = 0, std::uint64_t out_from = 0, std::uint64_t err_from = 0) {
        turn([&](Engine& e) {
            e.answer({}, ReadOutput{.task = task, .attempt = attempt, .out_from = out_from, .err_from = err_from},
                     [this](Result<OutputText> text) { answers.push_back(std::move(text)); });
        });
    }
    // The answer of what can be answered without a worker.
    Result<OutputText> looked(TaskId task, std::uint32_t attempt = 0) {
        const std::size_t before = answers.size();
        look(task, attempt);
        REQUIRE_EQ(answers.size(), before + 1);
        return answers.back();
    }
    void start(SessionId session, const Assignment& a) {
        WorkerReport begun;
        begun.started.emplace_back(a.order.task, a.order.attempt);
        turn([&](Engine& e) { e.report(session, std::move(begun)); });
    }
    void say(SessionId session, OutputPart part) {
        WorkerReport report;
        report.written.push_back(std::move(part));
        turn([&](Engine& e) { e.report(session, std::move(report)); });
    }
    Given started_task() {
        Given given = given_a_task();
        start(given.session, given.order);
        return given;
    }
    Result<TaskInfo> cancel(TaskId task) { return call(CancelTask{.task = task, .reason = "enough"}); }
};

std::vector<OutputLook> looks_of(const RecordingLink& link) {
    std::vector<OutputLook> all;
    for (const WorkerOrders& orders : link.told) all.insert(all.end(), orders.looks.begin(), orders.looks.end());
    return all;
}

OutputPart part_of(const OutputLook& look, std::string out, bool running = true) {
    return {.task = look.task,
            .attempt = look.attempt,
            .number = look.number,
            .out = std::move(out),
            .err = {},
            .out_from = look.out_from,
            .err_from = look.err_from,
            .running = running};
}

AttemptReport failed(std::string result) {
    AttemptReport report;
    report.outcome = core::AttemptOutcome::failed;
    report.result = std::move(result);
    return report;
}

}  // namespace

TEST_CASE("what a running attempt writes is asked of its worker, and stored nowhere") {
    Watched world;
    const auto given = world.started_task();
    const Sequence before = world.engine->last_sequence();
    world.look(given.task, 0, 7, 9);
    CHECK(world.answers.empty());
    const auto looks = looks_of(*given.link);
    REQUIRE_EQ(looks.size(), 1);
    CHECK_EQ(looks[0].attempt, given.order.order.attempt);
    CHECK_EQ(looks[0].out_from, 7);
    CHECK_EQ(looks[0].err_from, 9);
    OutputPart stray = part_of(looks[0], "of another question");
    stray.number += 1;
    world.say(given.session, stray);
    CHECK(world.answers.empty());
    world.say(given.session, part_of(looks[0], "hello"));
    REQUIRE_EQ(world.answers.size(), 1);
    REQUIRE(world.answers[0].has_value());
    CHECK_EQ(world.answers[0]->out, "hello");
    CHECK_EQ(world.answers[0]->out_from, 7);
    CHECK_EQ(world.answers[0]->number, 1);
    CHECK(world.answers[0]->running);
    CHECK_EQ(world.answers[0]->worker, "w1");
    world.say(given.session, part_of(looks[0], "once more"));
    CHECK_EQ(world.answers.size(), 1);
    CHECK_EQ(world.engine->last_sequence(), before);
}

TEST_CASE("a worker answers for its own attempts only") {
    Watched world;
    const auto given = world.started_task();
    const SessionId other = world.connect(a_worker("w2"), std::make_shared<RecordingLink>());
    world.look(given.task);
    world.say(other, part_of(looks_of(*given.link).at(0), "forged"));
    CHECK(world.answers.empty());
}

TEST_CASE("a question that its worker does not answer ends after 2 s, with the session, or when the server stops") {
    Watched world;
    const auto given = world.started_task();
    world.look(given.task);
    CHECK_LE(world.engine->next_turn().us, (world.now.at + seconds(2)).us);
    for (int beats = 0; beats < 19; ++beats) {
        world.pass(milliseconds(100));
        WorkerReport alive;
        alive.load.emplace();
        world.turn([&](Engine& e) { e.report(given.session, alive); });
    }
    CHECK(world.answers.empty());
    world.pass(milliseconds(100));
    REQUIRE_EQ(world.answers.size(), 1);
    CHECK_EQ(world.answers[0].error().fault, Fault::unreachable);
    CHECK_EQ(world.answers[0].error().what, "worker w1 did not answer within 2 s; try again");
    // What comes later finds nobody.
    world.say(given.session, part_of(looks_of(*given.link).at(0), "late"));
    CHECK_EQ(world.answers.size(), 1);

    world.look(given.task);
    world.turn([&](Engine& e) { e.disconnected(given.session); });
    REQUIRE_EQ(world.answers.size(), 2);
    CHECK_EQ(world.answers[1].error().what, "worker w1 is gone; try again");
    CHECK_EQ(world.looked(given.task).error().what, "worker w1 is not connected; try again");  // its lease lasts

    const auto second = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w2"), second);
    const TaskId task = world.submitted(a_task());
    world.start(session, second->assigned().back());
    world.look(second->assigned().back().order.task);
    (void)task;
    CHECK_EQ(world.answers.size(), 3);
    world.turn([](Engine& e) { e.give_up_looks(); });
    REQUIRE_EQ(world.answers.size(), 4);
    CHECK_EQ(world.answers[3].error().fault, Fault::unavailable);
}

TEST_CASE("questions that wait for workers are bounded") {
    Watched world;
    const auto given = world.started_task();
    for (int i = 0; i < 256; ++i) world.look(given.task);
    CHECK(world.answers.empty());
    CHECK_EQ(world.looked(given.task).error().fault, Fault::exhausted);
    world.say(given.session, part_of(looks_of(*given.link).at(0), "x"));
    CHECK(world.answers.back().has_value());
    world.look(given.task);
    CHECK_EQ(world.answers.size(), 2);  // there is room again
}

TEST_CASE("before its start a task has written nothing, and says so") {
    Watched world;
    const TaskId task = world.submitted(a_task());
    CHECK_EQ(world.looked(task).error().fault, Fault::failed_state);
    CHECK_EQ(world.looked(TaskId{1, 2}).error().fault, Fault::not_found);
    const auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    const auto assigned = world.looked(task);  // and not started yet
    REQUIRE(assigned.has_value());
    CHECK(assigned->running);
    CHECK_EQ(assigned->number, 1);
    CHECK(looks_of(*link).empty());
    const TaskId other = world.submitted(a_task());
    REQUIRE(world.cancel(other).has_value());
    CHECK_EQ(world.looked(other).error().fault, Fault::failed_state);
}

TEST_CASE("every attempt that ended can be read by its number, while the task lives and after its end") {
    Watched world;
    const auto given = world.started_task();
    world.finish(given.session, given.order, failed("first words"));
    for (const std::uint32_t number : {0U, 1U}) CHECK_EQ(world.looked(given.task, number)->result, "first words");
    CHECK_EQ(world.looked(given.task)->worker, "w1");
    CHECK_FALSE(world.looked(given.task)->running);
    CHECK_EQ(world.looked(given.task, 2).error().fault, Fault::not_found);
    world.pass(seconds(2));
    REQUIRE_EQ(given.link->assigned().size(), 2);
    world.start(given.session, given.link->assigned()[1]);
    CHECK_EQ(world.looked(given.task, 1)->result, "first words");  // while the second one runs
    AttemptReport good;
    good.result = "second words";
    world.finish(given.session, given.link->assigned()[1], good);
    CHECK_EQ(world.looked(given.task, 1)->result, "first words");
    for (const std::uint32_t number : {0U, 2U}) CHECK_EQ(world.looked(given.task, number)->result, "second words");
    CHECK_EQ(world.looked(given.task, 2)->number, 2);
    const auto none = world.looked(given.task, 3);
    CHECK_EQ(none.error().fault, Fault::not_found);
    CHECK_NE(none.error().what.find("had 2 attempts"), std::string::npos);
    world.open();  // a restart changes nothing of it
    CHECK_EQ(world.looked(given.task, 1)->result, "first words");
}

TEST_CASE("an attempt that ended meanwhile is told by its report") {
    Watched world;
    const auto given = world.started_task();
    world.look(given.task);
    WorkerReport both;
    both.finished.push_back(failed("all of it"));
    both.finished[0].task = given.task;
    both.finished[0].attempt = given.order.order.attempt;
    both.written.push_back(part_of(looks_of(*given.link).at(0), "", false));
    world.turn([&](Engine& e) { e.report(given.session, std::move(both)); });
    REQUIRE_EQ(world.answers.size(), 1);
    CHECK_EQ(world.answers[0]->result, "all of it");
    CHECK_FALSE(world.answers[0]->running);
}

TEST_CASE("a handler that does not tell is no error") {
    Watched world;
    const auto given = world.started_task();
    world.look(given.task);
    world.say(given.session, part_of(looks_of(*given.link).at(0), "", false));
    REQUIRE_EQ(world.answers.size(), 1);
    REQUIRE(world.answers[0].has_value());
    CHECK_FALSE(world.answers[0]->running);
    CHECK_EQ(world.answers[0]->result, "");
}

TEST_CASE("what a cancelled attempt wrote is kept, though its report comes after its end") {
    Watched world;
    const auto given = world.started_task();
    REQUIRE(world.cancel(given.task).has_value());
    CHECK_EQ(world.get(given.task)->result, "");
    // Until then it can be looked at: its program may be cleaning up.
    world.look(given.task);
    REQUIRE_EQ(looks_of(*given.link).size(), 1);
    world.say(given.session, part_of(looks_of(*given.link)[0], "cleaning"));
    REQUIRE_EQ(world.answers.size(), 1);
    CHECK_EQ(world.answers[0]->out, "cleaning");
    CHECK_EQ(world.answers[0]->number, 1);
    AttemptReport late;
    late.outcome = core::AttemptOutcome::cancelled;
    late.result = "last words";
    world.finish(given.session, given.order, late);
    CHECK_EQ(world.get(given.task)->result, "last words");
    CHECK_EQ(world.looked(given.task)->result, "last words");
    CHECK_EQ(world.looked(given.task, 1)->result, "last words");
    // A second report of it changes nothing any more.
    late.result = "other words";
    world.finish(given.session, given.order, late);
    CHECK_EQ(world.get(given.task)->result, "last words");
}

TEST_CASE("a late report of an attempt that nobody stopped, or by another session, is not kept") {
    Watched world;
    const auto given = world.started_task();
    const SessionId other = world.connect(a_worker("w2"), std::make_shared<RecordingLink>());
    REQUIRE(world.cancel(given.task).has_value());
    world.finish(other, given.order, failed("forged"));
    CHECK_EQ(world.get(given.task)->result, "");
    world.turn([&](Engine& e) { e.disconnected(given.session); });
    const auto back = std::make_shared<RecordingLink>();
    world.finish(world.connect(a_worker("w1"), back), given.order, failed("forgotten"));
    CHECK_EQ(world.get(given.task)->result, "");
}

TEST_CASE("the output of an attempt that the server timed out is kept, and the next one goes on") {
    Watched world;
    const auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1", 2), link);
    Submission item = a_task();
    item.spec.timeout = seconds(1);
    const TaskId task = world.submitted(std::move(item));
    world.start(session, link->assigned().at(0));
    for (int i = 0; i < 100 && link->assigned().size() < 2; ++i) {
        world.pass(milliseconds(200));
        WorkerReport alive;
        alive.load.emplace();
        world.turn([&](Engine& e) { e.report(session, alive); });
    }
    REQUIRE_EQ(link->assigned().size(), 2);
    AttemptReport late;
    late.outcome = core::AttemptOutcome::timed_out;
    late.result = "until the end";
    world.finish(session, link->assigned()[0], late);
    CHECK_EQ(world.looked(task, 1)->result, "until the end");
    CHECK_EQ(world.looked(task)->number, 2);  // on its way
}

TEST_CASE("what a task asked for goes with its assignment") {
    Watched world;
    const auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    Submission item = a_task();
    item.spec.resources = {.cpu_milli = 500, .memory_bytes = 1 << 20};
    world.submitted(std::move(item));
    REQUIRE_EQ(link->assigned().size(), 1);
    CHECK_EQ(link->assigned()[0].resources.cpu_milli, 500);
    CHECK_EQ(link->assigned()[0].resources.memory_bytes, 1 << 20);
    AttemptReport killed;
    killed.outcome = core::AttemptOutcome::out_of_memory;
    world.finish(session, link->assigned()[0], killed);
    world.pass(seconds(10));
    REQUIRE_EQ(link->assigned().size(), 2);
    CHECK_EQ(link->assigned()[1].resources.memory_bytes, 1572864);  // half more, after the kill
}
