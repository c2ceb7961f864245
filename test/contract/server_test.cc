// What is promised about the server and its store: C17, C20, C22, C24, C25.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <thread>

#include "contract/house.h"
#include "engine/history_writer.h"
#include "engine/runner.h"
#include "engine/snapshotter.h"
#include "journal/codec.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;
using namespace nexus::test;

namespace {

// A journal whose disk can be told to fail. Thread-safe, as the port demands.
class SickJournal final : public store::JournalStore {
public:
    std::atomic<bool> broken = false, full = false, exhausted = false, held = false, slow_snapshots = false,
                      stuck_snapshots = false, in_snapshot = false;

    Result<store::Head> head() override {
        auto head = inner_.head();
        if (head) head->level = store::Durability::disk;
        if (head) head->low_on_space = full || exhausted;
        return head;
    }
    Result<store::Claim> claim(const store::Head& observed, const store::Claimant& me) override {
        return inner_.claim(observed, me);
    }
    Result<void> renew(const store::Claim& claim, std::string_view wish) override { return inner_.renew(claim, wish); }
    Result<store::Appended> append(const store::Claim& claim, std::span<const store::JournalBatch> batches) override {
        while (held) std::this_thread::yield();
        if (broken) return fail(Fault::failed, "sync failed");
        if (exhausted) return fail(Fault::no_space, "no space");
        auto done = inner_.append(claim, batches);
        if (done) done->low_on_space = full;
        return done;
    }
    Result<void> read(Sequence after, Duration wait, const store::BatchVisitor& visit) override {
        return inner_.read(after, wait, visit);
    }
    std::vector<store::Body> bodies(store::BodyKind kind, std::span<const TaskId> tasks) override {
        return inner_.bodies(kind, tasks);
    }
    Result<void> put_snapshot(Sequence at, const store::SnapshotSource& source) override {
        in_snapshot = true;
        while (stuck_snapshots) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        while (slow_snapshots)
            if (const auto part = source(); !part) return std::unexpected(part.error());
        return inner_.put_snapshot(at, source);
    }
    Result<Sequence> get_snapshot(store::Kept which, const store::SnapshotSink& sink) override {
        return inner_.get_snapshot(which, sink);
    }

private:
    store::MemoryJournal inner_;
};

// A history whose writer can be made to wait, whose answers can be lost, and that can fall silent.
class GatedHistory final : public history::HistoryStore {
public:
    std::atomic<bool> silent = false;
    std::atomic<int> answers_to_lose = 0;
    void shut(bool shut) {
        const std::lock_guard lock(mutex_);
        shut_ = shut;
        opened_.notify_all();
    }

    using HistoryStore::write;
    Result<void> write(std::span<const history::HistoryBatch* const> batches) override {
        {
            std::unique_lock lock(mutex_);
            opened_.wait(lock, [this] { return !shut_; });
        }
        auto done = inner_.write(batches);
        if (answers_to_lose == 0) return done;
        --answers_to_lose;
        return away();
    }
    Result<std::optional<history::TaskRow>> task(TaskId task) override { return silent ? away() : inner_.task(task); }
    Result<std::vector<history::AttemptRow>> attempts(std::span<const TaskId> tasks) override {
        return silent ? away() : inner_.attempts(tasks);
    }
    Result<std::vector<history::TaskRow>> tasks(const history::TaskQuery& query) override {
        return silent ? away() : inner_.tasks(query);
    }
    Result<std::vector<history::DecisionRow>> decisions(const history::DecisionQuery& query) override {
        return silent ? away() : inner_.decisions(query);
    }
    Result<std::vector<history::AuditRow>> audit(const history::AuditQuery& query) override {
        return silent ? away() : inner_.audit(query);
    }
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override { return inner_.expire(oldest, bytes_max); }

private:
    static std::unexpected<Error> away() { return fail(Fault::unreachable, "no answer"); }
    history::MemoryHistory inner_;
    std::mutex mutex_;
    std::condition_variable opened_;
    bool shut_ = false;
};

// Told from the release thread, looked at when the Runner has stopped or after an answer that came later.
struct QuietLink : WorkerLink {
    std::mutex mutex;
    std::vector<Assignment> assigned;
    bool sent_away = false;
    void send(WorkerOrders orders) override {
        const std::lock_guard lock(mutex);
        for (Assignment& each : orders.assign) assigned.push_back(std::move(each));
        sent_away = sent_away || !orders.reconnect.empty();
    }
};

template <class T, class F>
Result<T> ask(F&& f) {
    std::promise<Result<T>> promise;
    f([&](Result<T> value) { promise.set_value(std::move(value)); });
    return promise.get_future().get();
}

Result<std::vector<Submitted>> submit(Runner& runner, Submission item) {
    return ask<std::vector<Submitted>>(
        [&](auto done) { runner.ask({}, SubmitTasks{{std::move(item)}}, std::move(done)); });
}

Result<TaskInfo> get(Runner& runner, TaskId task) {
    return ask<TaskInfo>([&](auto done) { runner.ask({}, GetTask{.task = task}, std::move(done)); });
}

SessionId join(Runner& runner, const std::shared_ptr<QuietLink>& link) {
    WorkerHello hello;
    hello.joined.name = "w";
    hello.joined.slots = 1;
    hello.joined.offered = {-1, -1, -1, {}};
    return ask<SessionId>([&](auto done) { runner.connect({}, std::move(hello), link, std::move(done)); }).value();
}

}  // namespace

