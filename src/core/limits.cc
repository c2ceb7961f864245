// Limits on running work, and the keys that order, bound or pace single tasks. Whatever is stopped here is parked off
// the heaps, so that it never stands in the way of work behind it.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

Limit* Scheduler::State::full_limit(const Class& cls) {
    QueueRecord& queue = queues[cls.queue];
    if (queue.paused || queue.limit.full()) return &queue.limit;
    if (tenants[cls.tenant].limit.full()) return &tenants[cls.tenant].limit;
    if (types[cls.type].limit.full()) return &types[cls.type].limit;
    return nullptr;
}

bool Scheduler::State::park_if_limited(Index cls) {
    if (classes[cls].blocked) return true;
    Limit* limit = full_limit(classes[cls]);
    if (limit == nullptr) return false;
    limit->parked.push_back(cls);
    classes[cls].blocked = true;
    update_head(cls);
    update_stuck(cls);
    return true;
}

void Scheduler::State::unpark(Limit& limit) {
    for (const Index cls : std::exchange(limit.parked, {})) {
        classes[cls].blocked = false;
        update_head(cls);
        update_stuck(cls);
        dispatch_everything = true;
    }
}

void Scheduler::State::count_running(Index cls, int change) {
    const Class& c = classes[cls];
    for (Limit* limit : {&queues[c.queue].limit, &tenants[c.tenant].limit, &types[c.type].limit}) {
        const bool was_full = limit->full();
        limit->running += static_cast<std::uint32_t>(change);
        if (was_full && !limit->full() && !limit->parked.empty()) unpark(*limit);
    }
}

// Keys are scoped by tenant: one tenant's key never waits for another's.
void Scheduler::State::join_keys(Index task, const TaskSpec& spec) {
    const auto obtain = [&](Directory<KeyRecord>& keys, const std::string& key) {
        bool made = false;
        const Index index = keys.obtain(spec.tenant + '\n' + key, made);
        keys.retain(index);
        return index;
    };
    if (!spec.ordering_key.empty()) {
        Side& side = side_of(task);
        side.sequence = sequence;
        side.ordering = obtain(ordering_keys, spec.ordering_key);
        ordering_keys[side.ordering].line.emplace_back(task, sequence);
    }
    if (!spec.concurrency_key.empty()) {
        side_of(task).concurrency = obtain(concurrency_keys, spec.concurrency_key);
        concurrency_keys[sides[tasks[task].side].concurrency].most = std::max(1U, spec.concurrency_max);
    }
    if (!spec.rate_key.empty() && spec.rate_per_1000s > 0) {
        side_of(task).rate = obtain(rate_keys, spec.rate_key);
        rate_keys[sides[tasks[task].side].rate].most = spec.rate_per_1000s;
    }
}

void Scheduler::State::park_at(KeyRecord& key, Index task, Place place) {
    park(task, place);
    key.parked.push({.key = tasks[task].key, .ticket = tasks[task].ticket, .task = task});
}

// The first that is parked there goes on, if it still waits.
void Scheduler::State::advance_parked(KeyRecord& key) {
    const HeapEntry entry = key.parked.top();
    key.parked.pop();
    if (!current(entry)) return;
    put_in(tasks[entry.task], Place::nowhere);
    advance(entry.task);
}

bool Scheduler::State::keys_closed(Index task) {
    if (tasks[task].side == kNone) return false;
    const Side& side = sides[tasks[task].side];
    if (side.concurrency != kNone && !tasks[task].concurrency_token) {
        KeyRecord& key = concurrency_keys[side.concurrency];
        if (key.holders >= key.most) {
            park_at(key, task, Place::concurrency);
            return true;
        }
        ++key.holders;
        tasks[task].concurrency_token = true;
    }
    if (side.rate == kNone || tasks[task].rate_turn) return false;
    KeyRecord& key = rate_keys[side.rate];
    if (key.holders == 0 && key.next <= now) {
        key.holders = 1;
        tasks[task].rate_turn = true;
        return false;
    }
    park_at(key, task, Place::rate);
    if (key.holders == 0 && !key.timer) {
        key.timer = true;
        set_timer(key.next, TimerKind::rate, side.rate, 0);
    }
    return true;
}

