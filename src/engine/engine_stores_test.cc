#include <doctest/doctest.h>

#include "engine/body.h"
#include "engine/commit_line.h"
#include "engine/snapshotter.h"
#include "engine/world_test.h"
#include "store/memory/faulty_journal.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;

// An engine on a store that can fall silent, one step at a time.
struct SilentStore : World {
    store::FaultyJournal disk{1, {}};
    std::optional<Result<std::vector<Submitted>>> answer;

    SilentStore() {
        engine = std::make_unique<Engine>(EngineOptions{});
        engine->post = [this](Work work) { later.push_back(std::move(work)); };
        line = std::make_unique<CommitLine>(disk, *store::claim_now(disk, {.name = "test"}),
                                            CommitLine::Options{.post = engine->post});
        engine->start(now);
        commit();
    }
    void ask(Submission item) {
        engine->begin_turn(now);
        engine->answer({}, SubmitTasks{{std::move(item)}},
                       [this](Result<std::vector<Submitted>> value) { answer.emplace(std::move(value)); });
        engine->end_turn();
        while (engine->has_batch()) line->take(engine->take_batch(), now.at);
    }
    void wait(Duration time) {
        now.at = now.at + time;
        now.wall = now.wall + time;
    }
};

TEST_CASE(
    "C1: while the store is silent nothing is told; after 2 s the outcome is unknown, and nothing is stored twice") {
    SilentStore world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    Submission item = a_task();
    item.idempotency_key = "k";
    world.disk.silent(true);
    world.ask(item);
    for (int i = 0; i < 19; ++i, world.wait(milliseconds(100)))
        REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::wait);
    CHECK_FALSE(world.answer.has_value());
    world.wait(milliseconds(100));
    REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::wait);
    REQUIRE(world.answer.has_value());
    CHECK(world.answer->error().fault == Fault::unreachable);
    CHECK(link->assigned().empty());
    CHECK(world.line->bytes_in_flight() > 0);
    world.disk.silent(false);
    CHECK(world.disk.counts().unanswered == 20);
    REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::confirmed);
    while (auto batch = world.line->release_next(world.now.at)) world.told(std::move(*batch));
    CHECK(world.line->empty());
    REQUIRE(link->assigned().size() == 1);  // the order was kept, and is told once
    world.answer.reset();
    world.ask(item);
    world.line->append(world.now.at);
    while (auto batch = world.line->release_next(world.now.at)) world.told(std::move(*batch));
    REQUIRE(world.answer->has_value());
    CHECK(world.answer->value().front().duplicate);
    CHECK(world.answer->value().front().task == link->assigned()[0].order.task);
}

TEST_CASE("C1: a call of the store that hangs holds nobody: the outcome is told as unknown meanwhile, and once") {
    struct Hanging final : store::FaultyJournal {
        using FaultyJournal::FaultyJournal;
        std::function<void()> meanwhile;
        Result<store::Appended> append(const store::Claim& claim,
                                       std::span<const store::JournalBatch> batches) override {
            if (meanwhile) meanwhile();
            return FaultyJournal::append(claim, batches);
        }
    } disk{1, {}};
    CommitLine line(disk, *store::claim_now(disk, {.name = "test"}), {.post = [](auto) {}});
    std::vector<std::string> told;
    PendingBatch batch;
    batch.replies.push_back([&](const Error* error) { told.push_back(error ? error->what : "confirmed"); });
    batch.journal = store::JournalBatch{.first = Sequence{1}, .count = 1};
    line.take(std::move(batch), Instant{} + seconds(10));
    PendingBatch later;
    later.replies.push_back([&](const Error* error) { told.push_back(error ? error->what : "confirmed"); });
    line.take(std::move(later), Instant{} + seconds(11));
    disk.meanwhile = [&] {
        line.expire(Instant{} + seconds(11));
        CHECK(told.empty());
        line.expire(Instant{} + seconds(12));
        REQUIRE(told.size() == 1);
        CHECK(told[0].contains("unknown"));
    };
    line.append(Instant{} + seconds(10));
    CHECK_EQ(line.answers_waiting(), 1);
    while (line.release_next(Instant{} + seconds(13))) continue;
    REQUIRE(told.size() == 2);
    CHECK_EQ(told[1], "confirmed");
    CHECK(line.empty());
}

TEST_CASE("C17: what was applied is kept while not even the reserve has room, and stored when there is") {
    SilentStore world;
    world.disk.full(true);
    world.disk.exhausted(true);
    world.ask(a_task());
    REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::no_space);
    CHECK_FALSE(world.answer.has_value());
    world.disk.exhausted(false);
    const auto outcome = world.line->append(world.now.at);
    REQUIRE(outcome.step == CommitLine::Step::confirmed);
    CHECK(outcome.low_on_space);
    while (auto batch = world.line->release_next(world.now.at)) world.told(std::move(*batch));
    REQUIRE(world.answer->has_value());
    const TaskId task = world.answer->value().front().task;
    CHECK(store::read_body(world.disk, store::BodyKind::body, task).state == store::Body::State::found);
}

