#pragma once
// The engine without threads or I/O: it owns the core and the predictor, turns calls into events, events into batches
// to be stored, and keeps what must happen after each batch is durable.
//
//     begin_turn(now) -> calls (submit, report, …) -> end_turn() -> take_batch() -> [caller stores it] ->
//     release
//
// The Runner drives it with threads and real stores, the simulator with one thread and simulated time. Not thread-safe.
// Time comes in with begin_turn and stands still during a turn.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "engine/engine_section.h"
#include "engine/history_questions.h"
#include "engine/latency.h"
#include "engine/messages.h"
#include "engine/page_token.h"
#include "engine/replica.h"
#include "engine/requests.h"
#include "engine/runner.h"
#include "engine/service.h"
#include "engine/task_lines.h"
#include "engine/task_table.h"
#include "journal/codec.h"
#include "learn/learner.h"
#include "predict/predictor.h"
#include "store/journal_store.h"

namespace nexus::engine {

struct Now {
    Instant at;  // never earlier than in the turn before
    WallTime wall;
};

// What becomes durable together, and what may be done only then.
struct PendingBatch {
    using Reply = std::move_only_function<void(const Error* failed)>;  // null: durable
    struct Outgoing {
        std::shared_ptr<WorkerLink> link;
        WorkerOrders orders;
    };
    struct Notice {
        std::shared_ptr<TaskWatcher> watcher;
        WatchId watch = 0;
        WallTime at;
        TaskInfo task;
    };
    store::JournalBatch journal;  // count 0: nothing to store
    std::vector<TaskId> keep;  // of `journal.drops`: ended without success; the body is kept as result, for a re-drive
    std::vector<Reply> replies;
    std::vector<Outgoing> orders;
    std::vector<Notice> notices;
    history::HistoryBatch history;
    std::vector<history::DecisionNote> decisions;
    std::vector<HistoryQuestion> questions;  // to be asked when `history` is given to the writer
    std::vector<TaskId> recall;  // live since before the start: what their bodies tell the predictor is to be read
    std::uint64_t bytes = 0;     // that it takes while it is under way
};

struct EngineOptions {
    core::Config config;
    std::string model = "mixture";
    std::string version = "0.1.0";
    std::string durability = "disk";
    Duration heartbeat = seconds(1);
    Duration suspect_after = seconds(2);
    Duration lost_after = seconds(3);
    std::uint32_t shard = 0;                                                 // which journal this is
    std::uint64_t seed = 1;                                                  // of ids and of the core's jitter
    std::function<std::int64_t()> nanoseconds;                               // for measuring only; may be empty
    std::function<void(LogLevel, std::string event, std::string text)> log;  // may be empty
    Instant (*stopwatch)() = nullptr;  // monotonic, so that a slow model is noticed; may be null
    std::function<std::unique_ptr<predict::Model>()> make_champion;  // empty: predict::make_model(model)
    // Told the table of tokens at the start and whenever it changes; may be empty. Before the change is durable: a token
    // that is revoked is of no use from then on, and of a new one nobody has the secret yet.
    std::function<void(std::shared_ptr<const identity::Tokens>)> publish;
};

class Engine : private learn::Tasks {
public:
    explicit Engine(EngineOptions options);
    ~Engine() override;

    // ---- recovery, before the first turn
    Result<void> restore(const journal::Snapshot& snapshot);
    // The history has the rows of all events up to here: replay() need not make them again. Before the first replay.
    void history_has(Sequence upto) { history_upto_ = upto; }
    // Applies a stored batch again; compares digests. History of what ended is collected for the next batch.
    Result<void> replay(std::string_view batch_bytes, Sequence skip_event);
    // Both, from what the store has.
    Result<void> recover(store::JournalStore& store, Sequence skip_event = {});
    const Replica& replica() const { return replica_; }
    // The journal goes on from here: the first event of this process. `epoch`: of the claim on the journal, where it has
    // one; it grows with each start in any case.
    void start(Now now, std::uint32_t epoch = 0);
    // It goes on after having been unsure for so long that others may have acted: like a start, but with the state as it
    // is. Workers are sent away and have the grace to come back, so that nothing is run twice.
    void resume(Now now);
    Instant last_instant() const { return core_.now(); }
    Sequence last_sequence() const { return Sequence{sequence_}; }
    std::uint64_t live_tasks() const { return live_.size(); }

