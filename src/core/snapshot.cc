// Snapshots: the records as they are, heap layouts and free lists included, so that a loaded scheduler goes on exactly
// as the saved one would. Look-up tables are rebuilt. Of a vacant record nothing but its vacancy is kept. The bytes end
// in their own CRC-32C.

#include <array>

#include "base/hash.h"
#include "core/archive.h"
#include "core/fixed_ln.h"
#include "core/shape.h"
#include "core/state.h"

namespace nexus::core {

// What has a shape is saved as it lists; an Act was in nothing before core 8, the retention in none before 10, prefetch
// before 11.
template <class A, Shaped T>
void fields(A& a, T& x) {
    for_each_member<T>([&](const auto& m) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(x.*m.at)>, Act>)
            if (!a.since(8)) return;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m.at)>, Duration Config::*>)
            if (m.at == &Config::worker_retention && !a.since(10)) return;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m.at)>, bool Config::*>)
            if (m.at == &Config::prefetch && !a.since(11)) return;
        a(x.*m.at);
    });
}
// Lists that had an order of their own before core 8.
template <class A>
void fields_before_8(A& a, TaskSpec& x) {
    a(x.type, x.tenant, x.queue, x.labels_required, x.labels_preferred, x.labels_forbidden, x.pinned_worker, x.retry,
      x.resources);
    a(x.priority, x.idempotent, x.exclusive, x.preemptible, x.timeout, x.ttl);
}
template <class A>
void fields_before_8(A& a, Config& x) {
    a(x.version, x.policy, x.lease, x.close_grace, x.reconnect_grace, x.attempts_max, x.crashes_max, x.backoff_first,
      x.backoff_max, x.ttl, x.timeout_grace, x.idempotency_window, x.size_weight_permille, x.priority_credit_permille,
      x.overtake_cap_means, x.overtake_max, x.placement, x.breaker, x.breaker_ratio_permille, x.speculation,
      x.speculation_slots_permille, x.preemption, x.preemptions_max, x.pause, x.pause_ratio_permille, x.tasks_max,
      x.idempotency_keys_max, x.fallback_threshold, x.queues, x.tenants, x.types);
}
// Of the records each list is whole, or it does not compile.
template <class A>
void fields(A& a, Counters& x) {
    a.template all<Counters, 3>(x.submitted, x.succeeded, x.dead, x.cancelled, x.expired, x.waiting, x.assigned,
                                x.running, x.paused, x.decisions, x.fallback_decisions, x.stale_reports, x.requeues,
                                x.workers_lost, x.speculations, x.preemptions, x.pauses, x.backlog,
                                x.idle_while_waiting);
    if (a.since(11)) a(x.prefetched, x.prefetches, x.recalls);
}
template <class A>
void fields(A& a, Task& x) {
    a(x.serial);
    if (x.serial == 0) return;
    a.template all<Task, 5>(x.key, x.base, x.submitted, x.since, x.p50, x.p90, x.mean, x.told, x.ticket, x.cls, x.run,
                            x.copy, x.side, x.idempotency, x.older, x.newer, x.worker, x.confidence_permille,
                            x.attempts, x.failures, x.crashes, x.rejections, x.preemptions, x.source, x.place, x.keyed,
                            x.told_as, x.several_workers, x.concurrency_token, x.rate_turn);
    if (a.since(9)) a(x.avoid, x.rounds, x.charged);
    if (a.since(11)) a(x.lost_ahead);
}
template <class A>
void fields(A& a, Side& x) {
    a(x.vacant);
    if (x.vacant) return;
    constexpr std::size_t kElsewhere = 6;  // vacant; four after the numbers; overrides, which are counted again
    a.template all<Side, kElsewhere>(x.run_at, x.deadline, x.sequence, x.dependencies, x.ordering, x.concurrency,
                                     x.rate, x.plain_class, x.holds, x.boost_us);
    a(x.dependents);
    if (a.since(9)) a(x.released, x.refused);
    if (a.since(10)) a(x.after);
}
template <class A>
void fields(A& a, Promise& x) {
    a.template all<Promise>(x.p10, x.p50, x.p90, x.as);
}
template <class A>
void fields(A& a, Forecast::Place& x) {
    a.template all<Forecast::Place>(x.key, x.ticket);
}
template <class A>
void fields(A& a, Forecast& x) {
    a.fixed(x.pool);
    a.template all<Forecast, 2>(x.made, x.events, x.decisions, x.share_q16, x.step_us, x.list);
    for (auto& starts : x.starts) a(starts);
}
template <class A>
void fields(A& a, HeapEntry& x) {
    a.template all<HeapEntry>(x.key, x.ticket, x.task);
}
template <class A>
void fields(A& a, Head& x) {
    a.template all<Head>(x.key, x.ticket, x.cls);
}
template <class A>
void fields(A& a, Timer& x) {
    a.template all<Timer>(x.at, x.order, x.ticket, x.index, x.kind);
}
template <class A>
void fields(A& a, WallTimer& x) {
    a.template all<WallTimer>(x.at, x.serial, x.task);
}
template <class A>
void fields(A& a, Class& x) {
    a(x.vacant);
    if (x.vacant) return;
    if (a.since(8)) {
        for_each_of<kClass, TaskSpec>([&](const auto& m) { a(x.spec.*m.at); });
    } else {
        a.fixed(x.hash);
        fields_before_8(a, x.spec);
    }
    a(x.heap);
    constexpr std::size_t kElsewhere =
        8;  // vacant, spec, heap; two after the others; what is counted or computed again
    a.template all<Class, kElsewhere>(x.alone, x.type, x.tenant, x.queue, x.group, x.references, x.idle_stamp,
                                      x.waiting, x.head_at, x.blocked);
    if (a.since(9)) a(x.refused, x.key_last);
}
template <class A>
void fields(A& a, Group& x) {
    a(x.vacant);
    if (x.vacant) return;
    a.template all<Group, 4>(x.required, x.forbidden, x.pinned, x.resources, x.needs_resources, x.alone, x.signature,
                             x.classes, x.eligible, x.heads, x.active_at);
    if (a.since(9)) a(x.refused);
}
template <class A>
void fields(A& a, Limit& x) {
    a.template all<Limit, 1>(x.running, x.running_max, x.parked);
}
template <class A>
void fields(A& a, AffinityFactor& x) {
    a.template all<AffinityFactor>(x.hardware, x.ln_q16, x.factor_ppm);
}
template <class A>
bool named(A& a, Named& x) {  // whether there is more
    a(x.vacant);
    if (!x.vacant) a(x.name, x.references, x.idle_stamp);
    return !x.vacant;
}
template <class A>
void fields(A& a, TypeRecord& x) {
    if (!named(a, x)) return;
    a.template all<TypeRecord, 3>(x.limit, x.signature, x.succeeded, x.failed, x.in_time, x.late, x.boost_us, x.holds,
                                  x.copies, x.copies_won, x.affinity, x.excluded);
    if (a.since(9)) a(x.good_at, x.good_before);
}
template <class A>
void fields(A& a, TenantRecord& x) {
    if (!named(a, x)) return;
    a.template all<TenantRecord, 1>(x.limit, x.share, x.waiting_max, x.waiting, x.own.key);
    std::uint64_t epoch_before_11 = 0;
    if (!a.since(11)) return a(epoch_before_11);
    a(x.own.near.work_us, x.own.near.tasks);
}
template <class A>
void fields(A& a, QueueRecord& x) {
    if (!named(a, x)) return;
    a.template all<QueueRecord, 1>(x.limit, x.paused, x.count_fair);
}
template <class A>
void fields(A& a, KeyRecord& x) {
    if (!named(a, x)) return;
    a.template all<KeyRecord, 1>(x.line, x.parked, x.holders, x.most, x.next, x.timer);
}
template <class A>
void fields(A& a, Usage& x) {
    a.template all<Usage>(x.from, x.at, x.busy, x.offered, x.busy_before, x.offered_before);
}
template <class A>
void fields(A& a, Run& x) {
    a(x.ticket);
    if (x.ticket == 0) return;
    a(x.attempt);
    constexpr std::size_t kElsewhere = 13;  // ticket and attempt before these; the last eleven after them
    a.template all<Run, kElsewhere>(x.fence, x.assigned, x.started, x.ends_at, x.predicted, x.paused_at, x.paused_for,
                                    x.charged, x.task, x.cls, x.worker, x.at, x.number, x.turn, x.yields, x.speculative,
                                    x.orphan);
    bool unused_before_8 = false;
    if (!a.since(8)) a(unused_before_8);
    a(x.company, x.unpausable, x.notice, x.rival);
    if (a.since(11)) a(x.prefetched, x.recalled, x.recalled_at, x.rate);
    if (a.since(11)) a(x.p50, x.p90, x.mean);
}
template <class A>
void fields(A& a, Worker& x) {
    a(x.name);
    if (a.since(10) && x.name.empty()) return;
    a(x.labels, x.offered, x.used, x.types, x.runs, x.line);
    a.template all<Worker, 16>(x.session, x.typeset, x.hardware, x.connected, x.suspect, x.cordoned, x.draining,
                               x.can_pause, x.leaving, x.slots, x.alone, x.paused, x.owes, x.speed_ppm, x.deviation_ppm,
                               x.speed_ln, x.work_us, x.breaker, x.failing, x.late, x.breaker_next, x.failures_in_row,
                               x.doubt, x.lateness, x.succeeded, x.failed, x.bound_work_us, x.bound, x.reserved_task,
                               x.reserved_ticket);
    a(x.reserved_rival);
    if (a.since(9)) a(x.usage);
    if (a.since(10)) a(x.gone);
    if (a.since(11)) a(x.prefetch_max, x.prefetched, x.prefetched_us, x.turnaround_us, x.rate, x.prefetch_due);
}
template <class A>
void fields(A& a, IdempotencyEntry& x) {
    a(x.vacant);
    if (x.vacant) return;
    a.fixed(x.hi, x.lo, x.body_hash);
    a.template all<IdempotencyEntry, 4>(x.task, x.submitted, x.ended);
}
template <class A>
void fields(A& a, Override& x) {
    a.template all<Override>(x.set, x.ticket);
}
template <class A>
void fields(A& a, Forced& x) {
    a.template all<Forced>(x.set, x.ticket);
}

