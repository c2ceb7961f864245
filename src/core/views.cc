// Questions about the present, in the words of scheduler.h.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr int kEtaLooks = 256;            // at tasks that one waits for, and those that they wait for
constexpr std::size_t kLimitLook = 1024;  // waiting tasks of a class that are counted one by one
constexpr std::int64_t kEtaWideLeast = kQ16One / 8, kEtaWideMost = 64 * kQ16One;
constexpr std::int64_t kEtaEarlyLeast = kQ16One / 64;
}  // namespace

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

std::optional<EtaView> Scheduler::eta(TaskId id, Instant at) const {
    const Index task = state_->find_task(id);
    if (task == kNone) return std::nullopt;
    return state_->eta(task, std::max(at, state_->now));
}

// A run that has passed what was expected is expected to take what such runs have left, never to have ended already.
EtaView Scheduler::State::eta_running(Index task, Instant at) const {
    constexpr std::int64_t kMedian = 693, kNinth = 2303;  // permille of an exponential rest's mean
    const Task& t = tasks[task];
    const Run& run = runs[t.run];
    Instant start = run.started == kNever ? std::max(at, run.assigned) : run.started;
    if (run.prefetched) start = start + wait_ahead(t.run);
    Instant from = start;  // as if it had run in one piece up to now, or until it may go on
    if (run.started != kNever && capacity_q16 > 0) {
        const Duration wait{run.paused() ? scale(startable_before(t.key).work_us, kQ16One, capacity_q16) : 0};
        from = at + wait - run.ran(at);
    }
    const auto rest = [&](std::int64_t permille) {
        return std::max(at, from + run.ran(at)) +
               Duration{std::max<std::int64_t>(scale(remaining(run, at), permille, 1000), 1)};
    };
    EtaView view{start, start, from + run.p50, from + Duration{scale(run.p90.us, eta_wide_placed, kQ16One)}};
    view.finish_p10 = from + Duration{scale(scale(run.p50.us, run.p50.us, std::max<std::int64_t>(run.p90.us, 1)),
                                            eta_early_placed, kQ16One)};
    if (view.finish_p50 <= at) view.finish_p50 = rest(kMedian);
    if (view.finish_p90 <= at) view.finish_p90 = rest(kNinth);
    view.finish_p90 = std::max(view.finish_p90, view.finish_p50);
    view.finish_p10 = std::clamp(view.finish_p10, at, view.finish_p50);
    return view;
}

// Its turn within the running limits of its queue, tenant and type, whoever is free. Of its own class it is known who
// stands before it, as far as is looked; else where it stands is taken to be where it stands among all.
void Scheduler::State::wait_for_limits(Index task, Instant at, Forecast::Turn& turn) const {
    const Task& t = tasks[task];
    const Class& cls = classes[t.cls];
    if (queues[cls.queue].limit.running_max + tenants[cls.tenant].limit.running_max +
            types[cls.type].limit.running_max ==
        0)
        return;
    const WorkAhead::Sum before = ahead.before(t.key), all = ahead.total();
    const auto& entries = cls.heap.entries();
    const HeapEntry own{.key = t.key, .ticket = t.ticket, .task = task};
    std::int64_t same = scale(cls.waiting, before.tasks, std::max<std::int64_t>(all.tasks, 1));
    if (entries.size() <= kLimitLook)
        same = std::count_if(entries.begin(), entries.end(),
                             [&](const HeapEntry& entry) { return entry < own && current(entry); });
    const auto wait = [&](const Limit& limit, auto holds) {
        const std::int64_t others = limit.waiting.tasks - cls.waiting;
        const std::int64_t rank = same + scale(others, before.tasks, std::max<std::int64_t>(all.tasks, 1));
        if (limit.running_max == 0 || rank + limit.running < limit.running_max) return;
        const Forecast::Turn own_turn = limit_turn(limit, rank, t, at, holds);
        turn = {std::max(turn.p10, own_turn.p10), std::max(turn.p50, own_turn.p50), std::max(turn.p90, own_turn.p90)};
    };
    wait(queues[cls.queue].limit, [&](const Run& run) { return classes[run.cls].queue == cls.queue; });
    wait(tenants[cls.tenant].limit, [&](const Run& run) { return classes[run.cls].tenant == cls.tenant; });
    wait(types[cls.type].limit, [&](const Run& run) { return classes[run.cls].type == cls.type; });
}

