// What releases before left behind is carried over: test/golden/snapshot_core7.txt, snapshot_core9.txt and
// snapshot_core10.txt are snapshots that they wrote when they were stopped, with what is in them (docs/journal.md, "A new version").
#include <doctest/doctest.h>

#include <fstream>
#include <map>

#include "engine/body.h"
#include "engine/commit_line.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "journal/codec.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

struct Old {
    std::map<std::string, std::string> said;
    journal::Snapshot snapshot;

    explicit Old(const char* file = "snapshot_core7.txt") {
        std::ifstream in(std::string(NEXUS_GOLDEN_DIR) + "/" + file);
        REQUIRE(in);
        std::string comment, key, value, bytes;
        std::getline(in, comment);
        while (in >> key >> value) said[key] = value;
        const std::string& hex = said["snapshot"];
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
            bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
        auto decoded = journal::decode_snapshot(bytes);
        REQUIRE(decoded);
        snapshot = std::move(*decoded);
    }
    TaskId task(const char* name) { return *parse_id<TaskId>(said[name]); }
    std::uint64_t number(const char* name) { return std::stoull(said[name]); }
};

core::Scheduler core_of(const Old& old, std::uint32_t version) {
    REQUIRE_EQ(old.snapshot.core_version, version);
    core::Scheduler core;
    REQUIRE(core.load(old.snapshot.core));
    CHECK_EQ(core.digest(), old.snapshot.digest);
    core.check_invariants();
    return core;
}

struct Link : WorkerLink {
    std::vector<WorkerOrders> told;
    void send(WorkerOrders orders) override { told.push_back(std::move(orders)); }
};

// The new release on the old snapshot, two minutes later.
struct Upgraded {
    Old old;
    store::MemoryJournal journal{{.after = old.snapshot.at, .chain = old.snapshot.chain}};
    Engine engine{EngineOptions{}};
    CommitLine line{
        journal, *store::claim_now(journal, {.name = "test"}), {.post = [](std::move_only_function<void(Engine&)>) {}}};
    Now now;
    std::vector<std::string> batches;  // what it wrote since

    Upgraded() {
        auto restored = engine.restore(old.snapshot);
        CAPTURE((restored ? "" : restored.error().what));
        REQUIRE(restored);
        CHECK_EQ(engine.core().digest(), old.number("digest"));
        now.at = engine.last_instant() + seconds(120);
        now.wall = WallTime{now.at.us + engine.core().wall_offset().us};
        engine.post = [](std::move_only_function<void(Engine&)>) {};
        engine.start(now);
        commit();
    }
    void commit() {
        while (engine.has_batch()) {
            PendingBatch batch = engine.take_batch();
            if (batch.journal.count > 0) batches.push_back(batch.journal.bytes);
            line.take(std::move(batch), now.at);
            REQUIRE(line.append(now.at).step == CommitLine::Step::confirmed);
            while (line.release_next(now.at)) continue;
        }
    }
    template <class T, class F>
    Result<T> ask(F&& f) {
        std::optional<Result<T>> answer;
        engine.begin_turn(now);
        f(engine, [&](Result<T> value) { answer.emplace(std::move(value)); });
        engine.end_turn();
        commit();
        REQUIRE(answer.has_value());
        return std::move(*answer);
    }
    Result<std::vector<Submitted>> submit(Submission item) {
        return ask<std::vector<Submitted>>([&](Engine& e, auto done) {
            std::vector<Submission> items;
            items.push_back(std::move(item));
            e.answer({}, SubmitTasks{std::move(items)}, std::move(done));
        });
    }
};

}  // namespace

TEST_SUITE_BEGIN("upgrade");

