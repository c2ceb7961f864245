#include "engine/engine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "config/toml.h"
#include "engine/body.h"
#include "engine/commit_line.h"
#include "engine/inbox.h"
#include "engine/snapshotter.h"
#include "history/memory/memory_history.h"
#include "history/whole_history.h"
#include "store/memory/faulty_journal.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

// A worker's end of a stream that keeps what it was told.
struct RecordingLink : WorkerLink {
    std::vector<WorkerOrders> told;
    void send(WorkerOrders orders) override { told.push_back(std::move(orders)); }
    std::vector<Assignment> assigned() const {
        std::vector<Assignment> all;
        for (const WorkerOrders& orders : told) all.insert(all.end(), orders.assign.begin(), orders.assign.end());
        return all;
    }
};

Submission a_task(std::string type = "resize", std::string payload = "pixels") {
    Submission item;
    item.spec.type = std::move(type);
    item.body.payload = std::move(payload);
    return item;
}

WorkerHello a_worker(std::string name, std::uint32_t slots = 1) {
    WorkerHello hello;
    hello.joined.name = std::move(name);
    hello.joined.slots = slots;
    hello.joined.offered = {-1, -1, -1, {}};
    return hello;
}

// An engine on memory stores and a clock that moves only when told.
struct World {
    store::MemoryJournal journal;
    history::MemoryHistory history;
    bool history_lost = false;  // what it is given from now on
    std::unique_ptr<Engine> engine;
    std::unique_ptr<CommitLine> line;
    std::vector<Work> later;  // for the next turn
    Now now{Instant{1'000'000}, WallTime{1'800'000'000'000'000}};

    World() { open(); }
    void open() {
        engine = std::make_unique<Engine>(EngineOptions{});
        engine->post = [this](Work work) { later.push_back(std::move(work)); };
        const auto claim = store::claim_now(journal, {.name = "test"});
        REQUIRE(claim.has_value());
        line = std::make_unique<CommitLine>(journal, *claim, CommitLine::Options{.post = engine->post});
        REQUIRE(engine->recover(journal).has_value());
        now.at = std::max(now.at, engine->last_instant());
        engine->start(now);
        commit();
    }
    // Until nothing is left to be stored, and nothing that a release or the history had to say.
    void commit() {
        do {
            while (engine->has_batch()) {
                line->take(engine->take_batch(), now.at);
                REQUIRE(line->append(now.at).step == CommitLine::Step::confirmed);
                while (auto batch = line->release_next(now.at)) told(std::move(*batch));
            }
            if (later.empty()) return;
            engine->begin_turn(now);
            for (Work& work : std::exchange(later, {})) work(*engine);
            engine->end_turn();
        } while (true);
    }
    void told(PendingBatch batch) {
        for (history::DecisionNote& note : batch.decisions) batch.history.decisions.push_back(row_of(note));
        if (!history_lost) REQUIRE(history.write(batch.history).has_value());
        history::WholeHistory whole(history, {});
        for (HistoryQuestion& question : batch.questions) answer(std::move(question), whole, journal);
    }
    template <class F>
    void turn(F&& f) {
        engine->begin_turn(now);
        f(*engine);
        engine->end_turn();
        commit();
    }
    void pass(Duration d) {
        now.at = now.at + d;
        now.wall = now.wall + d;
        turn([](Engine&) {});
    }
    template <class T, class F>
    Result<T> ask(F&& f) {
        std::optional<Result<T>> answer;
        turn([&](Engine& e) { f(e, [&](Result<T> value) { answer.emplace(std::move(value)); }); });
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
    TaskId submitted(Submission item) {
        auto answer = submit(std::move(item));
        REQUIRE(answer.has_value());
        return answer->front().task;
    }
    SessionId connect(WorkerHello hello, std::shared_ptr<RecordingLink> link) {
        auto id = ask<SessionId>(
            [&](Engine& e, auto done) { e.connect(std::move(hello), std::move(link), std::move(done)); });
        REQUIRE(id.has_value());
        return *id;
    }
    // One call, by an operator.
    template <class Request>
    auto call(Request request) {
        return ask<typename Request::Answer>([&](Engine& e, auto done) {
            e.answer({.name = "ops", .tenant = {}, .roles = kAllRoles, .from = "here"}, std::move(request),
                     std::move(done));
        });
    }
    Result<TaskInfo> get(TaskId task) {
        return ask<TaskInfo>([&](Engine& e, auto done) { e.answer({}, GetTask{task, true}, std::move(done)); });
    }
    // A worker of one slot, and a task that was given to it.
    struct Given {
        std::shared_ptr<RecordingLink> link = std::make_shared<RecordingLink>();
        SessionId session;
        TaskId task;
        Assignment order;
    };
    Given given_a_task() {
        Given given;
        given.session = connect(a_worker("w1"), given.link);
        given.task = submitted(a_task());
        given.order = given.link->assigned().at(0);
        return given;
    }
    void finish(SessionId session, const Assignment& a, AttemptReport report = {}) {
        report.task = a.order.task;
        report.attempt = a.order.attempt;
        if (report.run.us < 0) report.run = milliseconds(20);
        WorkerReport all;
        all.started.emplace_back(report.task, report.attempt);
        all.finished.push_back(std::move(report));
        turn([&](Engine& e) { e.report(session, std::move(all)); });
    }
};

}  // namespace

TEST_CASE("a task goes from submission to its result") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    REQUIRE(link->told.front().welcome.has_value());
    const TaskId task = world.submitted(a_task());
    REQUIRE(link->assigned().size() == 1);
    CHECK(link->assigned()[0].order.task == task);
    CHECK(link->assigned()[0].body->payload == "pixels");
    CHECK(world.get(task)->state == core::TaskState::assigned);
    AttemptReport report;
    report.result = "small pixels";
    world.finish(session, link->assigned()[0], report);
    const auto info = world.get(task);
    REQUIRE(info.has_value());
    CHECK(info->state == core::TaskState::succeeded);
    CHECK(info->result == "small pixels");
    CHECK(info->attempts.size() == 1);
    CHECK(store::read_body(world.journal, store::BodyKind::body, task).state == store::Body::State::missing);
}

TEST_CASE("a run that never stood still tells its start, and after its end what it was predicted by") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    WorkerReport begun;
    begun.started.emplace_back(task, order.order.attempt);
    world.turn([&](Engine& e) { e.report(session, std::move(begun)); });
    world.pass(milliseconds(300));  // nothing happens that the core hears of
    const auto running = world.get(task);
    REQUIRE_EQ(running->attempts.size(), 1);
    CHECK_EQ(running->attempts[0].run.us, Duration{-1}.us);
    world.finish(session, order);
    CHECK_EQ(world.get(task)->estimate.source, EstimateSource::fallback);
}

