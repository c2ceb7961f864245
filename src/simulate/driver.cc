#include "simulate/driver.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "simulate/breaker_watch.h"
#include "simulate/event_queue.h"
#include "simulate/fleet.h"
#include "simulate/foresight.h"

namespace nexus::simulate {
namespace {

constexpr std::uint32_t kSampleEvery = 16;  // applies timed: one in so many
constexpr std::int64_t kGiveUpSpans = 100;  // the run ends after so many spans of the arrivals, whatever waits

// What is measured: arrivals after the warm-up.
RunRecord blank_record(const World& world, double warm_up) {
    RunRecord record;
    const std::size_t tasks = world.workload.tasks.size();
    record.tasks.resize(tasks);
    record.workers.resize(world.cluster.workers.size());
    const auto first = static_cast<std::size_t>(static_cast<double>(tasks) * warm_up);
    record.window_from = world.workload.tasks[std::min(first, tasks - 1)].arrival;
    record.window_to = world.workload.last_arrival();
    return record;
}

class Driver {
public:
    Driver(const World& world, const DriverOptions& options, const core::Config& config)
        : world_(world),
          options_(options),
          core_(config),
          record_(blank_record(world, options.warm_up)),
          fleet_(world, queue_, record_),
          breakers_(world, record_) {}
    Result<RunRecord> run(const Contender& contender);

private:
    void start();
    void join(std::uint32_t worker);
    void submit_next();
    void look();
    void turn(Instant at);
    void happen(const Planned& planned);
    void end_run(std::uint32_t index);
    void begin_trouble(const Trouble& trouble);
    void finish_trouble(const Trouble& trouble);
    void apply(core::Fact fact) { apply_event({.at = now_, .what = std::move(fact)}); }
    void apply_event(const core::Event& event);
    void apply_oracle_facts(std::uint32_t worker);
    void carry_out();
    void on(const core::AssignAttempt& assign);
    void on(const core::RevokeAttempt& revoke);
    void on(const core::PauseAttempt& order);
    void on(const core::AttemptEnded& ended);
    void on(const core::TaskEnded& ended);
    void report(std::uint32_t index, core::AttemptOutcome outcome);
    void told_eta(std::uint32_t task);
    void plan_questions();
    void ask_again(std::uint32_t task);
    void see_breaker(std::uint32_t worker) { breakers_.see(worker, core_.worker(WorkerNo{worker}).breaker, now_); }
    void describe(core::TaskSpec& spec, const SimTask& task) const;