TEST_CASE("a snapshot of the core before is read: its tasks, configuration and overrides are in force") {
    Upgraded world;
    const core::Scheduler& core = world.engine.core();
    core.check_invariants();
    CHECK_EQ(core.config().lease, seconds(7));
    CHECK_EQ(core.config().pause_ratio_permille, 5000);
    CHECK_EQ(core.config().queues, std::vector<core::QueueLimits>{{.name = "slow", .paused = true}});
    CHECK_EQ(core.config().tenants,
             std::vector<core::TenantLimits>{{.name = "acme", .share = 3, .running_max = 0, .waiting_max = 9}});
    CHECK_EQ(core.config().types, std::vector<core::TypeLimits>{{.name = "encode", .running_max = 5}});

    const auto full = core.task(world.old.task("full"));
    REQUIRE(full);
    core::TaskSpec spec;
    spec.type = "encode";
    spec.tenant = "acme";
    spec.queue = "slow";
    spec.labels_required = {{"zone", "z1"}};
    spec.labels_preferred = {{"hw", "a"}};
    spec.labels_forbidden = {{"zone", "z9"}};
    spec.pinned_worker = "w1";
    spec.timeout = seconds(30);
    spec.ttl = hours(9);
    spec.retry = {.attempts_max = 4, .backoff_first = seconds(2), .backoff_max = seconds(40)};
    spec.resources = {.cpu_milli = 1500, .memory_bytes = 1 << 20, .gpu_milli = 250, .custom = {{"licence", 1}}};
    spec.preemptible = spec.exclusive = true;
    CHECK(*full->spec == spec);

    const auto overrides = *world.ask<std::vector<OverrideInfo>>(
        [](Engine& e, auto done) { e.answer({}, ListOverrides{}, std::move(done)); });
    REQUIRE_EQ(overrides.size(), 2);
    CHECK_EQ(overrides[0].set.number, world.old.number("override"));
    CHECK_EQ(overrides[0].set.task, world.old.task("held"));
    CHECK(world
              .ask<std::uint64_t>([&](Engine& e, auto done) {
                  e.answer({}, ClearOverride{world.old.number("override"), "ann"}, std::move(done));
              })
              .has_value());
    CHECK_EQ(core.overrides().size(), 1);
}

TEST_CASE("a forced estimate of the release before is in force, and from then on in the core") {
    Upgraded world;
    const auto forced = world.engine.core().forced_estimates();
    REQUIRE_EQ(forced.size(), 1);
    CHECK_EQ(forced[0].type, "encode");
    CHECK_EQ(forced[0].estimate, seconds(42));
    CHECK_EQ(forced[0].act.author, "ann");
    CHECK_EQ(forced[0].act.reason, "new codec");
    Submission item;
    item.spec.type = "encode";
    const auto answer = world.submit(std::move(item));
    REQUIRE(answer);
    CHECK_EQ(answer->front().estimate.source, EstimateSource::forced);
}

TEST_CASE("what an operator took back after the upgrade stays so, though the next start reads the old snapshot again") {
    Upgraded world;
    REQUIRE(world.ask<predict::TypeStat>(
        [](Engine& e, auto done) { e.answer({}, ForceEstimate{"encode", {}, {}, "ann", ""}, std::move(done)); }));
    CHECK(world.engine.core().forced_estimates().empty());
    Engine again{EngineOptions{.seed = 2}};  // killed before it made a snapshot of its own
    REQUIRE(again.restore(world.old.snapshot));
    for (const std::string& batch : world.batches) REQUIRE(again.replay(batch, {}));
    again.start(world.now);
    CHECK(again.core().forced_estimates().empty());
}

TEST_CASE("C3: a key of the release before stands for what it stood for then") {
    Upgraded world;
    Submission item;
    item.spec.type = "encode";
    item.spec.queue = "slow";
    item.spec.tenant = "acme";
    item.spec.priority = 7;
    item.body.payload = "pixels";
    item.body.metadata = {{"user", "ann"}};
    item.body.traceparent = "00-aa-bb-01";
    item.body.hint = seconds(3);
    item.idempotency_key = "order-17";
    const auto again = world.submit(item);
    REQUIRE(again);
    CHECK(again->front().duplicate);
    CHECK_EQ(again->front().task, world.old.task("keyed"));
    item.body.payload = "other pixels";
    const auto other = world.submit(item);
    REQUIRE_FALSE(other);
    CHECK_EQ(other.error().fault, Fault::conflict);
}

