// What is remembered of the past, each for a bounded time: idempotency keys, ended tasks, settled attempts.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kEndedMax = 1 << 18;    // tasks that `after` may still name once they ended
constexpr std::size_t kSettledMax = 1 << 16;  // attempts whose repeated report is still recognised
constexpr Duration kKeyAfterEnd = hours(1);   // contract C3

std::uint64_t key_hash(std::uint64_t hi, std::uint64_t lo) {
    return IdHash{}(TaskId{hi, lo});
}
}  // namespace

Index Scheduler::State::find_key(std::uint64_t hi, std::uint64_t lo) const {
    return idempotency_table.find(key_hash(hi, lo),
                                  [&](Index i) { return idempotency[i].hi == hi && idempotency[i].lo == lo; });
}

bool Scheduler::State::key_expired(const IdempotencyEntry& entry) const {
    if (entry.ended == kNever) return false;
    return now >= std::max(entry.submitted + config.idempotency_window, entry.ended + kKeyAfterEnd);
}

void Scheduler::State::remember_key(Index task, const TaskSpec& spec) {
    if ((spec.idempotency_hi | spec.idempotency_lo) == 0) return;
    forget_old_keys();
    Index slot = find_key(spec.idempotency_hi, spec.idempotency_lo);
    if (slot != kNone) {
        if (idempotency[slot].ended == kNever) return;  // the key still belongs to a live task
        ended_keys.erase(std::find(ended_keys.begin(), ended_keys.end(), slot));
    } else {
        if (free_idempotency.empty()) {
            slot = static_cast<Index>(idempotency.size());
            idempotency.emplace_back();
        } else {
            slot = free_idempotency.back();
            free_idempotency.pop_back();
        }
        idempotency_table.insert(key_hash(spec.idempotency_hi, spec.idempotency_lo), slot);
    }
    idempotency[slot] = {.hi = spec.idempotency_hi,
                         .lo = spec.idempotency_lo,
                         .body_hash = spec.body_hash,
                         .task = ids[task],
                         .submitted = now};
    tasks[task].idempotency = slot;
}

// Entries leave in the order their tasks ended: by age, or when there are more than the limit.
void Scheduler::State::forget_old_keys() {
    while (!ended_keys.empty()) {
        IdempotencyEntry& oldest = idempotency[ended_keys.front()];
        const bool too_many = idempotency_table.size() >= config.idempotency_keys_max;
        if (!too_many && !key_expired(oldest)) return;
        idempotency_table.erase(key_hash(oldest.hi, oldest.lo), ended_keys.front());
        oldest = {};
        oldest.vacant = true;
        free_idempotency.push_back(ended_keys.front());
        ended_keys.pop_front();
    }
}

void Scheduler::State::remember_ended(TaskId task, bool succeeded) {
    if (ended.size() < kEndedMax) {
        ended.emplace_back();
        ended_next = ended.size() - 1;
    } else {
        ended_next = (ended_next + 1) % kEndedMax;
        ended_table.erase(IdHash{}(ended[ended_next].first), static_cast<Index>(ended_next));
    }
    ended[ended_next] = {task, succeeded};
    ended_table.insert(IdHash{}(task), static_cast<Index>(ended_next));
}

int Scheduler::State::ended_state(TaskId task) const {
    const Index found = ended_table.find(IdHash{}(task), [&](Index i) { return ended[i].first == task; });
    return found == kNone ? -1 : ended[found].second ? 1 : 0;
}

void Scheduler::State::remember_settled(AttemptId attempt) {
    if (settled.size() < kSettledMax) {
        settled.emplace_back();
        settled_next = settled.size() - 1;
    } else {
        settled_next = (settled_next + 1) % kSettledMax;
        settled_table.erase(IdHash{}(settled[settled_next]), static_cast<Index>(settled_next));
    }
    settled[settled_next] = attempt;
    settled_table.insert(IdHash{}(attempt), static_cast<Index>(settled_next));
}

bool Scheduler::State::was_settled(AttemptId attempt) const {
    return settled_table.find(IdHash{}(attempt), [&](Index i) { return settled[i] == attempt; }) != kNone;
}

}  // namespace nexus::core