TEST_CASE("a kill for memory is learned, the next attempt asks for more, and its error says so") {
    World world;
    const auto join = [&](const std::string& name, std::int64_t memory) {
        auto link = std::make_shared<RecordingLink>();
        WorkerHello hello = a_worker(name);
        hello.joined.offered.memory_bytes = memory;
        return std::pair{world.connect(std::move(hello), link), link};
    };
    const auto [session, small] = join("small", 1 << 20);
    Submission item = a_task();
    item.spec.resources.memory_bytes = 1 << 19;
    const TaskId task = world.submitted(std::move(item));
    REQUIRE_EQ(small->assigned().size(), 1);
    const auto [other, big] = join("big", 1 << 24);
    AttemptReport killed;
    killed.outcome = core::AttemptOutcome::out_of_memory;
    killed.error = "killed";
    killed.peak_memory_bytes = 1 << 20;
    world.finish(session, small->assigned()[0], killed);
    const auto stat = world.call(GetType{"resize"});
    REQUIRE(stat.has_value());
    CHECK_EQ(static_cast<double>(stat->memory_p95_bytes), doctest::Approx(1.5 * (1 << 20)).epsilon(0.01));
    const char* const said = "killed; the next attempt asks for 1572864 bytes of memory";
    REQUIRE_EQ(world.get(task)->attempts.size(), 1);
    CHECK_EQ(world.get(task)->attempts[0].error, said);
    world.pass(seconds(10));
    CHECK_EQ(small->assigned().size(), 1);
    REQUIRE_EQ(big->assigned().size(), 1);
    // A crash does not make the core forget.
    world.open();
    CHECK_EQ(world.engine->core().task(task)->spec->resources.memory_bytes, 1572864);
}