// Its turn, then its own run. Nothing for what nothing will start.
std::optional<EtaView> Scheduler::State::eta(Index task, Instant at) const {
    int looks = kEtaLooks;
    return eta(task, at, looks);
}

std::optional<EtaView> Scheduler::State::eta(Index task, Instant at, int& looks) const {
    const Task& t = tasks[task];
    if (t.run != kNone) return eta_running(task, at);
    const Class& cls = classes[t.cls];
    if (capacity_q16 == 0 || groups[cls.group].reach == 0 || queues[cls.queue].paused) return std::nullopt;
    std::optional<Forecast::Turn> turn;
    if (t.place == Place::ready) {
        turn = slot_turn(t.cls, t.key, t.ticket, at);
        if (turn) wait_for_limits(task, at, *turn);
        if (!turn) return std::nullopt;
        EtaView view = run_after(*turn, t, at);
        view.as =
            startable_before(t.key).tasks < static_cast<std::int64_t>(total_slots) ? ToldAs::queued : ToldAs::backlog;
        return view;
    }
    turn = gate_turn(task, at, looks);
    if (!turn) return std::nullopt;
    const Instant late = std::max(turn->p90, at);
    if (t.place != Place::bound) {  // then it goes among those that wait by then
        const std::int64_t key = t.keyed ? t.key : saturating_add(turn->p50.us, size_term(task));
        const auto slot = slot_turn(t.cls, key, 0, at);
        if (!slot) return std::nullopt;
        turn = {std::max(turn->p10, slot->p10), std::max(turn->p50, slot->p50), std::max(turn->p90, slot->p90)};
    }
    EtaView view = run_after(*turn, t, late);
    view.as = t.place == Place::dependency ? ToldAs::after : ToldAs::queued;
    return view;
}

// The bounds of the finish are those of the turn and of the run together, times factors that judge_eta() keeps such that
// 9 of 10 end by the later and after the earlier one. What is `late` anyway is known, and not stretched.
EtaView Scheduler::State::run_after(const Forecast::Turn& turn, const Task& t, Instant late) const {
    const Duration wide{scale((std::max(turn.p90, late) - late).us + t.p90.us, eta_wide_queued, kQ16One)};
    const std::int64_t least = scale(t.p50.us, t.p50.us, std::max<std::int64_t>(t.p90.us, 1));
    const Instant sure = std::min(late, turn.p10);
    const Duration narrow{scale((turn.p10 - sure).us + least, eta_early_queued, kQ16One)};
    EtaView view{.start_p50 = turn.p50, .start_p90 = turn.p90, .finish_p50 = turn.p50 + t.p50};
    view.finish_p90 = std::max(late + wide, view.finish_p50);
    view.finish_p10 = std::min(sure + narrow, view.finish_p50);
    return view;
}

