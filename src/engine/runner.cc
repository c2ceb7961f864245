#include "engine/runner.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "config/toml.h"
#include "engine/engine.h"
#include "engine/history_reader.h"
#include "engine/history_writer.h"
#include "engine/snapshotter.h"

namespace nexus::engine {
namespace {

using Work = std::move_only_function<void(Engine&)>;  // for the loop
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kEventsPerBatch = 1024;  // then the committer gets its share while the turn goes on
// A snapshot is made when replaying what follows the last one would take about as long as reading it, but not for less
// than 0.4 s of replay. Measured: 1.5 us an event, 12 ns a byte of snapshot to write and read again.
constexpr std::uint64_t kReplayEventsMin = 250'000;
constexpr std::uint64_t kSnapshotBytesPerEvent = 128;
constexpr std::uint64_t kSavedAtStartMax = 250'000;  // live tasks: 0.1 s
constexpr int kSnapshotNice = 10;
constexpr Duration kSpaceRetry = seconds(1);  // after a full disk the next submission tries again

std::int64_t steady_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}
WallTime wall_now() {
    return {std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
                .count()};
}

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    MUST(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

}  // namespace

class RunnerThreads final : public Runner {
public:
    RunnerThreads(Options options, store::JournalStore& journal, history::HistoryStore& history)
        : options_(std::move(options)), journal_(journal), history_store_(history) {}
    ~RunnerThreads() override {
        (void)stop(seconds(5));
        // Threads that never started need no joining.
        for (std::thread* thread : {&loop_, &committer_, &snapshots_})
            if (thread->joinable()) thread->join();
    }

    Result<void> recover();
    void go();

    Result<void> stop(Duration limit) override;
    const Recovery& recovery() const override { return recovery_; }
    bool ready(std::string* why_not) const override;
    std::vector<Check> checks() const override;

    void call(Caller caller, Call call) override {
        if (auto* asked = std::get_if<Asked<ReadState>>(&call)) {
            if (auto model = fresh_model()) return asked->done(std::move(model));
            asked->done = [this,
                           done = std::move(asked->done)](Result<std::shared_ptr<const ReadModel>>&& model) mutable {
                if (model) keep_model(*model);
                done(std::move(model));
            };
        }
        if (std::holds_alternative<Asked<SubmitTasks>>(call) && commit_bytes_ > options_.commit_queue_bytes_max)
            return refuse(call, {Fault::exhausted, "the store is slower than the submissions; retry later"});
        auto asked = std::make_shared<std::pair<Caller, Call>>(std::move(caller), std::move(call));
        if (!post([asked](Engine& engine) { engine.call(asked->first, std::move(asked->second)); }))
            refuse(asked->second, {Fault::unavailable, "the server has stopped"});
    }
    WatchId watch(Caller, std::vector<TaskId> tasks, TaskFilter filter, TaskWatcher watcher) override {
        const WatchId id = ++watches_;
        // Shared by the engine's table and the notices under way; the last notice is the last owner.
        auto shared = std::make_shared<TaskWatcher>(std::move(watcher));
        post([id, tasks = std::move(tasks), filter = std::move(filter), shared](Engine& e) mutable {
            e.watch(id, std::move(tasks), std::move(filter), std::move(shared));
        });
        return id;
    }
    void unwatch(WatchId watch) override {
        post([watch](Engine& e) { e.unwatch(watch); });
    }
    void connect(Caller, WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) override {
        auto shared = std::make_shared<Done<SessionId>>(std::move(done));  // owned by the call, or answered here
        const bool taken = post([hello = std::move(hello), link = std::move(link), shared](Engine& e) mutable {
            e.connect(std::move(hello), std::move(link), std::move(*shared));
        });
        if (!taken) (*shared)(fail(Fault::unavailable, "the server has stopped"));
    }
    void report(SessionId session, WorkerReport report) override {
        const bool alive_only = report.started.empty() && report.progress.empty() && report.finished.empty() &&
                                !report.capacity && !report.goodbye;
        post([session, report = std::move(report)](Engine& e) mutable { e.report(session, std::move(report)); },
             alive_only ? Urgency::next_turn : Urgency::now);
    }
    void disconnected(SessionId session) override {
        post([session](Engine& e) { e.disconnected(session); });
    }

private:
    // A sign of life may wait for the next turn, at most 200 ms away while workers are connected: a thousand idle
    // workers do not wake the loop a thousand times a second.
    enum class Urgency { now, next_turn };
    // Puts work into the inbox; false when the engine has stopped.
    bool post(Work work, Urgency urgency = Urgency::now) {
        {
            const std::lock_guard lock(inbox_mutex_);
            if (closed_) return false;
            inbox_.push_back(std::move(work));
            if (urgency == Urgency::next_turn || std::exchange(inbox_urgent_, true)) return true;
        }
        inbox_wake_.notify_one();  // after the lock: the woken thread would only wait for it
        return true;
    }
    // The latest read model while others may be given it; null: ask the loop.
    std::shared_ptr<const ReadModel> fresh_model() const {
        const std::lock_guard lock(model_mutex_);
        const bool fresh = model_ && !stopping_ && now().at - model_->made < model_->good_for;
        return fresh ? model_ : nullptr;
    }
    void keep_model(std::shared_ptr<const ReadModel> model) {
        const std::lock_guard lock(model_mutex_);
        if (!model_ || model_->made < model->made) model_.swap(model);
    }