template <class A>
void Scheduler::State::archive(A& a) {
    const auto each = [&a](auto& signature) { a(signature.typesets, signature.excluded); };
    std::array<std::uint64_t, 4> random{};
    for (std::size_t i = 0; i < 4; ++i) random[i] = rng.words()[i];
    for (std::uint64_t& word : random) a.fixed(word);
    rng.set_words(random.data());
    a.fixed(digest);
    if (a.since(8))
        a(config);
    else
        fields_before_8(a, config);
    a(now, wall_offset, counters, fence, sequence, last_ticket);
    a(tasks, ids, free_tasks, sides, free_sides, ttl_oldest, ttl_newest);
    a(idempotency, free_idempotency, ended_keys, ended, ended_next, settled, settled_next);
    a(classes, free_classes, idle_classes, class_stamp, groups, free_groups, active_groups);
    types.archive(a);
    tenants.archive(a);
    queues.archive(a);
    ordering_keys.archive(a);
    concurrency_keys.archive(a);
    rate_keys.archive(a);
    a(workers, ready, open, typesets, hardware, reserved, rotation, affinity_known);
    a(hot.utilization, hot.free_load, hot.band_low, hot.band_high, bands_differ);
    size_bands.archive(a);
    std::uint64_t count = signatures.size();
    a(count);
    if constexpr (A::kReading) signatures.resize(std::min<std::uint64_t>(count, 1 << 20));
    for (Signature& signature : signatures) each(signature);
    a(runs, free_runs, run_ends, copies_running, timers, wall_timers);
    a(timers_stale, wall_timers_stale, timer_order, announced, overrides);
    a(mean_us, mean_count, tau_us, tau_count, trust_ppm, ready_work_us, capacity_q16, total_slots, busy_slots,
      active_shares);
    std::uint64_t epoch_before_11 = 0;
    if (!a.since(11)) a(epoch_before_11);
    a(balanced_at, bands_at, bands_stale, median_speed_ln, median_speed_ppm, prediction_failures);
    a(eta_wide_placed, eta_wide_queued);
    ahead.archive(a);
    if (a.since(8)) a(epoch, shard, forced);
    if (a.since(9)) a(stuck_classes);
    if (a.since(10)) a(free_workers, forget_at);
    if (a.since(11)) {
        a(eta_early_placed, eta_early_queued, ran_mean_us, ran_count, forecasts);
        day_pattern.archive(a);
        archive_ends(a);
    }
}

