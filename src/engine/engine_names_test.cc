// Two processes that want one name: who gets it, who is told to wait, and what people see of it.

#include <doctest/doctest.h>

#include "engine/world_test.h"

namespace nexus::engine {
namespace {

WorkerHello from(std::uint64_t instance, const char* host = "b") {
    WorkerHello hello = a_worker("w1");
    hello.instance = instance;
    hello.hostname = host;
    return hello;
}

struct Names : World {
    Result<SessionId> try_name(WorkerHello hello, std::shared_ptr<RecordingLink> link = {}) {
        if (!link) link = std::make_shared<RecordingLink>();
        return ask<SessionId>(
            [&](Engine& e, auto done) { e.connect(std::move(hello), std::move(link), std::move(done)); });
    }
    WorkerInfo shown() {
        const auto state = call(ReadState{});
        REQUIRE(state.has_value());
        for (const WorkerInfo& worker : (*state)->workers)
            if (worker.name == "w1") return worker;
        return {};
    }
};

TEST_CASE("field E, L: while a worker is heard, no other process takes its name") {
    Names world;
    const auto link = std::make_shared<RecordingLink>();
    const SessionId first = world.connect(from(1, "a"), link);
    const TaskId task = world.submitted(a_task());
    REQUIRE_EQ(link->assigned().size(), 1);
    world.pass(milliseconds(300));
    for (int i = 0; i < 12; ++i) {
        const auto second = world.try_name(from(2));
        REQUIRE_FALSE(second.has_value());
        CHECK_EQ(second.error().fault, Fault::failed_state);
        CHECK_EQ(second.error().what,
                 "the name w1 is in use by a worker on host a that was heard 0.3 s ago; give this one another --name, "
                 "or wait until that one is gone");
    }
    CHECK_EQ(link->told.size(), 2);  // the welcome and the task
    world.pass(milliseconds(1100));
    const WorkerInfo shown = world.shown();
    CHECK_EQ(shown.hostname, "a");
    CHECK_EQ(shown.rivals, 12);
    CHECK_EQ(shown.rival_hostname, "b");
    CHECK_EQ((world.now.wall - shown.rival_at).us, milliseconds(1100).us);
    world.finish(first, link->assigned()[0]);
    CHECK_EQ(world.get(task)->state, core::TaskState::succeeded);
    CHECK_EQ(world.engine->core().counters().workers_lost, 0);
}

TEST_CASE("its own process replaces a worker's session at once, and what was refused stays told") {
    Names world;
    const auto link = std::make_shared<RecordingLink>();
    world.connect(from(1), link);
    CHECK_FALSE(world.try_name(from(2)).has_value());
    const TaskId task = world.submitted(a_task());
    WorkerHello again = from(1);
    again.joined.held = {{task, link->assigned().at(0).order.attempt}};
    const auto newer = std::make_shared<RecordingLink>();
    REQUIRE(world.try_name(std::move(again), newer).has_value());
    CHECK(link->told.back().close);
    CHECK_EQ(newer->told.front().welcome->keep.size(), 1);
    CHECK_EQ(world.shown().rivals, 1);
}

TEST_CASE("a process without an instance is known by what it holds") {
    Names world;
    const auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    const auto elsewhere = std::make_shared<RecordingLink>();
    const SessionId other = world.connect(a_worker("w2"), elsewhere);
    world.submitted(a_task());
    world.submitted(a_task());
    REQUIRE_EQ(link->assigned().size(), 1);
    REQUIRE_EQ(elsewhere->assigned().size(), 1);
    const auto held_of = [](const Assignment& a) { return core::HeldAttempt{a.order.task, a.order.attempt}; };
    const core::HeldAttempt held = held_of(link->assigned()[0]);
    const core::HeldAttempt foreign = held_of(elsewhere->assigned()[0]);
    for (const std::uint64_t instance : {0, 1}) {
        CHECK_FALSE(world.try_name(from(instance)).has_value());
        WorkerHello wrong = from(instance);
        wrong.joined.held = {foreign, {held.task, foreign.attempt}, {foreign.task, held.attempt}};
        CHECK_FALSE(world.try_name(std::move(wrong)).has_value());
    }
    WorkerHello back = from(1);
    back.joined.held = {foreign, held};
    CHECK(world.try_name(back).has_value());
    back = from(2);  // both say who they are now, and what it holds proves nothing any more
    back.joined.held = {held};
    CHECK_FALSE(world.try_name(back).has_value());
    world.finish(other, elsewhere->assigned()[0]);
    back = from(0);
    back.joined.held = {foreign};  // over
    CHECK_FALSE(world.try_name(back).has_value());
}

TEST_CASE("who is silent, has said goodbye or is gone keeps no name") {
    enum class End { silent, goodbye, closed };
    for (const End end : {End::silent, End::goodbye, End::closed}) {
        Names world;
        const SessionId session = world.connect(from(1), std::make_shared<RecordingLink>());
        world.pass(milliseconds(900));
        world.pass(milliseconds(900));
        CHECK_FALSE(world.try_name(from(2)).has_value());
        if (end == End::silent) world.pass(milliseconds(200));
        if (end == End::goodbye)
            world.turn([&](Engine& e) {
                WorkerReport report;
                report.goodbye = true;
                e.report(session, std::move(report));
            });
        if (end == End::closed) world.turn([&](Engine& e) { e.disconnected(session); });
        CHECK(world.try_name(from(2)).has_value());
        CHECK_EQ(world.shown().rivals, end == End::closed ? 0 : 1);
    }
}

}  // namespace
}  // namespace nexus::engine
