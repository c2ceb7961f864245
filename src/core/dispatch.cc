// Giving work out: an arriving task to a free worker, a freed slot to the task with the smallest key.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kNextLook = 7;        // of a heap: its three smallest are among them
constexpr std::size_t kSufferageLook = 32;  // heads compared when hardware classes differ
constexpr std::size_t kRetriesLook = 32;    // of a heap, for a task that did not fail here
}  // namespace

void Scheduler::State::place_or_enqueue(Index task) {
    drop_refusals(task);
    if (!late_binding()) return bind(task);
    if (deferred || park_if_limited(tasks[task].cls)) return enqueue(task);
    Decision decision;
    Index worker = choose_worker(task, decision);
    if (worker == kNone) worker = make_room(task, decision);
    if (worker != kNone) return start(task, worker, decision, false);
    enqueue(task);
    make_way(task);
    preempt_for(task);
}

void Scheduler::State::fill(Index worker) {
    if (!late_binding()) return drain_line(worker);
    if (workers[worker].paused > 0 || workers[worker].owes) judge_owing(worker);
    for (;;) {
        const Index paused = next_paused(worker);
        const Index task = next_for(worker);
        if (paused != kNone && (task == kNone || tasks[runs[paused].task].key <= tasks[task].key)) {
            go_on(paused);
            continue;
        }
        if (task == kNone) break;
        Decision decision{.reason = DecisionReason::slot_freed};
        const Group& group = groups[classes[tasks[task].cls].group];
        decision.baseline = WorkerNo{rotate(group, ready, rotation)};
        if (decision.baseline) rotation = decision.baseline.n + 1;
        decision.eligible_free = 1;
        decision.fallback = falls_back(tasks[task]) && config.policy == PolicyKind::predictive;
        if (workers[worker].breaker != Breaker::closed) decision.reason = DecisionReason::probe;
        decision.candidates[0] = score(task, worker);
        decision.candidates_count = 1;
        note_others(worker, task, decision);
        pop_ready(task);
        start(task, worker, decision, false);
    }
    prefetch(worker);
    recall_for(worker);
}

// The first tasks of the other groups that it may run, and of the next classes of its own.
void Scheduler::State::note_others(Index w, Index task, Decision& decision) const {
    const Index own = classes[tasks[task].cls].group;
    Head nearest[3];
    std::uint8_t count = 0;
    const auto offer = [&](Head head) {
        if (head.cls == tasks[task].cls) return;
        for (std::uint8_t i = 0; i < count; ++i)
            if (head < nearest[i]) std::swap(head, nearest[i]);
        if (count < 3) nearest[count++] = head;
    };
    const Group& group = groups[own];
    for (std::size_t i = 0; i < std::min(kNextLook, group.heads.size()); ++i) offer(group.heads[i]);
    for (std::size_t i = 0; i < std::min(kNextLook, active_groups.size()); ++i)
        if (active_groups[i] != own && eligible(groups[active_groups[i]], w)) offer(groups[active_groups[i]].heads[0]);
    decision.others_count = count;
    for (std::uint8_t i = 0; i < count; ++i)
        decision.others[i] = {ids[classes[nearest[i].cls].heap.top().task], nearest[i].key - tasks[task].key};
}

