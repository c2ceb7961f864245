// What submitters are promised: C1 to C8, C15, C16.

#include "contract/house.h"

using namespace nexus;
using namespace nexus::engine;
using namespace nexus::test;

TEST_CASE("C1: a submission is answered only once it is stored, and is there after a new start") {
    House house;
    std::optional<Result<std::vector<Submitted>>> answer;
    house.engine->begin_turn(house.now);
    house.engine->answer({}, SubmitTasks{{a_task()}}, [&](auto value) { answer.emplace(std::move(value)); });
    house.engine->end_turn();
    CHECK_FALSE(answer.has_value());
    house.commit();
    REQUIRE(answer.has_value());
    REQUIRE(answer->has_value());
    const TaskId task = (*answer)->front().task;
    house.restart();
    CHECK(house.state(task) == core::TaskState::waiting);
    auto link = std::make_shared<RecordingLink>();
    house.join("w", link);
    REQUIRE(link->assigned().size() == 1);
    CHECK(link->assigned()[0].body->payload == "pixels");
}

TEST_CASE("C1: what was never answered may be gone, and is gone wholly") {
    House house;
    bool answered = false;
    house.engine->begin_turn(house.now);
    house.engine->answer({}, SubmitTasks{{keyed("k")}}, [&](const auto&) { answered = true; });
    house.engine->end_turn();
    house.restart();
    CHECK_FALSE(answered);
    CHECK(house.engine->live_tasks() == 0);
    CHECK_FALSE(house.submit(keyed("k"))->front().duplicate);
}

TEST_CASE("C2: a definite refusal has stored nothing, of a whole batch neither") {
    House house;
    house.submitted(keyed("taken"));
    house.configure([](core::Config& config) { config.tasks_max = 2; });
    struct Row {
        Fault fault;
        std::vector<Submission> items;
    };
    Submission nameless = a_task();
    nameless.spec.type.clear();
    Submission late = a_task();
    late.spec.after = {TaskId{.hi = 1, .lo = 2}};
    std::vector<Row> rows;
    rows.push_back({Fault::invalid, {a_task(), nameless}});
    rows.push_back({Fault::conflict, {a_task(), keyed("taken", "other pixels")}});
    rows.push_back({Fault::not_found, {late}});
    rows.push_back({Fault::invalid, {}});
    for (Row& row : rows) {
        const Sequence before = house.engine->last_sequence();
        const auto answer = house.ask<std::vector<Submitted>>(
            [&](Engine& e, auto done) { e.answer({}, SubmitTasks{std::move(row.items)}, std::move(done)); });
        REQUIRE_FALSE(answer.has_value());
        CHECK(answer.error().fault == row.fault);
        CHECK(house.engine->last_sequence() == before);
    }
    house.submitted(a_task());
    const Sequence before = house.engine->last_sequence();
    CHECK(house.submit(a_task()).error().fault == Fault::exhausted);
    CHECK(house.engine->last_sequence() == before);
}

TEST_CASE("C3: one key makes one task, while it lives, after its end, and after a new start") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link);
    const TaskId task = house.submitted(keyed("k"));
    const auto again = house.submit(keyed("k"));
    CHECK(again->front().task == task);
    CHECK(again->front().duplicate);
    CHECK(house.submit(keyed("k", "other pixels")).error().fault == Fault::conflict);
    house.finish(session, link->assigned()[0]);
    CHECK(house.submit(keyed("k"))->front().task == task);
    house.restart();
    CHECK(house.submit(keyed("k"))->front().task == task);
    CHECK(house.submit(keyed("k", "other pixels")).error().fault == Fault::conflict);
    house.pass(hours(25), hours(1));
    house.submitted(a_task());  // an event: the core's time is that of its events
    CHECK(house.submit(keyed("k"))->front().task != task);
}

