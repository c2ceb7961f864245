// What is promised about workers and time: C9, C11 to C14, C21, C23.

#include "base/rng.h"
#include "contract/house.h"

using namespace nexus;
using namespace nexus::engine;
using namespace nexus::test;

TEST_CASE("C9: after no step stands a free worker beside a task it may run") {
    House house;
    Rng rng(9);
    std::vector<Link> links;
    std::vector<SessionId> sessions;
    for (int i = 0; i < 4; ++i) {
        links.push_back(std::make_shared<RecordingLink>());
        sessions.push_back(house.join("w" + std::to_string(i), links.back(), 2));
    }
    std::vector<std::size_t> finished(links.size());
    for (int step = 0; step < 400; ++step) {
        if (rng.one_in(2)) {
            Submission item = a_task("t" + std::to_string(rng.below(3)));
            if (rng.one_in(4)) item.spec.pinned_worker = "w" + std::to_string(rng.below(4));
            if (rng.one_in(5)) item.spec.ordering_key = "o";
            house.submitted(item);
        } else {
            const std::size_t w = rng.below(links.size());
            const auto assigned = links[w]->assigned();
            if (finished[w] < assigned.size()) house.finish(sessions[w], assigned[finished[w]++]);
        }
        house.engine->core().check_invariants();
        CHECK(house.counters().idle_while_waiting.us == 0);
    }
}

TEST_CASE("C11: a jump of the calendar ends no lease and delays no timeout; forward it releases run_at") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link, 4);
    const TaskId running = house.submitted(a_task());
    house.start(session, link->assigned()[0]);
    Submission timed = a_task();
    timed.spec.timeout = seconds(3);
    const TaskId late = house.submitted(timed);
    house.start(session, link->assigned()[1]);
    house.move_calendar(hours(-1));
    house.pass(seconds(1));
    Submission future = a_task();
    future.spec.run_at = house.now.wall + minutes(30);
    const TaskId tomorrow = house.submitted(future);
    house.move_calendar(hours(1));
    house.pass(seconds(1));
    CHECK(house.counters().workers_lost == 0);
    CHECK(house.state(running) == core::TaskState::running);
    CHECK(house.state(tomorrow) == core::TaskState::assigned);
    house.pass(house.engine->core().config().timeout_grace + seconds(2));
    CHECK(house.state(late) != core::TaskState::running);
    CHECK(house.state(running) == core::TaskState::running);
    CHECK(house.get(running)->attempts.size() == 1);
}

TEST_CASE("C12: silence of 2 s ends new work, of 3 s the session, of 5 s the lease") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("silent", link, 2);
    const TaskId task = house.submitted(a_task());
    house.start(session, link->assigned()[0]);
    std::erase(house.beating, session);
    house.pass(milliseconds(2200));
    const TaskId next = house.submitted(a_task());
    CHECK(house.state(next) == core::TaskState::waiting);
    auto other = std::make_shared<RecordingLink>();
    const SessionId heard = house.join("other", other, 2);
    REQUIRE(other->assigned().size() == 1);
    house.finish(heard, other->assigned()[0]);
    CHECK(house.counters().workers_lost == 0);
    house.pass(seconds(1));
    CHECK(house.counters().workers_lost == 1);
    CHECK(house.state(task) == core::TaskState::running);
    house.pass(seconds(2));
    REQUIRE(other->assigned().size() == 2);
    CHECK(other->assigned()[1].order.task == task);
}

TEST_CASE("C12: after a closed connection ordinary tasks wait 1 s, exclusive ones the whole lease") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("gone", link, 2);
    const TaskId ordinary = house.submitted(a_task());
    Submission alone = a_task();
    alone.spec.exclusive = true;
    const TaskId exclusive = house.submitted(alone);
    auto other = std::make_shared<RecordingLink>();
    house.leave(session);
    house.join("other", other, 2);
    house.pass(milliseconds(800));
    CHECK(other->assigned().empty());
    house.pass(milliseconds(400));
    REQUIRE(other->assigned().size() == 1);
    CHECK(other->assigned()[0].order.task == ordinary);
    house.pass(seconds(3));
    CHECK(other->assigned().size() == 1);
    house.pass(seconds(1));
    REQUIRE(other->assigned().size() == 2);
    CHECK(other->assigned()[1].order.task == exclusive);
}

