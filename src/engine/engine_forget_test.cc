// Workers that are gone: remembered for a time, and what stays of them.

#include <doctest/doctest.h>

#include "engine/world_test.h"

namespace nexus::engine {
namespace {

struct Fleet : World {
    std::vector<WorkerInfo> workers() {
        pass(seconds(2));  // the read model is shared for a moment
        const auto state = call(ReadState{});
        REQUIRE(state.has_value());
        return (*state)->workers;
    }
    SessionId join(const std::string& name, std::shared_ptr<RecordingLink> link = {}) {
        if (!link) link = std::make_shared<RecordingLink>();
        return connect(a_worker(name), std::move(link));
    }
    void leave(SessionId session) {
        turn([&](Engine& e) { e.disconnected(session); });
    }
    Result<WorkerInfo> forget(const std::string& name) {
        return call(ControlWorker{name, core::WorkerOrder::forget, "ann", "returned"});
    }
    void retain(const std::string& span) {
        Configure request;
        request.toml = "[scheduler]\nworker_retention = \"" + span + "\"";
        REQUIRE(call(std::move(request)).has_value());
    }
    // Time passes with a turn for whatever falls due, as a Runner gives it.
    void wait(Duration d) {
        for (const Instant until = now.at + d; now.at < until;) {
            const Instant next = std::min(std::max(engine->next_turn(), now.at + Duration{1}), until);
            pass(next - now.at);
        }
    }
};

TEST_CASE("field E, M: workers that are gone are forgotten after the retention, also over a restart") {
    Fleet world;
    world.retain("1h");
    for (int i = 0; i < 25; ++i) world.leave(world.join("short-" + std::to_string(i)));
    CHECK_EQ(world.workers().size(), 25);
    const WallTime left = world.workers()[0].last_heard;
    CHECK_LT((world.now.wall - left).us, seconds(60).us);
    world.wait(minutes(30));
    world.open();  // a crash: what it knows follows from the journal
    CHECK_EQ(world.workers().size(), 25);
    CHECK_EQ(world.workers()[0].last_heard.us, left.us);
    world.wait(minutes(30));
    CHECK(world.workers().empty());
    CHECK_EQ(world.engine->core().worker_count(), 25);
    for (int i = 0; i < 25; ++i) world.join("next-" + std::to_string(i));
    CHECK_EQ(world.engine->core().worker_count(), 25);  // their numbers are used again
    const std::uint64_t digest = world.engine->core().digest();
    Engine again{EngineOptions{}};
    REQUIRE(again.recover(world.journal).has_value());
    CHECK_EQ(again.core().digest(), digest);
}

TEST_CASE("a retention of 0 keeps them for ever, and a shorter one acts at once") {
    Fleet world;
    world.retain("0s");
    world.leave(world.join("w1"));
    world.wait(hours(100));
    CHECK_EQ(world.workers().size(), 1);
    world.retain("1h");
    world.wait(seconds(2));
    CHECK(world.workers().empty());
}

TEST_CASE("a worker is forgotten by order, but not while it is there or may still run something") {
    Fleet world;
    const auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.join("w1", link);
    CHECK_EQ(world.forget("w1").error().what, "worker w1 is connected: stop it first");
    world.submitted(a_task());
    REQUIRE_EQ(link->assigned().size(), 1);
    world.leave(session);
    const auto early = world.forget("w1");
    REQUIRE_FALSE(early.has_value());
    CHECK_EQ(early.error().fault, Fault::failed_state);
    CHECK_NE(early.error().what.find("may still run"), std::string::npos);
    world.wait(seconds(10));
    core::OverrideSet exclude{.kind = core::OverrideKind::exclude, .type = "resize", .worker = "w1"};
    const auto set = world.call(SetOverride{.set = exclude, .author = "ann", .reason = {}});
    REQUIRE(set.has_value());
    CHECK_EQ(world.forget("w1").error().what,
             "override " + std::to_string(set->set.number) + " names worker w1: clear it first");
    REQUIRE(world.call(ClearOverride{.number = set->set.number, .author = "ann"}).has_value());
    const auto done = world.forget("w1");
    REQUIRE(done.has_value());
    CHECK_EQ(done->name, "w1");
    CHECK(world.workers().empty());
    CHECK_EQ(world.forget("w1").error().fault, Fault::not_found);
    const auto audit = world.call(ListAudit{});
    REQUIRE(audit.has_value());
    CHECK_EQ(audit->entries.front().action, "forget worker w1");
}

TEST_CASE("what was learned of a worker's speed goes with it") {
    Fleet world;
    const auto slow = std::make_shared<RecordingLink>(), usual = std::make_shared<RecordingLink>();
    const SessionId one = world.join("slow", slow);
    const SessionId other = world.join("usual", usual);
    std::size_t slow_done = 0, usual_done = 0;
    for (int i = 0; i < 80; ++i) {
        for (const char* name : {"slow", "usual"}) {
            Submission item = a_task(i % 2 == 0 ? "a" : "b");
            item.spec.pinned_worker = name;
            world.submitted(std::move(item));
        }
        REQUIRE_GT(slow->assigned().size(), slow_done);
        REQUIRE_GT(usual->assigned().size(), usual_done);
        AttemptReport report;
        report.run = seconds(6);
        world.finish(one, slow->assigned()[slow_done++], report);
        report.run = seconds(1);
        world.finish(other, usual->assigned()[usual_done++], report);
        world.pass(milliseconds(300));
    }
    const auto speed_of = [&](const char* name) {
        const core::Scheduler& core = world.engine->core();
        return core.worker(core.find_worker(name)).speed_ppm;
    };
    REQUIRE_GT(speed_of("slow"), speed_of("usual"));
    world.leave(one);
    world.wait(seconds(10));
    REQUIRE(world.forget("slow").has_value());
    world.join("slow");
    CHECK_EQ(speed_of("slow"), 1'000'000);
    world.wait(seconds(2));  // the predictor tells nothing of before either
    CHECK_EQ(speed_of("slow"), 1'000'000);
}

TEST_CASE("field J: how often a worker connected lately is counted") {
    Fleet world;
    for (int i = 0; i < 7; ++i) world.leave(world.join("flaps"));
    CHECK_EQ(world.workers()[0].connects, 7);
    world.wait(minutes(6));
    CHECK_EQ(world.workers()[0].connects, 0);
}

}  // namespace
}  // namespace nexus::engine
