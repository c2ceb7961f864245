// The checker's judgement of what an assignment rests on: leases that must be over, and the constraints of the task,
// its worker and its limits.

#include <algorithm>

#include "faults/checker.h"

namespace nexus::faults {
namespace {

const std::string* label(const core::Labels& labels, const std::string& wanted) {
    for (const auto& [name, value] : labels)
        if (name == wanted) return &value;
    return nullptr;
}

}  // namespace

std::vector<std::string> Checker::keys_of(const core::TaskSpec& spec) {
    std::vector<std::string> keys;
    if (!spec.ordering_key.empty()) keys.push_back("o" + spec.tenant + '\n' + spec.ordering_key);
    if (!spec.concurrency_key.empty()) keys.push_back("c" + spec.tenant + '\n' + spec.concurrency_key);
    return keys;
}

std::array<std::string, 3> Checker::limited_by(const core::TaskSpec& spec) {
    return {"type " + spec.type, "tenant " + spec.tenant, "queue " + spec.queue};
}

// When the attempts of a worker that goes may be given to others at the earliest [S26].
void Checker::set_leases(const core::Event& event) {
    const core::Config& config = twin_.config();
    const Instant now = event.at;
    const auto each = [this](WorkerNo worker, const auto& change) {
        const auto found = held_.find(worker.n);
        if (!worker || found == held_.end()) return;
        for (const auto& [task, id] : found->second) {
            TaskFact& known = tasks_.at(task);
            for (Attempt& attempt : known.current)
                if (attempt.id == id) {
                    attempt.lease_end_before = attempt.lease_end;
                    attempt.lease_changed_by = sequence_;
                    attempt.lease_end = change(known, attempt);
                }
        }
    };
    if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) {
        each(twin_.worker_of(lost->session),
             [&](const TaskFact&, const Attempt&) { return std::min(lost->last_contact, now) + config.lease; });
    } else if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) {
        each(twin_.worker_of(left->session), [&](const TaskFact& known, const Attempt& attempt) {
            if (left->planned) return known.spec.exclusive && attempt.lease_end != kNever ? attempt.lease_end : now;
            return now + (known.spec.exclusive ? config.lease : config.close_grace);
        });
    } else if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) {
        each(twin_.find_worker(joined->name), [&](const TaskFact& known, const Attempt& attempt) {
            const bool kept = std::ranges::any_of(
                joined->held, [&](const core::HeldAttempt& held) { return held.attempt == attempt.id; });
            if (kept) return kNever;
            if (!known.spec.exclusive) return now;
            return attempt.lease_end == kNever ? now + config.lease : attempt.lease_end;
        });
    } else if (std::holds_alternative<core::EngineStarted>(event.what)) {
        for (const auto& [worker, held] : held_)
            each(WorkerNo{worker}, [&](const TaskFact& known, const Attempt& attempt) {
                if (attempt.lease_end != kNever) return std::max(attempt.lease_end, now + config.reconnect_grace);
                return now + std::max(config.reconnect_grace, known.spec.exclusive ? config.lease : Duration{});
            });
    }
}

// A standstill may begin while another lasts.
void Checker::server_stands(Instant from, Instant until) {
    if (!stood_.empty() && from <= stood_.back().second)
        stood_.back().second = std::max(stood_.back().second, until);
    else
        stood_.emplace_back(from, until);
}

// When the server, which sleeps until the next thing is due, can do it: at once, or when it moves again.
Instant Checker::acts_on(Instant due) const {
    for (const auto& [from, until] : stood_)
        if (from <= due && due < until) return until;
    return due;
}

void Checker::check_lease(const TaskFact& known, const Attempt& attempt) {
    const Instant now = twin_.now();
    // Timers fire first: within the event that changed the lease it may have ended as it was before.
    const bool just_changed = attempt.lease_changed_by == sequence_;
    const Instant earliest = just_changed ? std::min(attempt.lease_end_before, attempt.lease_end) : attempt.lease_end;
    demand(earliest != kNever, "S26",
           name(submitted_[known.serial - 1]) + " was taken from a worker that is connected");
    demand(now >= earliest, "S26",
           name(submitted_[known.serial - 1]) + " was given up " + std::to_string((earliest - now).us) +
               " us before its lease ended");
    demand(just_changed || now <= acts_on(attempt.lease_end), "S26",
           name(submitted_[known.serial - 1]) + " was given up " + std::to_string((now - attempt.lease_end).us) +
               " us after its lease ended");
}

