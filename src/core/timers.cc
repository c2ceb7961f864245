// Timers of the engine's clock and of the calendar. A heap each, stale entries dropped lazily.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

void Scheduler::State::set_timer(Instant at, TimerKind kind, Index index, std::uint32_t ticket) {
    timers.push({.at = at.us, .order = ++timer_order, .ticket = ticket, .index = index, .kind = kind});
    if (timers_stale < 1024 || timers_stale < timers.size() / 2) return;
    timers.compact([this](const Timer& timer) { return timer_alive(timer); });
    timers_stale = 0;
}

bool Scheduler::State::timer_alive(const Timer& timer) const {
    switch (timer.kind) {
        case TimerKind::task: return tasks[timer.index].ticket == timer.ticket;
        case TimerKind::ttl: return tasks[timer.index].serial == timer.ticket;
        case TimerKind::timeout:
        case TimerKind::straggler: return runs[timer.index].ticket == timer.ticket && runs[timer.index].task != kNone;
        case TimerKind::lease:
            return runs[timer.index].ticket == timer.ticket && runs[timer.index].ends_at.us == timer.at;
        case TimerKind::rate: return rate_keys[timer.index].timer;
        case TimerKind::override_end:
            return std::any_of(overrides.begin(), overrides.end(),
                               [&](const Override& o) { return o.ticket == timer.ticket; });
        case TimerKind::forced_end:
            return std::any_of(forced.begin(), forced.end(), [&](const Forced& f) { return f.ticket == timer.ticket; });
        case TimerKind::breaker:
            return workers[timer.index].breaker != Breaker::closed && workers[timer.index].breaker_next.us == timer.at;
        case TimerKind::prefetch: return workers[timer.index].prefetch_due.us == timer.at;
    }
    return false;
}

void Scheduler::State::set_wall_timer(WallTime at, Index task) {
    wall_timers.push({.at = at.us, .serial = tasks[task].serial, .task = task});
    if (wall_timers_stale < 1024 || wall_timers_stale < wall_timers.size() / 2) return;
    wall_timers.compact([this](const WallTimer& timer) { return wall_timer_alive(timer); });
    wall_timers_stale = 0;
}

bool Scheduler::State::wall_timer_alive(const WallTimer& timer) const {
    const Task& task = tasks[timer.task];
    return task.serial == timer.serial && task.serial != 0;
}

void Scheduler::State::fire_timers() {
    const std::int64_t calendar = saturating_add(now.us, wall_offset.us);
    const bool due = (!timers.empty() && timers.top().at <= now.us) ||
                     (!wall_timers.empty() && wall_timers.top().at <= calendar) || ttl_oldest != kNone;
    if (!due) return;
    deferred = true;
    while (!timers.empty() && timers.top().at <= now.us) {
        const Timer timer = timers.top();
        timers.pop();
        if (timer_alive(timer)) {
            fire(timer);
        } else if (timers_stale > 0) {
            --timers_stale;
        }
    }
    while (!wall_timers.empty() && wall_timers.top().at <= calendar) {
        const WallTimer timer = wall_timers.top();
        wall_timers.pop();
        if (wall_timer_alive(timer)) {
            fire_wall(timer);
        } else if (wall_timers_stale > 0) {
            --wall_timers_stale;
        }
    }
    expire_oldest();
    deferred = false;
    if (dispatch_everything || !freed.empty() || !doomed.empty()) settle();
}