    // ---- turns
    void begin_turn(Now now);
    // Timers, liveness, learned changes. Called once at the end of each turn.
    void end_turn();
    // When begin_turn must come at the latest; kNever when nothing is due.
    Instant next_turn() const;
    bool has_batch() const {
        return !writer_.empty() || !batch_.replies.empty() || !batch_.questions.empty() || !batch_.notices.empty() ||
               !batch_.history.audit.empty() || !batch_.orders.empty() || !batch_.recall.empty();
    }
    std::uint64_t batch_events() const { return writer_.count(); }
    PendingBatch take_batch();

    // ---- calls of the Service (see service.h); answers go into the batch
    void call(const Caller& caller, Call call) {
        std::visit([&](auto& asked) { answer(caller, std::move(asked.request), std::move(asked.done)); }, call);
    }
    void answer(const Caller& caller, SubmitTasks request, Done<std::vector<Submitted>> done);
    void answer(const Caller& caller, CancelTask request, Done<TaskInfo> done);
    void answer(const Caller& caller, RetryTask request, Done<Submitted> done);
    void answer(const Caller& caller, GetTask request, Done<TaskInfo> done);
    void answer(const Caller& caller, ReadOutput request, Done<OutputText> done);
    void answer(const Caller& caller, ListTasks request, Done<TaskPage> done);
    void answer(const Caller& caller, ExplainTask request, Done<Explanation> done);
    void answer(const Caller& caller, CancelMany request, Done<ChangedMany> done);
    void answer(const Caller& caller, RetryMany request, Done<ChangedMany> done);
    void answer(const Caller& caller, ListQueues request, Done<std::vector<QueueInfo>> done);
    void answer(const Caller& caller, GetQueue request, Done<QueueInfo> done);
    void answer(const Caller& caller, ReadState request, Done<std::shared_ptr<const ReadModel>> done);
    void answer(const Caller& caller, GetWorker request, Done<WorkerDetail> done);
    void answer(const Caller& caller, ListHappened request, Done<std::vector<Happened>> done);
    void answer(const Caller& caller, ReadSeries request, Done<SeriesInfo> done);
    void answer(const Caller& caller, ListTenants request, Done<std::vector<TenantInfo>> done);
    void answer(const Caller& caller, GetFreeSlots request, Done<FreeSlotsInfo> done);
    void answer(const Caller& caller, ListLimits request, Done<std::vector<LimitInfo>> done);
    void answer(const Caller& caller, ListTypeRuns request, Done<std::vector<TypeRunInfo>> done);
    void answer(const Caller& caller, ListTypes request, Done<TypesInfo> done);
    void answer(const Caller& caller, GetType request, Done<TypeInfo> done);
    void answer(const Caller& caller, GetConfig request, Done<core::Config> done);
    void answer(const Caller& caller, ListOverrides request, Done<std::vector<OverrideInfo>> done);
    void answer(const Caller& caller, ListDecisions request, Done<DecisionPage> done);
    void answer(const Caller& caller, ListAudit request, Done<AuditPage> done);
    void answer(const Caller& caller, VerifyAudit request, Done<AuditVerdict> done);
    void answer(const Caller& caller, ListConfigVersions request, Done<ConfigVersionsPage> done);
    void answer(const Caller& caller, ControlWorker request, Done<WorkerInfo> done);
    void answer(const Caller& caller, ResetType request, Done<TypeInfo> done);
    void answer(const Caller& caller, ForceEstimate request, Done<TypeInfo> done);
    void answer(const Caller& caller, Configure request, Done<Reconfigured> done);
    void answer(const Caller& caller, RollBackConfig request, Done<Reconfigured> done);
    void answer(const Caller& caller, SetPolicy request, Done<core::Config> done);
    void answer(const Caller& caller, PauseQueue request, Done<StatusInfo> done);
    void answer(const Caller& caller, SetOverride request, Done<OverrideInfo> done);
    void answer(const Caller& caller, ClearOverride request, Done<std::uint64_t> done);
    void answer(const Caller& caller, IssueToken request, Done<identity::Token> done);
    void answer(const Caller& caller, RevokeToken request, Done<identity::Token> done);
    void answer(const Caller& caller, ListTokens request, Done<std::shared_ptr<const identity::Tokens>> done);
    void answer(const Caller& caller, SignIn request, Done<std::uint64_t> done);
    // Of named tasks those of another tenant than the filter's, if it has one, are not known.
    void watch(WatchId id, std::vector<TaskId> tasks, TaskFilter filter, std::shared_ptr<TaskWatcher> watcher);
    void unwatch(WatchId watch);
    // Refused with failed_state, and nothing else is, when a session of this name is alive and the hello comes from
    // another process; with denied when it comes from somebody else than that session's worker.
    void connect(WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done);
    void report(SessionId session, WorkerReport report);
    void disconnected(SessionId session);
    // Its reports come faster than they can be taken: the stream ends, the worker comes back.
    void cut_off(SessionId session);