void Checker::check_constraints(const TaskFact& known, const core::AssignAttempt& order) {
    const std::string who = name(order.task);
    const core::TaskSpec& spec = known.spec;
    // Timers fire first within an event: an assignment may still be of the worker as it was before.
    const std::string worker_name(twin_.worker(order.worker).name);
    const bool as_before = worker_name == changed_ &&
                           (!workers_[worker_name].connected || workers_[worker_name].joined.session != order.session ||
                            workers_[worker_name].suspect || workers_[worker_name].cordoned ||
                            workers_[worker_name].draining || workers_[worker_name].leaving);
    const WorkerFact& worker = as_before ? before_ : workers_[worker_name];
    demand(worker.connected && worker.joined.session == order.session, "S10",
           who + " was assigned to a worker that is not connected");
    demand(!worker.suspect, "S10", who + " was assigned to a silent worker");
    demand(!worker.cordoned && !worker.draining && !worker.leaving, "S10",
           who + " was assigned to a worker that takes nothing new");
    const auto& types = worker.joined.types;
    demand(types.empty() || std::find(types.begin(), types.end(), spec.type) != types.end(), "S10",
           who + ": the worker does not take its type");
    for (const auto& [label_name, value] : spec.labels_required) {
        const std::string* has = label(worker.joined.labels, label_name);
        demand(has != nullptr && *has == value, "S10", who + ": the worker lacks a required label");
    }
    for (const auto& [label_name, value] : spec.labels_forbidden) {
        const std::string* has = label(worker.joined.labels, label_name);
        demand(has == nullptr || *has != value, "S10", who + ": the worker has a forbidden label");
    }
    demand(spec.pinned_worker.empty() || spec.pinned_worker == worker.joined.name, "S10",
           who + " ran elsewhere than pinned");
    // Timers of the event that moves the calendar go by the one before.
    const std::int64_t wall = std::min(event_wall_, twin_.now().us + twin_.wall_offset().us);
    // What the calendar once released stays released when it is set back.
    wall_high_ = std::max(wall_high_, twin_.now().us + twin_.wall_offset().us);
    demand(spec.run_at.us == 0 || spec.run_at.us <= wall_high_, "S13", who + " was assigned before its time");
    demand(spec.deadline.us == 0 || wall <= spec.deadline.us, "S13",
           who + " was assigned " + std::to_string(wall - spec.deadline.us) + " us after its deadline");
    for (const TaskId before : spec.after) {
        const auto other = tasks_.find(before);
        demand(other == tasks_.end() || (other->second.ended && other->second.state == core::TaskState::succeeded),
               "S16", who + " was assigned before a task that it comes after");
    }
}

// Tasks that share a key [S16, S11].
void Checker::check_keys(const TaskFact& known) {
    const core::TaskSpec& spec = known.spec;
    const TaskId self = submitted_[known.serial - 1];
    for (const std::string& key : keys_of(spec)) {
        std::uint32_t beside = 0;
        for (const TaskId id : sharing_[key]) {
            const TaskFact& other = tasks_.at(id);
            if (id == self) continue;
            if (!other.current.empty()) ++beside;
            if (key.front() != 'o') continue;
            demand(other.current.empty(), "S16", name(self) + " runs beside " + name(id) + " of the same ordering key");
            demand(other.serial > known.serial, "S16",
                   name(self) + " overtook " + name(id) + " of the same ordering key");
        }
        if (key.front() == 'c')
            demand(beside < std::max(1U, spec.concurrency_max), "S11",
                   name(self) + " exceeds the limit of its concurrency key");
    }
}

// Running tasks of its type, tenant and queue, itself included [S11].
void Checker::check_limits(const TaskFact& known) {
    if (config_changes_) return;  // timers fire first: it may have been decided under the limits before
    const core::Config& config = twin_.config();
    const std::string who = name(submitted_[known.serial - 1]);
    const auto limits = limited_by(known.spec);
    const auto check = [&](const std::string& kind, std::uint32_t most) {
        demand(most == 0 || running_[kind] <= most, "S11",
               who + " is number " + std::to_string(running_[kind]) + " of " + kind + ", of which " +
                   std::to_string(most) + " may run");
        if (most != 0 && running_[kind] == most) saw("a limit is reached");
    };
    for (const auto& each : config.types)
        if (each.name == known.spec.type) check(limits[0], each.running_max);
    for (const auto& each : config.tenants)
        if (each.name == known.spec.tenant) check(limits[1], each.running_max);
    for (const auto& each : config.queues)
        if (each.name == known.spec.queue) {
            demand(!each.paused, "S11", who + " was assigned though its queue is paused");
            check(limits[2], each.running_max);
        }
}