TEST_CASE("what ran goes on, and fences grow over the upgrade") {
    Upgraded world;
    const TaskId running = world.old.task("running");
    const auto view = world.engine.core().task(running);
    REQUIRE(view);
    CHECK_EQ(view->fence, world.old.number("fence"));
    auto link = std::make_shared<Link>();
    WorkerHello hello;
    hello.joined.name = "w1";
    hello.joined.slots = 2;
    hello.joined.offered = {-1, -1, -1, {}};
    hello.joined.held = {{running, view->attempt}};
    const auto session = world.ask<SessionId>([&](Engine& e, auto done) { e.connect(hello, link, std::move(done)); });
    REQUIRE(session);
    CHECK_NE(session->n, world.old.number("session"));
    REQUIRE_FALSE(link->told.empty());
    CHECK_EQ(link->told.front().welcome->keep.size(), 1);
    Submission item;
    item.spec.type = "resize";
    const auto next = world.submit(std::move(item));
    REQUIRE(next);
    CHECK_GT(world.engine.core().task(next->front().task)->fence, world.old.number("fence"));
}

TEST_CASE("what is saved after the upgrade is read again") {
    Upgraded world;
    const journal::Snapshot saved = world.engine.save();
    CHECK_EQ(saved.core_version, core::kCoreVersion);
    Engine again{EngineOptions{}};
    REQUIRE(again.restore(*journal::decode_snapshot(journal::encode_snapshot(saved))));
    CHECK_EQ(again.core().digest(), world.engine.core().digest());
    CHECK_EQ(again.core().forced_estimates(), world.engine.core().forced_estimates());
    std::string one, other;
    again.core().save(one);
    world.engine.core().save(other);
    CHECK(one == other);
}

TEST_CASE("a snapshot of core 9 is read: workers that are gone are remembered from then on, and forgotten in time") {
    const Old old("snapshot_core9.txt");
    core::Scheduler core = core_of(old, 9);
    CHECK_EQ(core.config().lease, seconds(7));
    CHECK_EQ(core.config().worker_retention, hours(24));
    CHECK(core.task(*parse_id<TaskId>(old.said.at("waiting"))));
    REQUIRE(core.find_worker("gone"));
    REQUIRE(core.find_worker("kept"));
    CHECK_EQ(core.worker(core.find_worker("gone")).gone, core.now());
    std::vector<core::Command> commands;
    const Instant since = core.now();
    core.apply({since + hours(23), core::TimePassed{}}, commands);
    CHECK(core.find_worker("gone"));
    core.apply({since + hours(24), core::TimePassed{}}, commands);
    CHECK_FALSE(core.find_worker("gone"));
    CHECK(core.find_worker("kept"));  // cordoned
    core.check_invariants();
}

TEST_CASE("a snapshot of core 10 is read: its worker returns with what it runs, and then holds tasks ready") {
    const Old old("snapshot_core10.txt");
    core::Scheduler core = core_of(old, 10);
    CHECK_EQ(core.config().worker_retention, hours(5));
    CHECK(core.config().prefetch);
    const TaskId running = *parse_id<TaskId>(old.said.at("running")),
                 waiting = *parse_id<TaskId>(old.said.at("waiting"));
    const AttemptId attempt = core.task(running)->attempt;
    Instant now = core.now();
    std::vector<core::Command> commands;
    const auto apply = [&](core::Fact fact) {
        commands.clear();
        now = now + milliseconds(1);
        core.apply({now, std::move(fact)}, commands);
        core.check_invariants();
    };
    const SessionId session{77};
    apply(core::WorkerJoined{.name = "w1",
                             .session = session,
                             .slots = 1,
                             .offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1, .custom = {}},
                             .types = {},
                             .held = {{.task = running, .attempt = attempt}},
                             .prefetch_max = 4});
    apply(core::AttemptFinished{.task = running, .attempt = attempt, .session = session, .run = milliseconds(5)});
    REQUIRE_EQ(core.task(waiting)->state, core::TaskState::assigned);
    for (std::uint64_t n = 1; n <= 3; ++n)
        apply(core::TaskSubmitted{.task = {1, n},
                                  .spec = {.type = "short"},
                                  .estimate = {.p50 = milliseconds(1),
                                               .p90 = milliseconds(1),
                                               .mean = milliseconds(1),
                                               .source = EstimateSource::type_mode}});
    apply(core::AttemptStarted{.task = waiting, .attempt = core.task(waiting)->attempt, .session = session});
    apply(core::AttemptFinished{
        .task = waiting, .attempt = core.task(waiting)->attempt, .session = session, .run = milliseconds(1)});
    CHECK_EQ(core.counters().prefetched, 2);
}

TEST_SUITE_END();