TEST_CASE("C4: what is accepted is started again and again until it has an outcome") {
    House house;
    const TaskId task = house.submitted(a_task());
    for (int i = 0; i < 3; ++i) {
        auto link = std::make_shared<RecordingLink>();
        const SessionId session = house.join("w" + std::to_string(i), link);
        REQUIRE(link->assigned().size() == 1);
        CHECK(link->assigned()[0].order.task == task);
        CHECK(link->assigned()[0].order.number == static_cast<std::uint32_t>(i + 1));
        if (i == 2) house.finish(session, link->assigned()[0]);
        house.leave(session);
        house.pass(seconds(2));
    }
    CHECK(house.state(task) == core::TaskState::succeeded);
}

TEST_CASE("C5: only the current attempt counts; an older one is answered as stale and counted") {
    House house;
    auto old_link = std::make_shared<RecordingLink>();
    const SessionId old_session = house.join("old", old_link);
    const TaskId task = house.submitted(a_task());
    const Assignment first = old_link->assigned()[0];
    std::erase(house.beating, old_session);
    auto new_link = std::make_shared<RecordingLink>();
    const SessionId new_session = house.join("new", new_link);
    house.pass(seconds(6));
    REQUIRE(new_link->assigned().size() == 1);
    auto back_link = std::make_shared<RecordingLink>();
    const SessionId back = house.join("old", back_link);
    const std::uint64_t stale = house.counters().stale_reports;
    WorkerReport late;
    late.finished.push_back({.task = task, .attempt = first.order.attempt, .run = milliseconds(1)});
    house.turn([&](Engine& e) { e.report(back, std::move(late)); });
    CHECK(house.counters().stale_reports == stale + 1);
    REQUIRE(back_link->told.back().answers.size() == 1);
    CHECK_FALSE(back_link->told.back().answers[0].accepted);
    CHECK(house.state(task) == core::TaskState::assigned);
    house.finish(new_session, new_link->assigned()[0]);
    CHECK(house.state(task) == core::TaskState::succeeded);
}

TEST_CASE("C6: an end is final, telling it again is accepted, and a retry is a new task with a link to the old") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link);
    const TaskId task = house.submitted(a_task());
    const Assignment assignment = link->assigned()[0];
    house.finish(session, assignment, core::AttemptOutcome::failed, false);
    CHECK(house.state(task) == core::TaskState::dead);
    house.finish(session, assignment, core::AttemptOutcome::failed, false);
    CHECK(link->told.back().answers[0].accepted);
    house.finish(session, assignment, core::AttemptOutcome::succeeded);
    CHECK(house.state(task) == core::TaskState::dead);
    CHECK(house.ask<TaskInfo>([&](Engine& e, auto done) { e.answer({}, CancelTask{task}, std::move(done)); })
              .error()
              .fault == Fault::failed_state);
    const auto again =
        house.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{task}, std::move(done)); });
    REQUIRE(again.has_value());
    CHECK(again->task != task);
    CHECK(house.get(again->task)->redrive_of == task);
    CHECK(house.state(task) == core::TaskState::dead);
}

TEST_CASE("C7: fences grow over attempts, tasks and new starts") {
    House house;
    std::uint64_t highest = 0;
    for (int round = 0; round < 3; ++round) {
        auto link = std::make_shared<RecordingLink>();
        const SessionId session = house.join("w", link);
        house.submitted(a_task());
        for (int i = 0; i < 3; ++i) {
            if (link->assigned().size() <= static_cast<std::size_t>(i)) house.pass(seconds(10));
            REQUIRE(link->assigned().size() > static_cast<std::size_t>(i));
            const Assignment assignment = link->assigned()[static_cast<std::size_t>(i)];
            CHECK(assignment.order.fence > highest);
            highest = assignment.order.fence;
            house.finish(session, assignment, i == 2 ? core::AttemptOutcome::succeeded : core::AttemptOutcome::failed);
        }
        house.restart(seconds(1));
    }
}