    Now now() const { return {{base_.us + (steady_ns() - steady_base_ns_) / 1000}, wall_now()}; }
    void loop();
    void hand_over(PendingBatch batch);
    void commit_loop();
    Result<void> append(std::vector<PendingBatch>& batches);
    void die(const Error& error, std::span<PendingBatch> batches);
    void order_snapshot(std::string predictor);
    void snapshot_loop();
    std::uint64_t snapshot_due() const {
        return std::min(options_.snapshot_events, std::max(kReplayEventsMin, snapshot_size_ / kSnapshotBytesPerEvent));
    }
    void say(LogLevel level, std::string event, std::string text) const {
        if (options_.log) options_.log({.level = level, .event = std::move(event), .text = std::move(text)});
    }

    Options options_;
    store::JournalStore& journal_;
    history::HistoryStore& history_store_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<HistoryWriter> history_;
    std::unique_ptr<HistoryReader> reader_;
    Recovery recovery_;
    Instant base_;
    std::int64_t steady_base_ns_ = 0;
    std::atomic<WatchId> watches_ = 0;

    std::mutex inbox_mutex_;  // guards inbox_, inbox_urgent_, closed_
    std::condition_variable inbox_wake_;
    std::vector<Work> inbox_;
    bool inbox_urgent_ = false;  // something in it wants its turn now
    bool closed_ = false;

    mutable std::mutex model_mutex_;  // guards model_
    std::shared_ptr<const ReadModel> model_;

    std::mutex commit_mutex_;  // guards commits_, commits_end_
    std::condition_variable commit_wake_;
    std::deque<PendingBatch> commits_;
    bool commits_end_ = false;
    GivenUp given_up_;  // of the committer
    std::atomic<std::uint64_t> commit_bytes_ = 0;
    std::atomic<std::int64_t> last_commit_ns_ = 0;
    std::atomic<std::uint64_t> released_ = 0;  // the last event whose batch is released and whose history is given away

    std::mutex snapshot_mutex_;  // guards the four below
    std::condition_variable snapshot_wake_;
    bool snapshot_wanted_ = false;
    bool snapshot_end_ = false;
    std::string snapshot_predictor_;
    std::atomic<std::uint64_t> audited_ = 0;        // so far the history has the audit
    bool long_replay_ = false;                      // of the committer: a snapshot is still to be ordered for it
    std::optional<journal::Snapshot> recovered_;    // the state as replayed, guarded by snapshot_mutex_
    std::string recovered_predictor_;               // of the committer: for a snapshot without it
    std::atomic<std::uint64_t> snapshot_size_ = 0;  // bytes of the last one
    std::uint64_t events_since_snapshot_ = 0;       // of the loop
    std::uint64_t bytes_since_snapshot_ = 0;

