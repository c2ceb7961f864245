// What is remembered of the past, each for a bounded time: idempotency keys, ended tasks, settled attempts, workers that
// are gone.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kEndedMax = 1 << 18;    // tasks that `after` may still name once they ended
constexpr std::size_t kSettledMax = 1 << 16;  // attempts whose repeated report is still recognised
constexpr Duration kKeyAfterEnd = hours(1);   // contract C3
constexpr std::int64_t kForgetRounds = 16;    // in a retention: each goes through all tasks

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

void Scheduler::State::note_gone(Index w, Instant since) {
    workers[w].gone = since;
    if (config.worker_retention.us > 0) forget_at = std::min(forget_at, now + config.worker_retention);
}

void Scheduler::State::plan_forgetting() {
    forget_at = kNever;
    if (config.worker_retention.us == 0) return;
    for (const Worker& worker : workers)
        if (worker.gone != kNever) forget_at = std::min(forget_at, worker.gone + config.worker_retention);
}

bool Scheduler::State::removable(Index w) const {
    const Worker& worker = workers[w];
    if (worker.name.empty() || worker.connected || !worker.runs.empty() || worker.reserved_task != kNone) return false;
    return std::ranges::none_of(overrides, [&](const Override& o) { return o.set.worker == worker.name; });
}

// Those that an operator has something in mind with stay, and those that a task is pinned to.
void Scheduler::State::forget_gone() {
    const Instant next = now + std::max(Duration{config.worker_retention.us / kForgetRounds}, seconds(1));
    forget_at = kNever;
    std::vector<Index> due;
    for (Index w = 0; w < workers.size(); ++w) {
        const Worker& worker = workers[w];
        if (worker.gone == kNever) continue;
        const Instant at = worker.gone + config.worker_retention;
        const bool kept = worker.cordoned || worker.draining || !removable(w);
        if (at <= now && !kept)
            due.push_back(w);
        else
            forget_at = std::min(forget_at, std::max(at, next));
    }
    if (due.empty()) return;
    std::vector<std::string_view> pinned;
    for (const Class& cls : classes)
        if (!cls.vacant && cls.references > 0 && !cls.spec.pinned_worker.empty())
            pinned.push_back(cls.spec.pinned_worker);
    std::ranges::sort(pinned);
    const auto waited_for = [&](Index w) { return std::ranges::binary_search(pinned, workers[w].name); };
    if (std::erase_if(due, waited_for) > 0) forget_at = std::min(forget_at, next);
    if (!due.empty()) forget(due);
}

// Nothing points to a vacant record: its number may soon be another's.
void Scheduler::State::forget(const std::vector<Index>& gone) {
    const auto drop = [&](Index& w) {
        if (!std::ranges::binary_search(gone, w)) return false;
        w = kNone;
        return true;
    };
    for (Task& task : tasks) {
        if (task.serial == 0) continue;
        drop(task.worker);
        if (drop(task.avoid)) task.charged = false;
    }
    for (TypeRecord& type : types.records()) {
        drop(type.good_at);
        drop(type.good_before);
    }
    for (const Index w : gone) {
        const std::uint64_t others = ~(std::uint64_t{1} << (w % 64));
        for (Group& group : groups)
            if (!group.vacant) group.eligible[w / 64] &= others;
        ready[w / 64] &= others;
        open[w / 64] &= others;
        hot.utilization[w] = hot.band_low[w] = hot.band_high[w] = 0;
        hot.free_load[w] = kNotReady;
        worker_names.erase(workers[w].name);
        workers[w] = {};
        free_workers.push_back(w);
    }
}

}  // namespace nexus::core
