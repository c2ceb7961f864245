// Attempts: reports, ends, lost leases, retries. Every way an attempt can end goes through attempt_over(), and every
// way its slot becomes free through vacate().

#include <algorithm>
#include <bit>
#include <utility>

#include "core/backoff.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::uint32_t kCrashFactorAlone =
    2;  // a task seen to crash one worker only is given this many times the tries
constexpr std::int64_t kMemoryMax = std::int64_t{1} << 60;

// Rounded up to three significant bits, so that tasks that grew alike share a class.
std::int64_t memory_step(std::int64_t bytes) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 1));
    const int low = std::max(static_cast<int>(std::bit_width(value)) - 3, 0);
    return static_cast<std::int64_t>((value + (1ULL << low) - 1) >> low << low);
}
}  // namespace

Index Scheduler::State::find_run(TaskId id, AttemptId attempt) const {
    const Index r = run_table.find(IdHash{}(attempt), [&](Index i) { return runs[i].attempt == attempt; });
    if (r == kNone || runs[r].task == kNone) return kNone;
    prefetch_task(runs[r].task);
    return ids[runs[r].task] == id ? r : kNone;
}

Index Scheduler::State::find_ghost(SessionId session, AttemptId attempt) const {
    const Index worker = session_worker(session);
    if (worker == kNone) return kNone;
    for (const Index run : workers[worker].runs)
        if (runs[run].task == kNone && runs[run].attempt == attempt) return run;
    return kNone;
}

void Scheduler::State::on(const AttemptStarted& fact) {
    const Index r = find_run(fact.task, fact.attempt);
    if (r == kNone || runs[r].started != kNever) return;
    if (runs[r].prefetched) take_slot(r);
    note_turnaround(runs[r], fact.waited);
    if (tasks[runs[r].task].run == r) {
        --counted_in(runs[r]);
        runs[r].started = now;
        ++counted_in(runs[r]);
    }
    runs[r].started = now;
    note_end(r);
    watch_straggler(r);
}

void Scheduler::State::on(const AttemptFinished& fact) {
    // For end_task() and what is remembered of it.
    task_table.prefetch(IdHash{}(fact.task));
    ended_table.prefetch(IdHash{}(fact.task));
    settled_table.prefetch(IdHash{}(fact.attempt));
    const Index r = find_run(fact.task, fact.attempt);
    emit(AnswerReport{
        .attempt = fact.attempt, .session = fact.session, .accepted = r != kNone || was_settled(fact.attempt)});
    if (r != kNone) return report_taken(r, fact);
    const Index ghost = find_ghost(fact.session, fact.attempt);
    if (ghost != kNone) vacate(ghost);
    if (!was_settled(fact.attempt)) ++counters.stale_reports;
}

void Scheduler::State::report_taken(Index r, AttemptFinished report) {
    if (runs[r].notice && report.outcome != AttemptOutcome::succeeded) report.outcome = AttemptOutcome::preempted;
    // A worker that leaves gives back what it has not begun. To give back what nobody asked for is to reject it.
    const Worker& holder = workers[runs[r].worker];
    if (report.outcome == AttemptOutcome::rejected && runs[r].prefetched && (holder.draining || holder.leaving))
        report.outcome = AttemptOutcome::recalled;
    else if (report.outcome == AttemptOutcome::recalled && (!runs[r].recalled || runs[r].started != kNever))
        report.outcome = AttemptOutcome::rejected;
    const Index task = runs[r].task;
    for (const Index neighbour : {tasks[task].older, tasks[task].newer})
        if (neighbour != kNone) __builtin_prefetch(&tasks[neighbour].older, 1);  // for ttl_unlink()
    remember_settled(report.attempt);
    const Run run = runs[r];
    attempt_over(r, report.outcome, report.run, report.peak_memory_bytes);
    vacate(r);
    if (report.outcome == AttemptOutcome::recalled) {
        --tasks[task].attempts;
        return unstarted(task, false);
    }
    if (report.outcome != AttemptOutcome::succeeded) return after_failure(task, r, report);
    ++workers[run.worker].succeeded;
    if (report.run.us >= 0 && tasks[task].source != EstimateSource::none)
        judge_lateness(run, ran_late(run, tasks[task].p50, report.run));
    judge_success(run.worker, classes[run.cls].type);
    if (report.run.us >= 0) note_run(report.run, run.worker);
    const Index other = tasks[task].run;
    if (other != kNone) {
        judge_overtaken(other, run.worker, report.run);
        if (run.speculative) ++types[classes[run.cls].type].copies_won;
        attempt_over(other, AttemptOutcome::superseded, {-1}, 0);
        make_ghost(other, RevokeReason::superseded, config.close_grace);
    }
    judge_eta(task);
    end_task(task, {.state = TaskState::succeeded,
                    .outcome = report.outcome,
                    .started = run.started,
                    .run = report.run,
                    .worker = run.worker,
                    .result_bytes = report.result_bytes});
}

