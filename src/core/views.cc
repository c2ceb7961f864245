// Questions about the present, in the words of scheduler.h.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kEtaWideLeast = kQ16One / 8, kEtaWideMost = 64 * kQ16One;
}

std::optional<TaskView> Scheduler::task(TaskId id) const {
    const Index task = state_->find_task(id);
    if (task == kNone) return std::nullopt;
    return state_->view(task);
}

TaskView Scheduler::State::view(Index task) const {
    const Task& t = tasks[task];
    TaskView view{.task = ids[task],
                  .spec = &classes[t.cls].spec,
                  .estimate = t.estimate(),
                  .submitted_at = t.submitted,
                  .attempts = t.attempts,
                  .failures = t.failures,
                  .crashes = t.crashes};
    if (t.run == kNone) return view;
    const Run& run = runs[t.run];
    view.state = run.paused() ? TaskState::paused : run.started == kNever ? TaskState::assigned : TaskState::running;
    view.attempt = run.attempt;
    view.fence = run.fence;
    view.worker = WorkerNo{run.worker};
    view.assigned_at = run.assigned;
    view.started_at = run.started;
    view.predicted_run = run.predicted;
    view.paused_at = run.paused_at;
    view.paused_for = run.paused_for;
    return view;
}

WaitingWhy Scheduler::why_waiting(TaskId id) const {
    const Index task = state_->find_task(id);
    return task == kNone ? WaitingWhy{} : state_->why(task);
}

WaitingWhy Scheduler::State::why(Index task) const {
    const Task& t = tasks[task];
    WaitingWhy why{.since = t.since};
    const auto say = [&](WaitReason reason, WaitCause cause, std::string name = {}, std::uint64_t count = 0) {
        why.reason = reason;
        why.cause = cause;
        why.name = std::move(name);
        why.count = count;
        return why;
    };
    switch (t.place) {
        case Place::not_before:
            why.until = {saturating_sub(sides[t.side].run_at.us, wall_offset.us)};
            return say(WaitReason::not_before, WaitCause::run_at);
        case Place::dependency:
            return say(WaitReason::dependency, WaitCause::dependencies, {}, sides[t.side].dependencies);
        case Place::backoff:
            for (const Timer& timer : timers.entries())
                if (timer.kind == TimerKind::task && timer.index == task && timer.ticket == t.ticket)
                    why.until = {timer.at};
            return say(WaitReason::retry_backoff, WaitCause::failures, {}, t.failures);
        case Place::held: return say(WaitReason::held, WaitCause::hold);
        case Place::ordering: return say(WaitReason::ordering, WaitCause::ordering_key);
        case Place::concurrency:
            return say(WaitReason::concurrency, WaitCause::concurrency_key, {},
                       concurrency_keys[sides[t.side].concurrency].most);
        case Place::rate:
            why.until = rate_keys[sides[t.side].rate].next;
            return say(WaitReason::rate, WaitCause::rate_key);
        case Place::bound: return say(WaitReason::capacity, WaitCause::worker_line, workers[t.worker].name);
        case Place::ready: return why_ready(task);
        case Place::running:
            if (t.run != kNone && runs[t.run].paused() && !runs[t.run].orphan) {
                why.since = runs[t.run].paused_at;
                return say(WaitReason::capacity, WaitCause::paused, workers[runs[t.run].worker].name);
            }
            if (t.run == kNone || !runs[t.run].orphan) return {};
            why.until = runs[t.run].ends_at;
            return say(WaitReason::lease, WaitCause::lost_worker, workers[runs[t.run].worker].name);
        case Place::nowhere: return {};
    }
    return {};
}

WaitingWhy Scheduler::State::why_ready(Index task) const {
    const Task& t = tasks[task];
    const Class& cls = classes[t.cls];
    WaitingWhy why{.since = t.since};
    const QueueRecord& queue = queues[cls.queue];
    const auto say = [&](WaitReason reason, WaitCause cause, std::string name = {}, std::uint64_t count = 0) {
        why.reason = reason;
        why.cause = cause;
        why.name = std::move(name);
        why.count = count;
        return why;
    };
    if (queue.paused) return say(WaitReason::queue_paused, WaitCause::queue_paused, queue.name);
    if (queue.limit.full()) return say(WaitReason::capacity, WaitCause::queue_limit, queue.name);
    if (tenants[cls.tenant].limit.full()) return say(WaitReason::capacity, WaitCause::tenant_limit, cls.spec.tenant);
    if (types[cls.type].limit.full()) return say(WaitReason::capacity, WaitCause::type_limit, cls.spec.type);
    const ExplainView explained = explain(task);
    if (explained.workers_eligible == 0) {
        const WaitCause most = explained.excluded.empty() ? WaitCause::no_worker : explained.excluded.front().first;
        return say(most == WaitCause::breakers ? WaitReason::breaker : WaitReason::no_eligible_worker, most);
    }
    const std::optional<EtaView> when = eta(task);
    if (when) why.until = when->start_p50;
    if (explained.tasks_ahead == 0) return say(WaitReason::capacity, WaitCause::workers_busy);
    return say(WaitReason::capacity, WaitCause::tasks_ahead, {}, explained.tasks_ahead);
}