TEST_CASE("C17: after a failed sync nothing is acknowledged, and the process is told to end") {
    SickJournal journal;
    history::MemoryHistory history;
    std::atomic<int> fatal = 0;
    auto runner = Runner::start({.on_fatal = [&](const Error&) { ++fatal; }}, journal, history);
    REQUIRE(runner.has_value());
    REQUIRE(submit(**runner, a_task()).has_value());
    journal.broken = true;
    CHECK(submit(**runner, a_task()).error().fault == Fault::unreachable);
    CHECK_FALSE((*runner)->ready());
    journal.broken = false;  // the next sync would say that all is well: nobody asks for it
    CHECK(submit(**runner, a_task()).error().fault == Fault::unreachable);
    CHECK_FALSE((*runner)->stop().has_value());
    CHECK(fatal == 1);
}

// Waits for what another thread will do, without pacing it.
template <class F>
bool comes_true(F&& f) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    bool is = f();
    for (; !is && std::chrono::steady_clock::now() < end; is = f()) std::this_thread::yield();
    return is;
}

TEST_CASE("C17: a full disk refuses submissions, takes completions, and is left without a restart") {
    SickJournal journal;
    history::MemoryHistory history;
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    auto link = std::make_shared<QuietLink>();
    const SessionId session = join(**runner, link);
    const TaskId task = submit(**runner, a_task())->front().task;
    AttemptId attempt;
    {
        const std::lock_guard lock(link->mutex);
        REQUIRE(link->assigned.size() == 1);
        attempt = link->assigned[0].order.attempt;
    }
    journal.full = true;
    // What meets the full disk first is stored from the reserve; from then on nothing new is taken.
    REQUIRE(submit(**runner, a_task()).has_value());
    std::string why;
    REQUIRE(comes_true([&] { return !(*runner)->ready(&why); }));
    CHECK(why == "the disk is full");
    CHECK(submit(**runner, keyed("k")).error().fault == Fault::exhausted);
    WorkerReport report;
    report.finished.push_back({.task = task, .attempt = attempt, .run = milliseconds(1)});
    (*runner)->report(session, std::move(report));
    // A look may overtake a report.
    CHECK(comes_true([&] { return get(**runner, task)->state == core::TaskState::succeeded; }));
    CHECK_FALSE((*runner)->ready());
    journal.full = false;
    REQUIRE(comes_true([&] { return (*runner)->ready(); }));
    Result<std::vector<Submitted>> answer;
    REQUIRE(comes_true([&] { return (answer = submit(**runner, keyed("k"))).has_value(); }));
    CHECK_FALSE(answer->front().duplicate);
}

TEST_CASE("C17: a server that starts on a full disk says so at once, and takes nothing") {
    SickJournal journal;
    journal.full = true;
    history::MemoryHistory history;
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    CHECK_FALSE((*runner)->ready());
    std::size_t bad = 0;
    for (const Check& check : (*runner)->checks()) {
        CAPTURE(check.name);
        CHECK(check.good == (check.name != "space"));
        bad += !check.good;
    }
    CHECK(bad == 1);
    CHECK(submit(**runner, a_task()).error().fault == Fault::exhausted);
}