    // ---- state told by the Runner
    void refuse_submissions(std::optional<Error> why) { refusal_ = std::move(why); }
    // How many bytes of new batches may be under way: submissions beyond it are refused before anything happens, so
    // that what was applied always finds room, if need be in the store's reserve.
    void set_room(std::uint64_t bytes) { room_ = bytes; }
    // The attempt's body is proven lost, so no worker can be given it: the task is dead.
    void fail_unreadable(TaskId task, AttemptId attempt, const std::string& why);
    // The attempt's body cannot be read now: it ends as rejected, which counts as no failure.
    void give_back(TaskId task, AttemptId attempt);
    void tell_workers_to_reconnect(const std::string& why);
    // No turn follows: who waits for a worker's answer hears that it does not come.
    void give_up_looks();
    // What the bodies of `asked` held for the predictor, as far as they held anything: answers PendingBatch::recall.
    // `again`: those that could not be read now.
    struct Recalled {
        TaskId task;
        Duration hint;
        std::vector<std::pair<std::string, double>> features;
    };
    void remember(const std::vector<TaskId>& asked, std::vector<Recalled> found, std::vector<TaskId> again);
    void note_commit(std::int64_t ns) { commit_ns_.add(ns); }
    void note_history_dropped(std::uint64_t total) { history_dropped_ = total; }
    // So far the history has confirmed the audit.
    Sequence audited() const {
        return Sequence{audit_.unconfirmed().empty() ? sequence_ : audit_.unconfirmed().front().place.number - 1};
    }
    std::string save_predictor() const;
    // The state as restore() takes it. Between two batches only, e.g. before start().
    journal::Snapshot save() const;
    // Something was told to the predictor that no event holds: a snapshot should be made soon. Once for each such word.
    bool take_snapshot_wish() { return std::exchange(snapshot_soon_, false); }
    Result<void> load_nexus_snapshot(std::string_view json) {
        snapshot_soon_ = true;
        return learner_.predictor().load_nexus_snapshot(json);
    }
    const core::Scheduler& core() const { return core_; }

    // How the answer of a question comes back into a turn. Set before the first turn.
    std::function<void(std::move_only_function<void(Engine&)>)> post;

private:
    // What the engine keeps of a live task beside the core. With its id it is a cache line; more only where it began, or
    // has what few tasks have.
    struct Rare {
        std::vector<AttemptInfo> ended;
        std::vector<std::pair<std::string, double>> features;
        Duration hint;
        core::Resources resources;
        TaskId redrive_of;
        std::string error;  // of the last failed attempt
        double progress = 0;
        std::string progress_note;
    };
    struct Live {
        std::uint32_t line = 0;  // in lines_: its type, tenant and queue
        std::uint32_t payload_bytes = 0;
        std::uint8_t priority = 0;
        bool unread = false;                  // its hint and features are in the store only, since the start
        std::int64_t submitted_us = 0;        // wall
        std::int64_t p50_us = 0, p90_us = 0;  // estimate told at submission

        // Of the latest attempt on its worker; empty before the first.
        Estimate predicted() const { return more_ ? more_->predicted : Estimate{}; }
        void predict(const Estimate& estimate) { of_more().predicted = estimate; }
        Rare* rare() const { return more_ ? more_->rare.get() : nullptr; }
        Rare& make_rare() {
            More& more = of_more();
            if (!more.rare) more.rare = std::make_unique<Rare>();
            return *more.rare;
        }

