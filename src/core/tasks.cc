// The life of a task outside its attempts: submission, the gates before the queue, its end.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kNewcomersMax = 64;  // for which running work may be paused after one event
}

Index Scheduler::State::find_task(TaskId task) const {
    return task_table.find(IdHash{}(task), [&](Index i) { return ids[i] == task; });
}

// A task that waited among a million others is in no cache: its lines are fetched together, not one after the other.
void Scheduler::State::prefetch_task(Index task) const {
    const auto* bytes = reinterpret_cast<const char*>(&tasks[task]);
    for (std::size_t at = 0; at < sizeof(Task); at += 64) __builtin_prefetch(bytes + at, 1);
    __builtin_prefetch(&ids[task], 1);
}

Side& Scheduler::State::side_of(Index task) {
    if (tasks[task].side == kNone) {
        if (free_sides.empty()) {
            free_sides.push_back(static_cast<Index>(sides.size()));
            sides.emplace_back();
        }
        tasks[task].side = free_sides.back();
        free_sides.pop_back();
        sides[tasks[task].side] = {};
    }
    return sides[tasks[task].side];
}

void Scheduler::State::on(const TaskSubmitted& fact) {
    if (!fact.task || find_task(fact.task) != kNone) return;
    if (free_tasks.empty()) {
        free_tasks.push_back(static_cast<Index>(tasks.size()));
        tasks.emplace_back();
        ids.emplace_back();
    }
    const Index task = free_tasks.back();
    free_tasks.pop_back();
    ids[task] = fact.task;
    task_table.insert(IdHash{}(fact.task), task);
    Task& t = tasks[task];
    t = {};
    ++at_place[static_cast<std::size_t>(t.place)];
    t.submitted = t.since = now;
    t.serial = new_ticket();
    t.p50 = fact.estimate.p50;
    t.p90 = fact.estimate.p90;
    t.mean = {std::max<std::int64_t>(fact.estimate.mean.us, 1)};
    t.confidence_permille = fact.estimate.confidence_permille;
    t.source = fact.estimate.source;
    t.cls = class_of(fact.spec, false, {});
    retain_class(t.cls);
    prediction_failures = t.source == EstimateSource::none ? prediction_failures + 1 : 0;
    ++counters.submitted;
    count_waiting(task, 1);
    remember_key(task, fact.spec);
    ++sequence;
    const bool past = fact.spec.deadline.us != 0 && fact.spec.deadline.us <= saturating_add(now.us, wall_offset.us);
    if (fact.spec.run_at.us != 0 || fact.spec.deadline.us != 0) {
        Side& side = side_of(task);
        side.run_at = fact.spec.run_at;
        side.deadline = fact.spec.deadline;
        if (side.deadline.us != 0 && !past) set_wall_timer(side.deadline, task);
        if (awaits_run_at(task))
            set_wall_timer(side.run_at, task);
        else if (side.run_at.us != 0)
            side.released = now;
    }
    if (!awaits_run_at(task)) ttl_link(task);
    if (!fact.spec.after.empty()) link_dependencies(task, fact.spec);
    join_keys(task, fact.spec);
    if (past) return stop_task(task, TaskState::expired, RevokeReason::timed_out, {});
    advance(task);
    if (fact.promise) tell_eta(task);
}

// A dependency that is no longer remembered counts as met: admission saw it live or ended a moment ago.
void Scheduler::State::link_dependencies(Index task, const TaskSpec& spec) {
    for (const TaskId after : spec.after) {
        const Index before = find_task(after);
        if (before != kNone && before != task) {
            side_of(task).dependencies += 1;
            side_of(task).after.push_back(before);
            side_of(before).dependents.emplace_back(task, tasks[task].serial);
        } else if (ended_state(after) == 0) {
            doomed.emplace_back(ids[task], after);
            side_of(task).dependencies += 1;  // it never becomes ready
        }
    }
}