TEST_CASE("C24: on a wholly full disk a stop keeps its limit and says what is missing; nothing acknowledged is") {
    SickJournal journal;
    history::MemoryHistory history;
    TaskId acknowledged;
    {
        auto runner = Runner::start({}, journal, history);
        REQUIRE(runner.has_value());
        acknowledged = submit(**runner, a_task())->front().task;
        journal.exhausted = true;
        std::promise<Result<std::vector<Submitted>>> open;
        (*runner)->ask({}, SubmitTasks{{a_task()}}, [&](auto value) { open.set_value(std::move(value)); });
        const auto begin = std::chrono::steady_clock::now();
        const auto stopped = (*runner)->stop(milliseconds(300));
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
        REQUIRE_FALSE(stopped.has_value());
        CHECK(stopped.error().fault == Fault::unreachable);
        CHECK(open.get_future().get().error().fault == Fault::unreachable);
    }
    journal.exhausted = false;
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    CHECK(get(**runner, acknowledged).has_value());
}

TEST_CASE("C24: a snapshot that takes too long is left off when the stop's time is over; the next start replays") {
    SickJournal journal;
    history::MemoryHistory history;
    {
        auto runner = Runner::start({}, journal, history);
        REQUIRE(runner.has_value());
        for (int i = 0; i < 100; ++i) REQUIRE(submit(**runner, a_task()).has_value());
        journal.slow_snapshots = true;  // for ever
        const auto stopped = (*runner)->stop(milliseconds(200));
        REQUIRE_FALSE(stopped.has_value());
        CHECK(stopped.error().what.find("snapshot") != std::string::npos);
    }
    journal.slow_snapshots = false;
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    CHECK((*runner)->recovery().tasks_live == 100);
    CHECK((*runner)->recovery().events_replayed > 100);
}

TEST_CASE("C24: a stop does not wait for a snapshot that nothing can end, neither its own nor one under way") {
    for (const std::uint64_t snapshot_events : {std::uint64_t{1'000'000}, std::uint64_t{10}}) {
        SickJournal journal;
        history::MemoryHistory history;
        journal.stuck_snapshots = true;
        auto runner = Runner::start({.snapshot_events = snapshot_events}, journal, history);
        REQUIRE(runner.has_value());
        for (int i = 0; i < 100; ++i) REQUIRE(submit(**runner, a_task()).has_value());
        while (snapshot_events < 100 && !journal.in_snapshot) std::this_thread::yield();
        const auto stopped = (*runner)->stop(milliseconds(200));  // would not return
        REQUIRE_FALSE(stopped.has_value());
        CHECK(stopped.error().what.find("snapshot") != std::string::npos);
        CHECK((*runner)->stop(milliseconds(200)).has_value());
        journal.stuck_snapshots = false;
    }
}

