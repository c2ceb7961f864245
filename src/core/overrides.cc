// What operators say against the scheduler's judgement: overrides (pin, hold, boost, exclude) and forced estimates. Each
// may expire; all that is in force is kept with who said it and why.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

void Scheduler::State::on(const OverrideSet& fact) {
    if (fact.number == 0) return;
    const auto same = [&](const Override& o) { return o.set.number == fact.number; };
    if (std::any_of(overrides.begin(), overrides.end(), same) || fact.expires <= now) return;
    if (overrides.size() >= kOverridesMax) return;
    const Index task = fact.task ? find_task(fact.task) : kNone;
    if (fact.task && task == kNone) return;
    if (task != kNone) ++side_of(task).overrides;
    overrides.push_back({.set = fact, .ticket = new_ticket()});
    if (fact.expires != kNever) set_timer(fact.expires, TimerKind::override_end, 0, overrides.back().ticket);
    apply_override(fact, 1);
}

void Scheduler::State::on(const OverrideCleared& fact) {
    clear_override(fact.number);
}

void Scheduler::State::clear_override(std::uint64_t number) {
    const auto found =
        std::find_if(overrides.begin(), overrides.end(), [&](const Override& o) { return o.set.number == number; });
    if (found == overrides.end()) return;
    const OverrideSet set = found->set;
    overrides.erase(found);
    if (const Index task = set.task ? find_task(set.task) : kNone; task != kNone) --sides[tasks[task].side].overrides;
    apply_override(set, -1);
}

void Scheduler::State::drop_overrides_of(Index task) {
    Side& side = sides[tasks[task].side];
    if (side.plain_class != kNone) release_class(std::exchange(side.plain_class, kNone));
    if (side.overrides == 0) return;
    std::erase_if(overrides, [&](const Override& o) {
        if (o.set.task != ids[task]) return false;
        if (o.set.expires != kNever) ++timers_stale;
        return true;
    });
    side.overrides = 0;
}

void Scheduler::State::on(const EstimateForced& fact) {
    drop_forced(fact.type);
    if (fact.type.empty() || fact.estimate.us <= 0 || fact.expires <= now || forced.size() >= kForcedMax) return;
    const auto at = std::lower_bound(forced.begin(), forced.end(), fact.type,
                                     [](const Forced& f, const std::string& type) { return f.set.type < type; });
    const std::uint32_t ticket = new_ticket();
    forced.insert(at, {.set = fact, .ticket = ticket});
    if (fact.expires != kNever) set_timer(fact.expires, TimerKind::forced_end, 0, ticket);
}

void Scheduler::State::drop_forced(const std::string& type) {
    std::erase_if(forced, [&](const Forced& f) {
        if (f.set.type != type) return false;
        if (f.set.expires != kNever) ++timers_stale;
        return true;
    });
}

void Scheduler::State::apply_override(const OverrideSet& set, int sign) {
    dispatch_everything = true;
    const Index task = set.task ? find_task(set.task) : kNone;
    if (set.kind == OverrideKind::pin) {
        if (task != kNone) pin_task(task, set.worker, sign > 0);
        return;
    }
    if (set.task) {
        if (task == kNone) return;
        Side& side = side_of(task);
        if (set.kind == OverrideKind::hold) side.holds += static_cast<std::uint32_t>(sign);
        if (set.kind == OverrideKind::boost) side.boost_us += sign * set.boost.us;
        return regate(task, set.kind == OverrideKind::boost ? -sign * set.boost.us : 0);
    }
    const Index type = type_named(set.type);
    sign > 0 ? types.retain(type) : types.release(type);
    TypeRecord& record = types[type];
    if (set.kind == OverrideKind::exclude) {
        const Index worker = worker_named(set.worker);
        if (!workers[worker].connected && workers[worker].gone == kNever) note_gone(worker, now);  // never seen so far
        const auto at = std::lower_bound(record.excluded.begin(), record.excluded.end(), worker);
        if (sign > 0) {
            record.excluded.insert(at, worker);
        } else {
            record.excluded.erase(at);
        }
        return renew_signatures();
    }
    if (set.kind == OverrideKind::hold) record.holds += static_cast<std::uint32_t>(sign);
    if (set.kind == OverrideKind::boost) record.boost_us += sign * set.boost.us;
    for (Index t = 0; t < tasks.size(); ++t)
        if (tasks[t].serial != 0 && classes[tasks[t].cls].type == type)
            regate(t, set.kind == OverrideKind::boost ? -sign * set.boost.us : 0);
}

// Through the gates again, with the key moved by `shift`.
void Scheduler::State::regate(Index task, std::int64_t shift) {
    Task& t = tasks[task];
    if (t.place == Place::running) return;
    const bool affected = t.place == Place::ready || t.place == Place::bound || t.place == Place::held ||
                          t.place == Place::concurrency || t.place == Place::rate;
    if (affected) leave_place(task);
    if (t.keyed && shift != 0) {
        t.base += shift;
        set_key(task);
    }
    if (affected) advance(task);
}

void Scheduler::State::pin_task(Index task, const std::string& worker, bool set) {
    Side& side = side_of(task);
    if (!set && side.plain_class == kNone) return;
    const bool waits_here = tasks[task].place == Place::ready || tasks[task].place == Place::bound;
    if (waits_here) leave_place(task);
    if (set) {
        TaskSpec spec = classes[tasks[task].cls].spec;
        spec.pinned_worker = worker;
        if (side.plain_class == kNone) {
            side.plain_class = tasks[task].cls;
            retain_class(side.plain_class);
        }
        move_class(task, class_of(spec, classes[tasks[task].cls].alone, {}));
    } else {
        move_class(task, side.plain_class);
        release_class(std::exchange(side.plain_class, kNone));
    }
    if (waits_here) advance(task);
}

}  // namespace nexus::core