TEST_CASE("C5: a report repeated or stale changes nothing") {
    World world;
    const auto [link, session, task, first] = world.given_a_task();
    world.finish(session, first);
    AttemptReport late;
    late.outcome = core::AttemptOutcome::failed;
    world.finish(session, first, late);
    CHECK(world.get(task)->state == core::TaskState::succeeded);
    CHECK(world.engine->core().counters().dead == 0);
}

TEST_CASE("C3: the same idempotency key makes one task, another body is refused") {
    World world;
    Submission first = a_task();
    first.idempotency_key = "k";
    const TaskId task = world.submitted(first);
    const auto again = world.submit(first);
    REQUIRE(again.has_value());
    CHECK(again->front().task == task);
    CHECK(again->front().duplicate);
    Submission other = a_task("resize", "other pixels");
    other.idempotency_key = "k";
    CHECK(world.submit(other).error().fault == Fault::conflict);
    Submission foreign = other;
    foreign.spec.tenant = "somebody-else";
    CHECK(world.submit(foreign).has_value());
}

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
        for (int i = 0; i < 12; ++i) {
            world.submitted(a_task());
            world.pass(milliseconds(700));
            world.finish(session, link->assigned().back(), {.run = milliseconds(700)});
        }
        const auto stat_of = [&] {
            return world.ask<predict::TypeStat>(
                [&](Engine& e, auto done) { e.answer({}, GetType{"resize"}, std::move(done)); });
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

TEST_CASE("a forced estimate is used, shown with who and why, survives a restart and ends in time") {
    World world;
    const auto force = [&](Duration estimate) {
        return world.ask<predict::TypeStat>([&](Engine& e, auto done) {
            e.answer({}, ForceEstimate{"resize", estimate, {world.now.wall.us + 60'000'000}, "ann", "slow disk"},
                     std::move(done));
        });
    };
    CHECK(force(Duration{-1}).error().fault == Fault::invalid);
    const auto forced = force(seconds(9));
    REQUIRE(forced.has_value());
    CHECK(forced->forced.estimate == seconds(9));
    REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence()).has_value());
    world.engine.reset();
    world.open();
    const auto answer = world.submit(a_task());
    REQUIRE(answer.has_value());
    CHECK(answer->front().estimate.p50 == seconds(9));
    CHECK(answer->front().estimate.source == EstimateSource::forced);
    const auto stat_of = [&] {
        return world.ask<predict::TypeStat>(
            [&](Engine& e, auto done) { e.answer({}, GetType{"resize"}, std::move(done)); });
    };
    CHECK(stat_of()->forced.author == "ann");
    CHECK(stat_of()->forced.reason == "slow disk");
    CHECK(stat_of()->forced.expires_wall.us == world.now.wall.us + 60'000'000);
    const auto audit = world.history.audit({.before = {}, .limit = 10});
    REQUIRE(audit.has_value());
    REQUIRE_FALSE(audit->empty());
    CHECK(audit->front().action == "force the estimate of resize");
    CHECK(audit->front().author == "ann");
    world.pass(seconds(61));
    CHECK(world.submit(a_task())->front().estimate.source != EstimateSource::forced);
    CHECK_FALSE(stat_of().has_value());  // nothing was learned of it
}