    private:
        struct More {
            Estimate predicted;
            std::unique_ptr<Rare> rare;
        };
        More& of_more() {
            if (!more_) more_ = std::make_unique<More>();
            return *more_;
        }
        std::unique_ptr<More> more_;
    };
    static_assert(sizeof(TaskId) + sizeof(Live) <= 64);
    const LineKey& key_of(const Live& live) const { return lines_.key(live.line); }
    const std::string& type_of(const Live& live) const { return names_[key_of(live).type]; }
    const std::string& tenant_of(const Live& live) const { return names_[key_of(live).tenant]; }
    const std::string& queue_of(const Live& live) const { return names_[key_of(live).queue]; }
    struct Session {
        std::shared_ptr<WorkerLink> link;
        std::string name, version, hostname;
        std::string owner;  // Caller::name of whoever connected it
        Instant last_contact;
        WallTime connected_at, last_heard;
        bool suspect = false;
        bool goodbye = false;
        std::uint64_t instance = 0;  // of its process; 0 = it did not say
        std::uint32_t rivals = 0;    // hellos of other processes that were refused, the last at rival_at
        WallTime rival_at;
        std::string rival_hostname;
        double cpu_usage = 0, memory_usage = 0;
        std::size_t out = SIZE_MAX;  // its place in batch_.orders
    };
    // A question about what an attempt has written, while its worker has not answered yet.
    struct Look {
        TaskId task;
        AttemptId attempt;
        std::uint32_t number = 0;
        SessionId session;
        std::string worker;
        Instant until;
        Done<OutputText> done;
    };
    // An attempt that is over here, while its worker stops it and has not reported it yet.
    struct Revoked {
        TaskId task;
        AttemptId attempt;
        std::uint32_t number = 0;
        std::uint32_t tenant = UINT32_MAX;  // in names_
        SessionId session;
        bool last = false;  // the task ended with it
    };
    struct Watch {
        std::vector<TaskId> tasks;
        TaskFilter filter;
        std::shared_ptr<TaskWatcher> watcher;
    };

    // The live tasks as the learner sees them.
    std::optional<Known> known(TaskId task) const override;
    std::size_t slot_count() const override { return live_.slots(); }
    TaskId in_slot(std::size_t slot) const override { return live_.task_at(slot); }

    // The one way into the core: journals, applies, carries out.
    void apply(core::Fact fact);
    void carry_out(core::Command& command);
    void on(core::AssignAttempt& order);
    void on(core::PauseAttempt& order);
    void on(core::RevokeAttempt& order);
    void on(core::WelcomeWorker& welcome);
    void on(core::DrainWorker& drain);
    void on(core::AnswerReport& answer);
    void on(core::AttemptEnded& ended);
    void on(core::TaskEnded& ended);
    void on(core::TaskRequeued& requeued);
    void on(core::WakeAt& wake);
    void note_decision(TaskId task, const core::Decision& decision, const Live& live, WorkerNo worker);
    void tell_end(const core::TaskEnded& ended);
    void tell_memory(TaskId task);
    void judge_promise(const core::Promise& promise, const Live& live);
    // What happened lately: telling.cc.
    void tick();  // once a second: breakers, series, windows
    void add_points(std::int64_t step, std::vector<float> use);
    void look_for_drifts();
    void tell_rates(ReadModel& model) const;
    void tell(const core::Event& event);  // before the core applies it
    void tell(const core::AttemptEnded& ended, const Live& live, std::string_view worker, Duration predicted);
    void tell_start(const core::TaskView& view);
    void tell_etas();  // to watchers of named tasks, where they changed much

