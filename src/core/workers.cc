// Workers and their sessions: who is here, what they hold, what they may be given.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::uint8_t kLostAssignmentsMax = 3;
}

Index Scheduler::State::session_worker(SessionId session) const {
    const auto found = sessions.find(session.n);
    return found == sessions.end() ? kNone : found->second;
}

Index Scheduler::State::worker_named(const std::string& name) {
    const auto found = worker_names.find(name);
    if (found != worker_names.end()) return found->second;
    Index made = static_cast<Index>(workers.size());
    if (free_workers.empty()) {
        workers.emplace_back();
    } else {
        made = free_workers.back();
        free_workers.pop_back();
    }
    workers[made].name = name;
    worker_names.emplace(name, made);
    if (made / 64 >= ready.size()) {
        ready.push_back(0);
        open.push_back(0);
        hot.utilization.resize(ready.size() * 64);
        hot.free_load.resize(ready.size() * 64, kNotReady);
        hot.band_low.resize(ready.size() * 64);
        hot.band_high.resize(ready.size() * 64);
        for (Group& group : groups) group.eligible.resize(ready.size());
    }
    return made;
}

void Scheduler::State::on(const WorkerJoined& fact) {
    if (fact.name.empty() || !fact.session || session_worker(fact.session) != kNone) return;
    const Index w = worker_named(fact.name);
    const SessionId replaced = workers[w].connected ? workers[w].session : SessionId{};
    if (workers[w].connected) end_session(w);
    measure(w);
    Worker& worker = workers[w];
    worker.session = fact.session;
    worker.connected = true;
    worker.gone = kNever;
    count_reach(w, 1);
    worker.suspect = worker.leaving = false;
    worker.labels = fact.labels;
    worker.slots = fact.slots;
    worker.offered = fact.offered;
    worker.types = fact.types;
    worker.can_pause = fact.can_pause;
    worker.prefetch_max = fact.prefetch_max;
    worker.hardware = kNone;
    for (const auto& [name, value] : worker.labels)
        for (Index h = 0; name == "hw" && h < hardware.size(); ++h)
            if (hardware[h] == value) worker.hardware = h;
    sessions[fact.session.n] = w;
    count_capacity(w, 1);
    bands_stale = fleet_moved = true;
    const auto set = std::find(typesets.begin(), typesets.end(), fact.types);
    worker.typeset = static_cast<Index>(set - typesets.begin());
    if (set == typesets.end()) {
        typesets.push_back(fact.types);
        renew_signatures();
    }
    renew_eligibility(w);
    emit(WelcomeWorker{.worker = WorkerNo{w}, .session = fact.session, .replaced = replaced});
    const std::size_t welcome_at = out->size() - 1;
    std::vector<AttemptId> keep, abandon;
    for (const HeldAttempt& held : fact.held) {
        const Index r = find_run(held.task, held.attempt);
        const bool ours = r != kNone && runs[r].worker == w;
        (ours ? keep : abandon).push_back(held.attempt);
        if (!ours && !was_settled(held.attempt)) ++counters.stale_reports;  // it would report a superseded attempt
        if (!ours) continue;
        runs[r].orphan = false;
        runs[r].ends_at = kNever;
        if (runs[r].prefetched && !held.waiting) take_slot(r);
        if (std::exchange(runs[r].recalled_at, kNever) != kNever) recall(r);  // the order may never have arrived
        reconcile_pause(r, held.paused);
        if (runs[r].notice) give_notice(r, {});
    }
    std::get<WelcomeWorker>((*out)[welcome_at]).abandon = std::move(abandon);
    welcome(w, keep);
    std::get<WelcomeWorker>((*out)[welcome_at]).keep = std::move(keep);
    begin_ahead(w);
    watch_ahead(w, now);
    // A drain ends with the worker that says goodbye, or by an operator: no lost connection ends it.
    if (workers[w].draining) emit(DrainWorker{.session = fact.session});
    update_ready(w);
    dispatch_everything = true;
}

// An assignment that never arrived is no death of the worker; one that never arrives again and again is taken for one.
bool Scheduler::State::lost_too_often(Index task) {
    Task& t = tasks[task];
    t.rejections = static_cast<std::uint8_t>(std::min(t.rejections + 1, 255));
    return t.rejections >= kLostAssignmentsMax;
}

// What the worker had and does not hold any more goes elsewhere: at once, or, when it must never run twice at the same
// time, after the whole lease (an older process of that name may still be at it).
void Scheduler::State::welcome(Index w, const std::vector<AttemptId>& kept) {
    for (const Index r : std::vector<Index>(workers[w].runs)) {
        if (std::find(kept.begin(), kept.end(), runs[r].attempt) != kept.end()) continue;
        if (runs[r].task == kNone) {
            vacate(r);
        } else if (!classes[runs[r].cls].spec.exclusive) {
            lose_run(r, !runs[r].prefetched && (runs[r].started != kNever || lost_too_often(runs[r].task)));
        } else if (!runs[r].orphan) {
            orphan(r, now + config.lease);
        }
    }
}

