// Pausing a long run for a short one, where the worker can stop a task and let it go on later (docs/scheduling.md). A
// paused run keeps its worker, its memory and its place in the order; only its slot and its share of the processor are
// free meanwhile.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::uint32_t kPausedMax = 4;    // at a time, per worker
constexpr std::uint32_t kYieldsMax = 100;  // of one attempt
constexpr std::size_t kHeadsLook = 32;     // of a group, when a paused run is about to go on
}  // namespace

std::int64_t Scheduler::State::remaining(const Run& run, Instant at) const {
    return Law(run.p50, run.p90, run.mean).mean_left(run.ran(at).us);
}

// What stands against pausing a run, whoever would come: an `exclusive` task may have an older self somewhere that is
// to be outwaited, and one with a deadline is to be done by then.
bool Scheduler::State::may_pause(const Run& run) const {
    if (run.task == kNone || run.started == kNever || run.paused() || run.orphan || run.unpausable || run.notice)
        return false;
    if (run.speculative || run.yields >= kYieldsMax || !workers[run.worker].can_pause) return false;
    const Task& task = tasks[run.task];
    const bool due = task.side != kNone && sides[task.side].deadline.us != 0;
    return task.copy == kNone && task.source != EstimateSource::none && !due && !classes[run.cls].spec.exclusive &&
           !classes[run.cls].alone;
}

void Scheduler::State::note_end(Index r) {
    run_ends[r] = pausing() && may_pause(runs[r]) ? now.us + remaining(runs[r], now) : 0;
}

void Scheduler::State::note_ends() {
    for (Index r = 0; r < runs.size(); ++r)
        if (runs[r].ticket != 0) note_end(r);
}

// Not for a task of lower priority, nor for a tenant that holds more for its share than that of the run.
bool Scheduler::State::may_pass(Index newcomer, const Run& run) const {
    const Class& cls = classes[newcomer];
    const Class& own = classes[run.cls];
    if (cls.spec.priority < own.spec.priority) return false;
    const TenantRecord& theirs = tenants[cls.tenant];
    const TenantRecord& ours = tenants[own.tenant];
    return std::uint64_t{theirs.limit.running} * ours.share <= std::uint64_t{ours.limit.running} * theirs.share;
}

bool Scheduler::State::may_give_way(const Run& run, Index newcomer) const {
    const Worker& worker = workers[run.worker];
    const Class& cls = classes[tasks[newcomer].cls];
    const Class& own = classes[run.cls];
    if (!eligible(groups[cls.group], run.worker) || worker.paused >= kPausedMax) return false;
    if (!may_take_new(worker) || worker.breaker != Breaker::closed || worker.occupied() > worker.slots) return false;
    if (!worker.prefetched.empty()) return false;  // it would give the slot to what it holds
    if (!may_pause(run) || !may_pass(tasks[newcomer].cls, run)) return false;
    if (!groups[cls.group].needs_resources) return true;
    // With the processor that the paused run gives up.
    return room_for(less(groups[cls.group].resources, {.cpu_milli = own.spec.resources.cpu_milli}), run.worker);
}

// Pauses the run that is expected to go on for longest, if that is long enough. Returns its worker, or none.
Index Scheduler::State::make_room(Index newcomer, Decision& decision) {
    const Task& t = tasks[newcomer];
    if (!pausing() || !trusted() || groups[classes[t.cls].group].alone) return kNone;
    std::int64_t latest = saturating_add(now.us, t.mean.us);
    Index victim = kNone;
    for (Index r = 0; r < run_ends.size(); ++r) {
        if (run_ends[r] <= latest || !may_give_way(runs[r], newcomer)) continue;
        const std::int64_t end = now.us + remaining(runs[r], now);
        if (end <= latest || !short_enough(newcomer, runs[r])) continue;
        latest = end;
        victim = r;
    }
    if (victim == kNone) return kNone;
    note_yield(victim, newcomer, decision);
    pause_run(victim, newcomer);
    return runs[victim].worker;
}