// The task's attempt ended without success; `r` names where, and may be vacant by now.
void Scheduler::State::after_failure(Index task, Index r, const AttemptFinished& report) {
    Task& t = tasks[task];
    const Index worker = runs[r].worker;
    const TaskSpec& spec = classes[t.cls].spec;
    const Duration first = spec.retry.backoff_first.us > 0 ? spec.retry.backoff_first : config.backoff_first;
    const Duration most = spec.retry.backoff_max.us > 0 ? spec.retry.backoff_max : config.backoff_max;
    if (report.outcome == AttemptOutcome::preempted) {
        t.preemptions = static_cast<std::uint8_t>(std::min(t.preemptions + 1, 255));
        if (t.run == kNone) requeue(task, {});
        return;
    }
    if (report.outcome == AttemptOutcome::rejected) return given_back(task, worker, report);
    ++workers[worker].failed;
    judge_failure(task, worker);
    t.failures = static_cast<std::uint16_t>(std::min(t.failures + 1, 65'535));
    const std::uint32_t tries = spec.retry.attempts_max != 0 ? spec.retry.attempts_max : config.attempts_max;
    if (t.run != kNone) return;  // a second copy goes on
    if (report.retryable && t.failures < tries) {
        if (report.outcome == AttemptOutcome::out_of_memory) grow_memory(task, report.peak_memory_bytes);
        return requeue(task, backoff_delay(first, most, t.failures, rng));
    }
    end_task(task, {.state = TaskState::dead, .outcome = report.outcome, .run = report.run, .worker = worker});
}

// A worker did not start it: no fault of the task, and it is for others from then on, as long as one is there. When all
// that may run it gave it back they are asked again, some time later, as often as a task may fail and for two leases at
// least; at once it ends when the last of them said that trying again cannot help. What the server itself took back, or a
// worker that is leaving, says nothing.
void Scheduler::State::given_back(Index task, Index w, const AttemptFinished& report) {
    Task& t = tasks[task];
    const TaskSpec spec = classes[t.cls].spec;
    const Duration first = spec.retry.backoff_first.us > 0 ? spec.retry.backoff_first : config.backoff_first;
    const Duration most = spec.retry.backoff_max.us > 0 ? spec.retry.backoff_max : config.backoff_max;
    const std::uint32_t tries = spec.retry.attempts_max != 0 ? spec.retry.attempts_max : config.attempts_max;
    t.rejections = static_cast<std::uint8_t>(std::min(t.rejections + 1, 255));
    const Worker& worker = workers[w];
    const bool refused = report.session && !worker.draining && !worker.leaving;
    if (refused) judge_failure(task, w);
    if (t.run != kNone) return;  // a second copy goes on
    if (!refused) return requeue(task, backoff_delay(first, most, t.rejections, rng));
    const bool alone = classes[t.cls].alone;
    Refused by = classes[t.cls].refused;
    std::erase_if(by, [this](SessionId session) { return session_worker(session) == kNone; });
    if (!std::binary_search(by.begin(), by.end(), report.session))
        by.insert(std::lower_bound(by.begin(), by.end(), report.session), report.session);
    move_class(task, class_of(spec, alone, by));
    if (groups[classes[t.cls].group].reach > 0) return requeue(task, {});
    t.rounds = static_cast<std::uint8_t>(std::min(t.rounds + 1, 255));
    Side& side = side_of(task);
    if (side.refused == kNever) side.refused = now;
    // A worker may lack room, or wait for an older attempt to end, as long as a lease lasts.
    const bool long_enough = t.rounds >= tries && now - side.refused >= config.lease + config.lease;
    if (long_enough || !report.retryable)
        return end_task(task, {.state = TaskState::dead, .outcome = AttemptOutcome::rejected, .worker = w});
    move_class(task, class_of(spec, alone, {}));
    requeue(task, backoff_delay(first, most, t.rounds, rng));
}

// An attempt was killed for its memory: the next asks for half more than it had, as far as a worker offers so much.
// For no more than before when nobody knows what it had, or nobody offers more. REQUIRES: no attempt of the task runs.
// May invalidate references to classes.
void Scheduler::State::grow_memory(Index task, std::uint64_t peak_bytes) {
    const auto most_known = static_cast<std::uint64_t>(kMemoryMax);
    const auto peak = static_cast<std::int64_t>(std::min(peak_bytes, most_known));
    TaskSpec spec = classes[tasks[task].cls].spec;
    std::int64_t& asked = spec.resources.memory_bytes;
    const std::int64_t had = std::clamp(std::max(asked, peak), std::int64_t{0}, kMemoryMax);
    const std::int64_t most = most_memory(groups[classes[tasks[task].cls].group]);
    const std::int64_t wanted = std::min(memory_step(had + had / 2), most);
    if (had == 0 || wanted <= asked) return;
    asked = wanted;
    move_class(task, class_of(spec, classes[tasks[task].cls].alone, Refused(classes[tasks[task].cls].refused)));
    const Index side = tasks[task].side;
    if (side == kNone || sides[side].plain_class == kNone) return;
    TaskSpec plain = classes[sides[side].plain_class].spec;  // when its pin ends
    plain.resources.memory_bytes = wanted;
    const Index grown = class_of(plain, classes[sides[side].plain_class].alone, {});
    retain_class(grown);
    release_class(std::exchange(sides[side].plain_class, grown));
}

// Ends the attempt's hold on its task; its slot is still taken until vacate() or make_ghost().
void Scheduler::State::attempt_over(Index r, AttemptOutcome outcome, Duration ran, std::uint64_t memory) {
    Run& run = runs[r];
    Task& t = tasks[run.task];
    MUST(run.task != kNone);
    if (classes[run.cls].spec.timeout.us > 0) ++timers_stale;
    emit(AttemptEnded{.task = ids[run.task],
                      .attempt = run.attempt,
                      .number = run.number,
                      .worker = WorkerNo{run.worker},
                      .outcome = outcome,
                      .assigned_at = run.assigned,
                      .started_at = run.started,
                      .run = ran,
                      .ran = run.ran(now),
                      .predicted_run = run.predicted,
                      .peak_memory_bytes = memory});
    if (ran.us >= 0) charge(run.worker, ran.us - run.charged);
    if (outcome == AttemptOutcome::recalled) charge(run.worker, -run.charged);
    if (run.speculative) --copies_running;
    if (t.copy == r) {
        t.copy = kNone;
        return;
    }
    MUST(t.run == r);
    --counted_in(run);
    t.run = std::exchange(t.copy, kNone);
    if (t.run != kNone) {
        ++counted_in(runs[t.run]);
    } else {
        count_running(run.cls, -1);
    }
}

void Scheduler::State::vacate(Index r) {
    Run& run = runs[r];
    Worker& worker = workers[run.worker];
    measure(run.worker);
    const Index moved = worker.runs.back();
    worker.runs[run.at] = moved;
    runs[moved].at = run.at;
    worker.runs.pop_back();
    const Class& cls = classes[run.cls];
    if (run.paused()) use_slot(r, 1);
    if (groups[cls.group].needs_resources) take_resources(worker.used, cls.spec.resources, -1);
    if (cls.alone) --worker.alone;
    if (run.prefetched)
        leave_ahead(r);
    else
        leave_slot(r);
    run_ends[r] = 0;
    forget_end(r, false);
    running_us = saturating_sub(running_us, run.predicted.us);
    const Index cls_index = run.cls;
    run_table.erase(IdHash{}(run.attempt), r);
    run.ticket = 0;
    run.task = kNone;
    free_runs.push_back(r);
    if (worker.connected) begin_ahead(run.worker);
    update_ready(run.worker);
    freed.push_back(run.worker);
    release_class(cls_index);
}

void Scheduler::State::make_ghost(Index r, RevokeReason reason, Duration grace) {
    Run& run = runs[r];
    if (run.orphan || !workers[run.worker].connected) return vacate(r);
    emit(RevokeAttempt{
        .task = ids[run.task], .attempt = run.attempt, .session = workers[run.worker].session, .reason = reason});
    run.task = kNone;
    run.ends_at = now + grace;
    set_timer(run.ends_at, TimerKind::lease, r, run.ticket);
}

void Scheduler::State::orphan(Index r, Instant until) {
    if (until <= now) return lose_run(r, true);
    runs[r].orphan = true;
    runs[r].ends_at = until;
    set_timer(until, TimerKind::lease, r, runs[r].ticket);
}

// The worker is gone (crash), or says it does not hold the attempt. A death counts against every task it was given:
// one that kills its worker at once may do so before its start is heard of. Suspected, and run alone from then on, is
// a task that had the dead worker to itself, or was there at two deaths.
void Scheduler::State::lose_run(Index r, bool crash) {
    const Run run = runs[r];
    const Index task = run.task;
    if (run.prefetched) {
        attempt_over(r, AttemptOutcome::recalled, {-1}, 0);
        vacate(r);
        return unstarted(task, crash);
    }
    attempt_over(r, AttemptOutcome::worker_lost, {-1}, 0);
    vacate(r);
    Task& t = tasks[task];
    if (!crash) {
        if (t.run == kNone) requeue(task, {});
        return;
    }
    if (t.crashes > 0 && t.worker != run.worker) t.several_workers = true;
    t.worker = t.avoid = run.worker;
    t.charged = false;
    t.crashes = static_cast<std::uint8_t>(std::min(t.crashes + 1, 255));
    if (t.run != kNone) return;
    const std::uint32_t most = config.crashes_max * (t.several_workers ? 1 : kCrashFactorAlone);
    if (t.crashes >= most)
        return end_task(task, {.state = TaskState::dead,
                               .outcome = AttemptOutcome::worker_lost,
                               .started = run.started,
                               .worker = run.worker});
    if (!classes[t.cls].alone && (!run.company || t.crashes > 1)) {
        const TaskSpec spec = classes[t.cls].spec;
        move_class(task, class_of(spec, true, Refused(classes[t.cls].refused)));
    }
    requeue(task, {});
}

void Scheduler::State::requeue(Index task, Duration delay) {
    Task& t = tasks[task];
    // Its deadline may have passed while the attempt ran: the timer saw it running and let it be.
    if (t.side != kNone && sides[t.side].deadline.us != 0 &&
        sides[t.side].deadline.us <= saturating_add(now.us, wall_offset.us))
        return end_task(task, {.state = TaskState::expired, .outcome = AttemptOutcome::cancelled});
    // That timer may be spent: the calendar passed the deadline and was set back since.
    if (t.side != kNone && sides[t.side].deadline.us != 0) set_wall_timer(sides[t.side].deadline, task);
    put_in(t, Place::nowhere);
    t.ticket = new_ticket();
    ++counters.requeues;
    count_waiting(task, 1);
    const Instant not_before = now + delay;
    emit(TaskRequeued{.task = ids[task],
                      .reason = delay.us > 0 ? WaitReason::retry_backoff : WaitReason::capacity,
                      .not_before = not_before});
    if (delay.us > 0) {
        park(task, Place::backoff);
        set_timer(not_before, TimerKind::task, task, t.ticket);
        give_back_tokens(task);
        return;
    }
    give_back_tokens(task);
    advance(task);
}

}  // namespace nexus::core