// Lets as many parked tasks of a concurrency key go on as it has tokens.
void Scheduler::State::release_key(Index index) {
    KeyRecord& key = concurrency_keys[index];
    const bool was_deferred = std::exchange(deferred, true);
    while (key.holders < key.most && !key.parked.empty()) advance_parked(key);
    deferred = was_deferred;
}

void Scheduler::State::release_rate(Index index) {
    KeyRecord& key = rate_keys[index];
    key.timer = false;
    const bool was_deferred = std::exchange(deferred, true);
    while (!key.parked.empty() && key.holders == 0) {
        if (key.next > now && current(key.parked.top())) {
            key.timer = true;
            set_timer(key.next, TimerKind::rate, index, 0);
            break;
        }
        advance_parked(key);
    }
    deferred = was_deferred;
}

// The first of those parked there goes at `next`, each other one an interval later. Beyond so many they are not counted.
Instant Scheduler::State::rate_turn(Index task, Instant at) const {
    constexpr std::size_t kLook = 1024;
    const KeyRecord& key = rate_keys[sides[tasks[task].side].rate];
    const auto& parked = key.parked.entries();
    const HeapEntry own{.key = tasks[task].key, .ticket = tasks[task].ticket, .task = task};
    const std::size_t seen = std::min(kLook, parked.size());
    std::int64_t before = 0;
    for (std::size_t i = 0; i < seen; ++i)
        if (current(parked[i]) && parked[i] < own) ++before;
    before = scale(before, static_cast<std::int64_t>(parked.size()),
                   std::max<std::int64_t>(1, static_cast<std::int64_t>(seen)));
    const std::int64_t interval = 1'000'000'000 / static_cast<std::int64_t>(std::max(1U, key.most));
    return std::max(at, key.next) + Duration{scale(before + key.holders, interval, 1)};
}

void Scheduler::State::rate_started(Index task) {
    if (!tasks[task].rate_turn) return;
    tasks[task].rate_turn = false;
    const Index index = sides[tasks[task].side].rate;
    KeyRecord& key = rate_keys[index];
    key.holders = 0;
    key.next = now + Duration{1'000'000'000 / static_cast<std::int64_t>(key.most)};
    if (!key.timer) release_rate(index);
}

// The task goes back behind its gates: what it held lets others pass.
void Scheduler::State::give_back_tokens(Index task) {
    if (tasks[task].side == kNone) return;
    const Side& side = sides[tasks[task].side];
    if (std::exchange(tasks[task].concurrency_token, false)) {
        --concurrency_keys[side.concurrency].holders;
        release_key(side.concurrency);
    }
    if (std::exchange(tasks[task].rate_turn, false)) {
        rate_keys[sides[tasks[task].side].rate].holders = 0;
        release_rate(sides[tasks[task].side].rate);
    }
}

void Scheduler::State::leave_keys(Index task) {
    put_in(tasks[task], Place::nowhere);
    tasks[task].ticket = new_ticket();
    give_back_tokens(task);
    const Side side = sides[tasks[task].side];
    if (side.concurrency != kNone) concurrency_keys.release(side.concurrency);
    if (side.rate != kNone) rate_keys.release(side.rate);
    if (side.ordering == kNone) return;
    auto& line = ordering_keys[side.ordering].line;
    const bool was_first = line.front().second == side.sequence;
    line.erase(std::lower_bound(line.begin(), line.end(), side.sequence,
                                [](const auto& item, std::uint64_t number) { return item.second < number; }));
    if (was_first && !line.empty() && tasks[line.front().first].place == Place::ordering) {
        const bool was_deferred = std::exchange(deferred, true);
        leave_place(line.front().first);
        advance(line.front().first);
        deferred = was_deferred;
    }
    ordering_keys.release(side.ordering);
}

}  // namespace nexus::core
