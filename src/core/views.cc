// Questions about the present, in the words of scheduler.h.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

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
                  .crashes = t.crashes,
                  .promise = promise_of(task)};
    if (t.run == kNone) return view;
    const Run& run = runs[t.run];
    view.state = run.paused() ? TaskState::paused : run.started == kNever ? TaskState::assigned : TaskState::running;
    view.attempt = run.attempt;
    view.fence = run.fence;
    view.worker = WorkerNo{run.worker};
    view.assigned_at = run.assigned;
    view.started_at = run.started;
    view.predicted_run = run.predicted;
    view.prefetched = run.prefetched;
    view.paused_at = run.paused_at;
    view.paused_for = run.paused_for;
    return view;
}

WaitingWhy Scheduler::why_waiting(TaskId id, Instant at) const {
    const Index task = state_->find_task(id);
    return task == kNone ? WaitingWhy{} : state_->why(task, std::max(at, state_->now));
}

WaitingWhy Scheduler::State::why(Index task, Instant at) const {
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
        case Place::rate: why.until = rate_turn(task, at); return say(WaitReason::rate, WaitCause::rate_key);
        case Place::bound: return say(WaitReason::capacity, WaitCause::worker_line, workers[t.worker].name);
        case Place::ready: return why_ready(task, at);
        case Place::running:
            if (t.run != kNone && runs[t.run].paused() && !runs[t.run].orphan) {
                why.since = runs[t.run].paused_at;
                return say(WaitReason::capacity, WaitCause::paused, workers[runs[t.run].worker].name);
            }
            if (t.run != kNone && runs[t.run].prefetched && !runs[t.run].orphan) {
                why.since = runs[t.run].assigned;
                return say(WaitReason::capacity, WaitCause::prefetched, workers[runs[t.run].worker].name);
            }
            if (t.run == kNone || !runs[t.run].orphan) return {};
            why.until = runs[t.run].ends_at;
            return say(WaitReason::lease, WaitCause::lost_worker, workers[runs[t.run].worker].name);
        case Place::nowhere: return {};
    }
    return {};
}

WaitingWhy Scheduler::State::why_ready(Index task, Instant at) const {
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
    ExplainView explained = explain(task);
    if (explained.workers_eligible == 0) {
        // Those that could run it, rather than those that lack something, rather than those that once were here.
        const auto nearness = [](WaitCause cause) {
            return cause == WaitCause::disconnected ? 0 : cause == WaitCause::demands ? 1 : 2;
        };
        WaitCause most = explained.excluded.empty() ? WaitCause::no_worker : WaitCause::disconnected;
        for (auto one = explained.excluded.rbegin(); one != explained.excluded.rend(); ++one)
            if (nearness(one->first) >= nearness(most)) most = one->first;
        say(most == WaitCause::breakers ? WaitReason::breaker : WaitReason::no_eligible_worker, most);
        if (most != WaitCause::demands) {
            if (nearness(most) == 2) why.name = only_worker(groups[cls.group]);
            return why;
        }
        why.unmet = std::move(explained.unmet);
        for (const Worker& worker : workers) why.count += worker.connected ? 1 : 0;
        return why;
    }
    const std::optional<EtaView> when = eta(task, at);
    if (when) why.until = when->start_p50;
    if (explained.tasks_ahead > 0) return say(WaitReason::capacity, WaitCause::tasks_ahead, {}, explained.tasks_ahead);
    if (explained.behind_breakers > 0)
        return say(WaitReason::breaker, WaitCause::breakers_beside, {}, explained.behind_breakers);
    return say(WaitReason::capacity, WaitCause::workers_busy);
}

// The name of the one connected worker that meets all demands; empty when there are none or several.
std::string Scheduler::State::only_worker(const Group& group) const {
    std::string name;
    for (Index w = 0; w < workers.size(); ++w) {
        if (!workers[w].connected || !eligible(group, w)) continue;
        if (!name.empty()) return {};
        name = workers[w].name;
    }
    return name;
}

ExplainView Scheduler::explain(TaskId id) const {
    const Index task = state_->find_task(id);
    return task == kNone ? ExplainView{} : state_->explain(task);
}