// The waiting task with the smallest key that this worker may run now, or, `ahead`, hold ready: if the first may not be
// held none is, since nothing passes it for that. Groups are few and each knows its first class, so the cost does not
// depend on how many tasks wait.
Index Scheduler::State::next_for(Index w, bool ahead) {
    const std::uint64_t bit = 1ULL << (w % 64);
    for (;;) {
        const bool is_open = (open[w / 64] & bit) != 0;
        if (!ahead && !is_open && (ready[w / 64] & bit) == 0) return kNone;
        const Group* best = nullptr;
        const Group* spared = nullptr;  // its first task would rather go elsewhere
        for (const Index g : active_groups) {
            const Group& group = groups[g];
            if (!eligible(group, w) || (best != nullptr && !(group.heads[0] < best->heads[0]))) continue;
            const Index head = classes[group.heads[0].cls].heap.top().task;
            if (!fits(group, w)) {
                if (ahead) continue;
                // A task that needs more room than ever becomes free by itself gets the worker emptied for it.
                if (group.alone || now - tasks[head].since > config.overtake_max) reserve(w, head);
                if (((ready[w / 64] | open[w / 64]) & bit) == 0) return kNone;  // it was reserved
                continue;
            }
            if (is_open && !open_may_take(head, w)) continue;
            if (tasks[head].avoid == w && first_for(classes[group.heads[0].cls], w) == head &&
                may_go_elsewhere(head, w)) {
                if (spared == nullptr || group.heads[0] < spared->heads[0]) spared = &group;
                continue;
            }
            best = &group;
        }
        if (best == nullptr) best = spared;
        if (best == nullptr) return kNone;
        const Index cls = affinity_known ? sufferer(*best, w) : best->heads[0].cls;
        if (park_if_limited(cls)) continue;
        const Index task = first_for(classes[cls], w);
        return ahead && !may_prefetch(task, w) ? kNone : task;
    }
}

// Another worker may run it, and it has not waited long for that one's slot.
bool Scheduler::State::may_go_elsewhere(Index task, Index w) const {
    return now - tasks[task].since <= config.overtake_max &&
           other_closed_worker(groups[classes[tasks[task].cls].group], w);
}

// The class's first task; but of one that failed here, a slot here is rather for one of the next.
Index Scheduler::State::first_for(const Class& cls, Index w) const {
    const HeapEntry& first = cls.heap.top();
    if (tasks[first.task].avoid != w || !may_go_elsewhere(first.task, w)) return first.task;
    const auto& entries = cls.heap.entries();
    HeapEntry best = first;
    for (std::size_t i = 1; i < std::min(kRetriesLook, entries.size()); ++i) {
        const HeapEntry& entry = entries[i];
        if (current(entry) && tasks[entry.task].avoid != w && (best.task == first.task || entry < best)) best = entry;
    }
    return best.task;
}

// With hardware classes: the first heads compete by key plus what running here costs beyond the best hardware.
Index Scheduler::State::sufferer(const Group& group, Index w) const {
    Index best = group.heads[0].cls;
    std::int64_t best_value = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < std::min(kSufferageLook, group.heads.size()); ++i) {
        const Index cls = group.heads[i].cls;
        const Task& head = tasks[classes[cls].heap.top().task];
        std::int64_t least = 1'000'000, here = 1'000'000;
        for (const AffinityFactor& factor : types[classes[cls].type].affinity) {
            least = std::min<std::int64_t>(least, factor.factor_ppm);
            if (factor.hardware == workers[w].hardware) here = factor.factor_ppm;
        }
        const std::int64_t value = saturating_add(head.key, scale(head.mean.us, here - least, 1'000'000));
        if (value > best_value || (value == best_value && !(group.heads[i].ticket < classes[best].heap.top().ticket)))
            continue;
        best_value = value;
        best = cls;
    }
    return best;
}