TEST_CASE("C16: submissions beyond the room are refused before anything happens") {
    SilentStore world;
    world.engine->set_room(20'000);
    world.ask(a_task("resize", std::string(15'000, 'x')));
    REQUIRE(world.line->bytes_in_flight() > 15'000);
    world.engine->set_room(20'000 - world.line->bytes_in_flight());
    const std::uint64_t digest = world.engine->core().digest();
    world.ask(a_task("resize", std::string(5'000, 'x')));
    REQUIRE(world.answer.has_value());  // at once, whatever waits for the store
    CHECK(world.answer->error().fault == Fault::exhausted);
    CHECK(world.engine->core().digest() == digest);
    REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::confirmed);
    while (auto batch = world.line->release_next(world.now.at)) world.told(std::move(*batch));
    CHECK(world.answer->has_value());  // the first, which had room
    CHECK(world.engine->live_tasks() == 1);
}

// A journal whose bodies can be lost or cannot be read for a while.
struct ForgetfulJournal final : store::JournalStore {
    store::MemoryJournal inner;
    std::optional<store::Body::State> bodies_are;
    Result<store::Head> head() override { return inner.head(); }
    Result<store::Claim> claim(const store::Head& observed, const store::Claimant& me) override {
        return inner.claim(observed, me);
    }
    Result<void> renew(const store::Claim& claim, std::string_view wish) override { return inner.renew(claim, wish); }
    Result<store::Appended> append(const store::Claim& claim, std::span<const store::JournalBatch> batches) override {
        return inner.append(claim, batches);
    }
    Result<void> read(Sequence after, Duration wait, const store::BatchVisitor& visit) override {
        return inner.read(after, wait, visit);
    }
    std::vector<store::Body> bodies(store::BodyKind kind, std::span<const TaskId> tasks) override {
        auto found = inner.bodies(kind, tasks);
        if (bodies_are)
            for (store::Body& body : found) body = {.state = *bodies_are, .bytes = {}, .why = "told to"};
        return found;
    }
    Result<void> put_snapshot(Sequence at, const store::SnapshotSource& source) override {
        return inner.put_snapshot(at, source);
    }
    Result<Sequence> get_snapshot(store::Kept which, const store::SnapshotSink& sink) override {
        return inner.get_snapshot(which, sink);
    }
};

struct Forgetful : World {
    ForgetfulJournal store;
    Forgetful() {
        engine = std::make_unique<Engine>(EngineOptions{});
        engine->post = [this](Work work) { later.push_back(std::move(work)); };
        line = std::make_unique<CommitLine>(store, *store::claim_now(store, {.name = "test"}),
                                            CommitLine::Options{.post = engine->post});
        engine->start(now);
        commit();
    }
};

TEST_CASE("a body that cannot be read now makes no dead task: the assignment is given back, no failure is counted") {
    Forgetful world;
    const TaskId task = world.submitted(a_task());
    auto link = std::make_shared<RecordingLink>();
    world.store.bodies_are = store::Body::State::unreachable;
    world.engine->begin_turn(world.now);
    world.engine->connect(a_worker("w1"), link, [](Result<SessionId>) {});
    world.engine->end_turn();
    world.line->take(world.engine->take_batch(), world.now.at);
    REQUIRE(world.line->append(world.now.at).step == CommitLine::Step::confirmed);
    for (int i = 0; i < 20; ++i) {  // it is asked for again for 2 s
        CHECK_FALSE(world.line->release_next(world.now.at).has_value());
        CHECK(world.line->confirmed_left());
        world.now.at = world.now.at + milliseconds(100);
        world.now.wall = world.now.wall + milliseconds(100);
    }
    while (auto batch = world.line->release_next(world.now.at)) world.told(std::move(*batch));
    world.commit();
    CHECK(link->assigned().empty());
    auto info = world.get(task);
    CHECK(info->state == core::TaskState::waiting);
    CHECK(info->attempts.back().outcome == std::string("rejected"));
    CHECK(world.engine->core().counters().dead == 0);
    world.store.bodies_are.reset();
    for (int i = 0; i < 600 && link->assigned().empty(); ++i) {
        WorkerReport alive;
        alive.load.emplace();
        world.turn([&](Engine& e) { e.report(link->told.front().welcome->session, std::move(alive)); });
        world.pass(milliseconds(200));
    }
    REQUIRE(link->assigned().size() == 1);
    CHECK(link->assigned()[0].body->payload == "pixels");
}

TEST_CASE("a body that is proven lost makes the task dead, with the reason") {
    Forgetful world;
    const TaskId task = world.submitted(a_task());
    world.store.bodies_are = store::Body::State::missing;
    world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
    const auto info = world.get(task);
    REQUIRE(info.has_value());
    CHECK(info->state == core::TaskState::dead);
    CHECK(info->error.find("told to") != std::string::npos);
}