TEST_CASE("C16: a flood of submissions whose answers wait stays bounded: the rest is refused, nothing is lost") {
    SickJournal journal;
    history::MemoryHistory history;
    auto runner = Runner::start({.commit_queue_bytes_max = 4 << 20}, journal, history);
    REQUIRE(runner.has_value());
    journal.held = true;  // the store takes its time
    constexpr int kCalls = 40'000;
    std::atomic<int> accepted = 0, refused = 0, other = 0;
    for (int i = 0; i < kCalls; ++i) {
        Submission item = a_task();
        item.body.payload.assign(4'000, 'x');
        (*runner)->ask({}, SubmitTasks{{std::move(item)}}, [&](Result<std::vector<Submitted>> answer) {
            ++(answer ? accepted : answer.error().fault == Fault::exhausted ? refused : other);
        });
    }
    // 160 MB were offered: what is neither refused nor answered is all that the server holds of them.
    CHECK(comes_true([&] { return (kCalls - refused) * 4'000LL < 80'000'000; }));
    CHECK(accepted == 0);
    journal.held = false;
    CHECK((*runner)->stop(seconds(20)).has_value());
    CHECK(comes_true([&] { return accepted + refused + other == kCalls; }));
    CHECK(other == 0);
    CHECK(accepted > 100);
    runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    CHECK((*runner)->recovery().tasks_live == static_cast<std::uint64_t>(accepted));
}

TEST_CASE("C17: a journal that is damaged in the middle is refused at the start") {
    House house;
    for (int i = 0; i < 3; ++i) house.submitted(a_task());
    std::vector<std::string> batches;
    REQUIRE(house.journal
                ->read({}, {},
                       [&](Sequence, std::string_view bytes) -> Result<void> {
                           batches.emplace_back(bytes);
                           return {};
                       })
                .has_value());
    REQUIRE(batches.size() >= 3);
    for (std::size_t byte = 0; byte < batches[1].size(); ++byte) {
        Engine engine{EngineOptions{}};
        REQUIRE(engine.replay(batches[0], {}).has_value());
        std::string damaged = batches[1];
        damaged[byte] = static_cast<char>(damaged[byte] ^ 4);
        CHECK_FALSE(engine.replay(damaged, {}).has_value());
    }
    Engine engine{EngineOptions{}};
    REQUIRE(engine.replay(batches[0], {}).has_value());
    CHECK(engine.replay(batches[2], {}).error().fault == Fault::corrupt);  // one is missing
}

TEST_CASE("C20: the same journal gives the same decisions; one that gives others is refused") {
    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link, 2);
    for (int i = 0; i < 10; ++i) house.submitted(a_task());
    for (std::size_t i = 0; i < 6; ++i)
        house.finish(session, link->assigned()[i],
                     i % 3 == 0 ? core::AttemptOutcome::failed : core::AttemptOutcome::succeeded);
    const std::uint64_t digest = house.engine->core().digest();
    for (int twin = 0; twin < 2; ++twin) {
        Engine again{EngineOptions{.seed = 77}};
        REQUIRE(house.journal->read({}, {}, [&](Sequence, std::string_view bytes) { return again.replay(bytes, {}); })
                    .has_value());
        CHECK(again.core().digest() == digest);
    }
    // The recorded digest of a batch is what a replay must come to.
    journal::BatchWriter writer(Sequence{1}, 0, core::kCoreVersion);
    writer.add({.at = Instant{1}, .what = core::EngineStarted{.seed = 1, .wall_offset = {}}});
    Engine other{EngineOptions{}};
    CHECK(other.replay(writer.finish(12345), {}).error().fault == Fault::corrupt);
}

TEST_CASE("C22: history has a bound, drops are counted, and after a crash it is filled in from the journal") {
    GatedHistory history;
    constexpr std::uint64_t kRows = 100;
    {
        HistoryWriter writer({.bytes_max = 4000}, history);
        history.shut(true);
        for (std::uint64_t i = 0; i < kRows; ++i) {
            history::HistoryBatch rows;
            rows.tasks.push_back({.task = {.hi = 1, .lo = i + 1}, .finished = {INT64_MAX}});
            rows.audit.push_back({.place = {.at = {1}, .number = i + 1}});
            writer.add(std::move(rows), {}, Sequence{i + 1});  // never waits for the store
        }
        // The first rows are found though the store has none of them.
        history::WholeHistory whole(history, writer.unwritten());
        CHECK(whole.task({.hi = 1, .lo = 1})->has_value());
        CHECK(writer.upto() == Sequence{});
        CHECK_FALSE(writer.flush(milliseconds(1)));
        history.shut(false);
        CHECK(writer.flush());
        CHECK(writer.upto() == Sequence{kRows});
        CHECK(writer.dropped() > 0);
        std::uint64_t kept = 0;
        for (std::uint64_t i = 0; i < kRows; ++i) kept += history.task({.hi = 1, .lo = i + 1})->has_value();
        CHECK(kept + writer.dropped() == kRows);
        CHECK(history.audit({.before = {}, .limit = 1000})->size() == kRows);  // never dropped
    }

    House house;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = house.join("w", link);
    const TaskId task = house.submitted(a_task());
    house.finish(session, link->assigned()[0]);
    Engine after{EngineOptions{}};
    REQUIRE(house.journal->read({}, {}, [&](Sequence, std::string_view bytes) { return after.replay(bytes, {}); })
                .has_value());
    after.start(house.now);
    const PendingBatch batch = after.take_batch();
    CHECK(std::ranges::any_of(batch.history.tasks, [&](const history::TaskRow& row) { return row.task == task; }));

    // What the history is known to have is not made again.
    Engine knowing{EngineOptions{}};
    knowing.history_has(after.last_sequence());
    REQUIRE(house.journal->read({}, {}, [&](Sequence, std::string_view bytes) { return knowing.replay(bytes, {}); })
                .has_value());
    knowing.start(house.now);
    CHECK(knowing.take_batch().history.tasks.empty());
}

TEST_CASE("C22: a store that is away loses no rows, and writing them again does no harm") {
    GatedHistory history;
    HistoryWriter writer({.retry = milliseconds(1)}, history);
    history.answers_to_lose = 3;
    for (std::uint64_t i = 0; i < 10; ++i) {
        history::HistoryBatch rows;
        rows.tasks.push_back({.task = {.hi = 1, .lo = i + 1}, .finished = {INT64_MAX}});
        writer.add(std::move(rows), {}, Sequence{i + 1});
    }
    CHECK(writer.flush());
    CHECK(writer.dropped() == 0);
    CHECK(history.answers_to_lose == 0);
    CHECK(history.tasks({})->size() == 10);
}

TEST_CASE(
    "a task that has just ended is found while the history's writer is stuck, and a silent history is no answer") {
    SickJournal journal;
    GatedHistory history;
    auto link = std::make_shared<QuietLink>();
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    const SessionId session = join(**runner, link);
    history.shut(true);
    const TaskId task = submit(**runner, a_task())->front().task;
    WorkerReport report;
    {
        const std::lock_guard lock(link->mutex);
        REQUIRE(link->assigned.size() == 1);
        const core::AssignAttempt& order = link->assigned[0].order;
        report.started.emplace_back(order.task, order.attempt);
        report.finished.push_back({.task = order.task, .attempt = order.attempt, .run = milliseconds(5)});
    }
    (*runner)->report(session, std::move(report));
    const auto get = [&](TaskId id) {
        return ask<TaskInfo>([&](auto done) { (*runner)->ask({}, GetTask{id, false}, std::move(done)); });
    };
    const auto found = get(task);
    REQUIRE(found.has_value());
    CHECK(found->state == core::TaskState::succeeded);
    CHECK(found->attempts.size() == 1);
    const auto listed = ask<TaskPage>([&](auto done) { (*runner)->ask({}, ListTasks{}, std::move(done)); });
    REQUIRE(listed.has_value());
    CHECK(listed->tasks.size() == 1);
    CHECK(get(TaskId{1, 1}).error().fault == Fault::not_found);
    history.silent = true;
    CHECK(get(TaskId{1, 1}).error().fault == Fault::unreachable);  // perhaps it is there
    CHECK(get(task)->attempts.size() == 1);                        // all of it is on its way
    history.silent = false;
    history.shut(false);
}

TEST_CASE("C24: a server that stops refuses, finishes its commits, sends its workers away, and starts again whole") {
    SickJournal journal;
    history::MemoryHistory history;
    auto link = std::make_shared<QuietLink>();
    TaskId task;
    {
        auto runner = Runner::start({}, journal, history);
        REQUIRE(runner.has_value());
        join(**runner, link);
        std::promise<Result<std::vector<Submitted>>> late;
        (*runner)->ask({}, SubmitTasks{{a_task()}}, [&](auto value) { late.set_value(std::move(value)); });
        CHECK((*runner)->stop().has_value());
        const auto answer = late.get_future().get();
        REQUIRE(answer.has_value());
        task = answer->front().task;
        CHECK_FALSE((*runner)->ready());
        CHECK(submit(**runner, a_task()).error().fault == Fault::unavailable);
        CHECK((*runner)->stop().has_value());  // again is no harm
    }
    CHECK(link->sent_away);
    auto runner = Runner::start({}, journal, history);
    REQUIRE(runner.has_value());
    CHECK((*runner)->recovery().tasks_live == 1);
    CHECK((*runner)->recovery().events_replayed == 0);  // it left a snapshot
    CHECK(get(**runner, task).has_value());
}

TEST_CASE("C25: formats newer than ours are refused, not guessed, and so are events of another core") {
    Engine engine{EngineOptions{}};
    for (const std::uint32_t other : {core::kCoreVersion - 1, core::kCoreVersion + 1}) {
        journal::BatchWriter batch(Sequence{1}, 0, other);
        batch.add({.at = Instant{1}, .what = core::TimePassed{}});
        CHECK(engine.replay(batch.finish(0), {}).error().fault == Fault::unsupported);
    }
    journal::Snapshot snapshot{.at = Sequence{1}, .core_version = core::kCoreVersion + 1};
    CHECK(engine.restore(snapshot).error().fault == Fault::unsupported);
}