    // What a replay tells: the table of live tasks, the predictor and the history follow it.
    struct Along final : Replica::Follower {
        explicit Along(Engine& owner) : engine(owner) {}
        Result<void> loaded(const journal::Snapshot& snapshot) override { return engine.loaded(snapshot); }
        void event(Sequence at, const core::Event& event, const core::Scheduler&) override { engine.follow(at, event); }
        void command(core::Command& command) override { engine.carry_out(command); }
        void applied(Sequence upto) override { engine.followed(upto); }
        void skipped(Sequence at) override;
        Engine& engine;
    };
    Result<void> loaded(const journal::Snapshot& snapshot);
    void follow(Sequence at, const core::Event& event);
    void followed(Sequence upto);
    void stand_at_replica();
    void end_attempt(TaskId task, AttemptId attempt, AttemptReport report);
    // `before`: how many new tasks the same call makes before it, and how many of its tenant.
    struct Before {
        std::uint64_t all = 0, of_tenant = 0;
    };
    core::AdmissionAnswer admit(const Submission& item, Before before) const;
    Result<void> check_override(const core::OverrideSet& set) const;
    Result<void> check_forced(const core::EstimateForced& forced) const;
    template <class Question>
    void ask(Question question, Done<typename Question::Answer> done) {
        batch_.questions.push_back(Asked<Question>{std::move(question), std::move(done)});
    }
    // What attempts write: output.cc.
    void look_at(Look look, std::uint64_t out_from, std::uint64_t err_from);
    void ask_kept(AskOutput asked, Done<OutputText> done);
    void looked(SessionId session, OutputPart part);
    void settle_looks();
    void remember_revoked(const core::RevokeAttempt& order);
    void forget_revoked(AttemptId attempt);
    void keep_late_result(const core::AnswerReport& answer);
    void explain_ended(TaskId task, const std::string& tenant, Done<Explanation> done);
    // The live tasks of a page, newest first: at most `limit`.
    std::vector<TaskInfo> live_page(const TaskFilter& filter, TaskId before, std::size_t limit) const;
    std::vector<TaskId> live_ids(const TaskFilter& filter, TaskId before, std::size_t limit) const;
    void running_before(TaskId before, const std::function<bool(TaskId)>& take) const;
    std::shared_ptr<const std::vector<QueueInfo>> count_queues() const;
    const std::vector<QueueInfo>& queues_now();
    LineFilter line_filter(const TaskFilter& filter, bool* none) const;
    void join_line(TaskId task, Live& live, const LineKey& key);
    history::EventPlace place_of_event() {
        return {.at = wall_of(now_.at), .shard = core_.shard(), .number = sequence_, .part = part_++};
    }
    void note_submitted(const core::TaskSubmitted& fact);
    void check_sessions();
    bool may_replace(const WorkerHello& hello, SessionId id, const Session& session) const;
    void note_joined(const std::string& name);
    std::uint32_t joins_lately(const std::string& name) const;
    Error refuse_rival(Session& session, WorkerHello hello);
    Result<void> may_take_name(const WorkerHello& hello, const Session& session) const;
    void notify(TaskId task);
    void submit_one(Submission& item, Submitted& out);
    void resubmit(std::string kept, TaskId old, Done<Submitted> done);
    // The kept body as a new submission, and whether it is taken after so many others of the same tenant.
    Result<Submission> redriven(std::string kept, TaskId old) const;
    Result<void> admit_redrive(const Submission& again, std::uint64_t before) const;
    struct Retrying;  // bulk.cc
    void retry_next(std::shared_ptr<Retrying> all);
    Changed retry_one(Retrying& all, TaskId task, Result<std::string> kept);
    // The configuration becomes `config`, as the next version.
    // The live configuration: configuring.cc.
    Result<void> is_current(std::uint32_t version) const;
    Result<void> may_configure(const core::Config& config, const core::Act& act) const;
    core::Config take_configuration(core::Config config, core::Act act);  // Requires: may_configure(). As it is then
    Result<core::Config> reconfigure(core::Config config, core::Act act);
    void heed(const core::Event& event);
    // What a caller who is bound to a tenant does not see, it is told of as of what does not exist.
    bool sees(const std::string& tenant, TaskId live_task) const;  // of an empty tenant: whether it is live
    void force(const core::EstimateForced& forced);
    void confirm_audit();
    Result<void> may_act(const core::Act& act) const;
    Result<void> check_reach(const Caller& caller, const core::TaskSpec& spec) const;
    Result<void> may_forget(WorkerNo worker) const;
    void say(LogLevel level, std::string event, std::string text) const;

    template <class T>
    void reply(Done<T> done, Result<T> value);
    template <class T>
    static PendingBatch::Reply reply_of(Done<T> done, Result<T> value);
    WorkerOrders& orders_for(SessionId session);
    std::uint32_t name_number(std::string_view name);
    WallTime wall_of(Instant at) const;
    TaskInfo info_of(TaskId task, bool with_why) const;
    WorkerInfo info_of(WorkerNo worker) const;
    OverrideInfo info_of(core::OverrideSet set) const;
    bool matches(const TaskFilter& filter, const Live& live, const core::TaskView& view) const;
    StatusInfo status_now() const;
    TypeInfo with_promises(predict::TypeStat stat) const;
    std::shared_ptr<const ReadModel> read_model();
    std::shared_ptr<const ReadModel> state_now();  // the latest, or a new one when that is too old
    TaskId new_task_id();
    void drop_marks(const std::vector<TaskId>& tasks);

