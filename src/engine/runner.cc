#include "engine/runner.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "base/system_clock.h"
#include "config/toml.h"
#include "engine/commit_line.h"
#include "engine/engine.h"
#include "engine/history_reader.h"
#include "engine/history_writer.h"
#include "engine/inbox.h"
#include "engine/snapshotter.h"
#include "engine/sure.h"

namespace nexus::engine {
namespace {

constexpr std::uint64_t kEventsPerBatch = 1024;  // then the committer gets its share while the turn goes on
// A snapshot is made when replaying what follows the last one would take about as long as reading it, but not for less
// than 0.4 s of replay. Measured: 1.5 us an event, 12 ns a byte of snapshot to write and read again.
constexpr std::uint64_t kReplayEventsMin = 250'000;
constexpr std::uint64_t kSnapshotBytesPerEvent = 128;
// However small the reserve is set: a submission must fit. What finds no room then waits for it, and is not lost.
constexpr std::uint64_t kRoomMin = 4 << 20;
constexpr std::size_t kAnswersMax = 20'000;
constexpr std::uint64_t kSavedAtStartMax = 250'000;     // live tasks: 0.1 s
constexpr std::chrono::milliseconds kStoreRetry{20};    // while the store does not answer or has no room
constexpr std::chrono::seconds kSpaceLook{1};           // while the disk is full
constexpr std::chrono::milliseconds kRenewalLook{100};  // where claims are renewed
constexpr Duration kHistoryTold = seconds(1);
constexpr Duration kLooksPerTurn = milliseconds(1);
const Error kDiskFull{Fault::exhausted, "the disk of the server is full; retry later"};

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    MUST(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

}  // namespace

class RunnerThreads final : public Runner {
public:
    RunnerThreads(Options options, store::JournalStore& journal, history::HistoryStore& history)
        : options_(std::move(options)), journal_(journal), history_store_(history), sure_(options_.steady_ns) {
        if (options_.steady_ns != nullptr) steady_ns_ = options_.steady_ns;
        ownership_ = Ownership(options_.ownership);
    }
    ~RunnerThreads() override {
        (void)stop(seconds(5));
        // Threads that never started need no joining.
        for (std::thread* thread : {&loop_, &committer_, &last_snapshot_})
            if (thread->joinable()) thread->join();
    }

    Result<void> recover();
    void go();

    Result<void> stop(Duration limit) override;
    const Recovery& recovery() const override { return recovery_; }
    std::vector<Check> checks() const override;
    bool sure() const override { return sure_.holds(); }

    void call(Caller caller, Call call) override {
        if (!sure_.holds()) return refuse(call, kNotSure);
        if (auto* asked = std::get_if<Asked<ReadState>>(&call)) {
            if (auto model = fresh_model()) return asked->done(std::move(model));
            asked->done = [this,
                           done = std::move(asked->done)](Result<std::shared_ptr<const ReadModel>>&& model) mutable {
                if (model) keep_model(*model);
                done(std::move(model));
            };
        }
        // Nothing is answered before the store has confirmed what the answer rests on: answers queue up, too.
        if (line_->answers_waiting() > kAnswersMax)
            return refuse(call, {Fault::exhausted, "too many answers wait for the store; retry later"});
        if (const std::uint64_t waiting = line_->bytes_in_flight();
            waiting > 0 && std::holds_alternative<Asked<SubmitTasks>>(call) && waiting + bytes_of(call) > room_)
            return refuse(call, {Fault::exhausted, "the store is slower than the submissions; retry later"});
        inbox_.put_call(std::move(caller), std::move(call));
    }
    WatchId watch(Caller caller, std::vector<TaskId> tasks, TaskFilter filter, TaskWatcher watcher) override {
        const WatchId id = ++watches_;
        // Shared by the engine's table and the notices under way; the last notice is the last owner.
        auto shared = std::make_shared<TaskWatcher>(std::move(watcher));
        if (!caller.tenant.empty() || !tasks.empty()) filter.tenant = std::move(caller.tenant);
        inbox_.put([id, tasks = std::move(tasks), filter = std::move(filter), shared](Engine& e) mutable {
            e.watch(id, std::move(tasks), std::move(filter), std::move(shared));
        });
        return id;
    }
    void unwatch(WatchId watch) override {
        inbox_.put([watch](Engine& e) { e.unwatch(watch); });
    }
    void connect(Caller caller, WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) override {
        auto shared = std::make_shared<Done<SessionId>>(std::move(done));  // owned by the call, or answered here
        hello.owner = std::move(caller.name);
        const auto put = inbox_.put([hello = std::move(hello), link = std::move(link), shared](Engine& e) mutable {
            e.connect(std::move(hello), std::move(link), std::move(*shared));
        });
        if (put != Inbox::Put::taken) (*shared)(fail(Fault::unavailable, "the server has stopped"));
    }
    void report(SessionId session, WorkerReport report) override {
        const auto [alive, bytes] = std::pair{only_alive(report), bytes_of(report)};  // before it is moved
        const auto put = inbox_.put_report(
            session, bytes, alive,
            [session, report = std::move(report)](Engine& e) mutable { e.report(session, std::move(report)); });
        if (put == Inbox::Put::full) inbox_.put([session](Engine& e) { e.cut_off(session); });
    }
    void disconnected(SessionId session) override {
        inbox_.put([session](Engine& e) { e.disconnected(session); });
    }

private:
    static inline const Error kNotSure{Fault::unavailable, "the server is cut off from its store; retry"};

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