    const World& world_;
    const DriverOptions& options_;
    core::Scheduler core_;
    EventQueue queue_;
    RunRecord record_;
    Fleet fleet_;
    BreakerWatch breakers_;
    std::unique_ptr<Foresight> foresight_;
    std::vector<core::Command> commands_;
    std::vector<core::Event> submissions_;  // by type: its last submission, refilled for the next
    std::uint64_t session_last_ = 0;
    std::uint32_t arrived_ = 0;
    std::uint64_t live_ = 0, waiting_ = 0;
    std::uint64_t applies_ = 0;
    Instant now_, wake_ = kNever;
    Instant looked_{-1};
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

void Driver::on(const core::AssignAttempt& order) {
    const TaskId id = order.task;
    const AttemptId attempt = order.attempt;
    const std::uint32_t task = task_of(id), worker = order.worker.n;
    const Estimate predicted = foresight_->dispatched(order, now_);
    Duration run = world_.run_time(task, worker, order.number, now_);
    const bool fails = world_.trouble_of(worker, TroubleKind::fails, now_) != nullptr;
    if (fails) run.us = std::max<std::int64_t>(1, run.us / 10);
    const std::uint32_t index = fleet_.start(order, task, run, fails, now_);
    if (fleet_.running(index).next_of_task == kNoAttempt && waiting_ > 0) --waiting_;
    TaskRecord& told = record_.tasks[task];
    if (told.first_start == kNever) {
        told.first_start = now_;
        told.predicted = predicted.p50;
    }
    const SessionId session = order.session;
    if (auto refined = learn::Learner::refined(order, predicted)) apply(*std::move(refined));  // `order` ends here
    apply(core::AttemptStarted{.task = id, .attempt = attempt, .session = session});
    foresight_->started(id, attempt, now_);
}

void Driver::on(const core::PauseAttempt& order) {
    const std::uint32_t index = fleet_.find(task_of(order.task), order.attempt);
    if (index == kNoAttempt) return;
    order.pause ? fleet_.pause(index, now_) : fleet_.resume(index, now_);
    const Running& here = fleet_.running(index);
    apply(core::AttemptPaused{.task = order.task,
                              .attempt = order.attempt,
                              .session = here.session,
                              .turn = order.turn,
                              .paused = order.pause,
                              .run = here.ran(now_)});
}

void Driver::on(const core::RevokeAttempt& revoke) {
    const std::uint32_t index = fleet_.find(task_of(revoke.task), revoke.attempt);
    if (index == kNoAttempt) return;
    switch (revoke.reason) {
        case core::RevokeReason::superseded: return report(index, core::AttemptOutcome::superseded);
        case core::RevokeReason::timed_out: return report(index, core::AttemptOutcome::timed_out);
        case core::RevokeReason::preempted: return report(index, core::AttemptOutcome::preempted);
        case core::RevokeReason::recalled: return;  // nothing is prefetched here: decisions arrive at once
        case core::RevokeReason::cancelled: return report(index, core::AttemptOutcome::cancelled);
    }
}

void Driver::report(std::uint32_t index, core::AttemptOutcome outcome) {
    const Running here = fleet_.drop(index, now_);
    const Duration run = here.ran(now_);
    if (outcome != core::AttemptOutcome::succeeded) {
        ++record_.wasted_attempts;
        record_.wasted = record_.wasted + run;
    }
    apply(core::AttemptFinished{
        .task = id_of(here.task), .attempt = here.attempt, .session = here.session, .outcome = outcome, .run = run});
    if (world_.trouble_of(here.worker, here.fails ? TroubleKind::fails : TroubleKind::slow, here.start) != nullptr)
        breakers_.tried(here.worker);
    see_breaker(here.worker);
}

void Driver::on(const core::AttemptEnded& ended) {
    if (ended.outcome == core::AttemptOutcome::worker_lost) ++record_.wasted_attempts;
    foresight_->ended(ended, now_);
}

void Driver::on(const core::TaskEnded& ended) {
    const std::uint32_t task = task_of(ended.task);
    TaskRecord& told = record_.tasks[task];
    told.finish = now_;
    told.state = ended.state;
    told.run = ended.run;
    std::optional<bool> by_p90;
    if (ended.state == core::TaskState::succeeded && told.eta_p90 != kNever) by_p90 = now_ <= told.eta_p90;
    foresight_->finished(task, by_p90);
    --live_;
    record_.makespan = now_;
}

void Driver::told_eta(std::uint32_t task) {
    if (!options_.eta) return;
    const std::optional<core::EtaView> eta = core_.eta(id_of(task));
    if (!eta) return;
    record_.tasks[task].eta_p50 = eta->finish_p50;
    record_.tasks[task].eta_p90 = eta->finish_p90;
    record_.tasks[task].eta_p10 = eta->finish_p10;
    record_.tasks[task].told_as = eta->as;
}

void Driver::plan_questions() {
    if (options_.ask_again == nullptr) return;
    const auto& tasks = options_.ask_again->tasks;
    for (std::uint32_t task = 0; task < tasks.size() && task <= EventQueue::kIndexMax; ++task) {
        const Instant arrival = world_.workload.tasks[task].arrival, start = tasks[task].first_start;
        if (start != kNever && start > arrival)
            queue_.plan(arrival + Duration{(start - arrival).us / 2}, Happening::asked_again, task);
    }
}

void Driver::ask_again(std::uint32_t task) {
    const std::optional<core::EtaView> eta = core_.eta(id_of(task), now_);
    if (!eta) return;
    record_.tasks[task].asked_again = now_;
    record_.tasks[task].told_again = eta->finish_p50;
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
    submitted.estimate = foresight_->submitted(task, now_);
    submitted.promise = options_.eta;
    apply_event(event);
    carry_out();  // as in the server: a reply leaves after the estimate for the worker is made
    told_eta(task);
}

void Driver::look() {
    looked_ = now_;
    foresight_->look(now_);
    while (auto fact = foresight_->next_fact(now_)) {
        record_.revisions += std::holds_alternative<core::EstimateRevised>(*fact) ? 1 : 0;
        apply(std::move(*fact));
        carry_out();
    }
}

void Driver::end_run(std::uint32_t index) {
    report(index, fleet_.running(index).fails ? core::AttemptOutcome::failed : core::AttemptOutcome::succeeded);
    carry_out();
}

void Driver::apply_oracle_facts(std::uint32_t worker) {
    for (core::Fact& fact : foresight_->oracle_facts(worker, now_)) apply(std::move(fact));
    carry_out();
}

void Driver::join(std::uint32_t worker) {
    const SimWorker& what = world_.cluster.workers[worker];
    const SessionId session{++session_last_};
    fleet_.join(worker, session);
    core::Resources offered{.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1};
    const std::int32_t cpu = world_.cluster.cpu_milli_per_slot;
    if (cpu > 0) offered.cpu_milli = static_cast<std::int64_t>(cpu) * what.slots;
    core::Labels labels;
    if (!world_.cluster.affinity.empty()) labels.emplace_back("hw", hardware_name(what.hardware));
    if (what.zone > 0) labels.emplace_back("zone", "z" + std::to_string(what.zone));
    apply(core::WorkerJoined{.name = what.name,
                             .session = session,
                             .labels = std::move(labels),
                             .slots = what.slots,
                             .offered = std::move(offered),
                             .can_pause = true});
    MUST(core_.find_worker(what.name) == WorkerNo{worker});
    apply_oracle_facts(worker);
}

void Driver::begin_trouble(const Trouble& trouble) {
    if (trouble.kind == TroubleKind::down) {
        const SessionId session = fleet_.session(trouble.worker);
        for (const Running& lost : fleet_.leave(trouble.worker, now_)) record_.wasted = record_.wasted + lost.ran(now_);
        apply(core::WorkerLeft{.session = session, .planned = false});
        return carry_out();
    }
    if (trouble.kind == TroubleKind::slow) apply_oracle_facts(trouble.worker);
}

void Driver::finish_trouble(const Trouble& trouble) {
    if (trouble.kind == TroubleKind::down) return join(trouble.worker);
    see_breaker(trouble.worker);
    if (trouble.kind == TroubleKind::slow) apply_oracle_facts(trouble.worker);
}

void Driver::start() {
    for (const std::string& type : world_.workload.types) {
        core::TaskSubmitted submission;
        submission.spec.type = type;
        submission.spec.idempotent = options_.idempotent;
        submission.spec.retry.attempts_max = 10;
        submissions_.push_back({.at = {}, .what = std::move(submission)});
    }
    apply(core::EngineStarted{.seed = world_.seed, .wall_offset = seconds(1'700'000'000)});
    carry_out();
    for (std::uint32_t worker = 0; worker < world_.cluster.workers.size(); ++worker) join(worker);
    const auto& troubles = world_.cluster.troubles;
    for (std::uint32_t n = 0; n < troubles.size(); ++n) {
        queue_.plan(troubles[n].from, Happening::trouble_starts, n);
        queue_.plan(troubles[n].to, Happening::trouble_ends, n);
    }
    plan_questions();
}

void Driver::happen(const Planned& planned) {
    switch (planned.what) {
        case Happening::run_ends:
            if (fleet_.ends_by(planned)) end_run(planned.index);
            return;
        case Happening::trouble_starts: return begin_trouble(world_.cluster.troubles[planned.index]);
        case Happening::trouble_ends: return finish_trouble(world_.cluster.troubles[planned.index]);
        case Happening::asked_again: return ask_again(planned.index);
    }
}

// At one instant: what ends comes before what was to be woken, that before what arrives, and last the look around, as
// at the end of the engine's turn.
void Driver::turn(Instant at) {
    if (waiting_ > 0 && at > now_)
        record_.idle_while_waiting.us += static_cast<std::int64_t>(fleet_.idle_slots(core_, waiting_)) * (at - now_).us;
    now_ = at;
    if (queue_.next_at() <= at) return happen(queue_.take());
    if (wake_ <= at) {
        wake_ = kNever;
        apply(core::TimePassed{});
        return carry_out();
    }
    if (arrived_ < world_.workload.tasks.size() && world_.workload.tasks[arrived_].arrival <= at) return submit_next();
    look();
}

Result<RunRecord> Driver::run(const Contender& contender) {
    auto foresight = Foresight::make(contender, world_, core_);
    if (!foresight) return std::unexpected(std::move(foresight).error());
    foresight_ = std::move(*foresight);
    const auto begin = std::chrono::steady_clock::now();
    start();
    const auto& tasks = world_.workload.tasks;
    const Instant give_up{kGiveUpSpans * std::max<std::int64_t>(world_.workload.last_arrival().us, 1'000'000)};
    for (;;) {
        if (arrived_ == tasks.size() && live_ == 0) break;
        const Instant arrival = arrived_ < tasks.size() ? tasks[arrived_].arrival : kNever;
        const Instant look = foresight_->look_at(looked_, now_);
        const Instant next = std::max(now_, std::min({arrival, queue_.next_at(), wake_, look}));
        if (next >= give_up) break;
        turn(next);
    }
    breakers_.close();
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
    return Driver(world, options, contender.config).run(contender);
}

}  // namespace nexus::simulate
