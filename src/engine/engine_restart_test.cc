#include <doctest/doctest.h>

#include "engine/commit_line.h"
#include "engine/snapshotter.h"
#include "engine/world_test.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;

TEST_CASE("a damaged snapshot is passed over for the one before it") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 5; ++i) world.submitted(a_task());
        world.finish(session, link->assigned().back());
        if (round < 2)
            REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence())
                        .has_value());
    }
    const std::uint64_t digest = world.engine->core().digest();
    REQUIRE(store::put_snapshot(world.journal, store::get_snapshot(world.journal)->value().at, "not a snapshot")
                .has_value());
    Engine again{EngineOptions{}};
    REQUIRE(again.recover(world.journal).has_value());
    CHECK(again.core().digest() == digest);
    CHECK_FALSE(again.replica().passed_over().empty());
}

TEST_CASE("after being unsure the journal goes on with a resumption: workers come back to what they hold") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    world.now.at = world.now.at + seconds(10);
    world.now.wall = world.now.wall + seconds(10);
    world.engine->resume(world.now);
    world.commit();
    CHECK(link->told.back().close);
    auto again = std::make_shared<RecordingLink>();
    WorkerHello hello = a_worker("w1");
    hello.joined.held = {{order.order.task, order.order.attempt}};
    const SessionId back = world.connect(std::move(hello), again);
    REQUIRE(again->told.front().welcome->keep.size() == 1);
    world.finish(back, order);
    CHECK(world.get(task)->state == core::TaskState::succeeded);
    CHECK(world.get(task)->attempts.size() == 1);
}

TEST_CASE("C13: a restart keeps what workers hold and runs nothing twice") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1", 2), link);
    const TaskId running = world.submitted(a_task());
    const TaskId waiting = world.submitted(a_task());
    world.submitted(a_task());
    const Assignment held = link->assigned()[0];
    const std::uint64_t digest = world.engine->core().digest();
    world.engine.reset();
    world.open();
    CHECK(world.engine->core().digest() != digest);  // EngineStarted came after
    CHECK(world.get(running)->state == core::TaskState::assigned);
    auto again = std::make_shared<RecordingLink>();
    WorkerHello hello = a_worker("w1", 2);
    hello.joined.held = {{held.order.task, held.order.attempt}};
    const SessionId session = world.connect(std::move(hello), again);
    REQUIRE(again->told.front().welcome->keep.size() == 1);
    world.finish(session, held);
    CHECK(world.get(running)->state == core::TaskState::succeeded);
    CHECK(world.get(running)->attempts.size() == 1);
    CHECK(world.get(waiting).has_value());
}

TEST_CASE("a snapshot and the journal after it give the same state as the journal alone") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    for (int i = 0; i < 20; ++i) world.submitted(a_task());
    for (int i = 0; i < 5; ++i) world.finish(session, link->assigned().back());
    REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence()).has_value());
    for (int i = 0; i < 5; ++i) world.finish(session, link->assigned().back());
    const std::uint64_t before = world.engine->core().counters().succeeded;
    const std::uint64_t digest = world.engine->core().digest();
    world.engine.reset();
    Engine twin{EngineOptions{}};
    auto stored = store::get_snapshot(world.journal);
    auto snapshot = *journal::decode_snapshot((*stored)->bytes);
    for (const std::uint32_t other : {core::kOldestSnapshot - 1, core::kCoreVersion + 1}) {
        snapshot.core_version = other;
        CHECK(twin.restore(snapshot).error().fault == Fault::unsupported);
    }
    snapshot.core_version = core::kCoreVersion;
    REQUIRE(twin.restore(snapshot).has_value());
    REQUIRE(
        world.journal.read(twin.last_sequence(), {}, [&](Sequence, std::string_view b) { return twin.replay(b, {}); })
            .has_value());
    CHECK(twin.core().digest() == digest);
    CHECK(twin.core().counters().succeeded == before);
    CHECK(twin.live_tasks() == 10);
}

TEST_CASE("the state saved after a replay is the snapshot that the journal gives") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    for (int i = 0; i < 20; ++i) world.submitted(a_task());
    for (int i = 0; i < 5; ++i) world.finish(session, link->assigned().back());
    world.engine.reset();
    Engine replayed{EngineOptions{}};
    REQUIRE(
        world.journal.read({}, {}, [&](Sequence, std::string_view b) { return replayed.replay(b, {}); }).has_value());
    const journal::Snapshot saved = replayed.save();
    REQUIRE(make_snapshot(world.journal, saved.predictor, replayed.last_sequence()).has_value());
    const auto stored = store::get_snapshot(world.journal);
    CHECK(journal::encode_snapshot(saved) == (*stored)->bytes);
}

TEST_CASE("what the predictor learned survives a restart, from the journal alone and from a snapshot") {
    for (const bool snapshot : {false, true}) {
        CAPTURE(snapshot);
        World world;
        auto link = std::make_shared<RecordingLink>();
        const SessionId session = world.connect(a_worker("w1"), link);
        world.teach(session, *link);
        const auto stat_of = [&] {
            return world.ask<TypeInfo>([&](Engine& e, auto done) { e.answer({}, GetType{"resize"}, std::move(done)); });
        };
        const auto before = stat_of();
        REQUIRE(before.has_value());
        if (snapshot)
            REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence())
                        .has_value());
        world.engine.reset();
        world.open();
        const auto after = stat_of();
        REQUIRE(after.has_value());
        CHECK(after->samples == 12);
        CHECK(after->within_25 == doctest::Approx(before->within_25));
        const auto warm = world.submit(a_task());
        REQUIRE(warm.has_value());
        CHECK(std::llabs(warm->front().estimate.p50.us - 700'000) < 70'000);
    }
}

