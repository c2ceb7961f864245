// When one task will start and be done (docs/scheduling.md, "ETA"), and what was promised of it.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr int kEtaLooks = 256;            // at tasks that one waits for, and those that they wait for
constexpr std::size_t kLimitLook = 1024;  // waiting tasks of a class that are counted one by one
constexpr std::int64_t kEtaWideLeast = kQ16One / 8, kEtaEarlyLeast = kQ16One / 64;
}  // namespace

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

}  // namespace nexus::core