void Scheduler::State::fire(const Timer& timer) {
    switch (timer.kind) {
        case TimerKind::task:
            put_in(tasks[timer.index], Place::nowhere);
            advance(timer.index);
            return;
        case TimerKind::ttl: stop_task(timer.index, TaskState::expired, RevokeReason::timed_out, {}); return;
        case TimerKind::timeout: {
            Run& run = runs[timer.index];
            const Duration allowed = classes[run.cls].spec.timeout + config.timeout_grace;
            const Duration left = allowed - run.spent(run.started == kNever ? run.assigned : run.started, now);
            const bool stands = run.paused() || run.prefetched;
            if (left.us > 0 || stands)
                return set_timer(now + std::max(left, stands ? seconds(1) : Duration{1}), TimerKind::timeout,
                                 timer.index, run.ticket);
            AttemptFinished report{.task = ids[run.task],
                                   .attempt = run.attempt,
                                   .session = workers[run.worker].session,
                                   .outcome = AttemptOutcome::timed_out,
                                   .run = allowed - left};
            const Index task = run.task;
            attempt_over(timer.index, report.outcome, report.run, 0);
            make_ghost(timer.index, RevokeReason::timed_out, config.timeout_grace);
            after_failure(task, timer.index, report);
            return;
        }
        case TimerKind::lease:
            if (runs[timer.index].task == kNone) return vacate(timer.index);
            return runs[timer.index].orphan ? lose_run(timer.index, true) : notice_ran_out(timer.index);
        case TimerKind::rate: return release_rate(timer.index);
        case TimerKind::override_end:
            for (const Override& o : overrides)
                if (o.ticket == timer.ticket) return clear_override(o.set.number);
            return;
        case TimerKind::forced_end:
            std::erase_if(forced, [&](const Forced& f) { return f.ticket == timer.ticket; });
            return;
        case TimerKind::breaker: return breaker_due(timer.index);
        case TimerKind::straggler: return straggler_due(timer.index);
        case TimerKind::prefetch: return prefetch_due(timer.index);
    }
}

// run_at releases, a deadline expires: a task is not started after it.
void Scheduler::State::fire_wall(const WallTimer& timer) {
    Task& task = tasks[timer.task];
    const Side& side = sides[task.side];
    const bool past = side.deadline.us != 0 && side.deadline.us <= timer.at;
    if (past && task.place != Place::running)
        return stop_task(timer.task, TaskState::expired, RevokeReason::timed_out, {});
    if (side.released == kNever && side.run_at.us != 0 && side.run_at.us <= timer.at) {
        sides[task.side].released = now;
        ttl_link(timer.task);
    }
    if (task.place != Place::not_before) return;
    put_in(task, Place::nowhere);
    advance(timer.task);
}

void Scheduler::State::expire_oldest() {
    while (ttl_oldest != kNone && lives_from(ttl_oldest) + config.ttl <= now)
        stop_task(ttl_oldest, TaskState::expired, RevokeReason::timed_out, {});
}

// The earliest moment at which a timer may be due. A WakeAt too early costs one idle event, so it is renewed only when
// the timer moved forward or the announced moment has passed.
void Scheduler::State::announce_wake() {
    Instant earliest = kNever;
    if (!timers.empty()) earliest = {timers.top().at};
    if (!wall_timers.empty())
        earliest = std::min(earliest, Instant{saturating_sub(wall_timers.top().at, wall_offset.us)});
    if (ttl_oldest != kNone) earliest = std::min(earliest, lives_from(ttl_oldest) + config.ttl);
    earliest = std::min(earliest, forget_at);
    if (earliest == announced) return;
    if (earliest > announced && announced > now) return;
    announced = earliest;
    emit(WakeAt{.at = earliest});
}

// A time to live begins when the task may first start, so that what is submitted early lives no shorter. By the calendar
// as it stands at that moment: set back later, it does not begin anew.
bool Scheduler::State::awaits_run_at(Index task) const {
    const Index side = tasks[task].side;
    return side != kNone && sides[side].run_at.us != 0 && sides[side].released == kNever &&
           sides[side].run_at.us > saturating_add(now.us, wall_offset.us);
}

Instant Scheduler::State::lives_from(Index task) const {
    const Index side = tasks[task].side;
    return side != kNone && sides[side].released != kNever ? sides[side].released : tasks[task].submitted;
}

void Scheduler::State::ttl_link(Index task) {
    const Class& cls = classes[tasks[task].cls];
    if (cls.spec.ttl.us > 0) return set_timer(now + cls.spec.ttl, TimerKind::ttl, task, tasks[task].serial);
    tasks[task].older = ttl_newest;
    if (ttl_newest != kNone) tasks[ttl_newest].newer = task;
    ttl_newest = task;
    if (ttl_oldest == kNone) ttl_oldest = task;
}

void Scheduler::State::ttl_unlink(Index task) {
    Task& t = tasks[task];
    if (t.side != kNone && sides[t.side].run_at.us != 0 && sides[t.side].released == kNever) return;  // not linked yet
    if (classes[t.cls].spec.ttl.us > 0) {
        ++timers_stale;
        return;
    }
    (t.older == kNone ? ttl_oldest : tasks[t.older].newer) = t.newer;
    (t.newer == kNone ? ttl_newest : tasks[t.newer].older) = t.older;
    t.older = t.newer = kNone;
}

}  // namespace nexus::core
