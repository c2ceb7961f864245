#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

AttemptReport failed_for_good(std::string error = {}) {
    AttemptReport report;
    report.outcome = core::AttemptOutcome::failed;
    report.retryable = false;
    report.error = std::move(error);
    return report;
}

}  // namespace

TEST_CASE("field B: what the last attempt of a failed task left is its result, over a restart too") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    Submission item = a_task();
    item.spec.retry.attempts_max = 2;
    const TaskId task = world.submitted(std::move(item));
    const auto end = [&](core::AttemptOutcome outcome, const std::string& result) {
        AttemptReport report;
        report.outcome = outcome;
        report.result = result;
        world.finish(session, link->assigned().back(), report);
        for (int second = 0; second < 4; ++second) {  // the backoff
            world.pass(seconds(1));
            world.turn([&](Engine& e) { e.report(session, {}); });
        }
    };
    end(core::AttemptOutcome::failed, "first");
    REQUIRE_EQ(link->assigned().size(), 2);
    end(core::AttemptOutcome::timed_out, "second");
    CHECK(world.get(task)->state == core::TaskState::dead);
    world.open();
    CHECK_EQ(world.get(task)->result, "second");
    const auto again =
        world.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{task}, std::move(done)); });
    REQUIRE(again.has_value());  // its body is kept beside it
    CHECK_EQ(world.get(task)->result, "second");
    const auto other = world.connect(a_worker("w2"), link);
    world.finish(other, link->assigned().back());
    CHECK_EQ(world.get(again->task)->result, "");
}

TEST_CASE("field H: the metadata of a task is shown with its result: while it lives, and after it failed") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const Metadata told{{"user", "ann"}, {"user.mail", "a@b"}};
    Submission item = a_task();
    item.body.metadata = told;
    const TaskId task = world.submitted(item);
    CHECK(world.get(task)->metadata == told);
    world.open();  // from the store
    CHECK(world.get(task)->metadata == told);
    const auto back = std::make_shared<RecordingLink>();
    const SessionId next = world.connect(a_worker("w1"), back);
    (void)session;
    for (int i = 0; i < 10 && back->assigned().empty(); ++i) world.pass(seconds(1));
    REQUIRE_FALSE(back->assigned().empty());
    world.finish(next, back->assigned().back(), failed_for_good("no such image"));
    CHECK(world.get(task)->state == core::TaskState::dead);
    CHECK(world.get(task)->metadata == told);
}

TEST_CASE("a dead task can be driven again as a new one") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const TaskId task = world.submitted(a_task());
    world.finish(session, link->assigned()[0], failed_for_good("no such image"));
    CHECK(world.get(task)->state == core::TaskState::dead);
    CHECK(world.get(task)->error == "no such image");
    const auto again =
        world.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{task}, std::move(done)); });
    REQUIRE(again.has_value());
    CHECK(link->assigned().back().order.task == again->task);
    CHECK(link->assigned().back().body->payload == "pixels");
    CHECK(world.get(again->task)->redrive_of == task);
    CHECK(world.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{again->task}, std::move(done)); })
              .error()
              .fault == Fault::failed_state);
}

TEST_CASE("a task is driven again though its history is gone, by what the journal keeps alone") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const auto retry = [&](TaskId task) {
        return world.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{task}, std::move(done)); });
    };
    const AttemptReport failure = failed_for_good();
    AttemptReport success;
    success.result = "small pixels";
    const TaskId dead = world.submitted(a_task()), good = world.submitted(a_task()), empty = world.submitted(a_task());
    world.finish(session, link->assigned().at(0), failure);
    world.finish(session, link->assigned().at(1), success);
    world.finish(session, link->assigned().at(2));
    CHECK(world.get(good)->result == "small pixels");
    CHECK(retry(empty).error().fault == Fault::failed_state);
    REQUIRE(world.history.expire(WallTime{INT64_MAX}, 0).has_value());
    const auto again = retry(dead);
    REQUIRE(again.has_value());
    CHECK(link->assigned().back().order.task == again->task);
    CHECK(link->assigned().back().body->payload == "pixels");
    CHECK(world.get(again->task)->redrive_of == dead);
    CHECK(retry(good).error().fault == Fault::failed_state);  // a result is no body
    CHECK(retry(empty).error().fault == Fault::not_found);    // nothing is known of it any more
    CHECK(retry(TaskId{1, 1}).error().fault == Fault::not_found);
}

TEST_CASE("a task that is driven again is admitted by the rules for all") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const TaskId task = world.submitted(a_task());
    world.finish(session, link->assigned().at(0), failed_for_good());
    world.turn([&](Engine& e) { e.answer({}, Configure{0, "[scheduler]\ntasks_max = 1\n", "", ""}, [](auto) {}); });
    REQUIRE(world.engine->core().config().tasks_max == 1);
    world.submitted(a_task());
    CHECK(world.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{task}, std::move(done)); })
              .error()
              .fault == Fault::exhausted);
}

// ---------------------------------------------------------------------------------------------------------- lists

namespace {

Result<TaskPage> list(World& world, TaskFilter filter, std::size_t limit, std::string page = {}) {
    return world.ask<TaskPage>([&](Engine& e, auto done) {
        e.answer({}, ListTasks{std::move(filter), limit, std::move(page)}, std::move(done));
    });
}

std::vector<TaskId> submit_many(World& world, std::size_t count, const std::string& type) {
    std::vector<TaskId> ids;
    while (ids.size() < count) {
        std::vector<Submission> items;
        for (std::size_t n = std::min<std::size_t>(1000, count - ids.size()); n > 0; --n) items.push_back(a_task(type));
        auto answer = world.ask<std::vector<Submitted>>(
            [&](Engine& e, auto done) { e.answer({}, SubmitTasks{std::move(items)}, std::move(done)); });
        REQUIRE(answer.has_value());
        for (const Submitted& one : *answer) ids.push_back(one.task);
    }
    return ids;
}

}  // namespace