// When what holds it back before the queue lets it go.
std::optional<Forecast::Turn> Scheduler::State::gate_turn(Index task, Instant at, int& looks) const {
    const Task& t = tasks[task];
    const auto sure = [&](Instant from) -> std::optional<Forecast::Turn> {
        if (from == kNever) return std::nullopt;
        from = std::max(from, at);
        return Forecast::Turn{from, from, from};
    };
    switch (t.place) {
        case Place::bound: {
            // Running work is on average half done; the rest stands before everything that waits.
            const std::int64_t before =
                startable_before(t.key).work_us + (busy_slots >= total_slots ? running_us / 2 : 0);
            return sure(at + Duration{scale(before, kQ16One, capacity_q16)});
        }
        case Place::not_before:
        case Place::backoff: return sure(why(task, at).until);
        case Place::rate: return sure(rate_turn(task, at));
        case Place::dependency: {
            if (sides[t.side].after.empty()) return std::nullopt;
            Forecast::Turn last{at, at, at};
            for (const Index before : sides[t.side].after) {
                const std::optional<EtaView> earlier = --looks < 0 ? std::nullopt : eta(before, at, looks);
                if (!earlier) return std::nullopt;
                last = {std::max(last.p10, earlier->finish_p10), std::max(last.p50, earlier->finish_p50),
                        std::max(last.p90, earlier->finish_p90)};
            }
            return last;
        }
        case Place::ordering: {
            // The first of its key, and then one after the other.
            const auto& line = ordering_keys[sides[t.side].ordering].line;
            std::optional<EtaView> first = --looks < 0 ? std::nullopt : eta(line.front().first, at, looks);
            if (!first) return std::nullopt;
            Forecast::Turn last{first->finish_p10, first->finish_p50, first->finish_p90};
            for (auto before = line.begin() + 1; before != line.end() && before->first != task; ++before) {
                if (--looks < 0) return std::nullopt;
                const Duration run = tasks[before->first].p50;
                last = {last.p10 + run, last.p50 + run, last.p90 + run};
            }
            return last;
        }
        case Place::concurrency: {
            const Index index = sides[t.side].concurrency;
            const KeyRecord& key = concurrency_keys[index];
            const HeapEntry own{.key = t.key, .ticket = t.ticket, .task = task};
            const auto& parked = key.parked.entries();
            if (parked.size() > kLimitLook) return std::nullopt;
            const std::int64_t rank = std::count_if(
                parked.begin(), parked.end(), [&](const HeapEntry& entry) { return entry < own && current(entry); });
            const Limit tokens{
                .running = key.holders, .running_max = std::max(key.most, 1U), .waiting = {}, .parked = {}};
            return limit_turn(tokens, rank, t, at, [&](const Run& run) {
                const Index side = tasks[run.task].side;
                return side != kNone && sides[side].concurrency == index;
            });
        }
        default: return std::nullopt;
    }
}

Backlog Scheduler::backlog(Instant at) const {
    return state_->backlog(std::max(at, state_->now));
}

Duration Scheduler::queue_work(std::string_view queue) const {
    const Index found = state_->queues.find(queue);
    return {found == kNone ? 0 : state_->queues[found].limit.waiting.work_us};
}

// All that can start and what runs, worked off by the whole capacity; at least until the longest run ends, and as long
// as each running limit takes.
Backlog Scheduler::State::backlog(Instant at) const {
    Backlog view{.held = at_place[static_cast<std::size_t>(Place::held)]};
    std::int64_t work = counters.backlog.us, longest = 0;
    const Run* last = nullptr;
    for (const Index c : stuck_classes) {
        const Class& cls = classes[c];
        const bool is_paused = queues[cls.queue].paused;
        if (!is_paused && groups[cls.group].reach > 0) continue;
        (is_paused ? view.paused : view.no_worker) += cls.waiting;
        work -= cls.work_us;
    }
    for (Index r = 0; r < runs.size(); ++r) {
        const Run& run = runs[r];
        if (run.ticket == 0 || run.task == kNone || tasks[run.task].run != r) continue;
        const std::int64_t left = remaining(run, at);
        if (left > longest) last = &run;
        longest = std::max(longest, left);
        work = saturating_add(work, scale(left, 1'000'000, std::max<std::int64_t>(workers[run.worker].speed_ppm, 1)));
    }
    if (capacity_q16 <= 0 || (work <= 0 && longest == 0)) return view;
    const auto of_limits = [&](const auto& directory) {
        for (const auto& record : directory.records())
            if (!record.vacant && record.limit.running_max > 0)
                longest = std::max<std::int64_t>(longest, record.limit.waiting.work_us / record.limit.running_max);
    };
    of_limits(types);
    of_limits(tenants);
    of_limits(queues);
    const Duration worked{scale(std::max<std::int64_t>(work, 0), kQ16One, capacity_q16)};
    view.left = {std::max({longest, (as_usual(at, at + worked) - at).us, std::int64_t{1}})};
    spread_backlog(at, last, view);
    return view;
}