    Now now() const { return {{base_.us + (steady_ns_() - steady_base_ns_) / 1000}, system_wall()}; }
    Instant steady() const { return {steady_ns_() / 1000}; }
    void loop();
    void answer_looks();
    void stand_still(std::vector<Inbox::Item>& items);
    std::int64_t us_to_next_turn() const;
    void hand_over(PendingBatch batch);
    void commit_loop();
    bool wait_for_commits(bool again);
    void tell();
    void note_space(bool low);
    void renew_when_due();
    void look_at_store();
    void end_commits(const Error& error);
    void die(const Error& error);
    Result<void> save_last();
    std::uint64_t snapshot_due() const {
        return std::min(options_.snapshot_events, std::max(kReplayEventsMin, snapshot_size_ / kSnapshotBytesPerEvent));
    }
    void say(LogLevel level, std::string event, std::string text) const {
        if (options_.log) options_.log({.level = level, .event = std::move(event), .text = std::move(text)});
    }

    Options options_;
    store::JournalStore& journal_;
    history::HistoryStore& history_store_;
    std::int64_t (*steady_ns_)() = system_steady_ns;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<HistoryWriter> history_;
    std::unique_ptr<HistoryReader> reader_;
    std::unique_ptr<CommitLine> line_;
    std::unique_ptr<Snapshotter> snapshots_;
    Recovery recovery_;
    Instant base_;
    std::int64_t steady_base_ns_ = 0;
    std::atomic<WatchId> watches_ = 0;
    Inbox inbox_;
    std::uint64_t room_ = 0;  // bytes of batches under way beyond which submissions are refused

    store::Claim claim_;
    Ownership ownership_;  // of the committer, once it runs
    Sure sure_;

    mutable std::mutex model_mutex_;  // guards model_
    std::shared_ptr<const ReadModel> model_;

    std::mutex commit_mutex_;  // guards the three below
    std::condition_variable commit_wake_, commits_ended_;
    bool commit_wanted_ = false;
    bool commits_end_ = false;
    bool commits_over_ = false;
    std::atomic<std::int64_t> last_commit_ns_ = 0;
    std::atomic<std::uint64_t> released_ = 0;  // the last event whose batch is released and whose history is given away

    bool long_replay_ = false;                      // of the committer: a snapshot is still to be ordered for it
    std::optional<journal::Snapshot> recovered_;    // of the committer: the state as replayed
    std::string recovered_predictor_;               // of the committer: for a snapshot without it
    std::atomic<std::uint64_t> snapshot_size_ = 0;  // bytes of the last one
    std::uint64_t events_since_snapshot_ = 0;       // of the loop
    std::uint64_t bytes_since_snapshot_ = 0;
    Sequence history_told_;  // of the loop, to the store
    Instant history_told_at_;

