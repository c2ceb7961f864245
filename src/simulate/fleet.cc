#include "simulate/fleet.h"

#include <algorithm>
#include <utility>

namespace nexus::simulate {
namespace {

constexpr std::uint64_t kPaused = UINT64_MAX;  // in place of the plan of a paused run

}  // namespace

Fleet::Fleet(const World& world, EventQueue& queue, RunRecord& record) : world_(world), queue_(queue), record_(record) {
    attempt_of_.assign(world.workload.tasks.size(), kNoAttempt);
    sessions_.resize(world.cluster.workers.size());
    free_slots_.resize(world.cluster.workers.size());
}

void Fleet::join(std::uint32_t worker, SessionId session) {
    const std::uint32_t slots = world_.cluster.workers[worker].slots;
    sessions_[worker] = session;
    free_total_ += slots - free_slots_[worker];
    free_slots_[worker] = slots;
}

std::vector<Running> Fleet::leave(std::uint32_t worker, Instant now) {
    std::vector<Running> lost;
    for (std::uint32_t index = 0; index < running_.size(); ++index)
        if (running_[index].plan != 0 && running_[index].worker == worker) lost.push_back(drop(index, now));
    free_total_ -= free_slots_[worker];
    free_slots_[worker] = 0;
    sessions_[worker] = {};
    return lost;
}

std::uint32_t Fleet::start(const core::AssignAttempt& order, std::uint32_t task, Duration run, bool fails,
                           Instant now) {
    const std::uint32_t worker = order.worker.n;
    MUST(sessions_[worker] == order.session);
    std::uint32_t index = free_;
    if (index != kNoAttempt) {
        free_ = running_[index].next_of_task;
    } else {
        index = static_cast<std::uint32_t>(running_.size());
        running_.emplace_back();
    }
    Running& here = running_[index];
    here = {.task = task,
            .worker = worker,
            .next_of_task = std::exchange(attempt_of_[task], index),
            .attempt = order.attempt,
            .session = order.session,
            .start = now,
            .ends = now + run,
            .fails = fails};
    here.plan = queue_.plan(here.ends, Happening::run_ends, index);
    take_slot(here, now);
    ++record_.workers[worker].assigned;
    return index;
}

std::uint32_t Fleet::find(std::uint32_t task, AttemptId attempt) const {
    std::uint32_t index = attempt_of_[task];
    while (index != kNoAttempt && running_[index].attempt != attempt) index = running_[index].next_of_task;
    return index;
}

void Fleet::take_slot(Running& here, Instant now) {
    here.busy_from = now;
    if (free_slots_[here.worker] > 0) --free_slots_[here.worker], --free_total_;
}

void Fleet::leave_slot(const Running& here, Instant now) {
    if (here.paused_at != kNever) return;
    const Instant from = std::max(here.busy_from, record_.window_from);
    const Instant to = std::min(now, record_.window_to);
    if (from < to) record_.workers[here.worker].busy = record_.workers[here.worker].busy + (to - from);
    if (sessions_[here.worker] == here.session) ++free_slots_[here.worker], ++free_total_;
}

void Fleet::pause(std::uint32_t index, Instant now) {
    Running& here = running_[index];
    leave_slot(here, now);
    here.paused_at = now;
    here.plan = kPaused;
}

void Fleet::resume(std::uint32_t index, Instant now) {
    Running& here = running_[index];
    const Duration stood = now - here.paused_at;
    here.paused_for = here.paused_for + stood;
    here.paused_at = kNever;
    here.ends = here.ends + stood;
    here.plan = queue_.plan(here.ends, Happening::run_ends, index);
    take_slot(here, now);
}

Running Fleet::drop(std::uint32_t index, Instant now) {
    const Running gone = running_[index];
    leave_slot(gone, now);
    std::uint32_t* link = &attempt_of_[gone.task];
    while (*link != index) link = &running_[*link].next_of_task;
    *link = gone.next_of_task;
    running_[index].plan = 0;
    running_[index].next_of_task = free_;
    free_ = index;
    return gone;
}

std::uint64_t Fleet::idle_slots(const core::Scheduler& core, std::uint64_t most) const {
    std::uint64_t idle = 0;
    if (free_total_ == 0) return idle;
    for (std::uint32_t worker = 0; worker < free_slots_.size() && idle < most; ++worker) {
        if (free_slots_[worker] == 0) continue;
        if (core.worker(WorkerNo{worker}).breaker == 0) idle += free_slots_[worker];
    }
    return std::min(idle, most);
}

}  // namespace nexus::simulate