// Between which times it will most likely be done: as the forecast tells it of the last one in order, where something
// waits, else as the estimate does of the longest run; with the factors that judge_eta() keeps.
void Scheduler::State::spread_backlog(Instant at, const Run* longest, Backlog& view) const {
    view.left_p10 = view.left_p90 = view.left;
    std::int64_t early = kQ16One, wide = kQ16One;
    const Group* most = nullptr;
    for (const Index g : active_groups)
        if (groups[g].reach > 0 && !groups[g].heads.empty() && (most == nullptr || groups[g].waiting > most->waiting))
            most = &groups[g];
    if (most != nullptr) {
        const Index cls = most->heads[0].cls;
        if (const auto turn = slot_turn(cls, INT64_MAX, 0, at); turn && turn->p50 > at) {  // behind all that waits
            const std::int64_t mid = (turn->p50 - at).us;
            early = scale(eta_early_queued, (turn->p10 - at).us, mid);
            wide = scale(eta_wide_queued, (turn->p90 - at).us, mid);
        }
    } else if (longest != nullptr && longest->p50.us > 0 && longest->p90.us > 0) {
        early = scale(eta_early_placed, longest->p50.us, longest->p90.us);
        wide = scale(eta_wide_placed, longest->p90.us, longest->p50.us);
    }
    view.left_p10 = {scale(view.left.us, std::clamp<std::int64_t>(early, 0, kQ16One), kQ16One)};
    view.left_p90 = {scale(view.left.us, std::clamp(wide, kQ16One, kEtaWideMost), kQ16One)};
}

std::vector<WaitingBy> Scheduler::waiting_by(Instant at) const {
    return state_->waiting_by(std::max(at, state_->now));
}

// Whoever would take it when it has a slot; as far as is looked, else workers are taken to be there.
Scheduler::State::Hope Scheduler::State::hope_of(const Group& group, std::size_t& looks) const {
    Hope hope = Hope::nobody;
    for (Index w = 0; w < workers.size(); ++w) {
        if (looks == 0) return Hope::workers;
        --looks;
        if (!eligible(group, w) || !takes_work(workers[w])) continue;
        if (workers[w].breaker == Breaker::closed) return Hope::workers;
        hope = Hope::breakers;
    }
    return hope;
}