ExplainView Scheduler::explain(TaskId id) const {
    const Index task = state_->find_task(id);
    return task == kNone ? ExplainView{} : state_->explain(task);
}

ExplainView Scheduler::State::explain(Index task) const {
    const Task& t = tasks[task];
    const Group& group = groups[classes[t.cls].group];
    ExplainView view{.workers_total = static_cast<std::uint32_t>(workers.size())};
    if (t.place == Place::ready || t.place == Place::bound) {
        const WorkAhead::Sum sum = ahead.before(t.key);
        view.tasks_ahead = static_cast<std::uint64_t>(std::max<std::int64_t>(sum.tasks, 0));
        view.work_ahead = {sum.work_us};
    }
    static constexpr WaitCause causes[] = {WaitCause::disconnected, WaitCause::demands, WaitCause::cordoned,
                                           WaitCause::suspected, WaitCause::breakers};
    std::uint32_t counts[5] = {};
    for (Index w = 0; w < workers.size(); ++w) {
        const Worker& worker = workers[w];
        if (!worker.connected)
            ++counts[0];
        else if (!eligible(group, w))
            ++counts[1];
        else if (worker.cordoned || worker.draining || worker.leaving)
            ++counts[2];
        else if (worker.suspect)
            ++counts[3];
        else if (worker.breaker != Breaker::closed)
            ++counts[4];
        else
            ++view.workers_eligible;
    }
    for (std::size_t i = 0; i < 5; ++i)
        if (counts[i] > 0) view.excluded.emplace_back(causes[i], counts[i]);
    std::stable_sort(view.excluded.begin(), view.excluded.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    return view;
}

std::optional<EtaView> Scheduler::eta(TaskId id) const {
    const Index task = state_->find_task(id);
    if (task == kNone) return std::nullopt;
    return state_->eta(task);
}

// Whether any connected worker may ever run it: without one nobody can say when.
bool Scheduler::State::reachable(const Group& group) const {
    for (std::size_t word = 0; word < group.eligible.size(); ++word)
        for (std::uint64_t bits = group.eligible[word]; bits != 0; bits &= bits - 1)
            if (workers[word * 64 + static_cast<std::size_t>(std::countr_zero(bits))].connected) return true;
    return false;
}

// The work that waits before it, worked off by the whole capacity; then its own run. The 90 % bound of the finish is
// the wait and the run's own p90, times a factor that judge_eta() keeps such that 9 of 10 end by it.
std::optional<EtaView> Scheduler::State::eta(Index task) const {
    const Task& t = tasks[task];
    if (t.run != kNone) {
        const Run& run = runs[t.run];
        const Instant start = run.started == kNever ? std::max(now, run.assigned) : run.started;
        const Duration p90{scale(run_on(run.cls, t.p90.us, run.worker), eta_wide_placed, kQ16One)};
        Instant from = start;  // as if it had run in one piece up to now, or until it may go on
        if (run.started != kNever && capacity_q16 > 0) {
            const Duration wait{run.paused() ? scale(ahead.before(t.key).work_us, kQ16One, capacity_q16) : 0};
            from = now + wait - run.ran(now);
        }
        return EtaView{start, start, std::max(now, from + Duration{run_on(run.cls, t.p50.us, run.worker)}),
                       std::max(now, from + p90)};
    }
    Instant from = now;
    switch (t.place) {
        case Place::ready:
        case Place::bound: break;
        case Place::not_before:
        case Place::backoff:
        case Place::rate: from = why(task).until; break;
        default: return std::nullopt;
    }
    if (capacity_q16 == 0 || from == kNever || !reachable(groups[classes[t.cls].group])) return std::nullopt;
    // Running work ends on average half way; it stands before everything that waits.
    const std::int64_t running = scale(static_cast<std::int64_t>(busy_slots), mean_us / 2, 1);
    const bool queued = t.place == Place::ready || t.place == Place::bound;
    const std::int64_t before = queued ? ahead.before(t.key).work_us + (busy_slots >= total_slots ? running : 0) : 0;
    const Duration wait{scale(before, kQ16One, capacity_q16)};
    const Duration wide{std::max(wait.us, scale(wait.us, eta_wide_queued, kQ16One))};
    const Duration whole{std::max(wait.us + t.p50.us, scale(wait.us + t.p90.us, eta_wide_queued, kQ16One))};
    return EtaView{from + wait, from + wide, from + wait + t.p50, from + whole};
}

void Scheduler::State::tell_eta(Index task) {
    Task& t = tasks[task];
    const std::optional<EtaView> said = eta(task);
    if (!said) return;
    t.told = said->finish_p90;
    t.told_queued = t.run == kNone;
}

// A quantile tracker: up by 4.5 % when a task ended later than told, down by 0.5 % when not; it rests at nine in ten.
void Scheduler::State::judge_eta(const Task& task) {
    if (task.told == kNever) return;
    std::int64_t& wide = task.told_queued ? eta_wide_queued : eta_wide_placed;
    wide = std::clamp(now > task.told ? wide + wide * 9 / 200 : wide - wide / 200, kEtaWideLeast, kEtaWideMost);
}

std::uint32_t Scheduler::worker_count() const {
    return static_cast<std::uint32_t>(state_->workers.size());
}

WorkerView Scheduler::worker(WorkerNo number) const {
    if (number.n >= state_->workers.size()) return {};
    const Worker& worker = state_->workers[number.n];
    WorkerView view{.worker = number,
                    .name = worker.name,
                    .connected = worker.connected,
                    .suspect = worker.suspect,
                    .cordoned = worker.cordoned,
                    .draining = worker.draining || worker.leaving,
                    .session = worker.session,
                    .slots = worker.slots,
                    .running = worker.occupied(),
                    .paused = worker.paused,
                    .labels = &worker.labels,
                    .offered = &worker.offered,
                    .types = &worker.types,
                    .speed_ppm = worker.speed_ppm,
                    .breaker = static_cast<std::uint8_t>(worker.breaker),
                    .succeeded = worker.succeeded,
                    .failed = worker.failed};
    view.utilization_ppm = static_cast<std::uint32_t>(scale(state_->hot.utilization[number.n], 1'000'000, kQ16One));
    if (worker.breaker == Breaker::closed) return view;
    view.breaker_reason =
        worker.failing ? std::to_string(worker.failures_in_row) +
                             " failures or rejections in a row that its task types do not have elsewhere"
        : worker.late ? "its last runs took over " + std::to_string(state_->config.breaker_ratio_permille / 10) +
                            " % of the usual time or were overtaken by second copies"
                      : "runs take " + std::to_string(worker.speed_ppm / 10'000) + " % of the usual time";
    return view;
}

WorkerNo Scheduler::find_worker(std::string_view name) const {
    const auto found = state_->worker_names.find(std::string(name));
    return found == state_->worker_names.end() ? WorkerNo{} : WorkerNo{found->second};
}

WorkerNo Scheduler::worker_of(SessionId session) const {
    return WorkerNo{state_->session_worker(session)};
}

std::vector<TaskId> Scheduler::tasks_after(TaskId after, std::size_t limit) const {
    std::vector<TaskId> found;  // a max-heap of the smallest `limit` ids
    if (limit == 0) return found;
    for (const TaskId id : state_->ids) {
        if (!id || id <= after || (found.size() == limit && id >= found.front())) continue;
        if (found.size() == limit) {
            std::pop_heap(found.begin(), found.end());
            found.pop_back();
        }
        found.push_back(id);
        std::push_heap(found.begin(), found.end());
    }
    std::sort_heap(found.begin(), found.end());
    return found;
}

std::vector<TaskId> Scheduler::running_after(TaskId after) const {
    const State& s = *state_;
    std::vector<TaskId> found;
    for (Index r = 0; r < s.runs.size(); ++r) {
        const Run& run = s.runs[r];
        if (run.ticket == 0 || run.task == kNone || s.tasks[run.task].run != r)
            continue;  // vacant, or not its current one
        if (s.ids[run.task] > after) found.push_back(s.ids[run.task]);
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<TaskId> Scheduler::next_waiting(std::size_t limit) const {
    const State& s = *state_;
    // Walks all class heaps together, best first: a frontier of (entry, class, position).
    struct Step {
        HeapEntry entry;
        Index cls = kNone;
        std::size_t at = 0;
        bool operator<(const Step& other) const { return other.entry < entry; }
    };
    std::vector<Step> frontier;
    const auto reach = [&](Index cls, std::size_t at) {
        const auto& entries = s.classes[cls].heap.entries();
        if (at >= entries.size()) return;
        frontier.push_back({entries[at], cls, at});
        std::push_heap(frontier.begin(), frontier.end());
    };
    for (const Index g : s.active_groups)
        for (const Head& head : s.groups[g].heads) reach(head.cls, 0);
    std::vector<TaskId> found;
    while (found.size() < limit && !frontier.empty()) {
        std::pop_heap(frontier.begin(), frontier.end());
        const Step step = frontier.back();
        frontier.pop_back();
        if (s.current(step.entry)) found.push_back(s.ids[step.entry.task]);
        for (std::size_t child = 1; child <= 4; ++child) reach(step.cls, step.at * 4 + child);
    }
    return found;
}

}  // namespace nexus::core