    std::atomic<bool> stopping_ = false;
    std::atomic<bool> failed_ = false;  // the store is finished, or another owner has it
    std::atomic<bool> low_on_space_ = false;
    std::atomic<bool> silent_ = false;                  // the last append got no answer
    std::atomic<bool> left_out_ = false;                // of the stop: not everything could be stored
    std::atomic<std::int64_t> stop_by_ns_ = INT64_MAX;  // on the system's clock
    std::mutex stop_mutex_;                             // one stop at a time
    bool stopped_ = false;
    std::atomic<bool> late_ = false;  // the stop's time is over: its snapshot is left off
    std::thread loop_, committer_, last_snapshot_;
};

Result<void> RunnerThreads::recover() {
    const std::int64_t begin = system_steady_ns();
    auto head = journal_.head();
    if (!head) return std::unexpected(std::move(head).error().during("the journal"));
    const Instant claimed_at = steady();
    auto claim = journal_.claim(
        *head,
        {.name = options_.name, .address = options_.address, .token_hi = random_seed(), .token_lo = random_seed()});
    if (!claim) return std::unexpected(std::move(claim).error().during("claiming the journal"));
    claim_ = *claim;
    ownership_.claimed(claimed_at, head->renews);
    EngineOptions engine{
        .config = options_.config,
        .model = options_.model,
        .version = options_.version,
        .durability = store::name_of(head->level),
        .heartbeat = options_.heartbeat,
        .suspect_after = options_.suspect_after,
        .lost_after = options_.lost_after,
        .seed = random_seed(),
        .nanoseconds = system_steady_ns,
        .log = [this](LogLevel l, std::string e, std::string t) { say(l, std::move(e), std::move(t)); },
        .stopwatch = [] { return Instant{system_steady_ns() / 1000}; },
        .make_champion = {},
        .publish = options_.publish_tokens};
    if (auto model = predict::make_model(engine.model); !model) return std::unexpected(std::move(model).error());
    engine_ = std::make_unique<Engine>(std::move(engine));
    engine_->history_has(head->history);
    if (auto ok = engine_->recover(journal_, options_.skip_event); !ok) return ok;
    recovery_.snapshot_at = engine_->replica().snapshot_at();
    snapshot_size_ = engine_->replica().snapshot_bytes();
    recovery_.fresh = engine_->last_sequence().n == 0;
    recovery_.events_replayed = engine_->last_sequence().n - recovery_.snapshot_at.n;
    recovery_.tasks_live = engine_->live_tasks();
    if (recovery_.fresh && !options_.nexus_snapshot.empty())
        if (auto ok = engine_->load_nexus_snapshot(options_.nexus_snapshot); !ok)
            return std::unexpected(std::move(ok).error().during("the old Nexus snapshot"));
    room_ = std::min(options_.commit_queue_bytes_max, std::max(head->reserve_bytes, kRoomMin));
    low_on_space_ = head->low_on_space;
    malloc_trim(0);  // what reading and replaying needed goes back to the system
    recovery_.took = {(system_steady_ns() - begin) / 1000};
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
    line_ = std::make_unique<CommitLine>(
        journal_, claim_, CommitLine::Options{.post = [this](Work work) { inbox_.put(std::move(work)); }});
    snapshots_ = std::make_unique<Snapshotter>(
        journal_,
        Snapshotter::Options{
            .released = [this] { return Sequence{released_}; },
            .before = [this] { history_->flush(); },  // everything released so far has been given to it
            .made =
                [this](Result<SnapshotMade> made, Duration took) {
                    if (!made && !stopping_) say(LogLevel::error, "snapshot_failed", made.error().what);
                    if (!made) return;
                    if (made->bytes > 0) snapshot_size_ = made->bytes;
                    say(LogLevel::debug, "snapshot",
                        "at event " + std::to_string(made->at.n) + " in " + std::to_string(took.us / 1000) + " ms");
                }});
    engine_->post = [this](Work work) { inbox_.put(std::move(work)); };
    // The engine's clock goes on where the journal ended, by calendar time when that moved forward.
    const WallTime wall = system_wall();
    const std::int64_t away =
        recovery_.fresh
            ? 0
            : std::max<std::int64_t>(0, wall.us - (engine_->last_instant().us + engine_->core().wall_offset().us));
    base_ = recovery_.fresh ? Instant{1'000'000} : engine_->last_instant() + Duration{away};
    steady_base_ns_ = steady_ns_();
    // A long replay is not made twice: a snapshot is ordered as soon as the history has what the replay told again. Of
    // a small state it is taken here, so that not even a server that soon dies again has to replay for it once more.
    long_replay_ = recovery_.events_replayed >= snapshot_due() / 2;
    if (long_replay_ && recovery_.tasks_live <= kSavedAtStartMax && !options_.skip_event)
        recovered_ = engine_->save();
    else if (long_replay_)
        recovered_predictor_ = engine_->save_predictor();
    if (low_on_space_) engine_->refuse_submissions(kDiskFull);
    engine_->set_room(room_);
    engine_->start(now(), claim_.epoch);
    if (options_.config_wins && !recovery_.fresh) {
        engine_->answer(server_itself(), Configure{.reason = "configuration given at start", .whole = options_.config},
                        [](Result<Reconfigured>) {});
    }
    events_since_snapshot_ = long_replay_ ? 0 : recovery_.events_replayed;
    sure_.set(ownership_.sure_until());
    committer_ = std::thread([this] { commit_loop(); });
    pthread_setname_np(committer_.native_handle(), "nexus-commit");
    hand_over(engine_->take_batch());
    loop_ = std::thread([this] { loop(); });
    pthread_setname_np(loop_.native_handle(), "nexus-loop");
}

// ------------------------------------------------------------------------------------------------------------ the loop

std::int64_t RunnerThreads::us_to_next_turn() const {
    const Instant next = engine_->next_turn();
    return next == kNever ? -1 : std::max<std::int64_t>(0, next.us - now().at.us);
}

void RunnerThreads::loop() {
    std::vector<Inbox::Item> items;
    while (inbox_.take(items, [this] { return us_to_next_turn(); })) {
        if (!sure_.holds()) stand_still(items);
        engine_->begin_turn(now());
        engine_->set_room(room_ - std::min(room_, line_->bytes_in_flight()));
        for (Inbox::Item& item : items) {
            item.run(*engine_);
            if (engine_->batch_events() >= kEventsPerBatch) hand_over(engine_->take_batch());
        }
        items.clear();
        answer_looks();
        engine_->end_turn();
        if (const std::int64_t ns = last_commit_ns_.exchange(0)) engine_->note_commit(ns);
        engine_->note_history_dropped(history_->dropped() + history_store_.dropped());
        if (engine_->has_batch()) hand_over(engine_->take_batch());
        const bool wished = engine_->take_snapshot_wish();
        if (wished || events_since_snapshot_ >= snapshot_due() || bytes_since_snapshot_ >= options_.snapshot_bytes) {
            events_since_snapshot_ = bytes_since_snapshot_ = 0;
            snapshots_->order(engine_->save_predictor(), engine_->audited());
        }
    }
    engine_->give_up_looks();
    if (engine_->has_batch()) hand_over(engine_->take_batch());
    const std::lock_guard lock(commit_mutex_);
    commits_end_ = true;
    commit_wake_.notify_one();
}

// For a share of the turn, and at least one: whoever changes something, and what workers say, waits no longer for them.
void RunnerThreads::answer_looks() {
    const std::int64_t end = system_steady_ns() + kLooksPerTurn.us * 1000;
    Inbox::Item look;
    while (inbox_.take_look(look)) {
        look.run(*engine_);
        if (system_steady_ns() >= end) return;
    }
}

// While it is not sure the core stands still: calls are refused, reports wait.
void RunnerThreads::stand_still(std::vector<Inbox::Item>& items) {
    const Instant since = sure_.until();
    say(LogLevel::error, "unsure", "the store has confirmed nothing for too long: everything waits for it");
    const auto asks = std::stable_partition(items.begin(), items.end(), [](const auto& item) { return !item.call; });
    for (auto item = asks; item != items.end(); ++item) item->refuse(kNotSure);
    items.erase(asks, items.end());
    while (!sure_.holds() && !inbox_.closed()) {
        inbox_.refuse_calls(kNotSure, std::chrono::microseconds(kStoreRetry).count());
        line_->expire(steady());
    }
    if (!sure_.holds()) return items.clear();
    const Duration stood = steady() - since;
    say(LogLevel::info, "sure_again", "the store answers again, after " + std::to_string(stood.us / 1000) + " ms");
    if (stood > options_.ownership.resume_after) engine_->resume(now());
}

void RunnerThreads::hand_over(PendingBatch batch) {
    std::uint64_t bytes = batch.journal.bytes.size();
    for (const auto& put : batch.journal.puts) bytes += put.body.size();
    events_since_snapshot_ += batch.journal.count;
    bytes_since_snapshot_ += bytes;
    // How far the history has come is stored with what is stored anyway, once a second at most.
    const Sequence upto = history_->upto();
    if (batch.journal.count > 0 && upto > history_told_ && steady() - history_told_at_ >= kHistoryTold) {
        batch.journal.history_upto = history_told_ = upto;
        history_told_at_ = steady();
    }
    line_->take(std::move(batch), steady());
    engine_->set_room(room_ - std::min(room_, line_->bytes_in_flight()));
    {
        const std::lock_guard lock(commit_mutex_);
        if (std::exchange(commit_wanted_, true)) return;
    }
    commit_wake_.notify_one();
}

// ------------------------------------------------------------------------------------------------------- the committer

// True: the loop has ended, and nothing more will come. `again`: something is open, to be tried again soon.
bool RunnerThreads::wait_for_commits(bool again) {
    if (again) std::this_thread::sleep_for(kStoreRetry);
    std::unique_lock lock(commit_mutex_);
    const auto due = [this] { return commits_end_ || commit_wanted_; };
    if (!again && ownership_.sure_until() != kNever)
        commit_wake_.wait_for(lock, kRenewalLook, due);
    else if (!again && low_on_space_)
        commit_wake_.wait_for(lock, kSpaceLook, due);
    else if (!again)
        commit_wake_.wait(lock, due);
    commit_wanted_ = false;
    return commits_end_;
}

// Takes everything that waits into one transaction: the slower the disk, the larger the groups.
void RunnerThreads::commit_loop() {
    for (bool again = false;;) {
        const bool ending = wait_for_commits(std::exchange(again, false));
        if (failed_) {
            end_commits({Fault::unreachable, "the store has failed; the outcome is unknown"});
            if (ending) break;
            continue;
        }
        const std::int64_t begin = system_steady_ns();
        const Instant sent = steady();
        const CommitLine::Outcome outcome = line_->append(sent);
        using Step = CommitLine::Step;
        silent_ = outcome.step == Step::wait;
        if (outcome.step == Step::confirmed) {
            last_commit_ns_ = system_steady_ns() - begin;
            if (line_->confirmed_at() == sent) {
                ownership_.confirmed(sent);
                sure_.set(ownership_.sure_until());
                note_space(outcome.low_on_space);
            }
            tell();
            again = !line_->empty() && line_->confirmed_left();
            renew_when_due();  // reads alone are confirmed without the store
        } else if (outcome.step == Step::superseded || outcome.step == Step::failed) {
            if (outcome.step == Step::superseded) ownership_.superseded();
            die(outcome.error);
        } else if (outcome.step == Step::idle) {
            look_at_store();
            if (ending) break;
        } else {
            if (outcome.step == Step::no_space) note_space(true);
            again = true;
            if (!ending || system_steady_ns() < stop_by_ns_) continue;
            left_out_ = true;
            end_commits({Fault::unreachable, "the server stopped while its store " +
                                                 std::string(silent_ ? "did not answer" : "had no room") +
                                                 "; the outcome is unknown"});
            break;
        }
    }
    const std::lock_guard lock(commit_mutex_);
    commits_over_ = true;
    commits_ended_.notify_all();
}

void RunnerThreads::tell() {
    do {
        while (auto batch = line_->release_next(steady())) {
            released_ = batch->journal.first.n + batch->journal.count - 1;
            history_->add(std::move(batch->history), std::move(batch->decisions), Sequence{released_});
            for (HistoryQuestion& question : batch->questions) reader_->ask(std::move(question));
        }
        if (line_->confirmed_left()) std::this_thread::sleep_for(kStoreRetry);
    } while (line_->confirmed_left());
    if (std::exchange(long_replay_, false))
        snapshots_->order(std::exchange(recovered_predictor_, {}), {}, std::exchange(recovered_, {}));
}

void RunnerThreads::renew_when_due() {
    const Instant sent = steady();
    if (!ownership_.renewal_due(sent)) return;
    const auto renewed = line_->renew(sent);
    if (renewed) ownership_.confirmed(sent);
    if (!renewed && renewed.error().fault != Fault::unreachable) {
        if (renewed.error().fault == Fault::superseded) ownership_.superseded();
        die(renewed.error());
    }
    sure_.set(ownership_.sure_until());
}

// Nothing waits: renewals, and whether a full disk has room again.
void RunnerThreads::look_at_store() {
    renew_when_due();
    if (!low_on_space_) return;
    if (const auto head = journal_.head()) note_space(head->low_on_space);
}

void RunnerThreads::note_space(bool low) {
    if (low_on_space_.exchange(low) == low) return;
    if (low)
        say(LogLevel::error, "disk_full", "the disk is full: submissions are refused, completions go on");
    else
        say(LogLevel::info, "disk_has_room", "the disk has room again: submissions are taken");
    inbox_.put([this, low](Engine& engine) {
        if (!stopping_) engine.refuse_submissions(low ? std::optional(kDiskFull) : std::nullopt);
    });
}

void RunnerThreads::end_commits(const Error& error) {
    for (PendingBatch& batch : line_->refuse_all(error))
        for (HistoryQuestion& question : batch.questions) reader_->ask(std::move(question));
}

void RunnerThreads::die(const Error& error) {
    failed_ = true;
    const bool superseded = error.fault == Fault::superseded;
    if (superseded) {
        say(LogLevel::error, "superseded",
            "another owner has the journal, nothing is acknowledged any more: " + error.what);
        sure_.set({});
    } else {
        say(LogLevel::error, "store_failed",
            "the journal cannot be written, nothing is acknowledged any more: " + error.what);
    }
    end_commits({Fault::unreachable, "the store has failed; the outcome is unknown"});
    if (!superseded && options_.on_fatal) options_.on_fatal(error);
}

// ------------------------------------------------------------------------------------------------------------- the end

std::vector<Check> RunnerThreads::checks() const {
    return {
        {"store", !failed_, failed_ ? "the store has failed" : "it takes what is written"},
        {"owner", sure_.holds(),
         sure_.holds() ? "this server owns the journal" : "not sure that this server still owns the journal"},
        {"space", !low_on_space_, low_on_space_ ? "the disk is full" : "there is room for new tasks"},
        {"commits", !silent_, silent_ ? "the store does not answer" : "the store answers"},
        {"running", !stopping_, stopping_ ? "stopping" : "accepting work"},
    };
}

bool Runner::ready(std::string* why_not) const {
    for (Check& check : checks()) {
        if (check.good) continue;
        if (why_not != nullptr) *why_not = std::move(check.text);
        return false;
    }
    return true;
}

Result<void> RunnerThreads::stop(Duration limit) {
    const std::lock_guard one(stop_mutex_);
    if (stopped_ || !loop_.joinable()) return {};
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(limit.us);
    const auto in_time = [&] { return std::chrono::steady_clock::now() < end; };
    stopping_ = true;
    stop_by_ns_ = system_steady_ns() + limit.us * 1000;
    inbox_.put([](Engine& engine) {
        engine.refuse_submissions(Error{Fault::unavailable, "the server is stopping"});
        engine.tell_workers_to_reconnect("the server is stopping");
    });
    inbox_.close();
    {
        std::unique_lock lock(commit_mutex_);
        if (!commits_ended_.wait_until(lock, end + std::chrono::milliseconds(100), [this] { return commits_over_; }))
            return fail(Fault::unreachable,
                        "the store has not answered in time; what it was given last may be missing");
    }
    loop_.join();
    committer_.join();
    stopped_ = true;
    const auto left = [&] {
        return Duration{std::max<std::int64_t>(
            0, std::chrono::duration_cast<std::chrono::microseconds>(end - std::chrono::steady_clock::now()).count())};
    };
    const bool snapshots_ended = snapshots_->end(left());
    if (failed_) return fail(Fault::failed, "the store had failed");
    if (left_out_) return fail(Fault::unreachable, "the store took no more: what was not acknowledged may be missing");
    if (in_time() && !history_->flush(left()))
        return fail(Fault::exhausted, "the time was too short for the history: the next start writes it");
    // Everything is stored, so the state itself is the snapshot. It is left off rather than late: the next start replays.
    if (snapshots_ended && in_time()) {
        std::promise<Result<void>> made;
        std::future<Result<void>> answer = made.get_future();
        last_snapshot_ = std::thread([this, made = std::move(made)]() mutable { made.set_value(save_last()); });
        if (answer.wait_until(end) == std::future_status::ready) return answer.get();
        late_ = true;
    }
    return fail(Fault::exhausted, "the time was too short for a snapshot: the next start takes longer");
}

Result<void> RunnerThreads::save_last() {
    const journal::Snapshot snapshot = engine_->save();
    if (snapshot.at.n == recovery_.snapshot_at.n) return {};
    if (const auto made = store_snapshot(journal_, snapshot, &late_); !made) return std::unexpected(made.error());
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