void Scheduler::State::note_yield(Index r, Index newcomer, Decision& decision) {
    ++runs[r].yields;
    decision.reason = DecisionReason::pause;
    decision.rival = ids[runs[r].task];
    decision.remaining = {remaining(runs[r], now)};
    decision.ratio_permille = config.pause_ratio_permille;
    decision.candidates[0] = score(newcomer, runs[r].worker);
    decision.candidates_count = 1;
}

bool Scheduler::State::short_enough(Index task, const Run& run) const {
    const Task& t = tasks[task];
    if (t.source == EstimateSource::none || falls_back(t)) return false;
    return remaining(run, now) > scale(run_on(t.cls, t.mean.us, run.worker), config.pause_ratio_permille, 1000);
}

// A paused run is about to go on: the first task in the order, of those that wait, for which it would be paused again.
Index Scheduler::State::shorter_than(Index r) {
    const Run& run = runs[r];
    const std::uint64_t bit = 1ULL << (run.worker % 64);
    if (!pausing() || !trusted() || run.yields >= kYieldsMax || (ready[run.worker / 64] & bit) == 0) return kNone;
    const Head* best = nullptr;
    for (const Index g : active_groups) {
        const Group& group = groups[g];
        if (group.alone || !eligible(group, run.worker) || !fits(group, run.worker)) continue;
        for (std::size_t i = 0; i < std::min(kHeadsLook, group.heads.size()); ++i) {
            const Head& head = group.heads[i];
            if (best != nullptr && !(head < *best)) continue;
            if (full_limit(classes[head.cls]) != nullptr || !may_pass(head.cls, run)) continue;
            if (short_enough(classes[head.cls].heap.top().task, run)) best = &head;
        }
    }
    return best == nullptr ? kNone : classes[best->cls].heap.top().task;
}

// Those that became ready during the event and found no slot, as an arriving task does.
void Scheduler::State::place_newcomers() {
    for (const auto& [task, ticket] : std::exchange(newcomers, {})) {
        if (tasks[task].ticket != ticket || tasks[task].place != Place::ready || park_if_limited(tasks[task].cls))
            continue;
        Decision decision;
        const Index worker = make_room(task, decision);
        if (worker == kNone) {
            make_way(task);
            preempt_for(task);
            continue;
        }
        pop_ready(task);
        start(task, worker, decision, false);
    }
}

// Books a run into a slot (1) or out of it (-1).
void Scheduler::State::use_slot(Index r, int sign) {
    Run& run = runs[r];
    Worker& worker = workers[run.worker];
    measure(run.worker);
    if (run.task != kNone && tasks[run.task].run == r) --counted_in(run);
    if (sign < 0) {
        run.paused_at = now;
    } else {
        run.paused_for = run.paused_for + (now - run.paused_at);
        run.paused_at = kNever;
    }
    if (run.task != kNone && tasks[run.task].run == r) ++counted_in(run);
    worker.paused -= static_cast<std::uint32_t>(sign);
    if (worker.paused == 0) worker.owes = false;
    busy_slots += static_cast<std::uint64_t>(sign);
    worker.used.cpu_milli += sign * classes[run.cls].spec.resources.cpu_milli;
    run_ends[r] = 0;
    forget_end(r, sign > 0);
    update_ready(run.worker);
}

std::uint64_t& Scheduler::State::counted_in(const Run& run) {
    return run.paused() ? counters.paused : run.started == kNever ? counters.assigned : counters.running;
}

// Of a run that is under way: what is known of it, and where it is.
Decision Scheduler::State::decision_about(const Run& run, DecisionReason reason) const {
    const Task& t = tasks[run.task];
    Decision decision{.reason = reason,
                      .policy = static_cast<std::uint32_t>(config.policy),
                      .key_us = t.key,
                      .estimate = t.estimate(),
                      .predicted_run = run.predicted,
                      .waiting = counters.waiting,
                      .candidates_count = 1};
    decision.candidates[0] = score(run.task, run.worker);
    return decision;
}