TEST_CASE("a list finds the one task of its type behind 60,000 others, and every list is complete") {
    World world;
    const TaskId rare = world.submitted(a_task("rare"));
    std::vector<TaskId> all = submit_many(world, 60'000, "common");
    all.push_back(rare);
    for (const auto& states : {std::vector<core::TaskState>{}, {core::TaskState::waiting}}) {
        const auto found = list(world, {.states = states, .type = "rare"}, 100);
        REQUIRE(found.has_value());
        REQUIRE(found->tasks.size() == 1);
        CHECK(found->tasks[0].task == rare);
        CHECK(found->next.empty());
    }
    CHECK(list(world, {.type = "unheard-of"}, 100)->tasks.empty());
    std::vector<TaskId> seen;
    std::string page;
    do {
        const auto more = list(world, {.states = {core::TaskState::waiting}}, 1000, page);
        REQUIRE(more.has_value());
        for (const TaskInfo& task : more->tasks) seen.push_back(task.task);
        page = more->next;
        CHECK((page.empty() || more->tasks.size() == 1000));
    } while (!page.empty());
    std::ranges::sort(all, std::greater{});
    CHECK(seen == all);  // newest first
    CHECK(list(world, {}, 10, "L" + to_text(rare)).error().what == "page_token: invalid page token");
}

TEST_CASE("pages of a list repeat and skip nothing while tasks end and new ones come") {
    for (const bool ended_only : {false, true}) {
        World world;
        auto link = std::make_shared<RecordingLink>();
        const SessionId session = world.connect(a_worker("w1", 2), link);
        std::size_t finished = 0;
        const auto finish_some = [&](std::size_t count) {
            for (; count > 0 && finished < link->assigned().size(); --count, ++finished)
                world.finish(session, link->assigned().at(finished));
        };
        std::vector<TaskId> before = submit_many(world, 120, "work");
        finish_some(30);
        if (ended_only) before.resize(30);
        TaskFilter filter;
        if (ended_only) filter.states = {core::TaskState::succeeded, core::TaskState::dead};
        std::map<TaskId, int> seen;
        std::string page;
        do {
            const auto more = list(world, filter, 7, page);
            REQUIRE(more.has_value());
            CHECK((more->next.empty() || more->tasks.size() == 7));
            for (const TaskInfo& task : more->tasks) {
                ++seen[task.task];
                CHECK((!core::is_terminal(task.state) || task.attempts.size() == 1));
            }
            page = more->next;
            finish_some(6);
            submit_many(world, 2, "work");
            world.now.at = world.now.at + milliseconds(3);
            world.now.wall = world.now.wall + milliseconds(3);
        } while (!page.empty());
        for (const auto& [task, times] : seen) CHECK(times == 1);
        for (const TaskId task : before) CHECK(seen.contains(task));
    }
}

TEST_CASE("what runs is listed newest first, and a worker's tasks by its name") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1", 3), link);
    submit_many(world, 10, "work");
    const auto running = list(world, {.states = {core::TaskState::assigned, core::TaskState::running}}, 2);
    REQUIRE(running->tasks.size() == 2);
    CHECK(running->tasks[0].task > running->tasks[1].task);
    const auto rest = list(world, {.states = {core::TaskState::assigned}}, 2, running->next);
    CHECK(rest->tasks.size() == 1);
    CHECK(rest->next.empty());
    CHECK(list(world, {.worker = "w1"}, 100)->tasks.size() == 3);
    CHECK(list(world, {.worker = "w2"}, 100)->tasks.empty());
}

TEST_CASE("what was promised at submission is listed by whether it was kept, and counted by type, regime and tenant") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    world.teach(session, *link);
    const TaskId late = world.submitted(a_task());
    world.pass(seconds(60));
    world.finish(session, link->assigned().back(), {.run = seconds(60)});
    const TaskId open = world.submitted(a_task());
    const auto missed = list(world, {.promise = history::PromiseKept::missed}, 100);
    REQUIRE(missed->tasks.size() >= 1);
    CHECK(missed->tasks.front().task == late);
    CHECK(missed->tasks.front().finished > missed->tasks.front().promise_p90);
    const auto kept = list(world, {.promise = history::PromiseKept::kept}, 5);
    CHECK(kept->tasks.size() == 5);
    CHECK_FALSE(kept->next.empty());
    for (const TaskInfo& task : kept->tasks) {
        CHECK(task.finished <= task.promise_p90);
        CHECK(task.task != open);
    }
    CHECK(
        list(world, {.states = {core::TaskState::assigned}, .promise = history::PromiseKept::kept}, 5)->tasks.empty());
    const auto type = world.ask<TypeInfo>(
        [&](Engine& e, auto done) { e.answer({}, GetType{std::string(missed->tasks.front().type)}, std::move(done)); });
    REQUIRE(type.has_value());
    CHECK(type->promises.told == 13);
    CHECK(type->promises.by_p90 < 13);
    const auto state =
        world.ask<ReadState::Answer>([&](Engine& e, auto done) { e.answer({}, ReadState{}, std::move(done)); });
    const StatusInfo& status = (*state)->status;
    CHECK(status.promises[static_cast<std::size_t>(core::ToldAs::placed)].told == 13);
    CHECK(status.promises_of_tenants.at("default").told == 13);
}