TEST_CASE("a forced estimate and a reset are durable when they are acknowledged: a killed server knows them again") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    for (int i = 0; i < 12; ++i) {
        world.submitted(a_task());
        world.pass(milliseconds(700));
        world.finish(session, link->assigned().back(), {.run = milliseconds(700)});
    }
    REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence()).has_value());
    REQUIRE(world.call(ForceEstimate{"encode", seconds(9), {}, "ann", "new codec"}).has_value());
    REQUIRE(world.call(ResetType{"resize", "ann", "new disk"}).has_value());
    CHECK(world.call(ResetType{"nothing", "ann", ""}).error().fault == Fault::not_found);
    CHECK(world.call(ForceEstimate{"encode", seconds(9), {1}, "ann", ""}).error().fault == Fault::invalid);
    for (int restart = 0; restart < 2; ++restart) {
        CAPTURE(restart);
        world.engine.reset();  // no snapshot since, no farewell
        world.open();
        const auto forced = world.call(GetType{"encode"});
        REQUIRE(forced.has_value());
        CHECK(forced->forced.estimate == seconds(9));
        CHECK(forced->forced.author == "ann");
        CHECK(world.submit(a_task("encode"))->front().estimate.source == EstimateSource::forced);
        const auto forgotten = world.call(GetType{"resize"});
        CHECK((!forgotten.has_value() || forgotten->samples == 0));
    }
    // Taken back is durable, too.
    REQUIRE(world.call(ForceEstimate{"encode", {}, {}, "ann", ""}).has_value());
    world.engine.reset();
    world.open();
    CHECK(world.submit(a_task("encode"))->front().estimate.source != EstimateSource::forced);
    CHECK(world.engine->core().forced_estimates().empty());
}

namespace {

// Newest first; the chain must hold from the first row on.
std::vector<history::AuditRow> audit_of(World& world) {
    auto rows = *world.history.audit({.before = {}, .limit = 100'000});
    for (std::size_t i = 0; i < rows.size(); ++i)
        CHECK(rows[i].hash == chain_hash(i + 1 < rows.size() ? rows[i + 1].hash : "", rows[i]));
    return rows;
}
Result<WorkerInfo> cordon(World& world, std::string reason) {
    return world.call(ControlWorker{"w1", core::WorkerOrder::cordon, "ann", std::move(reason)});
}

}  // namespace

TEST_CASE("the audit follows from the journal: neither a crash nor a history that lost it loses an entry") {
    for (const bool snapshot : {false, true}) {
        CAPTURE(snapshot);
        World world;
        world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
        REQUIRE(cordon(world, "first").has_value());
        CHECK(audit_of(world).size() == 1);
        CHECK(world.engine->audited() == world.engine->last_sequence());
        world.history_lost = true;
        REQUIRE(world.call(PauseQueue{"slow", true, "ann", "too much"}).has_value());
        REQUIRE(cordon(world, "second").has_value());
        CHECK(audit_of(world).size() == 1);
        CHECK(world.engine->audited() < world.engine->last_sequence());
        if (snapshot)
            REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence(),
                                  world.engine->audited())
                        .has_value());
        REQUIRE(cordon(world, "third").has_value());
        world.history_lost = false;
        world.engine.reset();
        for (int restart = 0; restart < 2; ++restart) {
            CAPTURE(restart);
            world.open();
            const auto rows = audit_of(world);
            REQUIRE(rows.size() == 4);
            CHECK(rows[0].reason == "third");
            CHECK(rows[1].reason == "second");
            CHECK(rows[1].action == "cordon worker w1");
            CHECK(rows[1].author == "ann");
            CHECK(rows[1].caller == "ops at here");
            CHECK(rows[2].action == "pause queue slow");
            CHECK(rows[2].before.empty());
            CHECK(rows[2].after.find("paused = true") != std::string::npos);
            CHECK(rows[3].reason == "first");
            CHECK(world.engine->audited() == world.engine->last_sequence());
            world.engine.reset();
        }
        world.open();
    }
}

TEST_CASE("what the history lost of the audit is written again with the next act") {
    World world;
    world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
    world.history_lost = true;
    REQUIRE(cordon(world, "lost").has_value());
    world.history_lost = false;
    REQUIRE(world.call(PauseQueue{"slow", true, "ann", ""}).has_value());
    REQUIRE(world.call(PauseQueue{"slow", false, "ann", ""}).has_value());
    const auto rows = *world.history.audit({.before = {}, .limit = 10});
    REQUIRE(rows.size() == 3);
    CHECK(std::ranges::count(rows, "lost", &history::AuditRow::reason) == 1);
    CHECK(std::ranges::count(rows, "resume queue slow", &history::AuditRow::action) == 1);
}