    std::atomic<bool> stopping_ = false;
    std::atomic<bool> failed_ = false;
    std::atomic<std::int64_t> space_retry_at_us_ = 0;  // on the steady clock; 0 = the disk has room
    std::mutex stop_mutex_;                            // one stop at a time
    bool stopped_ = false;
    std::thread loop_, committer_, snapshots_;
};

Result<void> RunnerThreads::recover() {
    const std::int64_t begin = steady_ns();
    EngineOptions engine{
        .config = options_.config,
        .model = options_.model,
        .version = options_.version,
        .durability = store::name_of(journal_.level()),
        .heartbeat = options_.heartbeat,
        .suspect_after = options_.suspect_after,
        .lost_after = options_.lost_after,
        .seed = random_seed(),
        .nanoseconds = steady_ns,
        .log = [this](LogLevel l, std::string e, std::string t) { say(l, std::move(e), std::move(t)); },
        .stopwatch = [] { return Instant{steady_ns() / 1000}; }};
    if (auto model = predict::make_model(engine.model); !model) return std::unexpected(std::move(model).error());
    engine_ = std::make_unique<Engine>(std::move(engine));
    auto stored = journal_.get_snapshot();
    if (!stored) return std::unexpected(std::move(stored).error());
    if (*stored) {
        auto snapshot = journal::decode_snapshot((*stored)->bytes);
        if (!snapshot) return std::unexpected(std::move(snapshot).error().during("the stored snapshot"));
        if (auto ok = engine_->restore(*snapshot); !ok) return ok;
        recovery_.snapshot_at = snapshot->at;
        snapshot_size_ = (*stored)->bytes.size();
    }
    auto replayed = journal_.read(engine_->last_sequence(), [&](Sequence, std::string_view bytes) {
        return engine_->replay(bytes, options_.skip_event);
    });
    if (!replayed) return std::unexpected(std::move(replayed).error().during("replaying the journal"));
    recovery_.fresh = engine_->last_sequence().n == 0;
    recovery_.events_replayed = engine_->last_sequence().n - recovery_.snapshot_at.n;
    recovery_.tasks_live = engine_->live_tasks();
    if (recovery_.fresh && !options_.nexus_snapshot.empty())
        if (auto ok = engine_->load_nexus_snapshot(options_.nexus_snapshot); !ok)
            return std::unexpected(std::move(ok).error().during("the old Nexus snapshot"));
    malloc_trim(0);  // what reading and replaying needed goes back to the system
    recovery_.took = {(steady_ns() - begin) / 1000};
    return {};
}

void RunnerThreads::go() {
    history_ = std::make_unique<HistoryWriter>(
        HistoryWriter::Options{
            .bytes_max = options_.history_buffer_bytes_max,
            .retention = options_.history_retention,
            .store_bytes_max = options_.history_bytes_max,
            .log = [this](LogLevel l, std::string e, std::string t) { say(l, std::move(e), std::move(t)); }},
        history_store_);
    reader_ = std::make_unique<HistoryReader>(HistoryReader::Options{}, history_store_, journal_, *history_);
    engine_->post = [this](Work work) { post(std::move(work)); };
    // The engine's clock goes on where the journal ended, by calendar time when that moved forward.
    const WallTime wall = wall_now();
    const std::int64_t away =
        recovery_.fresh
            ? 0
            : std::max<std::int64_t>(0, wall.us - (engine_->last_instant().us + engine_->core().wall_offset().us));
    base_ = recovery_.fresh ? Instant{1'000'000} : engine_->last_instant() + Duration{away};
    steady_base_ns_ = steady_ns();
    committer_ = std::thread([this] { commit_loop(); });
    pthread_setname_np(committer_.native_handle(), "nexus-commit");
    snapshots_ = std::thread([this] { snapshot_loop(); });
    pthread_setname_np(snapshots_.native_handle(), "nexus-snapshot");
    engine_->find_bodiless(journal_);
    // A long replay is not made twice: a snapshot is ordered as soon as the history has what the replay told again. Of
    // a small state it is taken here, so that not even a server that soon dies again has to replay for it once more.
    long_replay_ = recovery_.events_replayed >= snapshot_due() / 2;
    if (long_replay_ && recovery_.tasks_live <= kSavedAtStartMax && !options_.skip_event)
        recovered_ = engine_->save();
    else if (long_replay_)
        recovered_predictor_ = engine_->save_predictor();
    engine_->start(now());
    if (options_.config_wins && !recovery_.fresh) {
        engine_->answer(server_itself(),
                        Configure{.toml = config::to_toml(options_.config), .reason = "configuration given at start"},
                        [](Result<core::Config>) {});
    }
    events_since_snapshot_ = long_replay_ ? 0 : recovery_.events_replayed;
    hand_over(engine_->take_batch());  // from here on long_replay_ is the committer's
    loop_ = std::thread([this] { loop(); });
    pthread_setname_np(loop_.native_handle(), "nexus-loop");
}

void RunnerThreads::loop() {
    std::vector<Work> works;
    for (;;) {
        {
            std::unique_lock lock(inbox_mutex_);
            while (!inbox_urgent_ && !closed_) {
                const Instant next = engine_->next_turn();
                const Now present = now();
                if (next != kNever && next <= present.at) break;
                if (next == kNever)
                    inbox_wake_.wait(lock);
                else
                    inbox_wake_.wait_for(lock, std::chrono::microseconds(next.us - present.at.us));
            }
            works.swap(inbox_);
            inbox_urgent_ = false;
            if (closed_ && works.empty()) break;
        }
        engine_->begin_turn(now());
        if (const std::int64_t at = space_retry_at_us_; at != 0 && steady_ns() / 1000 >= at && !stopping_) {
            space_retry_at_us_ = 0;
            engine_->refuse_submissions(std::nullopt);
        }
        for (Work& work : works) {
            work(*engine_);
            if (engine_->batch_events() >= kEventsPerBatch) hand_over(engine_->take_batch());
        }
        works.clear();
        engine_->end_turn();
        if (const std::int64_t ns = last_commit_ns_.exchange(0)) engine_->note_commit(ns);
        engine_->note_history_dropped(history_->dropped());
        if (engine_->has_batch()) hand_over(engine_->take_batch());
        const bool wished = engine_->take_snapshot_wish();
        if (wished || events_since_snapshot_ >= snapshot_due() || bytes_since_snapshot_ >= options_.snapshot_bytes) {
            events_since_snapshot_ = bytes_since_snapshot_ = 0;
            audited_ = engine_->audited().n;
            order_snapshot(engine_->save_predictor());
        }
    }
    const std::lock_guard lock(commit_mutex_);
    commits_end_ = true;
    commit_wake_.notify_one();
}

void RunnerThreads::order_snapshot(std::string predictor) {
    const std::lock_guard lock(snapshot_mutex_);
    snapshot_predictor_ = std::move(predictor);
    snapshot_wanted_ = true;
    snapshot_wake_.notify_one();
}

void RunnerThreads::hand_over(PendingBatch batch) {
    std::uint64_t bytes = batch.journal.bytes.size();
    for (const auto& put : batch.journal.puts) bytes += put.body.size();
    events_since_snapshot_ += batch.journal.count;
    bytes_since_snapshot_ += bytes;
    commit_bytes_ += bytes;
    {
        const std::lock_guard lock(commit_mutex_);
        commits_.push_back(std::move(batch));
    }
    commit_wake_.notify_one();
}

// Takes everything that waits into one transaction: the slower the disk, the larger the groups.
void RunnerThreads::commit_loop() {
    std::vector<PendingBatch> batches;
    const Post to_engine = [this](Work work) { post(std::move(work)); };
    for (;;) {
        {
            std::unique_lock lock(commit_mutex_);
            commit_wake_.wait(lock, [this] { return commits_end_ || !commits_.empty(); });
            if (commits_.empty()) return;
            for (PendingBatch& batch : commits_) batches.push_back(std::move(batch));
            commits_.clear();
        }
        std::uint64_t bytes = 0;
        for (const PendingBatch& batch : batches) {
            bytes += batch.journal.bytes.size();
            for (const auto& put : batch.journal.puts) bytes += put.body.size();
        }
        if (failed_) {
            for (PendingBatch& batch : batches) {
                refuse(batch, {Fault::unreachable, "the store has failed; the outcome is unknown"});
                for (HistoryQuestion& question : batch.questions) reader_->ask(std::move(question));
            }
        } else if (auto ok = append(batches); !ok) {
            die(ok.error(), batches);
        } else {
            for (PendingBatch& batch : batches) {
                const std::uint64_t last = batch.journal.first.n + batch.journal.count - 1;
                release(batch, journal_, to_engine);
                history_->add(std::move(batch.history), std::move(batch.decisions), Sequence{last});
                for (HistoryQuestion& question : batch.questions) reader_->ask(std::move(question));
                released_ = last;
            }
            if (auto tidy = journal_.tidy(); !tidy) die(tidy.error(), {});
            if (std::exchange(long_replay_, false)) order_snapshot(std::exchange(recovered_predictor_, {}));
        }
        commit_bytes_ -= bytes;
        batches.clear();
    }
}

// Appends until it is done or the store is finished. What found no room is abandoned.
Result<void> RunnerThreads::append(std::vector<PendingBatch>& batches) {
    const std::int64_t begin = steady_ns();
    auto stored = store_batches(batches, journal_, given_up_);
    while (!stored && stored.error().fault == Fault::no_space && !stopping_) {
        space_retry_at_us_ = steady_ns() / 1000 + kSpaceRetry.us;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stored = store_batches(batches, journal_, given_up_);
    }
    last_commit_ns_ = steady_ns() - begin;
    if (!stored) return std::unexpected(std::move(stored).error());
    if (stored->empty()) return {};
    say(LogLevel::error, "disk_full", "the disk is full: submissions are refused, completions go on");
    space_retry_at_us_ = steady_ns() / 1000 + kSpaceRetry.us;
    post([lost = std::move(*stored)](Engine& engine) {
        engine.refuse_submissions(Error{Fault::exhausted, "the disk of the server is full; retry later"});
        for (const TaskId task : lost) engine.abandon_task(task);
    });
    return {};
}

void RunnerThreads::die(const Error& error, std::span<PendingBatch> batches) {
    failed_ = true;
    say(LogLevel::error, "store_failed",
        "the journal cannot be written, nothing is acknowledged any more: " + error.what);
    for (PendingBatch& batch : batches) {
        refuse(batch, {Fault::unreachable, "the store has failed; the outcome is unknown"});
        for (HistoryQuestion& question : batch.questions) reader_->ask(std::move(question));
    }
    if (options_.on_fatal) options_.on_fatal(error);
}

void RunnerThreads::snapshot_loop() {
    // Behind everything that somebody waits for. Failing to yield is no failure.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kSnapshotNice);
    for (;;) {
        std::string predictor;
        std::optional<journal::Snapshot> recovered;
        {
            std::unique_lock lock(snapshot_mutex_);
            snapshot_wake_.wait(lock, [this] { return snapshot_wanted_ || snapshot_end_; });
            if (!snapshot_wanted_) return;
            snapshot_wanted_ = false;
            predictor = std::move(snapshot_predictor_);
            recovered.swap(recovered_);
        }
        if (failed_) continue;
        const Sequence upto{released_};
        history_->flush();  // everything released so far has been given to it
        const std::int64_t begin = steady_ns();
        const auto made = recovered && recovered->at <= upto
                              ? store_snapshot(journal_, *recovered)
                              : make_snapshot(journal_, predictor, upto, Sequence{audited_});
        if (made && made->bytes > 0) snapshot_size_ = made->bytes;
        recovered.reset();
        malloc_trim(0);  // a second core was in memory
        if (!made)
            say(LogLevel::error, "snapshot_failed", made.error().what);
        else
            say(LogLevel::debug, "snapshot",
                "at event " + std::to_string(made->at.n) + " in " + std::to_string((steady_ns() - begin) / 1'000'000) +
                    " ms");
    }
}

std::vector<Check> RunnerThreads::checks() const {
    const bool full = space_retry_at_us_ != 0;
    return {{"store", !failed_, failed_ ? "the store has failed" : "it takes what is written"},
            {"space", !full, full ? "the disk is full" : "there is room for new tasks"},
            {"running", !stopping_, stopping_ ? "stopping" : "accepting work"}};
}

bool RunnerThreads::ready(std::string* why_not) const {
    for (Check& check : checks()) {
        if (check.good) continue;
        if (why_not != nullptr) *why_not = std::move(check.text);
        return false;
    }
    return true;
}

Result<void> RunnerThreads::stop(Duration) {
    const std::lock_guard one(stop_mutex_);
    if (stopped_ || !loop_.joinable()) return {};
    stopping_ = true;
    post([](Engine& engine) {
        engine.refuse_submissions(Error{Fault::unavailable, "the server is stopping"});
        engine.tell_workers_to_reconnect("the server is stopping");
    });
    {
        const std::lock_guard lock(inbox_mutex_);
        closed_ = true;
        inbox_wake_.notify_one();
    }
    loop_.join();
    committer_.join();
    {
        const std::lock_guard lock(snapshot_mutex_);
        snapshot_predictor_ = engine_->save_predictor();
        audited_ = engine_->audited().n;
        snapshot_wanted_ = true;
        snapshot_end_ = true;
        snapshot_wake_.notify_one();
    }
    snapshots_.join();
    history_->flush();
    stopped_ = true;
    if (failed_) return fail(Fault::failed, "the store had failed");
    return {};
}

Result<std::unique_ptr<Runner>> Runner::start(Options options, store::JournalStore& journal,
                                              history::HistoryStore& history) {
    auto runner = std::make_unique<RunnerThreads>(std::move(options), journal, history);
    if (auto ok = runner->recover(); !ok) return std::unexpected(std::move(ok).error());
    runner->go();
    return runner;
}

}  // namespace nexus::engine