void Scheduler::State::on(const EstimateRevised& fact) {
    const Index task = find_task(fact.task);
    if (task == kNone) return;
    if (tasks[task].place == Place::running) return estimate_run(task, fact.estimate);
    const bool ready_now = tasks[task].place == Place::ready;
    if (ready_now) pop_ready(task);
    if (tasks[task].place == Place::bound) {
        count_bound(task, -1);
    }
    Task& t = tasks[task];
    counters.backlog.us -= t.mean.us;
    t.p50 = fact.estimate.p50;
    t.p90 = fact.estimate.p90;
    t.mean = {std::max<std::int64_t>(fact.estimate.mean.us, 1)};
    t.confidence_permille = fact.estimate.confidence_permille;
    t.source = fact.estimate.source;
    counters.backlog.us += t.mean.us;
    if (t.keyed) set_key(task);
    if (t.place == Place::bound) count_bound(task, 1);
    if (ready_now) push_ready(task);
}

// Of the run, not of the task: where it goes next is another worker. What was told of a task that found a free slot was
// told before anybody knew which, and is told anew.
void Scheduler::State::estimate_run(Index task, const Estimate& estimate) {
    if (estimate.source == EstimateSource::none) return;
    const Task& t = tasks[task];
    Run& run = runs[t.run];
    run.p50 = estimate.p50;
    run.p90 = std::max(estimate.p90, estimate.p50);
    run.mean = {std::max<std::int64_t>(estimate.mean.us, 1)};
    note_end(t.run);
    renew_rate(t.run);
    if (run.in_slot()) forget_end(t.run, true);
    const bool just_placed = t.submitted == now && run.assigned == now && run.started == kNever && t.attempts == 1;
    if (just_placed && t.told != kNever && t.told_as == ToldAs::placed) tell_eta(task);
}

void Scheduler::State::on(const CancelRequested& fact) {
    const Index task = find_task(fact.task);
    if (task != kNone) stop_task(task, TaskState::cancelled, RevokeReason::cancelled, {});
}

// Passes the gates one by one; the first closed one parks the task and gives it its wait reason.
void Scheduler::State::advance(Index task) {
    if (gate_closed(task)) return;
    if (!tasks[task].keyed) set_base(task);
    if (keys_closed(task)) return;
    place_or_enqueue(task);
}

bool Scheduler::State::gate_closed(Index task) {
    const Task& t = tasks[task];
    if (t.side == kNone) {
        if (types[classes[t.cls].type].holds == 0) return false;
        park(task, Place::held);
        return true;
    }
    const Side& side = sides[t.side];
    if (side.dependencies > 0) {
        park(task, Place::dependency);
    } else if (side.run_at.us > saturating_add(now.us, wall_offset.us)) {
        park(task, Place::not_before);
        set_wall_timer(side.run_at, task);
    } else if (side.holds > 0 || types[classes[t.cls].type].holds > 0) {
        park(task, Place::held);
    } else if (side.ordering != kNone && ordering_keys[side.ordering].line.front().second != side.sequence) {
        park(task, Place::ordering);
    } else {
        return false;
    }
    return true;
}

void Scheduler::State::park(Index task, Place place) {
    put_in(tasks[task], place);
    tasks[task].ticket = new_ticket();
    tasks[task].since = now;
}

void Scheduler::State::enqueue(Index task) {
    tasks[task].since = now;
    push_ready(task);
    if (!deferred) return;
    dispatch_everything = true;
    if ((pausing() || config.preemption) && newcomers.size() < kNewcomersMax)
        newcomers.emplace_back(task, tasks[task].ticket);
}

void Scheduler::State::leave_place(Index task) {
    Task& t = tasks[task];
    switch (t.place) {
        case Place::ready: pop_ready(task); break;
        case Place::bound:
            count_bound(task, -1);
            t.worker = kNone;
            break;
        case Place::backoff: ++timers_stale; break;
        default: break;
    }
    t.ticket = new_ticket();
    put_in(t, Place::nowhere);
}

