#include "simulate/driver.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "simulate/event_queue.h"

namespace nexus::simulate {
namespace {

constexpr std::uint64_t kTaskIdHigh = 0x7;  // task ids are (this, index + 1): in order of submission
constexpr std::uint32_t kSampleEvery = 16;  // applies timed: one in so many
constexpr std::size_t kReviseMax = 64;      // waiting tasks re-estimated at a time
constexpr double kReviseStep = 0.10;        // a smaller move of an estimate is not worth an event
constexpr std::uint32_t kNoAttempt = UINT32_MAX;
constexpr std::uint64_t kPaused = UINT64_MAX;  // in place of the plans of a paused run
constexpr std::int64_t kGiveUpSpans = 100;     // the run ends after so many spans of the arrivals, whatever waits

bool moved(Duration a, Duration b) {
    const double was = static_cast<double>(std::max<std::int64_t>(1, a.us));
    return std::abs(static_cast<double>(b.us) - was) > kReviseStep * was;
}

// An attempt that runs on a simulated worker.
struct Running {
    std::uint32_t task = 0;
    std::uint32_t worker = 0;
    std::uint32_t next_of_task = kNoAttempt;  // another attempt of the same task; also the free list
    std::uint64_t ends_plan = 0, overdue_plan = 0;
    AttemptId attempt;
    SessionId session;
    Instant start, ends, overdue = kNever;  // kNever: it will not be, or was
    Instant busy_from;                      // in its slot, for the books
    Instant paused_at = kNever;             // kNever: it runs
    Duration paused_for;                    // before that
    Estimate predicted;
    bool fails = false;
};

class Driver {
public:
    Driver(const World& world, const DriverOptions& options, Foresight foresight, const core::Config& config)
        : world_(world), options_(options), foresight_(std::move(foresight)), core_(config) {}
    RunRecord run();

private:
    void start();
    void join(std::uint32_t worker);
    void submit_next();
    void turn(Instant at);
    void happen(const Planned& planned);
    void end_run(std::uint32_t index);
    void begin_trouble(const Trouble& trouble);
    void finish_trouble(const Trouble& trouble);
    void apply(core::Fact fact) { apply_event({.at = now_, .what = std::move(fact)}); }
    void apply_event(const core::Event& event);
    void apply_facts();
    void carry_out();
    void on(const core::AssignAttempt& assign);
    void on(const core::RevokeAttempt& revoke);
    void on(const core::PauseAttempt& order);
    void on(const core::AttemptEnded& ended);
    void on(const core::TaskEnded& ended);
    void plan(std::uint32_t index);
    void take_slot(Running& here);
    void leave_slot(const Running& here);
    Duration ran(const Running& here) const {
        return (here.paused_at == kNever ? now_ : here.paused_at) - here.start - here.paused_for;
    }
    void report(std::uint32_t index, core::AttemptOutcome outcome);
    void drop(std::uint32_t index);
    void tell_facts();
    void revise_waiting();
    void told_eta(std::uint32_t task);
    void account_idle(Instant until);
    void watch_breakers(std::uint32_t worker);
    void describe(core::TaskSpec& spec, const SimTask& task) const;
    std::uint32_t task_of(TaskId id) const { return static_cast<std::uint32_t>(id.lo - 1); }
    TaskId id_of(std::uint32_t task) const { return {.hi = kTaskIdHigh, .lo = task + 1ULL}; }

