// Prefetch (docs/scheduling.md): a worker that can holds ready, beyond its slots, what its slots will have begun before
// an order of ours could reach them. Until it begins such a task is bound to its worker loosely: it is asked back when
// it has waited for longer than it should have, when its worker turns silent or suspicious, and for a task of higher
// priority. What it was told never counts as an attempt unless it begins.
//
// The core books what the worker does by itself: when a slot becomes free, the oldest of what it holds takes it.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kRateOne = std::int64_t{1} << 32;  // of a rate: one per microsecond
constexpr std::int64_t kRunLeast = 20;                    // microseconds: no run occupies a slot for less
constexpr std::int64_t kRunMost = 1'000'000;              // beyond it a run is long, however long
constexpr std::int64_t kTurnaroundLeast = 2'000;          // samples up to it are taken as they are
constexpr std::int64_t kTurnaroundMost = 250'000;
constexpr std::int64_t kPatienceLeast = 20'000;  // microseconds: nothing is asked back earlier for having waited
constexpr std::int64_t kPatience = 4;            // horizons

// What is held covers twice the mean turn-around: the next one may well take so long.
std::int64_t horizon(const Worker& worker) {
    return 2 * worker.turnaround_us;
}
std::int64_t patience(const Worker& worker) {
    return std::max(kPatienceLeast, kPatience * horizon(worker));
}
std::int64_t counted(Duration run) {
    return std::clamp<std::int64_t>(run.us, 1, kRunMost);
}
}  // namespace

// How many more it should hold: as many as its slots are expected to begin within the horizon, by what runs in them;
// none behind work that keeps them busy for longer than that. Whatever it says to have begun, all that it has is bounded.
std::size_t Scheduler::State::room_ahead(Index w) const {
    const Worker& worker = workers[w];
    if (worker.prefetch_max == 0 || worker.turnaround_us == 0 || !config.prefetch || !late_binding()) return 0;
    if (worker.occupied() < worker.slots || worker.paused > 0 || worker.breaker != Breaker::closed) return 0;
    if (!may_take_new(worker) || worker.prefetched_us >= horizon(worker) * worker.slots) return 0;
    const std::int64_t begun = (worker.rate * horizon(worker) + kRateOne / 2) / kRateOne;
    const auto most = static_cast<std::size_t>(std::min<std::int64_t>(begun, worker.prefetch_max));
    const std::size_t all = std::size_t{worker.slots} + worker.prefetch_max;
    return std::min(most - std::min(most, worker.prefetched.size()), all - std::min(all, worker.runs.size()));
}

// Its place in the order and its limits are kept whether it has begun or not. A rate counts starts, an exclusive task
// waits for a whole lease when its worker is gone, and one that may have killed its worker is to be seen beginning.
bool Scheduler::State::may_prefetch(Index task, Index w) const {
    const Task& t = tasks[task];
    const Class& cls = classes[t.cls];
    if (cls.spec.exclusive || cls.alone || t.crashes > 0 || t.lost_ahead || t.avoid == w || falls_back(t)) return false;
    return t.side == kNone || sides[t.side].rate == kNone;
}

void Scheduler::State::prefetch(Index w) {
    for (std::size_t room = active_groups.empty() ? 0 : room_ahead(w); room > 0; room = room_ahead(w)) {
        const Index task = next_for(w, true);
        if (task == kNone) return;
        Decision decision{.reason = DecisionReason::prefetched, .candidates_count = 1};
        decision.baseline = WorkerNo{w};
        decision.candidates[0] = score(task, w);
        note_others(w, task, decision);
        pop_ready(task);
        start(task, w, decision, false);
    }
}

void Scheduler::State::join_ahead(Index r) {
    Run& run = runs[r];
    Worker& worker = workers[run.worker];
    run.prefetched = true;
    worker.prefetched.push_back(r);
    worker.prefetched_us += counted(run.predicted);
    ++counters.prefetched;
    ++counters.prefetches;
    watch_ahead(run.worker, now + Duration{patience(worker)});
}