    EngineOptions options_;
    Along along_{*this};
    Replica replica_{along_};
    core::Scheduler& core_{replica_.core()};
    learn::Learner learner_;
    Rng rng_;
    journal::BatchWriter writer_;
    std::uint64_t sequence_ = 0;
    std::uint32_t part_ = 0;  // what the present event caused for the history, so far
    Now now_{};
    WallTime started_wall_;
    bool started_ = false;
    bool replaying_ = false;
    Sequence history_upto_;  // see history_has()
    std::vector<core::Command> commands_;
    std::vector<core::Fact> refined_;  // estimates made by the event that is being carried out

    PendingBatch batch_;
    std::vector<SessionId> ordered_;  // the sessions with a place in batch_.orders
    TaskTable<Live> live_;
    TaskLines lines_;  // the slots of live_
    std::vector<std::string> names_;
    std::unordered_map<std::string, std::uint32_t> name_numbers_;
    std::map<SessionId, Session> sessions_;
    std::unordered_map<std::string, std::deque<Instant>> joined_;  // by worker: when it connected lately
    std::map<WatchId, Watch> watches_;
    std::map<std::uint64_t, Look> looks_;  // by number, which is by age
    std::uint64_t looks_made_ = 0;
    std::deque<Revoked> revoked_;  // oldest first

    // Of the call being carried out.
    std::shared_ptr<const TaskBody> current_body_;
    TaskId current_task_;
    AttemptReport* current_report_ = nullptr;
    std::string cancel_reason_;  // of the event being carried out

    std::vector<std::pair<std::string, predict::Override>> forced_before_;  // told by the snapshot of an older core
    std::uint64_t sessions_made_ = 0;

    std::optional<Error> refusal_;
    std::uint64_t room_ = UINT64_MAX;
    std::set<TaskId> marked_;           // entries of foreign queues that became tasks, as long as their marks stand
    std::vector<TaskId> unmarked_;      // whose marks the next batch drops
    std::uint64_t put_bytes_ = 0;       // of the batch's new bodies
    std::vector<TaskId> recall_again_;  // could not be read, not before recall_at_
    Instant recall_at_;
    Instant wake_ = kNever;
    Instant next_check_;
    bool snapshot_soon_ = false;
    Audit audit_;
    std::shared_ptr<const identity::Tokens> tokens_ = std::make_shared<const identity::Tokens>();
    Latency decide_ns_, commit_ns_, wait_ns_, gap_ns_;
    std::uint64_t applied_ = 0;
    std::uint64_t history_dropped_ = 0;
    std::array<std::uint64_t, 8> finished_{};
    std::array<PromiseCount, core::kToldAs> promises_{};
    std::map<std::uint32_t, PromiseCount> promises_of_types_, promises_of_tenants_;  // by number of the name
    std::unordered_map<TaskId, Instant, IdHash> watched_etas_;  // finish p50 as watchers were told last
    Instant next_etas_;
    Lately lately_;
    Instant next_tick_;
    std::int64_t step_ = 0;  // of the series: the one that is under way
    std::uint64_t finished_told_ = 0, submitted_told_ = 0;
    Latency wait_step_;                         // submission to first start: of this step,
    Latency wait_minute_, wait_minute_before_;  // of this minute and the one before
    std::int64_t minute_ = 0;
    std::deque<std::pair<Instant, Duration>> idle_told_;  // idle_while_waiting, a sample a minute for an hour
    WallTime fallback_since_;
    std::uint64_t drifts_told_ = 0;                         // of all types,
    std::map<std::uint32_t, std::uint64_t> drifts_;         // and of each, by number of the name
    std::shared_ptr<const ReadModel> read_;                 // the latest; null before the first
    std::shared_ptr<const std::vector<QueueInfo>> queues_;  // likewise
    Instant queues_until_;                                  // they are counted anew then,
    std::uint32_t queues_config_ = 0;                       // or when the configuration is no longer this one
};

template <class T>
PendingBatch::Reply Engine::reply_of(Done<T> done, Result<T> value) {
    return [done = std::move(done), value = std::move(value)](const Error* failed) mutable {
        if (failed != nullptr) return done(std::unexpected(*failed));
        done(std::move(value));
    };
}

template <class T>
void Engine::reply(Done<T> done, Result<T> value) {
    batch_.replies.push_back(reply_of(std::move(done), std::move(value)));
}

}  // namespace nexus::engine
