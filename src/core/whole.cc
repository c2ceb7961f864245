// What is told of all tasks together: the backlog and its end, why they wait, tenants, limits.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

Backlog Scheduler::backlog(Instant at) const {
    return state_->backlog(std::max(at, state_->now));
}

Duration Scheduler::queue_work(std::string_view queue) const {
    const Index found = state_->queues.find(queue);
    return {found == kNone ? 0 : state_->queues[found].limit.waiting.work_us};
}

// All that can start and what runs, worked off by the whole capacity; at least until the longest run ends, and as long
// as each running limit takes.
Backlog Scheduler::State::backlog(Instant at) const {
    Backlog view{.held = at_place[static_cast<std::size_t>(Place::held)]};
    std::int64_t work = counters.backlog.us, longest = 0;
    const Run* last = nullptr;
    for (const Index c : stuck_classes) {
        const Class& cls = classes[c];
        const bool is_paused = queues[cls.queue].paused;
        if (!is_paused && groups[cls.group].reach > 0) continue;
        (is_paused ? view.paused : view.no_worker) += cls.waiting;
        work -= cls.work_us;
    }
    for (Index r = 0; r < runs.size(); ++r) {
        const Run& run = runs[r];
        if (run.ticket == 0 || run.task == kNone || tasks[run.task].run != r) continue;
        const std::int64_t left = remaining(run, at);
        if (left > longest) last = &run;
        longest = std::max(longest, left);
        work = saturating_add(work, scale(left, 1'000'000, std::max<std::int64_t>(workers[run.worker].speed_ppm, 1)));
    }
    if (capacity_q16 <= 0 || (work <= 0 && longest == 0)) return view;
    const auto of_limits = [&](const auto& directory) {
        for (const auto& record : directory.records())
            if (!record.vacant && record.limit.running_max > 0)
                longest = std::max<std::int64_t>(longest, record.limit.waiting.work_us / record.limit.running_max);
    };
    of_limits(types);
    of_limits(tenants);
    of_limits(queues);
    const Duration worked{scale(std::max<std::int64_t>(work, 0), kQ16One, capacity_q16)};
    view.left = {std::max({longest, (as_usual(at, at + worked) - at).us, std::int64_t{1}})};
    spread_backlog(at, last, view);
    return view;
}

// Between which times it will most likely be done: as the forecast tells it of the last one in order, where something
// waits, else as the estimate does of the longest run; with the factors that judge_eta() keeps.
void Scheduler::State::spread_backlog(Instant at, const Run* longest, Backlog& view) const {
    view.left_p10 = view.left_p90 = view.left;
    std::int64_t early = kQ16One, wide = kQ16One;
    const Group* most = nullptr;
    for (const Index g : active_groups)
        if (groups[g].reach > 0 && !groups[g].heads.empty() && (most == nullptr || groups[g].waiting > most->waiting))
            most = &groups[g];
    if (most != nullptr) {
        const Index cls = most->heads[0].cls;
        if (const auto turn = slot_turn(cls, INT64_MAX, 0, at); turn && turn->p50 > at) {  // behind all that waits
            const std::int64_t mid = (turn->p50 - at).us;
            early = scale(eta_early_queued, (turn->p10 - at).us, mid);
            wide = scale(eta_wide_queued, (turn->p90 - at).us, mid);
        }
    } else if (longest != nullptr && longest->p50.us > 0 && longest->p90.us > 0) {
        early = scale(eta_early_placed, longest->p50.us, longest->p90.us);
        wide = scale(eta_wide_placed, longest->p90.us, longest->p50.us);
    }
    view.left_p10 = {scale(view.left.us, std::clamp<std::int64_t>(early, 0, kQ16One), kQ16One)};
    view.left_p90 = {scale(view.left.us, std::clamp(wide, kQ16One, kEtaWideMost), kQ16One)};
}

std::vector<WaitingBy> Scheduler::waiting_by(Instant at) const {
    return state_->waiting_by(std::max(at, state_->now));
}