void Scheduler::State::watch_ahead(Index w, Instant due) {
    Worker& worker = workers[w];
    if (worker.prefetch_due != kNever || worker.prefetched.empty()) return;
    worker.prefetch_due = due;
    set_timer(due, TimerKind::prefetch, w, 0);
}

void Scheduler::State::leave_ahead(Index r) {
    Run& run = runs[r];
    Worker& worker = workers[run.worker];
    worker.prefetched.erase(std::find(worker.prefetched.begin(), worker.prefetched.end(), r));
    worker.prefetched_us -= counted(run.predicted);
    run.prefetched = false;
    run.recalled_at = kNever;
    --counters.prefetched;
}

// Without a prediction nobody knows when its slot becomes free.
void Scheduler::State::enter_slot(Index r) {
    Run& run = runs[r];
    ++busy_slots;
    run.rate = falls_back(tasks[run.task]) ? 0 : kRateOne / std::max(run.predicted.us, kRunLeast);
    workers[run.worker].rate += run.rate;
}

void Scheduler::State::renew_rate(Index r) {
    Run& run = runs[r];
    if (!run.in_slot()) return;
    workers[run.worker].rate -= run.rate;
    run.rate = kRateOne / std::max(run.mean.us, kRunLeast);
    workers[run.worker].rate += run.rate;
}

void Scheduler::State::leave_slot(Index r) {
    --busy_slots;
    workers[runs[r].worker].rate -= std::exchange(runs[r].rate, 0);
}

void Scheduler::State::take_slot(Index r) {
    measure(runs[r].worker);
    leave_ahead(r);
    enter_slot(r);
    forget_end(r, true);
    update_ready(runs[r].worker);
}

// What was asked back is passed over: most likely it is gone from there. If it has begun all the same, that is told.
void Scheduler::State::begin_ahead(Index w) {
    const Worker& worker = workers[w];
    for (std::size_t i = 0; i < worker.prefetched.size() && worker.occupied() < worker.slots;) {
        const Run& run = runs[worker.prefetched[i]];
        if (run.task == kNone || run.recalled_at != kNever) {
            ++i;
            continue;
        }
        take_slot(worker.prefetched[i]);
    }
}

// Until its slot becomes free, those of the ones that it holds longer first.
Duration Scheduler::State::wait_ahead(Index r) const {
    const Worker& worker = workers[runs[r].worker];
    const auto place = std::find(worker.prefetched.begin(), worker.prefetched.end(), r) - worker.prefetched.begin();
    return {worker.rate > 0 ? (place + 1) * kRateOne / worker.rate : 0};
}

// A slow disk or a busy moment shows in the mean only as far as it lasts.
void Scheduler::State::note_turnaround(const Run& run, Duration waited) {
    Worker& worker = workers[run.worker];
    if (worker.prefetch_max == 0) return;
    const std::int64_t most = std::max(4 * worker.turnaround_us, kTurnaroundLeast);
    const std::int64_t took =
        std::clamp<std::int64_t>((now - run.assigned - waited).us, 1, std::min(most, kTurnaroundMost));
    worker.turnaround_us += worker.turnaround_us == 0 ? took : (took - worker.turnaround_us) / 8;
}

void Scheduler::State::recall(Index r) {
    Run& run = runs[r];
    const Worker& worker = workers[run.worker];
    if (run.recalled_at != kNever || run.orphan || run.task == kNone || !worker.connected) return;
    run.recalled_at = now;
    run.recalled = true;
    ++counters.recalls;
    emit(RevokeAttempt{.task = ids[run.task],
                       .attempt = run.attempt,
                       .session = worker.session,
                       .reason = RevokeReason::recalled,
                       .decision = decision_about(run, DecisionReason::recalled)});
}