TEST_CASE("what cannot be audited is not done") {
    World world;
    world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
    world.history_lost = true;
    for (std::size_t n = 0; n < Audit::kUnconfirmedMax; ++n) REQUIRE(cordon(world, "again").has_value());
    CHECK(cordon(world, "too much").error().fault == Fault::exhausted);
    const TaskId task = world.submitted(a_task());
    CHECK(world.call(CancelTask{task, ""}).has_value());
    world.history_lost = false;
    world.engine.reset();
    world.open();
    CHECK(audit_of(world).size() == Audit::kUnconfirmedMax);
    CHECK(cordon(world, "once more").has_value());
    CHECK(cordon(world, std::string(1025, 'x')).error().fault == Fault::invalid);
}

TEST_CASE("the configuration does not grow beyond what can be set again, one paused queue after the other") {
    World world;
    core::Config large;
    const auto queue = [](int n) {
        return core::QueueLimits{.name = std::string(120, 'q') + std::to_string(1000 + n), .paused = true};
    };
    large.queues = {queue(0)};
    const std::size_t one = config::to_toml(large).size();
    large.queues.push_back(queue(1));
    const std::size_t each = config::to_toml(large).size() - one;
    for (int n = 2; one + (large.queues.size() + 2) * each < config::kTextBytesMax; ++n)
        large.queues.push_back(queue(n));
    REQUIRE(world.call(Configure{0, config::to_toml(large), "ann", ""}).has_value());
    std::optional<Error> refused;
    for (int n = 8000; n < 8010 && !refused; ++n)
        if (auto paused = world.call(PauseQueue{queue(n).name, true, "ann", ""}); !paused) refused = paused.error();
    REQUIRE(refused.has_value());
    CHECK(refused->fault == Fault::exhausted);
    const auto config = world.call(GetConfig{});
    CHECK(config->queues.size() > large.queues.size());
    CHECK(world.call(Configure{0, config::to_toml(*config), "ann", ""}).has_value());
    CHECK(world.call(PauseQueue{queue(0).name, false, "ann", ""}).has_value());
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

TEST_CASE("C12: a silent worker is suspected, then lost, and its task runs elsewhere") {
    World world;
    auto silent = std::make_shared<RecordingLink>();
    const SessionId gone = world.connect(a_worker("silent"), silent);
    const TaskId task = world.submitted(a_task());
    REQUIRE(silent->assigned().size() == 1);
    auto other = std::make_shared<RecordingLink>();
    const SessionId healthy = world.connect(a_worker("healthy"), other);
    for (int i = 0; i < 30; ++i) {
        world.pass(milliseconds(200));
        WorkerReport beat;
        beat.load.emplace();
        world.turn([&](Engine& e) { e.report(healthy, std::move(beat)); });
    }
    REQUIRE(other->assigned().size() == 1);
    CHECK(other->assigned()[0].order.task == task);
    CHECK(other->assigned()[0].order.number == 2);
    CHECK(other->assigned()[0].order.fence > silent->assigned()[0].order.fence);
    world.finish(gone, silent->assigned()[0]);
    CHECK(world.get(task)->state == core::TaskState::assigned);
    world.finish(healthy, other->assigned()[0]);
    CHECK(world.get(task)->state == core::TaskState::succeeded);
}

TEST_CASE("nobody is told when a task ends that no worker may run") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    Submission item = a_task();
    item.spec.labels_required = {{"zone", "b"}};
    const auto told = world.submit(item);
    REQUIRE(told.has_value());
    CHECK_EQ(told->front().finish_p50.us, 0);
    CHECK_EQ(told->front().start_p50.us, 0);
    CHECK_NE(world.submit(a_task())->front().finish_p50.us, 0);
}

TEST_CASE("what was submitted before anything was learned is estimated again, however far back it waits") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    std::vector<TaskId> tasks;
    for (int i = 0; i < 300; ++i) tasks.push_back(world.submitted(a_task()));
    const Duration guess = world.get(tasks.back())->estimate.p50;
    CHECK(guess > seconds(1));
    for (std::size_t i = 0; i < 20; ++i) {
        world.pass(milliseconds(300));
        world.finish(session, link->assigned().back());
    }
    world.pass(milliseconds(300));
    CHECK_EQ(world.get(tasks.back())->state, core::TaskState::waiting);
    CHECK(world.get(tasks.back())->estimate.p50 < milliseconds(50));
}

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