TEST_CASE("hints and features of waiting tasks are known again after a restart") {
    World world;
    std::vector<TaskId> tasks;
    for (int i = 0; i < 150; ++i) {
        Submission item = a_task();
        if (i % 2 == 0) item.body.hint = seconds(40 + i);
        if (i % 3 == 0) item.body.features = {{"pages", 7}};
        tasks.push_back(world.submitted(std::move(item)));
    }
    const Duration told = world.get(tasks[148])->estimate.p50;
    CHECK(std::llabs(told.us - seconds(188).us) < 1'000'000);
    world.engine.reset();
    world.open();
    // A worker's run teaches, so that waiting tasks are estimated again: with their hints, not without.
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    world.finish(session, link->assigned().back(), {.run = seconds(40)});
    world.pass(seconds(1));
    CHECK(world.get(tasks[148])->estimate.p50 == told);
    CHECK(world.get(tasks[148])->estimate.source == EstimateSource::hint);
}

TEST_CASE("overrides in force are listed and cleared after a restart, from the journal alone and from a snapshot") {
    for (const bool snapshot : {false, true}) {
        CAPTURE(snapshot);
        World world;
        world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
        const TaskId running = world.submitted(a_task());
        const TaskId waiting = world.submitted(a_task());
        const auto set = [&](core::OverrideSet what, WallTime expires) {
            return world.call(SetOverride{std::move(what), expires, "ann", "look first"});
        };
        const auto list = [&] { return *world.call(ListOverrides{}); };
        const auto clear = [&](std::uint64_t number) { return world.call(ClearOverride{number, "ann"}); };
        const WallTime soon{world.now.wall.us + 5'000'000};
        const auto hold = set({.kind = core::OverrideKind::hold, .task = waiting}, {});
        REQUIRE(hold.has_value());
        REQUIRE(set({.kind = core::OverrideKind::boost, .task = running, .boost = seconds(9)}, {}).has_value());
        REQUIRE(set({.kind = core::OverrideKind::boost, .type = "resize", .boost = seconds(1)}, soon).has_value());
        CHECK(set({.kind = core::OverrideKind::hold, .type = "a b"}, {}).error().fault == Fault::invalid);
        CHECK(set({.kind = core::OverrideKind::hold, .type = "resize"}, {1}).error().fault == Fault::invalid);
        if (snapshot)
            REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence())
                        .has_value());
        world.engine.reset();
        world.open();
        REQUIRE(list().size() == 3);
        CHECK(list()[0].set.number == hold->set.number);
        CHECK(list()[0].set.task == waiting);
        CHECK(list()[0].author == "ann");
        CHECK(list()[0].reason == "look first");
        CHECK(list()[2].expires == soon);
        CHECK(world.get(waiting)->waiting == core::WaitReason::held);
        world.pass(seconds(5));
        CHECK(list().size() == 2);  // one expired
        REQUIRE(world.call(CancelTask{running, ""}).has_value());
        CHECK(list().size() == 1);  // one has no task any more
        REQUIRE(clear(hold->set.number).has_value());
        CHECK(list().empty());
        CHECK(clear(hold->set.number).error().fault == Fault::not_found);
        CHECK(world.get(waiting)->waiting != core::WaitReason::held);
    }
}

TEST_CASE("sessions and fences never repeat, whatever is restarted or lost") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId first = world.connect(a_worker("w1"), link);
    world.submitted(a_task());
    const std::uint64_t fence = link->assigned()[0].order.fence;
    CHECK((fence >> kShardBits) >= static_cast<std::uint64_t>(world.now.wall.us));
    world.engine.reset();
    world.open();
    world.pass(milliseconds(1));  // ids of tasks are made of the time and of a seed that is the same here
    auto again = std::make_shared<RecordingLink>();
    const SessionId second = world.connect(a_worker("w2"), again);
    CHECK(second != first);
    world.submitted(a_task());
    REQUIRE_EQ(again->assigned().size(), 1);
    CHECK(again->assigned()[0].order.fence > fence);
    // A store that lost everything, another shard, a claim that counts on: never the same again.
    for (const std::uint32_t shard : {0U, 7U}) {
        World other;
        other.engine = std::make_unique<Engine>(EngineOptions{.shard = shard});
        other.engine->start(other.now, 9);
        auto theirs = std::make_shared<RecordingLink>();
        SessionId id;
        other.engine->begin_turn(other.now);
        other.engine->connect(a_worker("w1"), theirs, [&](Result<SessionId> answer) { id = *answer; });
        other.engine->end_turn();
        store::MemoryJournal empty;
        CommitLine line(empty, *store::claim_now(empty, {.name = "test"}), {.post = [](Work) {}});
        line.take(other.engine->take_batch(), other.now.at);
        REQUIRE(line.append(other.now.at).step == CommitLine::Step::confirmed);
        while (line.release_next(other.now.at)) continue;
        CHECK(id != first);
        CHECK(id != second);
        CHECK((id.n >> 52) == shard);
        CHECK(((id.n >> 30) & 0x3FFFFF) == 9);
        CHECK(other.engine->core().shard() == shard);
    }
}