void Scheduler::State::recall_all(Index w) {
    for (const Index r : workers[w].prefetched) recall(r);
}

// This worker has free slots and nothing waits for them.
void Scheduler::State::recall_for(Index w) {
    if (counters.prefetched == 0 || (ready[w / 64] >> (w % 64) & 1) == 0) return;
    std::uint32_t free = workers[w].slots - workers[w].occupied();
    for (Index other = 0; other < workers.size() && free > 0; ++other) {
        const Worker& holder = workers[other];
        if (other == w || !holder.connected) continue;
        for (std::size_t i = 0; i < holder.prefetched.size() && free > 0; ++i) {
            const Run& run = runs[holder.prefetched[i]];
            if (run.task == kNone || (now - run.assigned).us <= horizon(holder)) continue;
            const Group& group = groups[classes[run.cls].group];
            if (!eligible(group, w) || !fits(group, w)) continue;
            --free;  // also for what was asked back before
            recall(holder.prefetched[i]);
        }
    }
}

// The worker that holds most of what is less urgent gives it back, and its next slot to the newcomer.
void Scheduler::State::make_way(Index newcomer) {
    const Class& cls = classes[tasks[newcomer].cls];
    const Group& group = groups[cls.group];
    if (counters.prefetched == 0 || tasks[newcomer].place != Place::ready || group.alone) return;
    if (full_limit(cls) != nullptr) return;
    const auto gives_way = [&](Index r) {
        return runs[r].task != kNone && runs[r].recalled_at == kNever &&
               classes[runs[r].cls].spec.priority < cls.spec.priority;
    };
    Index best = kNone;
    std::ptrdiff_t most = 0;
    for (Index w = 0; w < workers.size(); ++w) {
        const Worker& worker = workers[w];
        if (worker.prefetched.empty() || !eligible(group, w) || !may_take_new(worker)) continue;
        const std::ptrdiff_t count = std::count_if(worker.prefetched.begin(), worker.prefetched.end(), gives_way);
        if (count <= most) continue;
        most = count;
        best = w;
    }
    if (best == kNone) return;
    for (const Index r : workers[best].prefetched)
        if (gives_way(r)) recall(r);
}

// What has waited for too long is asked back. Runs that go on for longer than predicted say nothing any more of when
// their slots become free: they count as taking as long again as they have taken.
void Scheduler::State::prefetch_due(Index w) {
    Worker& worker = workers[w];
    worker.prefetch_due = kNever;
    if (!worker.connected) return;
    for (const Index r : worker.runs) {
        Run& run = runs[r];
        const std::int64_t ran = run.ran(now).us;
        if (run.prefetched || run.rate == 0 || ran <= run.predicted.us) continue;
        worker.rate -= std::exchange(run.rate, kRateOne / std::max(ran, kRunLeast));
        worker.rate += run.rate;
    }
    Instant next = kNever;
    for (const Index r : std::vector<Index>(worker.prefetched)) {
        Run& run = runs[r];
        if (run.task == kNone) continue;
        const Duration limit = run.recalled_at == kNever ? Duration{patience(worker)} : config.lease;
        const Instant due = (run.recalled_at == kNever ? run.assigned : run.recalled_at) + limit;
        if (due > now) {
            next = std::min(next, due);
        } else if (run.recalled_at == kNever) {
            recall(r);
            next = std::min(next, now + config.lease);
        } else {  // it does not answer
            const Index task = run.task;
            attempt_over(r, AttemptOutcome::recalled, {-1}, 0);
            make_ghost(r, RevokeReason::superseded, config.timeout_grace);
            unstarted(task, true);
        }
    }
    if (next != kNever) watch_ahead(w, next);
}

void Scheduler::State::unstarted(Index task, bool lost) {
    Task& t = tasks[task];
    t.lost_ahead = t.lost_ahead || lost;
    if (t.run == kNone) requeue(task, {});
}

}  // namespace nexus::core