// Where tasks stand is counted. Of those that are ready it is known of whole classes which can start; of each reason one
// class is asked what its first task waits for: the one with most of them.
std::vector<WaitingBy> Scheduler::State::waiting_by(Instant at) const {
    constexpr std::size_t kHopeLooks = 1 << 16, kKeysLook = 4096;
    std::vector<WaitingBy> all;
    const auto at_this = [&](Place place) { return at_place[static_cast<std::size_t>(place)]; };
    const auto add = [&](WaitReason reason, WaitCause cause, std::uint64_t count) {
        if (count > 0) all.push_back({.reason = reason, .count = count, .why = {.reason = reason, .cause = cause}});
    };
    const auto add_key = [&](WaitReason reason, WaitCause cause, Place place, const Directory<KeyRecord>& keys,
                             const auto& waiting_at) {
        add(reason, cause, at_this(place));
        if (at_this(place) == 0 || keys.records().size() > kKeysLook) return;
        const KeyRecord* most = nullptr;
        for (const KeyRecord& key : keys.records())
            if (!key.vacant && waiting_at(key) > 0 && (most == nullptr || waiting_at(key) > waiting_at(*most)))
                most = &key;
        if (most == nullptr) return;
        all.back().why.name = most->name.substr(most->name.find('\n') + 1);
        all.back().why.count = most->most;
    };
    add(WaitReason::not_before, WaitCause::run_at, at_this(Place::not_before));
    add(WaitReason::dependency, WaitCause::dependencies, at_this(Place::dependency));
    add(WaitReason::retry_backoff, WaitCause::failures, at_this(Place::backoff));
    add(WaitReason::held, WaitCause::hold, at_this(Place::held));
    add_key(WaitReason::ordering, WaitCause::ordering_key, Place::ordering, ordering_keys,
            [](const KeyRecord& key) { return key.line.size(); });
    add_key(WaitReason::concurrency, WaitCause::concurrency_key, Place::concurrency, concurrency_keys,
            [](const KeyRecord& key) { return key.parked.size(); });
    add_key(WaitReason::rate, WaitCause::rate_key, Place::rate, rate_keys,
            [](const KeyRecord& key) { return key.parked.size(); });

    struct Sum {
        std::uint64_t count = 0;
        Index most = kNone;  // the class with most of them
    };
    Sum paused, no_worker, breakers, limited, busy;
    const auto count = [&](Sum& sum, Index c) {
        sum.count += classes[c].waiting;
        if (sum.most == kNone || classes[c].waiting > classes[sum.most].waiting) sum.most = c;
    };
    for (const Index c : stuck_classes) {
        const Class& cls = classes[c];
        count(queues[cls.queue].paused ? paused : cls.blocked ? limited : no_worker, c);
    }
    std::size_t looks = kHopeLooks;
    for (const Index g : active_groups) {
        const Group& group = groups[g];
        if (group.reach == 0) continue;  // all of it is stuck
        const Hope hope = hope_of(group, looks);
        Sum& sum = hope == Hope::workers ? busy : hope == Hope::breakers ? breakers : no_worker;
        for (const Head& head : group.heads)
            if (classes[head.cls].stuck_at == kNone) count(sum, head.cls);
    }
    const auto add_ready = [&](WaitReason reason, const Sum& sum) {
        if (sum.count == 0) return;
        const HeapEntry& first = classes[sum.most].heap.top();
        WaitingBy one{.reason = reason, .count = sum.count, .why = {}};
        if (current(first)) one.why = why_ready(first.task, at);
        all.push_back(std::move(one));
    };
    add_ready(WaitReason::queue_paused, paused);
    add_ready(WaitReason::no_eligible_worker, no_worker);
    add_ready(WaitReason::breaker, breakers);
    // One reason, whatever is used up: slots, or what a limit allows. The culprit is what most of them wait for.
    busy.count += at_this(Place::bound);
    Sum capacity = limited.count > busy.count ? limited : busy;
    capacity.count = limited.count + busy.count;
    if (capacity.most == kNone)
        add(WaitReason::capacity, WaitCause::workers_busy, capacity.count);
    else
        add_ready(WaitReason::capacity, capacity);
    if (limited.count <= busy.count && capacity.most != kNone)  // not how many are before the first one
        all.back().why = {.reason = WaitReason::capacity, .cause = WaitCause::workers_busy};
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
    return all;
}

std::vector<TenantView> Scheduler::tenants(std::size_t most) const {
    const State& s = *state_;
    std::vector<TenantView> all;
    for (const TenantRecord& tenant : s.tenants.records()) {
        if (tenant.vacant || all.size() >= most) continue;
        all.push_back({.name = tenant.name,
                       .share = tenant.share,
                       .waiting = tenant.waiting,
                       .running = tenant.limit.running,
                       .running_max = tenant.limit.running_max});
    }
    return all;
}