// What was drawn of those that hold a slot, and told of those that live.
template <class A>
void Scheduler::State::archive_ends(A& a) {
    if constexpr (A::kReading)
        for (auto& ends : slot_ends) ends.assign(runs.size(), kNoEnd);
    for (Index r = 0; r < runs.size(); ++r)
        if (runs[r].in_slot())
            for (auto& ends : slot_ends) a(ends[r]);
    for (Index task = 0; task < tasks.size(); ++task) {
        if (tasks[task].serial == 0 || tasks[task].told == kNever) continue;
        Promise promise = promise_of(task);
        a(promise);
        if constexpr (A::kReading) {
            told.resize(tasks.size());
            told[task] = {promise.p10, promise.p50};
        }
    }
}

// What follows from the records.
void Scheduler::State::recount() {
    for (Index w = 0; w < workers.size(); ++w)
        if (workers[w].connected) count_reach(w, 1);
    for (const Run& run : runs)
        if (run.ticket != 0) running_us = saturating_add(running_us, run.predicted.us);
    for (const Task& task : tasks) {
        if (task.serial == 0) continue;
        ++at_place[static_cast<std::size_t>(task.place)];
        if (task.place != Place::ready) continue;
        Class& cls = classes[task.cls];
        const WorkAhead::Sum one{.work_us = task.mean.us, .tasks = 1};
        cls.work_us += one.work_us;
        ++groups[cls.group].waiting;
        for (Limit* limit : {&queues[cls.queue].limit, &tenants[cls.tenant].limit, &types[cls.type].limit})
            limit->waiting.add(one);
    }
    for (Index at = 0; at < stuck_classes.size(); ++at) {
        Class& cls = classes[stuck_classes[at]];
        cls.stuck_at = at;
        stuck_work.add({.work_us = cls.work_us, .tasks = cls.waiting});
    }
}