void Scheduler::State::end_session(Index w) {
    Worker& worker = workers[w];
    measure(w);
    count_capacity(w, -1);
    count_reach(w, -1);
    sessions.erase(worker.session.n);
    worker.connected = false;
    worker.session = {};
    note_gone(w, now);
    bands_stale = fleet_moved = true;
    update_ready(w);
    unbind_line(w);
    for (const Index r : std::vector<Index>(worker.runs))
        if (runs[r].task == kNone) vacate(r);
    for (const Index r : worker.runs) runs[r].company = worker.runs.size() > 1;
    forget_refusals();
    update_all_stuck();
}

void Scheduler::State::on(const WorkerCapacityChanged& fact) {
    const Index w = session_worker(fact.session);
    if (w == kNone) return;
    measure(w);
    count_capacity(w, -1);
    workers[w].slots = fact.slots;
    fleet_moved = true;
    workers[w].offered = fact.offered;
    workers[w].leaving = fact.draining;
    begin_ahead(w);
    count_capacity(w, 1);
    renew_eligibility(w);
    forget_refusals();
    update_ready(w);
    if (fact.draining) unbind_line(w);
    freed.push_back(w);
}

void Scheduler::State::on(const WorkerSuspected& fact) {
    const Index w = session_worker(fact.session);
    if (w == kNone) return;
    workers[w].suspect = true;
    recall_all(w);
    forecasts.clear();
    update_ready(w);
}

void Scheduler::State::on(const WorkerRecovered& fact) {
    const Index w = session_worker(fact.session);
    if (w == kNone) return;
    workers[w].suspect = false;
    forecasts.clear();
    update_ready(w);
    dispatch_everything = true;
}

void Scheduler::State::on(const WorkerLeft& fact) {
    const Index w = session_worker(fact.session);
    if (w == kNone) return;
    end_session(w);
    if (fact.planned)
        workers[w].draining = false;
    else
        ++counters.workers_lost;
    for (const Index r : std::vector<Index>(workers[w].runs)) {
        const bool exclusive = classes[runs[r].cls].spec.exclusive;
        if (!fact.planned) {
            orphan(r, now + (exclusive ? config.lease : config.close_grace));
        } else if (!exclusive || !runs[r].orphan) {  // else an older process of that name may still be at it
            lose_run(r, false);
        }
    }
}

void Scheduler::State::on(const WorkerLost& fact) {
    const Index w = session_worker(fact.session);
    if (w == kNone) return;
    end_session(w);
    note_gone(w, std::min(fact.last_contact, now));
    ++counters.workers_lost;
    const Instant until = std::min(fact.last_contact, now) + config.lease;
    for (const Index r : std::vector<Index>(workers[w].runs)) orphan(r, until);
}

void Scheduler::State::on(const WorkerControlled& fact) {
    const auto found = worker_names.find(fact.name);
    if (found == worker_names.end()) return;
    const Index w = found->second;
    Worker& worker = workers[w];
    switch (fact.order) {
        case WorkerOrder::cordon: worker.cordoned = true; break;
        case WorkerOrder::uncordon: worker.cordoned = worker.draining = false; break;
        case WorkerOrder::drain:
            worker.draining = true;
            if (worker.connected) emit(DrainWorker{.session = worker.session});
            break;
        case WorkerOrder::forget:
            if (removable(w)) forget({w});
            return;
        case WorkerOrder::close_breaker: close_breaker(w); return;
    }
    forecasts.clear();
    update_ready(w);
    if (fact.order != WorkerOrder::uncordon) {
        unbind_line(w);
        recall_all(w);
    }
    dispatch_everything = true;
}

void Scheduler::State::measure(Index w) {
    Worker& worker = workers[w];
    worker.usage.advance(now, worker.connected ? worker.occupied() : 0, worker.connected ? worker.slots : 0);
}

void Scheduler::State::count_capacity(Index w, int sign) {
    const Worker& worker = workers[w];
    if (!worker.connected) return;
    forecasts.clear();
    day_pattern.passed(saturating_add(now.us, wall_offset.us), total_slots);
    total_slots += static_cast<std::uint64_t>(sign * static_cast<std::int64_t>(worker.slots));
    capacity_q16 += sign * scale(worker.slots * kQ16One, 1'000'000, worker.speed_ppm);
}

}  // namespace nexus::core