std::vector<LimitView> Scheduler::limits(std::size_t most, Instant at) const {
    constexpr std::size_t kKeysLook = 10'000;
    const State& s = *state_;
    at = std::max(at, s.now);
    std::vector<LimitView> all;
    const auto of_names = [&](LimitView::Kind kind, const auto& directory) {
        for (const auto& record : directory.records())
            if (!record.vacant && record.limit.running_max > 0)
                all.push_back({.kind = kind,
                               .name = record.name,
                               .most = record.limit.running_max,
                               .used = record.limit.running,
                               .waiting = static_cast<std::uint64_t>(record.limit.waiting.tasks)});
    };
    of_names(LimitView::Kind::queue, s.queues);
    of_names(LimitView::Kind::tenant, s.tenants);
    of_names(LimitView::Kind::type, s.types);
    const auto of_keys = [&](LimitView::Kind kind, const Directory<KeyRecord>& keys, const auto& tell) {
        const std::size_t seen = std::min(kKeysLook, keys.records().size());
        for (std::size_t k = 0; k < seen; ++k) {
            const KeyRecord& key = keys.records()[k];
            if (key.vacant || key.references == 0) continue;
            LimitView view{.kind = kind, .name = key.name};
            tell(key, view);
            all.push_back(view);
        }
    };
    of_keys(LimitView::Kind::concurrency, s.concurrency_keys, [](const KeyRecord& key, LimitView& view) {
        view.most = key.most;
        view.used = key.holders;
        view.waiting = key.parked.size();
    });
    of_keys(LimitView::Kind::rate, s.rate_keys, [&](const KeyRecord& key, LimitView& view) {
        view.waiting = key.parked.size();
        if (view.waiting > 0) view.next = std::max(key.next, at);
    });
    of_keys(LimitView::Kind::ordering, s.ordering_keys, [](const KeyRecord& key, LimitView& view) {
        view.most = 1;
        view.used = key.line.empty() ? 0 : 1;
        view.waiting = key.line.size() - view.used;
    });
    std::stable_sort(all.begin(), all.end(),
                     [](const LimitView& a, const LimitView& b) { return a.waiting > b.waiting; });
    if (all.size() > most) all.resize(most);
    return all;
}

// All that runs there, and what it holds ready, one after the other in its slots.
Instant Scheduler::empty_at(WorkerNo number, Instant at) const {
    const State& s = *state_;
    if (number.n >= s.workers.size() || s.workers[number.n].runs.empty()) return kNever;
    at = std::max(at, s.now);
    const Worker& worker = s.workers[number.n];
    std::int64_t longest = 0;
    for (const Index r : worker.runs)
        if (!s.runs[r].prefetched && s.runs[r].task != kNone) longest = std::max(longest, s.remaining(s.runs[r], at));
    return at + Duration{longest + worker.prefetched_us / std::max<std::int64_t>(worker.slots, 1)};
}

void Scheduler::State::tell_eta(Index task) {
    Task& t = tasks[task];
    if (t.place == Place::ready) refresh_forecast(task);
    const std::optional<EtaView> said = eta(task, now);
    if (!said) return;
    t.told = said->finish_p90;
    t.told_as = said->as;
    if (told.size() <= task) told.resize(tasks.size());
    told[task] = {said->finish_p10, said->finish_p50};
}

Promise Scheduler::State::promise_of(Index task) const {
    const Task& t = tasks[task];
    if (t.told == kNever || task >= told.size()) return {};
    return {.p10 = told[task].p10, .p50 = told[task].p50, .p90 = t.told, .as = t.told_as};
}

// Quantile trackers: the later bound moves up by 4.5 % when a task ended after what was told and down by 0.5 % when not, and
// rests at nine in ten; the earlier bound the other way round.
void Scheduler::State::judge_eta(Index task) {
    const Task& t = tasks[task];
    if (t.told == kNever || t.told_as == ToldAs::after) return;
    const bool placed = t.told_as == ToldAs::placed;
    std::int64_t& wide = placed ? eta_wide_placed : eta_wide_queued;
    wide = std::clamp(now > t.told ? wide + wide * 9 / 200 : wide - wide / 200, kEtaWideLeast, kEtaWideMost);
    const Promise promise = promise_of(task);
    if (promise.p10 == kNever) return;
    std::int64_t& early = placed ? eta_early_placed : eta_early_queued;
    early = std::clamp(now < promise.p10 ? early - early * 9 / 200 : early + early / 200, kEtaEarlyLeast, kEtaWideMost);
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