TEST_CASE("C13: a new start within 4 s runs nothing again") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    house.join("w", link, 3);
    std::vector<TaskId> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(house.submitted(a_task()));
    std::vector<core::HeldAttempt> held;
    for (const Assignment& each : link->assigned()) held.push_back({each.order.task, each.order.attempt});
    held.push_back({TaskId{1, 1}, AttemptId{2, 2}});
    house.restart(milliseconds(500));
    house.pass(milliseconds(3400));
    auto back = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", back, 3, held);
    REQUIRE(back->told.front().welcome.has_value());
    CHECK(back->told.front().welcome->keep.size() == 3);
    CHECK(back->told.front().welcome->abandon.size() == 1);
    for (const Assignment& each : link->assigned()) house.finish(session, each);
    house.pass(seconds(10));
    for (const TaskId task : tasks) {
        CHECK(house.state(task) == core::TaskState::succeeded);
        CHECK(house.get(task)->attempts.size() == 1);
    }
    CHECK(back->assigned().empty());
}

TEST_CASE(
    "C14: failures and deaths of workers are counted apart; beyond their limits a task is dead and may be driven "
    "again") {
    House house;
    auto steady = std::make_shared<RecordingLink>();
    const SessionId session = house.join("steady", steady);
    const TaskId failing = house.submitted(a_task("failing"));
    for (std::size_t i = 0; i < 3; ++i) {
        if (steady->assigned().size() <= i) house.pass(seconds(10));
        REQUIRE(steady->assigned().size() == i + 1);
        house.finish(session, steady->assigned()[i], core::AttemptOutcome::failed);
    }
    CHECK(house.state(failing) == core::TaskState::dead);
    CHECK(house.get(failing)->failures == 3);
    CHECK(house.get(failing)->crashes == 0);
    CHECK(house.ask<Submitted>([&](Engine& e, auto done) { e.answer({}, RetryTask{failing}, std::move(done)); })
              .has_value());
    house.leave(session);
    house.pass(seconds(2));

    Submission item = a_task("poison");
    item.spec.labels_forbidden = {{"steady", "yes"}};
    const TaskId poison = house.submitted(item);
    int deaths = 0;
    for (; deaths < 10 && house.state(poison) != core::TaskState::dead; ++deaths) {
        auto link = std::make_shared<RecordingLink>();
        const SessionId victim = house.join("victim" + std::to_string(deaths % 2), link);
        house.pass(seconds(1));
        for (const Assignment& each : link->assigned())
            if (each.order.task == poison) house.start(victim, each);
        house.leave(victim);
        house.pass(seconds(2));
    }
    CHECK(house.state(poison) == core::TaskState::dead);
    CHECK(house.get(poison)->crashes == 3);
    CHECK(house.get(poison)->failures == 0);
}

TEST_CASE("C21: the events behind a decision are stored before its assignment leaves") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    house.join("w", link);
    house.engine->begin_turn(house.now);
    house.engine->answer({}, SubmitTasks{{a_task()}}, [](auto) {});
    house.engine->end_turn();
    PendingBatch batch = house.engine->take_batch();
    CHECK(batch.decisions.size() == 1);
    CHECK(link->assigned().empty());
    house.line().take(std::move(batch), house.now.at);
    REQUIRE(house.line().append(house.now.at).step == CommitLine::Step::confirmed);
    CHECK(link->assigned().empty());
    REQUIRE(house.line().release_next(house.now.at).has_value());
    CHECK_FALSE(house.line().release_next(house.now.at).has_value());
    REQUIRE(link->assigned().size() == 1);
    // A replay comes to the same decision.
    const AttemptId attempt = link->assigned()[0].order.attempt;
    house.restart();
    CHECK(house.get(link->assigned()[0].order.task)->attempts.back().attempt == attempt);
}

namespace {

struct NoModel final : predict::Model {
    std::string_view name() const override { return "none"; }
    Result<Estimate> estimate(const predict::Features&) override { throw std::runtime_error("no model"); }
    void learn(const predict::Observation&) override {}
    void forget(std::string_view) override {}
    void shorten(std::string_view) override {}
    void save(std::string&) const override {}
    Result<void> load(std::string_view) override { return {}; }
};

}  // namespace

TEST_CASE("C23: without a prediction the decision is made by round-robin and says so") {
    House house({.make_champion = [] { return std::make_unique<NoModel>(); }});
    std::vector<Link> links;
    for (int i = 0; i < 3; ++i) {
        links.push_back(std::make_shared<RecordingLink>());
        house.join("w" + std::to_string(i), links.back(), 2);
    }
    for (int i = 0; i < 3; ++i) house.submitted(a_task());
    for (const Link& link : links) {
        REQUIRE(link->assigned().size() == 1);
        CHECK(link->assigned()[0].order.decision.fallback);
        CHECK(link->assigned()[0].order.decision.reason == core::DecisionReason::fallback);
    }
    CHECK(house.counters().fallback_decisions == 3);
}