// Whoever would take it when it has a slot; as far as is looked, else workers are taken to be there.
Scheduler::State::Hope Scheduler::State::hope_of(const Group& group, std::size_t& looks) const {
    Hope hope = Hope::nobody;
    for (Index w = 0; w < workers.size(); ++w) {
        if (looks == 0) return Hope::workers;
        --looks;
        if (!eligible(group, w) || !takes_work(workers[w])) continue;
        if (workers[w].breaker == Breaker::closed) return Hope::workers;
        hope = Hope::breakers;
    }
    return hope;
}

// Where tasks stand is counted. Of those that are ready it is known of whole classes which can start; of each reason one
// class is asked what its first task waits for: the one with most of them.
std::vector<WaitingBy> Scheduler::State::waiting_by(Instant at) const {
    constexpr std::size_t kHopeLooks = 1 << 16, kKeysLook = 4096;
    std::vector<WaitingBy> all;
    const auto at_this = [&](Place place) { return at_place[static_cast<std::size_t>(place)]; };
    const auto add = [&](WaitReason reason, WaitCause cause, std::uint64_t count) {
        if (count > 0) all.push_back({.reason = reason, .count = count, .why = {.reason = reason, .cause = cause}});
    };
    const auto add_key = [&](WaitReason reason, WaitCause cause, Place place, const Directory<KeyRecord>& keys,
                             const auto& waiting_at) {
        add(reason, cause, at_this(place));
        if (at_this(place) == 0 || keys.records().size() > kKeysLook) return;
        const KeyRecord* most = nullptr;
        for (const KeyRecord& key : keys.records())
            if (!key.vacant && waiting_at(key) > 0 && (most == nullptr || waiting_at(key) > waiting_at(*most)))
                most = &key;
        if (most == nullptr) return;
        all.back().why.name = most->name.substr(most->name.find('\n') + 1);
        all.back().why.count = most->most;
    };
    add(WaitReason::not_before, WaitCause::run_at, at_this(Place::not_before));
    add(WaitReason::dependency, WaitCause::dependencies, at_this(Place::dependency));
    add(WaitReason::retry_backoff, WaitCause::failures, at_this(Place::backoff));
    add(WaitReason::held, WaitCause::hold, at_this(Place::held));
    add_key(WaitReason::ordering, WaitCause::ordering_key, Place::ordering, ordering_keys,
            [](const KeyRecord& key) { return key.line.size(); });
    add_key(WaitReason::concurrency, WaitCause::concurrency_key, Place::concurrency, concurrency_keys,
            [](const KeyRecord& key) { return key.parked.size(); });
    add_key(WaitReason::rate, WaitCause::rate_key, Place::rate, rate_keys,
            [](const KeyRecord& key) { return key.parked.size(); });

    struct Sum {
        std::uint64_t count = 0;
        Index most = kNone;  // the class with most of them
    };
    Sum paused, no_worker, breakers, limited, busy;
    const auto count = [&](Sum& sum, Index c) {
        sum.count += classes[c].waiting;
        if (sum.most == kNone || classes[c].waiting > classes[sum.most].waiting) sum.most = c;
    };
    for (const Index c : stuck_classes) {
        const Class& cls = classes[c];
        count(queues[cls.queue].paused ? paused : cls.blocked ? limited : no_worker, c);
    }
    std::size_t looks = kHopeLooks;
    for (const Index g : active_groups) {
        const Group& group = groups[g];
        if (group.reach == 0) continue;  // all of it is stuck
        const Hope hope = hope_of(group, looks);
        Sum& sum = hope == Hope::workers ? busy : hope == Hope::breakers ? breakers : no_worker;
        for (const Head& head : group.heads)
            if (classes[head.cls].stuck_at == kNone) count(sum, head.cls);
    }
    const auto add_ready = [&](WaitReason reason, const Sum& sum) {
        if (sum.count == 0) return;
        const HeapEntry& first = classes[sum.most].heap.top();
        WaitingBy one{.reason = reason, .count = sum.count, .why = {}};
        if (current(first)) one.why = why_ready(first.task, at);
        all.push_back(std::move(one));
    };
    add_ready(WaitReason::queue_paused, paused);
    add_ready(WaitReason::no_eligible_worker, no_worker);
    add_ready(WaitReason::breaker, breakers);
    // One reason, whatever is used up: slots, or what a limit allows. The culprit is what most of them wait for.
    busy.count += at_this(Place::bound);
    Sum capacity = limited.count > busy.count ? limited : busy;
    capacity.count = limited.count + busy.count;
    if (capacity.most == kNone)
        add(WaitReason::capacity, WaitCause::workers_busy, capacity.count);
    else
        add_ready(WaitReason::capacity, capacity);
    if (limited.count <= busy.count && capacity.most != kNone)  // not how many are before the first one
        all.back().why = {.reason = WaitReason::capacity, .cause = WaitCause::workers_busy};
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
    return all;
}

