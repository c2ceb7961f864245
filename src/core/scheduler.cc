#include "core/scheduler.h"

#include <algorithm>
#include <bit>

#include "core/state.h"

namespace nexus::core {

Scheduler::Scheduler(Config config) : state_(std::make_unique<State>(std::move(config))) {}
Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

void Scheduler::apply(const Event& event, std::vector<Command>& out) {
    state_->apply(event, out);
}
std::uint64_t Scheduler::digest() const {
    return state_->digest;
}
void Scheduler::check_invariants() const {
    state_->check();
}
Instant Scheduler::now() const {
    return state_->now;
}
Duration Scheduler::wall_offset() const {
    return state_->wall_offset;
}
const Config& Scheduler::config() const {
    return state_->config;
}
const Counters& Scheduler::counters() const {
    return state_->counters;
}

std::uint32_t Scheduler::epoch() const {
    return state_->epoch;
}
std::uint32_t Scheduler::shard() const {
    return state_->shard;
}
std::size_t Scheduler::override_count() const {
    return state_->overrides.size();
}
std::vector<OverrideSet> Scheduler::overrides() const {
    std::vector<OverrideSet> all;
    for (const Override& o : state_->overrides) all.push_back(o.set);
    return all;
}
std::vector<EstimateForced> Scheduler::forced_estimates() const {
    std::vector<EstimateForced> all;
    for (const Forced& f : state_->forced) all.push_back(f.set);
    return all;
}

AdmissionAnswer Scheduler::admit(const TaskSpec& spec, std::uint64_t before, std::uint64_t before_of_tenant) const {
    const State& s = *state_;
    if ((spec.idempotency_hi | spec.idempotency_lo) != 0) {
        const Index found = s.find_key(spec.idempotency_hi, spec.idempotency_lo);
        if (found != kNone && !s.key_expired(s.idempotency[found])) {
            const IdempotencyEntry& entry = s.idempotency[found];
            const bool same = entry.body_hash == spec.body_hash;
            return {same ? Admission::duplicate : Admission::key_conflict, entry.task};
        }
    }
    if (s.task_table.size() + before >= s.config.tasks_max) return {Admission::tasks_full, {}};
    const Index tenant = s.tenants.find(spec.tenant);
    std::uint64_t waiting = before_of_tenant;
    std::uint32_t waiting_max = 0;
    if (tenant != kNone) {
        waiting += s.tenants[tenant].waiting;
        waiting_max = s.tenants[tenant].waiting_max;
    } else if (waiting > 0) {
        for (const TenantLimits& limits : s.config.tenants)
            if (limits.name == spec.tenant) waiting_max = limits.waiting_max;
    }
    if (waiting_max != 0 && waiting >= waiting_max) return {Admission::tenant_full, {}};
    for (const TaskId after : spec.after)
        if (s.find_task(after) == kNone && s.ended_state(after) < 0) return {Admission::unknown_after, after};
    return {};
}

void Scheduler::State::apply(const Event& event, std::vector<Command>& commands) {
    out = &commands;
    const std::size_t first = commands.size();
    measure_idle(event.at - now);
    now = std::max(now, event.at);
    mix_event(event);
    if (now >= forget_at) forget_gone();  // before any command of this event names a worker
    // What falls due meets the world as it was, unless the fact is that somebody is gone: nothing is given to the dead.
    const bool someone_gone =
        std::holds_alternative<EngineStarted>(event.what) || std::holds_alternative<WorkerLeft>(event.what) ||
        std::holds_alternative<WorkerLost>(event.what) || std::holds_alternative<WorkerSuspected>(event.what);
    if (!someone_gone) fire_timers();
    // A lone arrival is placed at once; everything else first frees and queues, and settle() gives out by key.
    deferred = !std::holds_alternative<TaskSubmitted>(event.what);
    std::visit([this](const auto& fact) { on(fact); }, event.what);
    if (someone_gone) fire_timers();
    settle();
    announce_wake();
    for (std::size_t i = first; i < commands.size(); ++i) mix_command(commands[i]);
    out = nullptr;
}

void Scheduler::State::settle() {
    if (!reserved.empty()) check_reservations();
    while (dispatch_everything || !freed.empty() || !doomed.empty() || !newcomers.empty()) {
        deferred = true;
        for (const auto& [id, cause] : std::exchange(doomed, {})) {
            const Index task = find_task(id);
            if (task != kNone) stop_task(task, TaskState::cancelled, RevokeReason::cancelled, cause);
        }
        deferred = false;
        if (!doomed.empty()) continue;
        if (!reserved.empty()) check_reservations();
        if (std::exchange(dispatch_everything, false)) {
            freed.clear();
            dispatch_all();
        } else if (!freed.empty()) {
            const Index worker = freed.back();
            freed.pop_back();
            fill(worker);
        } else {
            place_newcomers();
        }
    }
    deferred = false;
}

// Slot time during which a free worker stood beside a task that it may run, holds and open breakers excepted. settle()
// makes it zero; it is measured so that the promise can be watched in production.
void Scheduler::State::measure_idle(Duration passed) {
    if (passed.us <= 0 || active_groups.empty() || !late_binding()) return;
    for (std::size_t word = 0; word < ready.size(); ++word)
        for (std::uint64_t bits = ready[word]; bits != 0; bits &= bits - 1) {
            const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
            for (const Index g : active_groups) {
                if (!eligible(groups[g], w) || !fits(groups[g], w)) continue;
                if (full_limit(classes[groups[g].heads[0].cls]) != nullptr) continue;
                counters.idle_while_waiting.us += passed.us;
                break;
            }
        }
}

std::uint32_t Scheduler::State::new_ticket() {
    if (++last_ticket == 0) last_ticket = 1;
    return last_ticket;
}

}  // namespace nexus::core