void Scheduler::State::put_in(Task& task, Place place) {
    --at_place[static_cast<std::size_t>(task.place)];
    ++at_place[static_cast<std::size_t>(place)];
    task.place = place;
}

void Scheduler::State::count_waiting(Index task, int change) {
    TenantRecord& tenant = tenants[classes[tasks[task].cls].tenant];
    counters.waiting += static_cast<std::uint64_t>(change);
    if (tenant.waiting == 0 && change > 0) active_shares += tenant.share;
    tenant.waiting += static_cast<std::uint32_t>(change);
    if (tenant.waiting == 0 && change < 0) active_shares -= tenant.share;
    counters.backlog.us += change * tasks[task].mean.us;
}

// Cancels or expires a task wherever it is. A running attempt is revoked and keeps its slot until the worker confirms.
void Scheduler::State::stop_task(Index task, TaskState state, RevokeReason reason, TaskId cause) {
    Ending ending{.state = state, .outcome = AttemptOutcome::cancelled, .cause = cause};
    for (const Index run : {tasks[task].run, tasks[task].copy}) {
        if (run == kNone) continue;
        if (run == tasks[task].run) {
            ending.started = runs[run].started;
            ending.worker = runs[run].worker;
        }
        attempt_over(run, AttemptOutcome::cancelled, {-1}, 0);
        make_ghost(run, reason, config.timeout_grace);
    }
    if (tasks[task].place != Place::running) leave_place(task);
    end_task(task, ending);
}

void Scheduler::State::end_task(Index task, const Ending& ending) {
    Task& t = tasks[task];
    MUST(t.run == kNone);
    MUST(t.copy == kNone);
    if (t.place != Place::running) count_waiting(task, -1);
    const bool succeeded = ending.state == TaskState::succeeded;
    switch (ending.state) {
        case TaskState::succeeded: ++counters.succeeded; break;
        case TaskState::dead: ++counters.dead; break;
        case TaskState::cancelled: ++counters.cancelled; break;
        default: ++counters.expired; break;
    }
    emit(TaskEnded{.task = ids[task],
                   .state = ending.state,
                   .last_outcome = ending.outcome,
                   .attempts = t.attempts,
                   .failures = t.failures,
                   .crashes = t.crashes,
                   .submitted_at = t.submitted,
                   .started_at = ending.started,
                   .run = ending.run,
                   .worker = WorkerNo{ending.worker},
                   .result_bytes = ending.result_bytes,
                   .cause = ending.cause,
                   .promise = promise_of(task)});
    remember_ended(ids[task], succeeded);
    if (t.idempotency != kNone) {
        idempotency[t.idempotency].ended = now;
        ended_keys.push_back(t.idempotency);
    }
    ttl_unlink(task);
    if (t.side != kNone) {
        if (sides[t.side].deadline.us != 0) ++wall_timers_stale;
        leave_keys(task);
        release_dependents(task, succeeded);
        drop_overrides_of(task);
        sides[t.side] = {};
        sides[t.side].vacant = true;
        free_sides.push_back(t.side);
    }
    task_table.erase(IdHash{}(ids[task]), task);
    release_class(t.cls);
    --at_place[static_cast<std::size_t>(t.place)];
    t = {};
    ids[task] = {};
    free_tasks.push_back(task);
}

// Those that wait for a success that will not come are cancelled, in settle(): chains may be long.
void Scheduler::State::release_dependents(Index task, bool succeeded) {
    const auto dependents = std::exchange(sides[tasks[task].side].dependents, {});
    const bool was_deferred = std::exchange(deferred, true);
    for (const auto& [dependent, serial] : dependents) {
        if (tasks[dependent].serial != serial) continue;
        std::erase(sides[tasks[dependent].side].after, task);
        if (!succeeded) {
            doomed.emplace_back(ids[dependent], ids[task]);
        } else if (--sides[tasks[dependent].side].dependencies == 0) {
            leave_place(dependent);
            advance(dependent);
        }
    }
    deferred = was_deferred;
}

}  // namespace nexus::core