std::vector<TenantView> Scheduler::tenants(std::size_t most) const {
    const State& s = *state_;
    std::vector<TenantView> all;
    for (const TenantRecord& tenant : s.tenants.records()) {
        if (tenant.vacant || all.size() >= most) continue;
        all.push_back({.name = tenant.name,
                       .share = tenant.share,
                       .waiting = tenant.waiting,
                       .running = tenant.limit.running,
                       .running_max = tenant.limit.running_max});
    }
    return all;
}

std::vector<LimitView> Scheduler::limits(std::size_t most, Instant at) const {
    constexpr std::size_t kKeysLook = 10'000;
    const State& s = *state_;
    at = std::max(at, s.now);
    std::vector<LimitView> all;
    const auto of_names = [&](LimitView::Kind kind, const auto& directory) {
        for (const auto& record : directory.records())
            if (!record.vacant && record.limit.running_max > 0)
                all.push_back({.kind = kind,
                               .name = record.name,
                               .most = record.limit.running_max,
                               .used = record.limit.running,
                               .waiting = static_cast<std::uint64_t>(record.limit.waiting.tasks)});
    };
    of_names(LimitView::Kind::queue, s.queues);
    of_names(LimitView::Kind::tenant, s.tenants);
    of_names(LimitView::Kind::type, s.types);
    const auto of_keys = [&](LimitView::Kind kind, const Directory<KeyRecord>& keys, const auto& tell) {
        const std::size_t seen = std::min(kKeysLook, keys.records().size());
        for (std::size_t k = 0; k < seen; ++k) {
            const KeyRecord& key = keys.records()[k];
            if (key.vacant || key.references == 0) continue;
            LimitView view{.kind = kind, .name = key.name};
            tell(key, view);
            all.push_back(view);
        }
    };
    of_keys(LimitView::Kind::concurrency, s.concurrency_keys, [](const KeyRecord& key, LimitView& view) {
        view.most = key.most;
        view.used = key.holders;
        view.waiting = key.parked.size();
    });
    of_keys(LimitView::Kind::rate, s.rate_keys, [&](const KeyRecord& key, LimitView& view) {
        view.waiting = key.parked.size();
        if (view.waiting > 0) view.next = std::max(key.next, at);
    });
    of_keys(LimitView::Kind::ordering, s.ordering_keys, [](const KeyRecord& key, LimitView& view) {
        view.most = 1;
        view.used = key.line.empty() ? 0 : 1;
        view.waiting = key.line.size() - view.used;
    });
    std::stable_sort(all.begin(), all.end(),
                     [](const LimitView& a, const LimitView& b) { return a.waiting > b.waiting; });
    if (all.size() > most) all.resize(most);
    return all;
}

// All that runs there, and what it holds ready, one after the other in its slots.
Instant Scheduler::empty_at(WorkerNo number, Instant at) const {
    const State& s = *state_;
    if (number.n >= s.workers.size() || s.workers[number.n].runs.empty()) return kNever;
    at = std::max(at, s.now);
    const Worker& worker = s.workers[number.n];
    std::int64_t longest = 0;
    for (const Index r : worker.runs)
        if (!s.runs[r].prefetched && s.runs[r].task != kNone) longest = std::max(longest, s.remaining(s.runs[r], at));
    return at + Duration{longest + worker.prefetched_us / std::max<std::int64_t>(worker.slots, 1)};
}

}  // namespace nexus::core
