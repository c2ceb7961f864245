// The invariants, recounted from the records.

#include <algorithm>

#include "core/state.h"

namespace nexus::core {

void Scheduler::State::check() const {
    MUST(out == nullptr);
    MUST(freed.empty());
    MUST(doomed.empty());
    MUST(!dispatch_everything);
    std::uint64_t waiting = 0, assigned = 0, running = 0, paused = 0;
    std::int64_t backlog = 0, ready_work = 0;
    std::vector<std::uint32_t> in_class(classes.size()), living(classes.size()), running_in(classes.size());
    std::vector<std::int64_t> work_in(classes.size());
    decltype(at_place) placed_now{};
    for (Index i = 0; i < tasks.size(); ++i) {
        const Task& t = tasks[i];
        if (t.serial == 0) continue;
        MUST(find_task(ids[i]) == i);
        MUST(t.place != Place::nowhere);
        ++placed_now[static_cast<std::size_t>(t.place)];
        MUST(!classes[t.cls].vacant);
        ++living[t.cls];
        MUST((t.run != kNone) == (t.place == Place::running));
        if (t.place == Place::running) {
            MUST(runs[t.run].task == i);
            MUST(t.copy == kNone || runs[t.copy].task == i);
            const Run& run = runs[t.run];
            ++(run.paused() ? paused : run.started == kNever ? assigned : running);
            ++running_in[runs[t.run].cls];
            continue;
        }
        MUST(t.copy == kNone);
        ++waiting;
        backlog += t.mean.us;
        if (t.place == Place::ready) {
            ++in_class[t.cls];
            work_in[t.cls] += t.mean.us;
            MUST(t.key <= classes[t.cls].key_last);
        }
        if (t.place == Place::ready || t.place == Place::bound) ready_work += t.mean.us;
        if (t.place == Place::bound) MUST(workers[t.worker].connected);
    }
    MUST(waiting == counters.waiting);
    MUST(assigned == counters.assigned);
    MUST(running == counters.running);
    MUST(paused == counters.paused);
    MUST(backlog == counters.backlog.us);
    MUST(ready_work == ready_work_us);
    MUST(ready_work == ahead.total().work_us);
    MUST(placed_now == at_place);
    WorkAhead::Sum stuck_now;
    MUST(counters.submitted == counters.succeeded + counters.dead + counters.cancelled + counters.expired + waiting +
                                   assigned + running + paused);
    std::vector<std::uint32_t> of_type(types.records().size()), of_tenant(tenants.records().size()),
        of_queue(queues.records().size());
    for (Index c = 0; c < classes.size(); ++c) {
        const Class& cls = classes[c];
        if (cls.vacant) continue;
        MUST(cls.waiting == in_class[c]);
        MUST(cls.work_us == work_in[c]);
        MUST(is_stuck(cls) == (cls.stuck_at != kNone));
        if (cls.stuck_at != kNone) stuck_now.add({.work_us = cls.work_us, .tasks = cls.waiting});
        MUST(living[c] <= cls.references);
        MUST((cls.head_at != kNone) == (cls.waiting > 0 && !cls.blocked));
        if (cls.waiting > 0) MUST(current(cls.heap.top()));
        if (cls.head_at != kNone) MUST(groups[cls.group].heads[cls.head_at].cls == c);
        if (cls.head_at != kNone) MUST(groups[cls.group].heads[cls.head_at].ticket == cls.heap.top().ticket);
        of_type[cls.type] += running_in[c];
        of_tenant[cls.tenant] += running_in[c];
        of_queue[cls.queue] += running_in[c];
    }
    for (Index i = 0; i < of_type.size(); ++i) MUST(types[i].limit.running == of_type[i]);
    for (Index i = 0; i < of_tenant.size(); ++i) MUST(tenants[i].limit.running == of_tenant[i]);
    for (Index i = 0; i < of_queue.size(); ++i) MUST(queues[i].limit.running == of_queue[i]);
    MUST(stuck_now.work_us == stuck_work.work_us);
    MUST(stuck_now.tasks == stuck_work.tasks);
    for (const Group& group : groups) {
        std::uint32_t reach = 0;
        for (Index w = 0; w < workers.size() && !group.vacant; ++w)
            if (eligible(group, w) && workers[w].connected) ++reach;
        MUST(group.reach == reach);
        std::uint32_t group_waiting = 0;
        for (const Class& cls : classes)
            if (!cls.vacant && cls.group == static_cast<Index>(&group - groups.data())) group_waiting += cls.waiting;
        MUST(group.waiting == group_waiting);
    }
    check_workers();
}

void Scheduler::State::check_workers() const {
    std::uint64_t busy = 0, prefetched_now = 0;
    for (Index w = 0; w < workers.size(); ++w) {
        const Worker& worker = workers[w];
        Resources used;
        std::uint32_t alone = 0, paused = 0, ahead = 0;
        std::int64_t rate = 0;
        for (Index at = 0; at < worker.runs.size(); ++at) {
            const Run& run = runs[worker.runs[at]];
            MUST(run.at == at);
            MUST(run.worker == w);
            MUST(run.ticket != 0);
            MUST(!(run.task == kNone && run.orphan));
            MUST(!(run.notice && run.paused()));
            take_resources(used, classes[run.cls].spec.resources, 1);
            if (run.paused()) {
                ++paused;
                used.cpu_milli -= classes[run.cls].spec.resources.cpu_milli;
                MUST(run.started != kNever);
                MUST(run_ends[worker.runs[at]] == 0);
                if (late_binding()) MUST(!resumable(worker.runs[at]));  // a free slot is not kept from it
            }
            if (classes[run.cls].alone) ++alone;
            rate += run.rate;
            if (!run.prefetched) continue;
            ++ahead;
            prefetched_now += 1;
            MUST(run.rate == 0 && !run.paused() && !run.speculative);
            // What it may begin by itself has begun.
            if (!worker.connected || run.task == kNone) continue;
            if (run.recalled_at == kNever) MUST(worker.occupied() >= worker.slots);
            MUST(worker.prefetch_due != kNever);
        }
        MUST(ahead == worker.prefetched.size());
        for (const Index r : worker.prefetched) MUST(runs[r].prefetched && runs[r].worker == w);
        MUST(rate == worker.rate);
        MUST(paused == worker.paused);
        busy += worker.occupied();
        MUST(used == worker.used);
        MUST(alone == worker.alone);
        MUST(alone == 0 || worker.runs.size() == 1 || !worker.connected);
        MUST(worker.connected == (session_worker(worker.session) == w));
        MUST(worker.name.empty() || worker_names.at(worker.name) == w);
        MUST((worker.gone == kNever) == (worker.connected || worker.name.empty()));
        if (worker.gone != kNever && config.worker_retention.us > 0) MUST(forget_at != kNever);
        if (!worker.connected) MUST(worker.line.empty());
        // Work-conserving (C9): a worker that may take work finds none that it may run.
        if ((ready[w / 64] >> (w % 64) & 1) == 0 || !late_binding()) continue;
        for (const Index g : active_groups) {
            if (!eligible(groups[g], w) || !fits(groups[g], w)) continue;
            for (const Head& head : groups[g].heads) {
                const Class& cls = classes[head.cls];
                const bool limited = queues[cls.queue].paused || queues[cls.queue].limit.full() ||
                                     tenants[cls.tenant].limit.full() || types[cls.type].limit.full();
                MUST(limited);
            }
        }
    }
    MUST(busy == busy_slots);
    MUST(prefetched_now == counters.prefetched);
    MUST(worker_names.size() + free_workers.size() == workers.size());
    for (const Index w : free_workers) MUST(workers[w].name.empty() && workers[w].runs.empty());
    std::int64_t predicted = 0;
    for (const Run& run : runs)
        if (run.ticket != 0) predicted += run.predicted.us;
    MUST(predicted == running_us);
    for (const auto& ends : slot_ends)
        for (Index r = 0; r < ends.size(); ++r) MUST((ends[r] == kNoEnd) == !runs[r].in_slot());
}

}  // namespace nexus::core
