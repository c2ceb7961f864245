// Stopping a run for a task of higher priority (docs/scheduling.md): off unless the configuration says otherwise, only
// of tasks that allow it, and only when the wait saved is predicted to be longer than the work lost.

#include <algorithm>
#include <limits>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

bool Scheduler::State::may_preempt(const Run& run, Index newcomer) const {
    if (run.task == kNone || run.notice || run.orphan || run.speculative || run.paused()) return false;
    if (!workers[run.worker].prefetched.empty()) return false;  // it would give the slot to what it holds
    const Task& victim = tasks[run.task];
    const Class& own = classes[run.cls];
    const Class& cls = classes[tasks[newcomer].cls];
    if (!own.spec.preemptible || own.spec.priority >= cls.spec.priority || victim.copy != kNone) return false;
    if (own.spec.exclusive) return false;  // a worker that does not confirm would run it beside its next attempt
    if (victim.preemptions >= config.preemptions_max) return false;
    const Worker& worker = workers[run.worker];
    if (!eligible(groups[cls.group], run.worker) || !may_take_new(worker)) return false;
    if (worker.breaker != Breaker::closed || worker.occupied() > worker.slots) return false;
    return room_for(less(groups[cls.group].resources, own.spec.resources), run.worker);
}

// Gives notice to the run that has done the least, and keeps its place for the newcomer. The victim's attempt stays
// current until its worker confirms: one that ends well meanwhile has not run for nothing.
void Scheduler::State::preempt_for(Index newcomer) {
    const Task& t = tasks[newcomer];
    const Group& group = groups[classes[t.cls].group];
    if (!config.preemption || config.policy != PolicyKind::predictive || !trusted()) return;
    if (t.source == EstimateSource::none || falls_back(t) || group.alone || t.place != Place::ready) return;
    if (full_limit(classes[t.cls]) != nullptr) return;
    Index victim = kNone;
    std::int64_t soonest = std::numeric_limits<std::int64_t>::max();
    for (Index r = 0; r < runs.size(); ++r) {
        const Run& run = runs[r];
        if (run.ticket == 0 || run.task == kNone || run.paused() || run.prefetched || !eligible(group, run.worker))
            continue;
        soonest = std::min(soonest, remaining(run, now));
        if (!may_preempt(run, newcomer)) continue;
        if (victim == kNone || lost_by(run) < lost_by(runs[victim])) victim = r;
    }
    if (victim == kNone) return;
    // What it would wait for: the work before it, and the first run to end where it may run.
    const Duration wait{
        saturating_add(soonest, scale(ahead.before(t.key).work_us, kQ16One, std::max<std::int64_t>(capacity_q16, 1)))};
    const Duration lost = lost_by(runs[victim]);
    if (wait <= lost) return;
    const Index w = runs[victim].worker;
    reserve(w, newcomer);
    if (workers[w].reserved_task != newcomer) return;  // kept free elsewhere already
    workers[w].reserved_rival = ids[runs[victim].task];
    runs[victim].notice = true;
    runs[victim].rival = ids[newcomer];
    ++counters.preemptions;
    give_notice(victim, wait);
}

Duration Scheduler::State::lost_by(const Run& run) const {
    return run.spent(run.started == kNever ? run.assigned : run.started, now);
}

void Scheduler::State::give_notice(Index r, Duration saved) {
    Run& run = runs[r];
    run_ends[r] = 0;
    run.ends_at = now + config.timeout_grace;
    set_timer(run.ends_at, TimerKind::lease, r, run.ticket);
    Decision decision = decision_about(run, DecisionReason::preempted);
    decision.rival = run.rival;
    decision.lost = lost_by(run);
    decision.saved = saved;
    emit(RevokeAttempt{.task = ids[run.task],
                       .attempt = run.attempt,
                       .session = workers[run.worker].session,
                       .reason = RevokeReason::preempted,
                       .decision = decision});
}

// The worker does not confirm: the task goes elsewhere, the slot stays taken a little longer.
void Scheduler::State::notice_ran_out(Index r) {
    const Index task = runs[r].task;
    const AttemptFinished report{.task = ids[task],
                                 .attempt = runs[r].attempt,
                                 .session = workers[runs[r].worker].session,
                                 .outcome = AttemptOutcome::preempted,
                                 .run = {-1}};
    attempt_over(r, report.outcome, report.run, 0);
    make_ghost(r, RevokeReason::superseded, config.timeout_grace);
    after_failure(task, r, report);
}

}  // namespace nexus::core