// Orders the worker to do with the run what the books say.
void Scheduler::State::tell_pause(Index r, Index newcomer) {
    Run& run = runs[r];
    Decision decision = decision_about(run, run.paused() ? DecisionReason::paused : DecisionReason::resumed);
    decision.remaining = {remaining(run, now)};
    if (newcomer != kNone) {
        decision.rival = ids[newcomer];
        decision.ratio_permille = config.pause_ratio_permille;
    }
    emit(PauseAttempt{.task = ids[run.task],
                      .attempt = run.attempt,
                      .worker = WorkerNo{run.worker},
                      .session = workers[run.worker].session,
                      .turn = ++run.turn,
                      .pause = run.paused(),
                      .decision = decision});
}

void Scheduler::State::pause_run(Index r, Index newcomer) {
    // Of its share of the processor more may be left than the newcomer takes: enough for another paused run, or for a
    // task that waits and found a free slot without it.
    if (workers[runs[r].worker].paused > 0 || classes[runs[r].cls].spec.resources.cpu_milli > 0)
        freed.push_back(runs[r].worker);
    use_slot(r, -1);
    ++counters.pauses;
    tell_pause(r, newcomer);
}

void Scheduler::State::resume_run(Index r) {
    use_slot(r, 1);
    note_end(r);
    tell_pause(r, kNone);
    if (workers[runs[r].worker].owes) judge_owing(runs[r].worker);
}

// It is next: it goes on, or gives way once more.
void Scheduler::State::go_on(Index r) {
    const Index task = shorter_than(r);
    if (task == kNone) return resume_run(r);
    Decision decision;
    note_yield(r, task, decision);
    pop_ready(task);
    start(task, runs[r].worker, decision, false);
}

bool Scheduler::State::resumable(Index r) const {
    const Run& run = runs[r];
    const Worker& worker = workers[run.worker];
    if (!run.paused() || run.task == kNone || run.orphan || !worker.connected || worker.suspect) return false;
    if (worker.occupied() == 0) return true;  // also when the worker offers less by now than it needs
    return worker.occupied() < worker.slots &&
           room_for({.cpu_milli = classes[run.cls].spec.resources.cpu_milli}, run.worker);
}

Index Scheduler::State::next_paused(Index w) const {
    if (workers[w].paused == 0) return kNone;
    Index best = kNone;
    for (const Index r : workers[w].runs)
        if (resumable(r) && (best == kNone || tasks[runs[r].task].key < tasks[runs[best].task].key)) best = r;
    return best;
}

// A paused run whose share of the processor is in use by others may not be passed over for ever.
void Scheduler::State::judge_owing(Index w) {
    Worker& worker = workers[w];
    if (worker.paused == 0 && !worker.owes) return;
    const auto waits = [&](Index r) {
        return runs[r].paused() && runs[r].task != kNone && !runs[r].orphan &&
               now - runs[r].paused_at > config.overtake_max && worker.occupied() < worker.slots && !resumable(r);
    };
    worker.owes = worker.connected && !worker.suspect && std::any_of(worker.runs.begin(), worker.runs.end(), waits);
    update_ready(w);
}

void Scheduler::State::on(const AttemptPaused& fact) {
    const Index r = held_run(fact.session, fact.task, fact.attempt);
    if (r == kNone || fact.turn != runs[r].turn) return;
    Run& run = runs[r];
    if (run.paused() && !fact.paused) {
        run.unpausable = true;
        use_slot(r, 1);
        return;
    }
    // Orders take their time to get there: the worker knows better how long it ran.
    const Duration ran = run.ran(now);
    if (fact.run.us >= 0 && fact.run < ran) run.paused_for = run.paused_for + (ran - fact.run);
}

// A worker is back and holds this attempt; orders to its earlier session may never have arrived.
void Scheduler::State::reconcile_pause(Index r, bool held_paused) {
    const bool can = workers[runs[r].worker].can_pause;
    if (runs[r].paused() && !can) use_slot(r, 1);
    if (can && runs[r].paused() != held_paused) tell_pause(r, kNone);
    note_end(r);
}

}  // namespace nexus::core