// What cores before 9 did not save: a time to live began with the submission.
void Scheduler::State::guess_before_9() {
    for (const Task& task : tasks)
        if (task.serial != 0 && task.side != kNone && sides[task.side].run_at.us != 0)
            sides[task.side].released = task.submitted;
    for (Class& cls : classes)
        for (const HeapEntry& entry : cls.heap.entries())
            if (current(entry)) cls.key_last = cls.key_last == 0 ? entry.key : std::max(cls.key_last, entry.key);
    update_all_stuck();
}

// The time that a worker is remembered begins with the first release that forgets any.
void Scheduler::State::guess_before_10() {
    for (Index w = 0; w < workers.size(); ++w)
        if (!workers[w].connected) note_gone(w, now);
    for (Index task = 0; task < tasks.size(); ++task) {
        if (tasks[task].serial == 0 || tasks[task].side == kNone) continue;
        for (const auto& [dependent, serial] : sides[tasks[task].side].dependents)
            if (tasks[dependent].serial == serial) sides[tasks[dependent].side].after.push_back(task);
    }
}

// A run was expected to take what its task was, at the speed of its worker; a tenant had a clock ahead of the time.
void Scheduler::State::guess_before_11() {
    for (Run& run : runs) {
        if (run.ticket == 0 || run.task == kNone) continue;
        const Task& task = tasks[run.task];
        const auto here = [&](Duration time) {
            return Duration{scale(time.us, run.predicted.us, std::max<std::int64_t>(task.mean.us, 1))};
        };
        run.p50 = here(task.p50);
        run.p90 = here(task.p90);
        run.mean = here(task.mean);
    }
    for (Index r = 0; r < runs.size(); ++r) forget_end(r, runs[r].in_slot());
    for (TenantRecord& tenant : tenants.records()) tenant.own.key = std::min(tenant.own.key, now.us);
    told.resize(tasks.size());
}