// After anything that may have made room or work in several places: smallest key first, best worker each.
void Scheduler::State::dispatch_all() {
    const auto any = [](const std::vector<std::uint64_t>& mask) {
        return std::any_of(mask.begin(), mask.end(), [](std::uint64_t word) { return word != 0; });
    };
    std::vector<Index> paused;  // those that may go on, by key
    if (counters.paused > 0)
        for (Index w = 0; w < workers.size(); ++w) {
            if (workers[w].paused == 0) continue;
            judge_owing(w);
            for (const Index r : workers[w].runs)
                if (resumable(r)) paused.push_back(r);
        }
    std::stable_sort(paused.begin(), paused.end(), [this](Index a, Index b) {
        return tasks[runs[a].task].key > tasks[runs[b].task].key;  // the next at the end
    });
    std::vector<bool> stuck(groups.size());
    while (!late_binding() || any(ready) || any(open) || !paused.empty()) {
        const Group* best = nullptr;
        Index best_index = kNone;
        for (const Index g : active_groups) {
            if (stuck[g] || (best != nullptr && !(groups[g].heads[0] < best->heads[0]))) continue;
            best = &groups[g];
            best_index = g;
        }
        if (!paused.empty() && (best == nullptr || tasks[runs[paused.back()].task].key <= best->heads[0].key)) {
            if (resumable(paused.back())) {
                go_on(paused.back());  // it may give way, and then has a further slot
            } else {
                paused.pop_back();
            }
            continue;
        }
        if (best == nullptr) break;
        const Index cls = best->heads[0].cls;
        if (park_if_limited(cls)) continue;
        const Index task = classes[cls].heap.top().task;
        Decision decision{.reason = DecisionReason::slot_freed};
        const Index worker = late_binding() ? choose_worker(task, decision) : pick_push(task);
        if (worker == kNone) {
            stuck[best_index] = true;
            continue;
        }
        pop_ready(task);
        if (late_binding()) {
            start(task, worker, decision, false);
        } else {
            bind_to(task, worker);
        }
    }
    for (Index w = 0; w < workers.size(); ++w) {
        if (!late_binding()) {
            drain_line(w);
        } else {
            prefetch(w);
            recall_for(w);
        }
    }
}

// Unique in a cluster, and growing even when the store lost the last ones: the calendar comes in with the events.
std::uint64_t Scheduler::State::next_fence() {
    constexpr std::int64_t kWallMax = (std::int64_t{1} << (63 - kShardBits)) - 1;
    const auto wall =
        static_cast<std::uint64_t>(std::clamp<std::int64_t>(saturating_add(now.us, wall_offset.us), 0, kWallMax));
    fence = std::max((fence >> kShardBits) + 1, wall) << kShardBits | shard;
    return fence;
}

void Scheduler::State::start(Index task, Index w, Decision decision, bool speculative) {
    Task& t = tasks[task];
    if (free_runs.empty()) {
        free_runs.push_back(static_cast<Index>(runs.size()));
        runs.emplace_back();
    }
    const Index r = free_runs.back();
    free_runs.pop_back();
    Worker& worker = workers[w];
    const bool ahead = decision.reason == DecisionReason::prefetched;
    MUST(ahead || worker.occupied() < worker.slots);
    measure(w);
    const std::uint64_t id_hi = rng.next();
    const std::uint64_t id_lo = rng.next();
    ++t.attempts;
    runs[r] = {.attempt = {id_hi, id_lo},
               .fence = next_fence(),
               .assigned = now,
               .predicted = {run_on(t.cls, t.mean.us, w)},
               .ticket = new_ticket(),
               .task = task,
               .cls = t.cls,
               .worker = w,
               .at = static_cast<Index>(worker.runs.size()),
               .number = t.attempts,
               .speculative = speculative,
               .p50 = t.p50,
               .p90 = t.p90,
               .mean = t.mean};
    run_table.insert(IdHash{}(runs[r].attempt), r);
    running_us = saturating_add(running_us, runs[r].predicted.us);
    const Class& cls = classes[t.cls];
    retain_class(t.cls);
    worker.runs.push_back(r);
    if (ahead)
        join_ahead(r);
    else
        enter_slot(r);
    run_ends.resize(runs.size());
    forget_end(r, !ahead);
    if (groups[cls.group].needs_resources) take_resources(worker.used, cls.spec.resources, 1);
    if (cls.alone) ++worker.alone;
    runs[r].charged = std::min(runs[r].predicted.us, mean_us);  // the rest as it goes on
    charge(w, runs[r].charged);
    update_ready(w);
    decision.policy = static_cast<std::uint32_t>(config.policy);
    decision.key_us = t.key;
    decision.estimate = t.estimate();
    decision.predicted_run = runs[r].predicted;
    decision.waiting = counters.waiting;
    if (!cls.spec.pinned_worker.empty() && decision.reason == DecisionReason::arrival)
        decision.reason = DecisionReason::pinned;
    if (decision.fallback) ++counters.fallback_decisions;
    ++counters.decisions;
    if (speculative) {
        t.copy = r;
        ++copies_running;
        ++counters.speculations;
    } else {
        count_waiting(task, -1);
        put_in(t, Place::running);
        t.ticket = new_ticket();
        t.run = r;
        ++counters.assigned;
        count_running(t.cls, 1);
    }
    emit(AssignAttempt{.task = ids[task],
                       .attempt = runs[r].attempt,
                       .number = runs[r].number,
                       .fence = fence,
                       .worker = WorkerNo{w},
                       .session = worker.session,
                       .timeout = cls.spec.timeout,
                       .deadline = t.side == kNone ? WallTime{} : sides[t.side].deadline,
                       .exclusive = cls.spec.exclusive,
                       .decision = decision});
    if (cls.spec.timeout.us > 0)
        set_timer(now + cls.spec.timeout + config.timeout_grace, TimerKind::timeout, r, runs[r].ticket);
    if (!speculative) rate_started(task);
}