TEST_CASE("a dead task can be driven again as a new one") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const TaskId task = world.submitted(a_task());
    AttemptReport failure;
    failure.outcome = core::AttemptOutcome::failed;
    failure.retryable = false;
    failure.error = "no such image";
    world.finish(session, link->assigned()[0], failure);
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
    AttemptReport failure;
    failure.outcome = core::AttemptOutcome::failed;
    failure.retryable = false;
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
    AttemptReport failure;
    failure.outcome = core::AttemptOutcome::failed;
    failure.retryable = false;
    world.finish(session, link->assigned().at(0), failure);
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

TEST_CASE("bad submissions are refused with the field's name and change nothing") {
    struct Row {
        const char* field;
        std::function<void(Submission&)> spoil;
    };
    const Row rows[] = {
        {"type", [](Submission& s) { s.spec.type = "a/b"; }},
        {"type", [](Submission& s) { s.spec.type = std::string(129, 'x'); }},
        {"type", [](Submission& s) { s.spec.type.clear(); }},
        {"tenant", [](Submission& s) { s.spec.tenant = "../x"; }},
        {"priority", [](Submission& s) { s.spec.priority = 10; }},
        {"payload", [](Submission& s) { s.body.payload.assign((256 << 10) + 1, 'x'); }},
        {"deadline_unix_us", [](Submission& s) { s.spec.deadline = WallTime{1'700'000'000'000'000}; }},
        {"run_at_unix_us", [](Submission& s) { s.spec.run_at = WallTime{5}; }},
        {"timeout_us", [](Submission& s) { s.spec.timeout = Duration{-1}; }},
        {"ttl_us", [](Submission& s) { s.spec.ttl = hours(24 * 36500); }},
        {"labels_required", [](Submission& s) { s.spec.labels_required = {{"b b", "x"}}; }},
        {"resources", [](Submission& s) { s.spec.resources.memory_bytes = -1; }},
        {"features", [](Submission& s) { s.body.features = {{"rows", 0.0 / 0.0 * -1}}; }},
        {"metadata", [](Submission& s) { s.body.metadata = {{"k", std::string(17 << 10, 'x')}}; }},
        {"idempotency_key", [](Submission& s) { s.idempotency_key.assign(257, 'k'); }},
        {"after", [](Submission& s) { s.spec.after = {TaskId{1, 2}}; }},
    };
    World world;
    for (const Row& row : rows) {
        CAPTURE(row.field);
        Submission item = a_task();
        row.spoil(item);
        const auto before = world.engine->last_sequence();
        const auto answer = world.submit(std::move(item));
        REQUIRE(!answer.has_value());
        CHECK(answer.error().what.find(row.field) == 0);
        CHECK(world.engine->last_sequence() == before);
    }
}

TEST_CASE("a body survives its encoding; any cut of it is refused") {
    TaskBody body{.payload = "p",
                  .metadata = {{"a", "b"}},
                  .traceparent = "00-x",
                  .features = {{"rows", 2.5}},
                  .hint = seconds(3)};
    const std::string bytes = encode_body(body);
    const auto back = decode_body(bytes);
    REQUIRE(back.has_value());
    CHECK(back->payload == "p");
    CHECK(back->metadata == body.metadata);
    CHECK(back->features == body.features);
    CHECK(back->hint == seconds(3));
    for (std::size_t n = 0; n < bytes.size(); ++n)
        CHECK(!decode_body(std::string_view(bytes).substr(0, n)).has_value());
}

TEST_CASE("the read model is shared while it is fresh, and its readers cost a hundredth of the loop at most") {
    std::int64_t ns = 0;
    EngineOptions options;
    options.nanoseconds = [&] { return ns += 1'000'000; };  // each look at the clock takes 1 ms
    Engine engine(std::move(options));
    Now now{Instant{1'000'000}, WallTime{1'000'000'000}};
    engine.start(now);
    const auto read = [&] {
        engine.begin_turn(now);
        ReadState::Answer model;
        engine.answer({}, ReadState{}, [&](Result<ReadState::Answer> answer) { model = *answer; });
        engine.end_turn();
        PendingBatch batch = engine.take_batch();
        for (auto& reply : batch.replies) reply(nullptr);
        return model;
    };
    const auto first = read();
    REQUIRE(first != nullptr);
    CHECK(first->good_for == milliseconds(100));
    now.at = now.at + milliseconds(99);
    now.wall = now.wall + milliseconds(99);
    CHECK(read() == first);
    now.at = now.at + milliseconds(1);
    now.wall = now.wall + milliseconds(1);
    const auto second = read();
    CHECK(second != first);
    CHECK(second->status.now == now.wall);
}

TEST_CASE("the Runner answers from its threads, recovers, and stops") {
    store::MemoryJournal journal;
    history::MemoryHistory history;
    TaskId task;
    for (int round = 0; round < 2; ++round) {
        auto runner = Runner::start({}, journal, history);
        REQUIRE(runner.has_value());
        CHECK((*runner)->recovery().fresh == (round == 0));
        std::promise<Result<std::vector<Submitted>>> submitted;
        std::vector<Submission> items;
        items.push_back(a_task());
        (*runner)->ask({}, SubmitTasks{std::move(items)}, [&](auto answer) { submitted.set_value(std::move(answer)); });
        const auto answer = submitted.get_future().get();
        REQUIRE(answer.has_value());
        if (round == 0) task = answer->front().task;
        std::promise<Result<TaskInfo>> got;
        (*runner)->ask({}, GetTask{task}, [&](auto info) { got.set_value(std::move(info)); });
        const auto info = got.get_future().get();
        REQUIRE(info.has_value());
        CHECK(info->waiting == core::WaitReason::no_eligible_worker);
        CHECK((*runner)->stop().has_value());
        std::promise<Result<ReadState::Answer>> refused;
        (*runner)->ask({}, ReadState{}, [&](auto status) { refused.set_value(std::move(status)); });
        CHECK(refused.get_future().get().error().fault == Fault::unavailable);
    }
}

TEST_CASE("field I: no time that is told lies in the past, whatever passes without events") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    WorkerReport begun;
    begun.started.emplace_back(task, order.order.attempt);
    world.turn([&](Engine& e) { e.report(session, std::move(begun)); });
    const TaskId next = world.submitted(a_task());
    for (const Duration passed : {seconds(3), seconds(30), hours(1)}) {
        world.pass(passed);
        const auto running = world.get(task);
        CHECK_GT(running->eta_finish_p50, world.now.wall);
        CHECK_GE(running->eta_finish_p90, running->eta_finish_p50);
        const auto waiting = world.get(next);
        CHECK_GE(waiting->eta_start_p50, world.now.wall);
        CHECK_GE(waiting->waiting_until, world.now.wall);
        const auto state = world.call(ReadState{});
        CHECK_GT((*state)->status.drain_eta, world.now.wall);
    }
}

TEST_CASE("field I: what will never be done as things stand is counted, and has no time") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    Submission impossible = a_task("impossible");
    impossible.spec.labels_required = {{"zone", "b"}};
    const TaskId stuck = world.submitted(std::move(impossible));
    CHECK_EQ(world.get(stuck)->eta_finish_p50.us, 0);
    const auto before = world.call(ReadState{});
    CHECK_EQ((*before)->status.drain_eta.us, 0);
    CHECK_EQ((*before)->status.waiting_no_worker, 1);
    REQUIRE(world.call(PauseQueue{.queue = "mail", .paused = true}).has_value());
    Submission letter = a_task("letter");
    letter.spec.queue = "mail";
    const TaskId paused = world.submitted(std::move(letter));
    CHECK_EQ(world.get(paused)->eta_finish_p50.us, 0);
    world.submitted(a_task());
    world.pass(seconds(2));
    const auto after = world.call(ReadState{});
    CHECK_GT((*after)->status.drain_eta, world.now.wall);  // of what runs
    CHECK_EQ((*after)->status.waiting_no_worker, 1);
    CHECK_EQ((*after)->status.waiting_paused, 1);
}

TEST_CASE("field J: a task that every worker gives back ends with the reason") {
    World world;
    std::map<std::string, std::pair<SessionId, std::shared_ptr<RecordingLink>>> workers;
    for (const char* name : {"w1", "w2"}) {
        auto link = std::make_shared<RecordingLink>();
        workers[name] = {world.connect(a_worker(name), link), link};
    }
    const TaskId task = world.submitted(a_task("program"));
    std::map<std::string, std::size_t> answered;
    for (int second = 0; second < 60 && world.get(task)->state != core::TaskState::dead; ++second) {
        for (int turn = 0; turn < 2; ++turn)
            for (auto& [name, worker] : workers) {
                WorkerReport beat;
                beat.load.emplace();
                world.turn([&](Engine& e) { e.report(worker.first, std::move(beat)); });
                const auto assigned = worker.second->assigned();
                if (assigned.size() == answered[name]) continue;
                answered[name] = assigned.size();
                AttemptReport report{.outcome = core::AttemptOutcome::rejected};
                report.error = "not allowed here";
                world.finish(worker.first, assigned.back(), report);
            }
        world.pass(seconds(1));
    }
    const auto info = world.get(task);
    CHECK_EQ(info->state, core::TaskState::dead);
    CHECK_NE(info->error.find("every worker that may run it gave it back; the last, w"), std::string::npos);
    CHECK_NE(info->error.find(": not allowed here"), std::string::npos);
    CHECK_EQ(info->failures, 0);
    CHECK_EQ(answered["w1"], answered["w2"]);  // each was asked once in every round
    CHECK_GE(answered["w1"], 3);
}

TEST_CASE("field L: tasks of one call count against the limits together, and so do retries") {
    World world;
    REQUIRE(
        world.call(Configure{.toml = "[scheduler]\ntasks_max = 20\n[tenants.acme]\nwaiting_max = 5\n"}).has_value());
    const auto batch = [&](std::size_t count, const char* tenant, const char* key = "") {
        return world.ask<std::vector<Submitted>>([&](Engine& e, auto done) {
            std::vector<Submission> items;
            for (std::size_t i = 0; i < count; ++i) {
                items.push_back(a_task());
                items.back().spec.tenant = tenant;
                items.back().idempotency_key = key;
            }
            e.answer({}, SubmitTasks{std::move(items)}, std::move(done));
        });
    };
    const auto waiting = [&] { return world.engine->core().counters().waiting; };
    REQUIRE_FALSE(batch(6, "acme").has_value());  // nobody has submitted as acme before
    CHECK_EQ(batch(6, "acme").error().fault, Fault::exhausted);
    CHECK_EQ(waiting(), 0);
    REQUIRE(batch(5, "acme", "the same").has_value());  // one task
    REQUIRE(batch(4, "acme").has_value());
    CHECK_FALSE(batch(1, "acme").has_value());
    CHECK_EQ(waiting(), 5);
    CHECK_FALSE(batch(16, "other").has_value());
    REQUIRE(batch(15, "other").has_value());
    CHECK_EQ(waiting(), 20);

    // All are cancelled, and driven again: no more than the limits allow.
    std::vector<TaskId> ended;
    for (const TaskId task : world.engine->core().tasks_after(TaskId{}, 100)) ended.push_back(task);
    for (const TaskId task : ended) REQUIRE(world.call(CancelTask{.task = task}).has_value());
    CHECK_EQ(waiting(), 0);
    std::size_t taken = 0, refused = 0;
    for (int round = 0; round < 3; ++round)
        for (const TaskId task : ended) {
            const auto again = world.call(RetryTask{.task = task});
            if (!again) CHECK_EQ(again.error().fault, Fault::exhausted);
            ++(again ? taken : refused);
        }
    CHECK_EQ(taken, 20);
    CHECK_EQ(refused, 3 * ended.size() - 20);
    std::size_t of_acme = 0;
    for (const TaskId task : world.engine->core().tasks_after(TaskId{}, 100))
        of_acme += world.get(task)->tenant == "acme" ? 1 : 0;
    CHECK_EQ(of_acme, 5);
}
