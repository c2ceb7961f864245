// Push policies, kept as baselines: a task is bound to a worker's own first-in-first-out line when it arrives, whether
// or not a slot is free there, and waits in that line.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kEmaWaitMax = 60'000'000;  // the old score knows no longer wait than a minute
}

void Scheduler::State::count_bound(Index task, int change) {
    const Task& t = tasks[task];
    workers[t.worker].bound_work_us += change * t.mean.us;
    workers[t.worker].bound += static_cast<std::uint32_t>(change);
    ready_work_us += change * t.mean.us;
    if (change > 0) {
        ahead.add(t.key, t.mean.us);
    } else {
        ahead.remove(t.key, t.mean.us);
    }
}

void Scheduler::State::bind(Index task) {
    const Index worker = deferred || park_if_limited(tasks[task].cls) ? kNone : pick_push(task);
    if (worker == kNone) return enqueue(task);
    bind_to(task, worker);
    drain_line(worker);
}

void Scheduler::State::bind_to(Index task, Index worker) {
    Task& t = tasks[task];
    put_in(t, Place::bound);
    t.worker = worker;
    t.ticket = new_ticket();
    t.since = now;
    workers[worker].line.emplace_back(task, t.ticket);
    count_bound(task, 1);
}

// Smaller is better. Queue lengths and loads count what runs and what is bound.
Index Scheduler::State::pick_push(Index task) {
    const Group& group = groups[classes[tasks[task].cls].group];
    std::vector<Index> able;
    for (std::size_t word = 0; word < group.eligible.size(); ++word)
        for (std::uint64_t bits = group.eligible[word]; bits != 0; bits &= bits - 1) {
            const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
            const Worker& worker = workers[w];
            if (takes_work(worker) && worker.slots > 0) able.push_back(w);
        }
    if (able.empty()) return kNone;
    const auto depth = [&](Index w) {
        return scale(static_cast<std::int64_t>(workers[w].occupied() + workers[w].bound), 1'000'000, workers[w].slots);
    };
    const auto work = [&](Index w) {
        std::int64_t sum = workers[w].bound_work_us;
        for (const Index r : workers[w].runs) sum += runs[r].predicted.us;
        return sum / static_cast<std::int64_t>(workers[w].slots);
    };
    const auto old_score = [&](Index w) {  // 0.4 wait/60 s + 0.4 load; the priority term is equal for all workers
        const std::int64_t wait = std::min(scale(workers[w].bound, tasks[task].mean.us, 1), kEmaWaitMax);
        return scale(wait, 400'000, kEmaWaitMax) +
               scale(static_cast<std::int64_t>(workers[w].occupied()), 400'000, workers[w].slots);
    };
    const auto least = [&](const auto& cost) {
        return *std::min_element(able.begin(), able.end(), [&](Index a, Index b) { return cost(a) < cost(b); });
    };
    switch (config.policy) {
        case PolicyKind::least_loaded: return least(depth);
        case PolicyKind::least_work: return least(work);
        case PolicyKind::nexus_ema: return falls_back(tasks[task]) ? able[rotation++ % able.size()] : least(old_score);
        case PolicyKind::random: return able[rng.below(able.size())];
        case PolicyKind::power_of_two: {
            const Index a = able[rng.below(able.size())];
            const Index b = able[rng.below(able.size())];
            return depth(b) < depth(a) ? b : a;
        }
        default: return able[rotation++ % able.size()];
    }
}

void Scheduler::State::drain_line(Index w) {
    Worker& worker = workers[w];
    judge_owing(w);
    for (Index r = next_paused(w); r != kNone; r = next_paused(w)) resume_run(r);
    while (!worker.line.empty()) {
        const auto [task, ticket] = worker.line.front();
        if (tasks[task].ticket != ticket) {
            worker.line.pop_front();
            continue;
        }
        const bool may = ((ready[w / 64] | open[w / 64]) >> (w % 64) & 1) != 0;
        if (!may || !fits(groups[classes[tasks[task].cls].group], w)) return;
        worker.line.pop_front();
        leave_place(task);
        if (park_if_limited(tasks[task].cls)) {
            push_ready(task);
            continue;
        }
        Decision decision{.reason = DecisionReason::bound, .eligible_free = 1, .baseline = WorkerNo{w}};
        decision.candidates[0] = score(task, w);
        decision.candidates_count = 1;
        start(task, w, decision, false);
    }
}

// Back to the common queue, to be bound again.
void Scheduler::State::unbind_line(Index w) {
    for (const auto& [task, ticket] : std::exchange(workers[w].line, {})) {
        if (tasks[task].ticket != ticket) continue;
        leave_place(task);
        push_ready(task);
        dispatch_everything = true;
    }
}

void Scheduler::State::unbind_all() {
    for (Index w = 0; w < workers.size(); ++w) unbind_line(w);
}

}  // namespace nexus::core
