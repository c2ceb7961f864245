// T6 end to end: a running engine on the embedded store, a submitter and a worker, and power cuts at any write. What
// the submitter was told and what the worker was told must be true after each cut.
#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <set>

#include "base/rng.h"
#include "conformance/power_vfs.h"
#include "conformance/scratch_directory.h"
#include "engine/runner.h"
#include "history/memory/memory_history.h"
#include "store/sqlite/sqlite_journal.h"

using namespace nexus;
using namespace nexus::test;

namespace {

constexpr int kSeeds = 10;
constexpr int kCutsPerSeed = 20;

// What the submitter and the worker know, over all lives of the server.
struct Journals {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t unanswered = 0;
    std::set<TaskId> acknowledged;         // submissions
    std::map<AttemptId, TaskId> reported;  // handed in, not answered
    std::set<TaskId> touched;              // reported at least once
    std::set<TaskId> finished;             // the report was accepted
};

// Finishes at once whatever it is given, but every fourth task, which it keeps.
class EagerWorker : public engine::WorkerLink {
public:
    EagerWorker(engine::Runner& runner, Journals& journals) : runner_(runner), journals_(journals) {}
    void set_session(SessionId session) { session_ = session; }
    void send(engine::WorkerOrders orders) override {
        engine::WorkerReport report;
        {
            const std::lock_guard lock(journals_.mutex);
            for (const core::AnswerReport& answer : orders.answers) {
                const auto about = journals_.reported.find(answer.attempt);
                if (about != journals_.reported.end() && answer.accepted) journals_.finished.insert(about->second);
            }
            for (const engine::Assignment& assignment : orders.assign) {
                CHECK(assignment.body != nullptr);
                if (assignment.order.task.lo % 4 == 0) continue;
                journals_.reported[assignment.order.attempt] = assignment.order.task;
                journals_.touched.insert(assignment.order.task);
                report.finished.push_back(
                    {.task = assignment.order.task, .attempt = assignment.order.attempt, .run = milliseconds(1)});
            }
        }
        if (!report.finished.empty()) runner_.report(session_, std::move(report));
    }

private:
    engine::Runner& runner_;
    Journals& journals_;
    std::atomic<SessionId> session_;
};

template <class T, class Ask>
Result<T> answer_of(Ask&& ask) {
    std::promise<Result<T>> promise;
    auto future = promise.get_future();
    ask([&](Result<T> value) { promise.set_value(std::move(value)); });
    return future.get();
}

void submit(engine::Runner& runner, Journals& journals, Rng& rng) {
    std::vector<engine::Submission> items(1 + rng.below(4));
    for (engine::Submission& item : items) {
        item.spec.type = "t";
        item.body.payload = std::string(rng.below(2000), 'p');
    }
    std::unique_lock lock(journals.mutex);
    journals.changed.wait(lock, [&] { return journals.unanswered < 8; });
    ++journals.unanswered;
    lock.unlock();
    runner.ask({}, engine::SubmitTasks{std::move(items)}, [&](Result<std::vector<engine::Submitted>> made) {
        const std::lock_guard answered(journals.mutex);
        --journals.unanswered;
        journals.changed.notify_one();
        if (made)
            for (const engine::Submitted& task : *made) journals.acknowledged.insert(task.task);
    });
}

std::unique_ptr<store::SqliteJournal> opened(const std::string& directory, const PowerDisk& disk) {
    auto journal = store::SqliteJournal::open({.directory = directory,
                                               .reserve_bytes = 0,
                                               .checkpoint_bytes = 256 << 10,
                                               .upkeep_thread = false,
                                               .vfs = disk.name()});
    if (!journal) FAIL(journal.error().what);
    return *std::move(journal);
}

std::unique_ptr<engine::Runner> started(store::SqliteJournal& journal, history::MemoryHistory& history) {
    engine::Options options;
    options.snapshot_events = 300;
    options.config.crashes_max = 1000;  // each cut loses the worker too
    auto runner = engine::Runner::start(std::move(options), journal, history);
    if (!runner) FAIL(runner.error().what);
    return *std::move(runner);
}

}  // namespace

TEST_SUITE_BEGIN("power");

TEST_CASE("T6, C1: what a running engine acknowledged survives power cuts at any write") {
    std::uint64_t cuts = 0, acknowledged = 0, finished = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        CAPTURE(seed);
        ScratchDirectory directory;
        PowerDisk disk("power-engine-" + std::to_string(seed));
        history::MemoryHistory history;
        Journals journals;
        Rng rng(seed);
        for (int life = 0; life <= kCutsPerSeed; ++life) {
            auto journal = opened(directory.file("data"), disk);
            auto runner = started(*journal, history);
            for (const TaskId task : journals.acknowledged) {
                const auto info = answer_of<engine::TaskInfo>(
                    [&](auto done) { runner->ask({}, engine::GetTask{task}, std::move(done)); });
                REQUIRE(info.has_value());
                const bool live = info->state < core::TaskState::succeeded;
                if (journals.finished.contains(task)) CHECK(info->state == core::TaskState::succeeded);
                if (!journals.touched.contains(task)) CHECK(live);
            }
            if (life == kCutsPerSeed) break;
            disk.cut_at_operation(rng.below(400) + 1, rng.next());
            const auto worker = std::make_shared<EagerWorker>(*runner, journals);
            engine::WorkerHello hello;
            hello.joined.name = "w" + std::to_string(life % 3);
            hello.joined.slots = 16;
            hello.joined.offered = {-1, -1, -1, {}};
            if (const auto session = answer_of<SessionId>(
                    [&](auto done) { runner->connect({}, std::move(hello), worker, std::move(done)); }))
                worker->set_session(*session);
            while (!disk.off()) submit(*runner, journals, rng);
            ++cuts;
            runner.reset();
            journal.reset();
            disk.power_on();
        }
        acknowledged += journals.acknowledged.size();
        finished += journals.finished.size();
    }
    MESSAGE("power cuts: ", cuts, ", acknowledged: ", acknowledged, ", finished and answered: ", finished);
    CHECK_EQ(cuts, kSeeds * kCutsPerSeed);
    CHECK_GT(acknowledged, 1000);
    CHECK_GT(finished, 100);
}

TEST_SUITE_END();