void Scheduler::State::rebuild_tables() {
    task_table.reserve(tasks.size() - std::min(free_tasks.size(), tasks.size()));
    idempotency_table.reserve(idempotency.size());
    ended_table.reserve(ended.size());
    settled_table.reserve(settled.size());
    run_table.reserve(runs.size());
    class_table.reserve(classes.size());
    for (Index i = 0; i < tasks.size(); ++i)
        if (tasks[i].serial != 0) task_table.insert(IdHash{}(ids[i]), i);
    for (Index i = 0; i < idempotency.size(); ++i)
        if (!idempotency[i].vacant) idempotency_table.insert(IdHash{}(TaskId{idempotency[i].hi, idempotency[i].lo}), i);
    for (Index i = 0; i < ended.size(); ++i) ended_table.insert(IdHash{}(ended[i].first), i);
    for (Index i = 0; i < settled.size(); ++i) settled_table.insert(IdHash{}(settled[i]), i);
    for (Index i = 0; i < runs.size(); ++i)
        if (runs[i].ticket != 0) run_table.insert(IdHash{}(runs[i].attempt), i);
    for (Index i = 0; i < classes.size(); ++i)
        if (!classes[i].vacant)
            class_table.insert(classes[i].hash = class_hash(classes[i].spec, classes[i].alone, classes[i].refused), i);
    for (Index w = 0; w < workers.size(); ++w) {
        if (!workers[w].name.empty()) worker_names.emplace(workers[w].name, w);
        if (workers[w].connected) sessions.emplace(workers[w].session.n, w);
    }
    recount();
    // Of tasks that ended, cores before 8 kept them.
    std::erase_if(overrides, [this](const Override& o) {
        const Index task = o.set.task ? find_task(o.set.task) : kNone;
        if (task != kNone) ++side_of(task).overrides;
        return o.set.task && task == kNone;
    });
}

void Scheduler::save(std::string& out) const {
    const std::size_t first = out.size();
    Writer writer(out);
    writer.varint(kCoreVersion);
    Archive<false> archive(writer, kCoreVersion);
    state_->archive(archive);
    writer.u32(crc32c(std::string_view(out).substr(first)));
}

Result<void> Scheduler::load(std::string_view bytes) {
    if (bytes.size() < 5) return fail(Fault::corrupt, "core snapshot: too short");
    const std::string_view body = bytes.substr(0, bytes.size() - 4);
    if (Reader(bytes.substr(body.size())).u32() != crc32c(body))
        return fail(Fault::corrupt, "core snapshot: checksum mismatch");
    Reader reader(body);
    const std::uint64_t version = reader.varint();
    if (!reads_snapshot(version))
        return fail(Fault::unsupported, "core snapshot: core version " + std::to_string(version));
    auto loaded = std::make_unique<State>(Config{});
    loaded->signatures.clear();
    Archive<true> archive(reader, version);
    loaded->archive(archive);
    if (reader.failed() || !reader.at_end())
        return fail(Fault::corrupt, "core snapshot: it does not end where it should");
    loaded->rebuild_tables();
    if (version < 9) loaded->guess_before_9();
    if (version < 10) loaded->guess_before_10();
    if (version < 11) loaded->guess_before_11();
    state_ = std::move(loaded);
    return {};
}

}  // namespace nexus::core