// What waits beyond the slots has been told to begin when one of them is free: its worker, not the journal, knows when.
void Checker::check_capacity(const core::AssignAttempt& order, const core::Resources& taken) {
    const WorkerNo number = order.worker;
    const std::string worker_name(twin_.worker(number).name);
    if (worker_name == changed_) return;  // judged at the next assignment
    const WorkerFact& worker = workers_[worker_name];
    core::Resources used;
    const auto& held = held_[number.n];
    for (const auto& [task, attempt] : held) {
        const core::Resources& wants = tasks_.at(task).spec.resources;
        if (!still_.contains(attempt)) used.cpu_milli += wants.cpu_milli;
        used.memory_bytes += wants.memory_bytes;
    }
    const auto paused = static_cast<std::size_t>(
        std::ranges::count_if(held, [this](const auto& one) { return still_.contains(one.second); }));
    demand(paused <= 4, "S9", "worker " + worker.joined.name + " holds more than four paused attempts");
    const auto ahead = static_cast<std::size_t>(std::ranges::count_if(held, [this](const auto& one) {
        return std::ranges::any_of(tasks_.at(one.first).current,
                                   [&](const Attempt& a) { return a.id == one.second && a.ahead && !a.started; });
    }));
    const std::string holds = "worker " + worker.joined.name + " holds " + std::to_string(held.size()) + " attempts, " +
                              std::to_string(paused) + " paused and " + std::to_string(ahead) + " beyond its " +
                              std::to_string(worker.joined.slots) + " slots";
    const bool is_ahead = order.decision.reason == core::DecisionReason::prefetched;
    demand(is_ahead || held.size() - paused - ahead <= worker.joined.slots, "S9", holds);
    demand(!is_ahead || held.size() <= worker.joined.slots + worker.joined.prefetch_max, "S9",
           holds + ", and may hold " + std::to_string(worker.joined.prefetch_max) + " beyond them");
    const core::Resources& offered = worker.joined.offered;
    // A run that could not be paused has its share beside the one that it was to give way to.
    demand(taken.cpu_milli == 0 || offered.cpu_milli < 0 || used.cpu_milli <= offered.cpu_milli, "S9",
           "worker " + worker.joined.name + ": more CPU than offered");
    demand(offered.memory_bytes < 0 || used.memory_bytes <= offered.memory_bytes, "S9",
           "worker " + worker.joined.name + ": more memory than offered");
}

void Checker::expect_fair(std::string tenant, std::uint64_t slots) {
    fair_tenant_ = std::move(tenant);
    fair_slots_ = slots;
}

// In arrival order it would begin when what came before it is done; its size may cost it the ageing bound on top. The
// core measures both in work at the speed that it believes its workers to have, which may be a third of the true one;
// and the last of what is before it may end as late as the longest takes. Where tasks are bound to workers as they
// arrive there is no such promise.
void Checker::set_fair(TaskFact& known, Instant now) {
    const core::Config& config = twin_.config();
    constexpr std::int64_t kMemory = 2048;  // arrivals of which the core knows the mean
    estimates_ = std::min(estimates_ + 1, kMemory);
    mean_estimate_.us += (known.estimate.mean.us - mean_estimate_.us) / estimates_;
    if (known.spec.tenant != fair_tenant_ || known.work == UINT64_MAX || !late_binding()) return;
    const Duration run = works_[known.work].run;
    fair_longest_ = std::max(fair_longest_, run);
    const Duration bound{std::max(config.overtake_max.us, config.overtake_cap_means * mean_estimate_.us)};
    const Duration before{fair_work_.us / static_cast<std::int64_t>(fair_slots_)};
    known.fair_by = now + Duration{3 * (before.us + bound.us)} + fair_longest_;
    fair_work_ = fair_work_ + run;
}

void Checker::check_fair(const TaskFact& known) {
    if (known.fair_by == kNever || known.attempts > 1) return;
    demand(twin_.now() <= known.fair_by, "L4",
           name(submitted_[known.serial - 1]) + " waited " + std::to_string((twin_.now() - known.submitted).us) +
               " us, at most " + std::to_string((known.fair_by - known.submitted).us) + " us by the ageing bound");
    saw("waited within the ageing bound");
}

}  // namespace nexus::faults