ExplainView Scheduler::State::explain(Index task) const {
    const Task& t = tasks[task];
    const Group& group = groups[classes[t.cls].group];
    ExplainView view{.workers_total = static_cast<std::uint32_t>(workers.size() - free_workers.size())};
    if ((t.place == Place::ready || t.place == Place::bound) && group.reach > 0) {
        const WorkAhead::Sum sum = startable_before(t.key);
        view.tasks_ahead = static_cast<std::uint64_t>(sum.tasks);
        view.work_ahead = {sum.work_us};
    }
    static constexpr WaitCause causes[] = {WaitCause::disconnected, WaitCause::refused,   WaitCause::demands,
                                           WaitCause::cordoned,     WaitCause::suspected, WaitCause::breakers};
    std::uint32_t counts[6] = {};
    for (Index w = 0; w < workers.size(); ++w) {
        const Worker& worker = workers[w];
        if (worker.name.empty()) continue;
        if (!worker.connected) {
            ++counts[0];
        } else if (!eligible(group, w)) {
            ++counts[std::binary_search(group.refused.begin(), group.refused.end(), worker.session) ? 1 : 2];
        } else if (worker.cordoned || worker.draining || worker.leaving) {
            ++counts[3];
        } else if (worker.suspect) {
            ++counts[4];
        } else if (worker.breaker != Breaker::closed) {
            ++counts[5];
            if (worker.occupied() < worker.slots && fits(group, w)) ++view.behind_breakers;
        } else {
            ++view.workers_eligible;
        }
    }
    for (std::size_t i = 0; i < std::size(counts); ++i)
        if (counts[i] > 0) view.excluded.emplace_back(causes[i], counts[i]);
    std::stable_sort(view.excluded.begin(), view.excluded.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (view.workers_eligible == 0) view.unmet = unmet(classes[t.cls]);
    return view;
}

namespace {
// Keeps the most frequent values first.
void count_value(std::vector<std::pair<std::string, std::uint32_t>>& counts, const std::string& value) {
    const auto known = std::find_if(counts.begin(), counts.end(), [&](const auto& one) { return one.first == value; });
    if (known != counts.end())
        ++known->second;
    else
        counts.emplace_back(value, 1);
}

const std::string* label_of(const Worker& worker, const std::string& name) {
    for (const auto& [label, value] : worker.labels)
        if (label == name) return &value;
    return nullptr;
}
}  // namespace

// Each demand is looked at by itself, whatever else keeps the worker from the task.
std::vector<Unmet> Scheduler::State::unmet(const Class& cls) const {
    constexpr std::size_t kValuesShown = 3;
    std::vector<Unmet> all;
    const auto look = [&](Unmet demand, const auto& lacks) {
        for (const Worker& worker : workers)
            if (worker.connected && lacks(worker, demand)) ++demand.workers;
        std::stable_sort(demand.others.begin(), demand.others.end(),
                         [](const auto& a, const auto& b) { return a.second > b.second; });
        if (demand.others.size() > kValuesShown) demand.others.resize(kValuesShown);
        if (demand.workers > 0) all.push_back(std::move(demand));
    };
    using What = Unmet::What;
    const Group& group = groups[cls.group];
    const Signature& signature = signatures[group.signature];
    const std::string& type = cls.spec.type;
    look({.what = What::type, .name = type}, [&](const Worker& worker, Unmet&) {
        return worker.typeset != 0 &&
               !std::binary_search(signature.typesets.begin(), signature.typesets.end(), worker.typeset);
    });
    look({.what = What::excluded, .name = type}, [&](const Worker& worker, Unmet&) {
        const Index number = static_cast<Index>(&worker - workers.data());
        return std::binary_search(signature.excluded.begin(), signature.excluded.end(), number);
    });
    if (!group.pinned.empty())
        look({.what = What::pin, .name = group.pinned},
             [&](const Worker& worker, Unmet&) { return worker.name != group.pinned; });
    for (const auto& [name, value] : group.required)
        look({.what = What::label, .name = name, .wanted = value}, [](const Worker& worker, Unmet& demand) {
            const std::string* has = label_of(worker, demand.name);
            if (has != nullptr && *has == demand.wanted) return false;
            if (has != nullptr) count_value(demand.others, *has);
            return true;
        });
    for (const auto& [name, value] : group.forbidden)
        look({.what = What::forbidden_label, .name = name, .wanted = value}, [](const Worker& worker, Unmet& demand) {
            const std::string* has = label_of(worker, demand.name);
            return has != nullptr && *has == demand.wanted;
        });
    const auto amount = [&](What what, const std::string& name, std::int64_t asked, const auto& offer_of) {
        if (asked == 0) return;
        look({.what = what, .name = name, .asked = asked}, [&](const Worker& worker, Unmet& demand) {
            const std::int64_t offer = offer_of(worker.offered);
            demand.most = std::max(demand.most, offer);
            return offer >= 0 && offer < asked;
        });
    };
    const Resources& need = group.resources;
    amount(What::cpu, "cpu", need.cpu_milli, [](const Resources& offer) { return offer.cpu_milli; });
    amount(What::memory, "memory", need.memory_bytes, [](const Resources& offer) { return offer.memory_bytes; });
    amount(What::gpu, "gpu", need.gpu_milli, [](const Resources& offer) { return offer.gpu_milli; });
    for (const auto& [name, asked] : need.custom)
        amount(What::resource, name, asked, [&name](const Resources& offer) {
            for (const auto& [known, most] : offer.custom)
                if (known == name) return most;
            return std::int64_t{0};
        });
    std::stable_sort(all.begin(), all.end(), [](const Unmet& a, const Unmet& b) { return a.workers > b.workers; });
    return all;
}

std::uint32_t Scheduler::worker_count() const {
    return static_cast<std::uint32_t>(state_->workers.size());
}

WorkerView Scheduler::worker(WorkerNo number, Instant at) const {
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
                    .prefetched = static_cast<std::uint32_t>(worker.prefetched.size()),
                    .turnaround = {worker.turnaround_us},
                    .labels = &worker.labels,
                    .offered = &worker.offered,
                    .types = &worker.types,
                    .speed_ppm = worker.speed_ppm,
                    .breaker = static_cast<std::uint8_t>(worker.breaker),
                    .succeeded = worker.succeeded,
                    .failed = worker.failed,
                    .gone = worker.gone,
                    .next_trial = worker.breaker == Breaker::open ? worker.breaker_next : kNever};
    Usage usage = worker.usage;
    usage.advance(std::max(at, state_->now), worker.connected ? worker.occupied() : 0,
                  worker.connected ? worker.slots : 0);
    view.utilization_ppm = usage.known() ? std::min(usage.share_ppm(), 1'000'000U) : 0;
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

SessionId Scheduler::holder_of(TaskId task, AttemptId attempt) const {
    const Index run = state_->find_run(task, attempt);
    return run == kNone ? SessionId{} : state_->workers[state_->runs[run].worker].session;
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
    std::vector<TaskId> found;
    for (const Index task : state_->first_waiting(limit)) found.push_back(state_->ids[task]);
    return found;
}

}  // namespace nexus::core