bool Scheduler::State::takes_work(const Worker& worker) const {
    return worker.connected && !worker.suspect && !worker.cordoned && !worker.draining && !worker.leaving;
}

bool Scheduler::State::may_take_new(const Worker& worker) const {
    return takes_work(worker) && worker.alone == 0 && worker.reserved_task == kNone && !worker.owes;
}

void Scheduler::State::update_ready(Index w) {
    const Worker& worker = workers[w];
    const bool able = may_take_new(worker) && worker.occupied() < worker.slots;
    const std::uint64_t bit = 1ULL << (w % 64);
    ready[w / 64] &= ~bit;
    open[w / 64] &= ~bit;
    // A worker on probation is offered one task like any other: if probes had to wait for a full house, a breaker that
    // opened by mistake would never close in a quiet system.
    const bool trusted =
        worker.breaker == Breaker::closed || (worker.breaker == Breaker::probing && worker.runs.empty());
    if (able) (trusted ? ready : open)[w / 64] |= bit;
    const bool is_ready = able && trusted;
    hot.free_load[w] = is_ready ? load_of(w) + speed_taste(w) : kNotReady;
}

// Keeps a worker free of other work until this task fits on it. One worker per task.
void Scheduler::State::reserve(Index w, Index task) {
    if (workers[w].reserved_task != kNone) return;
    for (const Index other : reserved)
        if (workers[other].reserved_task == task && workers[other].reserved_ticket == tasks[task].ticket) return;
    workers[w].reserved_task = task;
    workers[w].reserved_ticket = tasks[task].ticket;
    reserved.push_back(w);
    update_ready(w);
}

// Ends reservations whose task went elsewhere, and starts those whose worker has room by now.
void Scheduler::State::check_reservations() {
    for (const Index w : std::exchange(reserved, {})) {
        Worker& worker = workers[w];
        const Index task = worker.reserved_task;
        const bool wanted = tasks[task].ticket == worker.reserved_ticket && tasks[task].place == Place::ready;
        const Group* group = wanted ? &groups[classes[tasks[task].cls].group] : nullptr;
        const bool able = takes_work(worker);
        const bool full = worker.reserved_rival && worker.occupied() >= worker.slots;
        if (wanted && able && eligible(*group, w) && (full || !fits(*group, w))) {
            reserved.push_back(w);
            continue;
        }
        worker.reserved_task = kNone;
        const TaskId rival = std::exchange(worker.reserved_rival, {});
        update_ready(w);
        const bool startable = (ready[w / 64] >> (w % 64) & 1) != 0;
        if (wanted && startable && eligible(*group, w) && !park_if_limited(tasks[task].cls)) {
            Decision decision{.reason = rival ? DecisionReason::preemption : DecisionReason::slot_freed,
                              .eligible_free = 1,
                              .rival = rival};
            decision.candidates[0] = score(task, w);
            decision.candidates_count = 1;
            pop_ready(task);
            start(task, w, decision, false);
        }
        freed.push_back(w);
    }
}

}  // namespace nexus::core