    const World& world_;
    const DriverOptions& options_;
    Foresight foresight_;
    core::Scheduler core_;
    EventQueue queue_;
    RunRecord record_;
    std::vector<core::Command> commands_;
    std::vector<core::Fact> facts_;
    std::vector<core::Event> submissions_;  // by type: its last submission, refilled for the next
    std::vector<Running> running_;
    std::uint32_t free_running_ = kNoAttempt;
    std::vector<std::uint32_t> attempt_of_;  // by task: its first running attempt
    std::vector<SessionId> sessions_;        // by worker; 0 = down
    std::vector<std::uint32_t> free_slots_;  // by worker
    std::vector<std::int64_t> tried_;        // by worker: attempts that ended in trouble
    std::vector<std::uint8_t> breaker_;      // by worker: as last seen
    std::vector<Instant> breaker_since_;
    std::uint64_t session_last_ = 0;
    std::uint32_t arrived_ = 0;
    std::uint64_t live_ = 0, waiting_ = 0, free_total_ = 0;
    std::uint64_t revise_at_completion_ = 0, completions_ = 0;
    std::uint64_t applies_ = 0;
    Instant now_, wake_ = kNever;
};

void Driver::describe(core::TaskSpec& spec, const SimTask& task) const {
    const auto& tenant = world_.workload.tenants[task.tenant];
    if (spec.tenant != tenant) spec.tenant = tenant;
    spec.priority = task.priority;
    spec.payload_bytes = task.payload_bytes;
    if (world_.cluster.cpu_milli_per_slot > 0) spec.resources.cpu_milli = task.cpu_milli;
    if (task.zone == 0)
        spec.labels_required.clear();
    else
        spec.labels_required = {{"zone", "z" + std::to_string(task.zone)}};
}

void Driver::apply_event(const core::Event& event) {
    if (++applies_ % kSampleEvery != 0) {
        core_.apply(event, commands_);
    } else {
        const std::size_t before = commands_.size();
        const auto begin = std::chrono::steady_clock::now();
        core_.apply(event, commands_);
        const auto took = std::chrono::steady_clock::now() - begin;
        const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
        for (std::size_t n = before; n < commands_.size(); ++n) {
            if (!std::holds_alternative<core::AssignAttempt>(commands_[n])) continue;
            record_.decision_ns.push_back(static_cast<std::uint32_t>(std::min<long>(ns, UINT32_MAX)));
            break;
        }
    }
    if (options_.check) core_.check_invariants();
}

// Commands may cause further events (a started report, a cancelled run), whose commands join the end of the list.
void Driver::carry_out() {
    for (std::size_t n = 0; n < commands_.size(); ++n) {
        const core::Command& command = commands_[n];
        if (const auto* assign = std::get_if<core::AssignAttempt>(&command))
            on(*assign);
        else if (const auto* ended = std::get_if<core::AttemptEnded>(&command))
            on(*ended);
        else if (const auto* over = std::get_if<core::TaskEnded>(&command))
            on(*over);
        else if (const auto* revoke = std::get_if<core::RevokeAttempt>(&command))
            on(*revoke);
        else if (const auto* wake = std::get_if<core::WakeAt>(&command))
            wake_ = wake->at;
        else if (const auto* pause = std::get_if<core::PauseAttempt>(&command))
            on(*pause);
        else if (const auto* requeued = std::get_if<core::TaskRequeued>(&command))
            waiting_ += requeued->reason == core::WaitReason::capacity ? 1 : 0;
    }
    commands_.clear();
}

void Driver::on(const core::AssignAttempt& assign) {
    const std::uint32_t task = task_of(assign.task);
    const std::uint32_t worker = assign.worker.n;
    MUST(sessions_[worker] == assign.session);
    std::uint32_t index = free_running_;
    if (index != kNoAttempt) {
        free_running_ = running_[index].next_of_task;
    } else {
        index = static_cast<std::uint32_t>(running_.size());
        running_.emplace_back();
    }
    Running& here = running_[index];
    here = {.task = task,
            .worker = worker,
            .next_of_task = attempt_of_[task],
            .attempt = assign.attempt,
            .session = assign.session,
            .start = now_};
    attempt_of_[task] = index;
    if (here.next_of_task == kNoAttempt && waiting_ > 0) --waiting_;
    take_slot(here);
    ++record_.workers[worker].assigned;

    here.predicted = foresight_.estimate(task, static_cast<std::int32_t>(worker), now_);
    Duration run = world_.run_time(task, worker, assign.number, now_);
    here.fails = world_.trouble_of(worker, TroubleKind::fails, now_) != nullptr;
    if (here.fails) run.us = std::max<std::int64_t>(1, run.us / 10);
    here.ends = now_ + run;
    // The worker cannot know that the run will pass its P90; only the plan to notice it is left out when it will not.
    if (here.predicted.source != EstimateSource::none && run > here.predicted.p90)
        here.overdue = now_ + here.predicted.p90;
    plan(index);
    TaskRecord& told = record_.tasks[task];
    if (told.first_start == kNever) {
        told.first_start = now_;
        told.predicted = here.predicted.p50;
    }
    apply(core::AttemptStarted{.task = assign.task, .attempt = here.attempt, .session = here.session});
}

void Driver::plan(std::uint32_t index) {
    Running& here = running_[index];
    here.ends_plan = queue_.plan(here.ends, Happening::run_ends, index);
    here.overdue_plan = here.overdue == kNever ? 0 : queue_.plan(here.overdue, Happening::overdue, index);
}

void Driver::take_slot(Running& here) {
    here.busy_from = now_;
    if (free_slots_[here.worker] > 0) --free_slots_[here.worker], --free_total_;
}

void Driver::leave_slot(const Running& here) {
    if (here.paused_at != kNever) return;
    const Instant from = std::max(here.busy_from, record_.window_from);
    const Instant to = std::min(now_, record_.window_to);
    if (from < to) record_.workers[here.worker].busy = record_.workers[here.worker].busy + (to - from);
    if (sessions_[here.worker] == here.session) ++free_slots_[here.worker], ++free_total_;
}

void Driver::on(const core::PauseAttempt& order) {
    std::uint32_t index = attempt_of_[task_of(order.task)];
    while (index != kNoAttempt && running_[index].attempt != order.attempt) index = running_[index].next_of_task;
    if (index == kNoAttempt) return;
    Running& here = running_[index];
    if (order.pause) {
        leave_slot(here);
        here.paused_at = now_;
        here.ends_plan = here.overdue_plan = kPaused;
    } else {
        const Duration stood = now_ - here.paused_at;
        here.paused_for = here.paused_for + stood;
        here.paused_at = kNever;
        here.ends = here.ends + stood;
        if (here.overdue != kNever) here.overdue = here.overdue + stood;
        plan(index);
        take_slot(here);
    }
    apply(core::AttemptPaused{.task = order.task,
                              .attempt = order.attempt,
                              .session = here.session,
                              .turn = order.turn,
                              .paused = order.pause,
                              .run = ran(here)});
}

void Driver::on(const core::RevokeAttempt& revoke) {
    for (std::uint32_t index = attempt_of_[task_of(revoke.task)]; index != kNoAttempt;
         index = running_[index].next_of_task) {
        if (running_[index].attempt != revoke.attempt) continue;
        switch (revoke.reason) {
            case core::RevokeReason::superseded: return report(index, core::AttemptOutcome::superseded);
            case core::RevokeReason::timed_out: return report(index, core::AttemptOutcome::timed_out);
            case core::RevokeReason::preempted: return report(index, core::AttemptOutcome::preempted);
            case core::RevokeReason::cancelled: return report(index, core::AttemptOutcome::cancelled);
        }
    }
}

// Takes a running attempt out of the books, whatever became of it.
void Driver::drop(std::uint32_t index) {
    Running& here = running_[index];
    leave_slot(here);
    std::uint32_t* link = &attempt_of_[here.task];
    while (*link != index) link = &running_[*link].next_of_task;
    *link = here.next_of_task;
    here.ends_plan = here.overdue_plan = 0;
    here.next_of_task = free_running_;
    free_running_ = index;
}

void Driver::report(std::uint32_t index, core::AttemptOutcome outcome) {
    const Running here = running_[index];
    drop(index);
    const Duration run = ran(here);
    if (outcome != core::AttemptOutcome::succeeded) {
        ++record_.wasted_attempts;
        record_.wasted = record_.wasted + run;
    }
    predict::RunEnd end = predict::RunEnd::censored;
    if (outcome == core::AttemptOutcome::succeeded) end = predict::RunEnd::succeeded;
    if (outcome == core::AttemptOutcome::failed) end = predict::RunEnd::failed;
    foresight_.learn(here.task, here.worker, here.predicted, end, run, now_);
    apply(core::AttemptFinished{
        .task = id_of(here.task), .attempt = here.attempt, .session = here.session, .outcome = outcome, .run = run});
    ++completions_;
    if (world_.trouble_of(here.worker, here.fails ? TroubleKind::fails : TroubleKind::slow, here.start) != nullptr)
        ++tried_[here.worker];
    watch_breakers(here.worker);
}

void Driver::on(const core::AttemptEnded& ended) {
    // A lost worker's attempt ends by the core's word, not by a report: learned as "at least so long".
    if (ended.outcome == core::AttemptOutcome::worker_lost) ++record_.wasted_attempts;
}

void Driver::on(const core::TaskEnded& ended) {
    const std::uint32_t task = task_of(ended.task);
    TaskRecord& told = record_.tasks[task];
    told.finish = now_;
    told.state = ended.state;
    told.run = ended.run;
    if (told.eta_p90 != kNever) foresight_.note_eta(now_ <= told.eta_p90);
    --live_;
    record_.makespan = now_;
}

void Driver::told_eta(std::uint32_t task) {
    if (!options_.eta) return;
    const std::optional<core::EtaView> eta = core_.eta(id_of(task));
    if (!eta) return;
    record_.tasks[task].eta_p50 = eta->finish_p50;
    record_.tasks[task].eta_p90 = eta->finish_p90;
}

void Driver::submit_next() {
    const std::uint32_t task = arrived_++;
    const SimTask& what = world_.workload.tasks[task];
    ++live_;
    ++waiting_;
    core::Event& event = submissions_[what.type];
    auto& submitted = std::get<core::TaskSubmitted>(event.what);
    event.at = now_;
    submitted.task = id_of(task);
    describe(submitted.spec, what);
    submitted.estimate = foresight_.estimate(task, -1, now_);
    apply_event(event);
    told_eta(task);
    carry_out();
}

void Driver::apply_facts() {
    for (core::Fact& fact : facts_) apply(std::move(fact));
    facts_.clear();
}

void Driver::tell_facts() {
    foresight_.take_facts(facts_);
    apply_facts();
}

// The waiting tasks that would start soonest get a fresh estimate when some type's estimate has moved; at most
// kReviseMax at a time, and one round per as many completions, so that revising costs a bounded part of the work.
void Driver::revise_waiting() {
    if (foresight_.oracle() || waiting_ == 0 || completions_ < revise_at_completion_) return;
    revise_at_completion_ = completions_ + kReviseMax;
    for (const TaskId id : core_.next_waiting(kReviseMax)) {
        const std::optional<core::TaskView> view = core_.task(id);
        if (!view) continue;
        const Estimate before = view->estimate;
        const Estimate fresh = foresight_.estimate(task_of(id), -1, now_);
        if (fresh.source == EstimateSource::none) continue;
        if (!moved(before.mean, fresh.mean) && !moved(before.p50, fresh.p50)) continue;
        ++record_.revisions;
        apply(core::EstimateRevised{.task = id, .estimate = fresh});
    }
}

void Driver::end_run(std::uint32_t index) {
    const bool fails = running_[index].fails;
    report(index, fails ? core::AttemptOutcome::failed : core::AttemptOutcome::succeeded);
    carry_out();
    tell_facts();
    revise_waiting();
    carry_out();
}

void Driver::join(std::uint32_t worker) {
    const SimWorker& what = world_.cluster.workers[worker];
    sessions_[worker] = SessionId{++session_last_};
    free_total_ += what.slots - free_slots_[worker];
    free_slots_[worker] = what.slots;
    core::Resources offered{.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1};
    const std::int32_t cpu = world_.cluster.cpu_milli_per_slot;
    if (cpu > 0) offered.cpu_milli = static_cast<std::int64_t>(cpu) * what.slots;
    core::Labels labels;
    if (!world_.cluster.affinity.empty()) labels.emplace_back("hw", "hw" + std::to_string(what.hardware + 1));
    if (what.zone > 0) labels.emplace_back("zone", "z" + std::to_string(what.zone));
    apply(core::WorkerJoined{.name = what.name,
                             .session = sessions_[worker],
                             .labels = std::move(labels),
                             .slots = what.slots,
                             .offered = std::move(offered),
                             .can_pause = true});
    MUST(core_.find_worker(what.name) == WorkerNo{worker});
    foresight_.oracle_facts(worker, now_, facts_);
    apply_facts();
    carry_out();
}

void Driver::begin_trouble(const Trouble& trouble) {
    if (trouble.kind == TroubleKind::down) {
        for (std::uint32_t index = 0; index < running_.size(); ++index) {
            if (running_[index].ends_plan == 0 || running_[index].worker != trouble.worker) continue;
            const Running lost = running_[index];
            drop(index);
            record_.wasted = record_.wasted + ran(lost);
            foresight_.learn(lost.task, lost.worker, lost.predicted, predict::RunEnd::censored, ran(lost), now_);
        }
        free_total_ -= free_slots_[trouble.worker];
        free_slots_[trouble.worker] = 0;
        apply(core::WorkerLeft{.session = std::exchange(sessions_[trouble.worker], SessionId{}), .planned = false});
    }
    if (trouble.kind == TroubleKind::slow) foresight_.oracle_facts(trouble.worker, now_, facts_);
    apply_facts();
    carry_out();
}

void Driver::finish_trouble(const Trouble& trouble) {
    if (trouble.kind == TroubleKind::down)
        join(trouble.worker);
    else
        watch_breakers(trouble.worker);
    if (trouble.kind == TroubleKind::slow) foresight_.oracle_facts(trouble.worker, now_, facts_);
    apply_facts();
    carry_out();
}

// Follows the breaker of one worker: how long it was open, how fast it opened on trouble and closed after.
void Driver::watch_breakers(std::uint32_t worker) {
    const std::uint8_t state = core_.worker(WorkerNo{worker}).breaker;
    if (state != 0 && breaker_[worker] == 0) breaker_since_[worker] = now_;
    if (state == 0 && breaker_[worker] != 0) {
        const Instant from = std::max(breaker_since_[worker], record_.window_from);
        const Instant to = std::min(now_, record_.window_to);
        if (from < to) record_.workers[worker].open = record_.workers[worker].open + (to - from);
    }
    breaker_[worker] = state;
    std::size_t at = 0;
    for (const Trouble& trouble : world_.cluster.troubles) {
        if (trouble.kind == TroubleKind::down) continue;
        TroubleRecord& told = record_.troubles[at++];
        if (trouble.worker != worker || now_ < trouble.from) continue;
        const auto seconds_since = [&](Instant then) { return static_cast<double>((now_ - then).us) / 1e6; };
        if (state != 0 && told.seconds_to_isolate < 0 && now_ < trouble.to) {
            told.tasks_to_isolate = tried_[worker];
            told.seconds_to_isolate = seconds_since(trouble.from);
        }
        if (state == 0 && told.seconds_to_isolate >= 0 && told.seconds_to_readmit < 0 && now_ >= trouble.to)
            told.seconds_to_readmit = seconds_since(trouble.to);
    }
}

void Driver::account_idle(Instant until) {
    if (waiting_ == 0 || free_total_ == 0 || until <= now_) return;
    std::uint64_t idle = 0;
    for (std::uint32_t worker = 0; worker < free_slots_.size() && idle < waiting_; ++worker) {
        if (free_slots_[worker] == 0) continue;
        if (core_.worker(WorkerNo{worker}).breaker == 0) idle += free_slots_[worker];
    }
    idle = std::min(idle, waiting_);
    record_.idle_while_waiting.us += static_cast<std::int64_t>(idle) * (until - now_).us;
}

void Driver::start() {
    const std::size_t tasks = world_.workload.tasks.size();
    const std::size_t workers = world_.cluster.workers.size();
    record_.tasks.resize(tasks);
    record_.workers.resize(workers);
    attempt_of_.assign(tasks, kNoAttempt);
    sessions_.resize(workers);
    free_slots_.resize(workers);
    tried_.resize(workers);
    breaker_.resize(workers);
    breaker_since_.resize(workers);
    const auto first = static_cast<std::size_t>(static_cast<double>(tasks) * options_.warm_up);
    record_.window_from = world_.workload.tasks[std::min(first, tasks - 1)].arrival;
    record_.window_to = world_.workload.last_arrival();
    for (const std::string& type : world_.workload.types) {
        core::TaskSubmitted submission;
        submission.spec.type = type;
        submission.spec.idempotent = options_.idempotent;
        submission.spec.retry.attempts_max = 10;
        submissions_.push_back({.at = {}, .what = std::move(submission)});
    }
    apply(core::EngineStarted{.seed = world_.seed, .wall_offset = seconds(1'700'000'000)});
    carry_out();
    for (std::uint32_t worker = 0; worker < workers; ++worker) join(worker);
    const auto& troubles = world_.cluster.troubles;
    for (std::uint32_t n = 0; n < troubles.size(); ++n) {
        queue_.plan(troubles[n].from, Happening::trouble_starts, n);
        queue_.plan(troubles[n].to, Happening::trouble_ends, n);
        if (troubles[n].kind != TroubleKind::down) record_.troubles.push_back({.worker = troubles[n].worker});
    }
}

void Driver::happen(const Planned& planned) {
    switch (planned.what) {
        case Happening::run_ends:
            if (running_[planned.index].ends_plan == planned.number) end_run(planned.index);
            return;
        case Happening::overdue:
            if (Running& here = running_[planned.index]; here.overdue_plan == planned.number) {
                here.overdue = kNever;
                foresight_.overdue(here.task, here.worker, here.predicted);
            }
            return;
        case Happening::trouble_starts: return begin_trouble(world_.cluster.troubles[planned.index]);
        case Happening::trouble_ends: return finish_trouble(world_.cluster.troubles[planned.index]);
    }
}

// At one instant: what ends comes before what was to be woken, and that before what arrives.
void Driver::turn(Instant at) {
    account_idle(at);
    now_ = at;
    if (queue_.next_at() == at) return happen(queue_.take());
    if (wake_ <= at) {
        wake_ = kNever;
        apply(core::TimePassed{});
        return carry_out();
    }
    submit_next();
}

RunRecord Driver::run() {
    const auto begin = std::chrono::steady_clock::now();
    start();
    const auto& tasks = world_.workload.tasks;
    const Instant give_up{kGiveUpSpans * std::max<std::int64_t>(world_.workload.last_arrival().us, 1'000'000)};
    for (;;) {
        if (arrived_ == tasks.size() && live_ == 0) break;
        const Instant arrival = arrived_ < tasks.size() ? tasks[arrived_].arrival : kNever;
        const Instant next = std::max(now_, std::min({arrival, queue_.next_at(), wake_}));
        if (next >= give_up) break;
        turn(next);
    }
    for (std::uint32_t worker = 0; worker < breaker_.size(); ++worker) {
        if (breaker_[worker] == 0) continue;
        const Instant from = std::max(breaker_since_[worker], record_.window_from);
        if (from < record_.window_to)
            record_.workers[worker].open = record_.workers[worker].open + (record_.window_to - from);
    }
    record_.unfinished = live_;
    record_.counters = core_.counters();
    record_.digest = core_.digest();
    core_.check_invariants();
    record_.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(record_);
}

}  // namespace

Result<RunRecord> run(const World& world, const Contender& contender, const DriverOptions& options) {
    MUST(!world.workload.tasks.empty());
    Result<Foresight> foresight = Foresight::make(contender, world);
    if (!foresight) return std::unexpected(std::move(foresight).error());
    return Driver(world, options, std::move(*foresight), contender.config).run();
}

}  // namespace nexus::simulate