TEST_CASE("C8: the size of a task costs it at most overtake_max against others of its tenant, queue and priority") {
    core::Scheduler core;
    std::vector<core::Command> commands;
    Instant now{1'000'000};
    const auto tell = [&](core::Fact fact) {
        commands.clear();
        core.apply({.at = now, .what = std::move(fact)}, commands);
    };
    tell(core::EngineStarted{.seed = 1, .wall_offset = {}});
    core::WorkerJoined worker;
    worker.name = "w";
    worker.session = SessionId{1};
    worker.slots = 1;
    worker.offered = {-1, -1, -1, {}};
    tell(worker);
    std::map<TaskId, Instant> submitted;
    std::uint64_t next = 1;
    const auto submit = [&](Duration size) {
        core::TaskSubmitted task{.task = {.hi = 1, .lo = next++}};
        task.spec.type = size > seconds(5) ? "big" : "small";
        task.estimate = {.p50 = size, .p90 = size, .mean = size, .source = EstimateSource::model};
        submitted[task.task] = now;
        tell(task);
        return task.task;
    };
    // A queue that never empties: one small task a second for a worker that takes 1.1 s for each.
    std::optional<core::AssignAttempt> running;
    const auto look = [&] {
        for (const core::Command& command : commands)
            if (const auto* order = std::get_if<core::AssignAttempt>(&command)) running = *order;
    };
    for (int i = 0; i < 100; ++i) {
        submit(milliseconds(1100));
        look();
    }
    TaskId big;
    Instant since, free_at = now + milliseconds(1100);
    Instant latest_before;  // submission of the youngest task that was started before the big one
    for (int turn = 0; turn < 4000 && (!big || running->task != big); ++turn) {
        now = now + milliseconds(500);
        if (turn % 2 == 0) submit(milliseconds(1100));
        if (turn == 400) {
            big = submit(seconds(10));
            since = now;
        }
        if (now < free_at) continue;
        free_at = now + milliseconds(1100);
        latest_before = std::max(latest_before, submitted[running->task]);
        tell(core::AttemptFinished{
            .task = running->task, .attempt = running->attempt, .session = SessionId{1}, .run = milliseconds(1100)});
        look();
    }
    REQUIRE(running->task == big);
    CHECK(latest_before - since <= core.config().overtake_max);
    CHECK(latest_before > since);  // size does count
}

TEST_CASE("C8: with an ordering key strictly one at a time, in the order of submission") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link, 4);
    std::vector<TaskId> order;
    for (int i = 0; i < 4; ++i) {
        Submission item = a_task();
        item.spec.ordering_key = "account";
        item.spec.priority = static_cast<std::uint8_t>(i);  // does not help
        order.push_back(house.submitted(item));
    }
    for (std::size_t i = 0; i < order.size(); ++i) {
        REQUIRE(link->assigned().size() == i + 1);
        CHECK(link->assigned()[i].order.task == order[i]);
        house.finish(session, link->assigned()[i]);
    }
}

TEST_CASE("C15: what nobody may run says why, and expires") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    house.join("w", link);
    Submission item = a_task();
    item.spec.labels_required = {{"gpu", "yes"}};
    item.spec.ttl = seconds(30);
    const TaskId task = house.submitted(item);
    house.pass(seconds(20), seconds(1));
    CHECK(house.get(task)->waiting == core::WaitReason::no_eligible_worker);
    house.pass(seconds(11), seconds(1));
    CHECK(house.state(task) == core::TaskState::expired);
}

TEST_CASE("C16: beyond its limits the server refuses by type, and drops nothing that it accepted") {
    House house;
    house.configure([](core::Config& config) {
        config.tasks_max = 5;
        config.tenants = {{.name = "small", .waiting_max = 2}};
    });
    Submission small = a_task();
    small.spec.tenant = "small";
    std::vector<TaskId> accepted = {house.submitted(small), house.submitted(small)};
    CHECK(house.submit(small).error().fault == Fault::exhausted);
    for (int i = 0; i < 3; ++i) accepted.push_back(house.submitted(a_task()));
    CHECK(house.submit(a_task()).error().fault == Fault::exhausted);
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link);
    for (std::size_t i = 0; i < accepted.size(); ++i) house.finish(session, link->assigned().at(i));
    for (const TaskId task : accepted) CHECK(house.state(task) == core::TaskState::succeeded);
    CHECK(house.submit(a_task()).has_value());
}
