// The ordering key (docs/scheduling.md): one integer per task, in microseconds of virtual arrival time.

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::uint32_t kMemory = 2048;   // arrivals over which the mean task and the mean wait are averaged
constexpr std::uint32_t kRunsKnown = 20;  // runs that ended, before their mean counts
constexpr std::int64_t kLnMost =
    kQ16One;  // beyond e mean tasks nothing is put off further: the few large ones are the tail
}  // namespace

// Predicted time to work off what waits, were it spread evenly.
Duration Scheduler::State::virtual_wait() const {
    if (ready_work_us <= 0) return {};
    return {scale(ready_work_us, kQ16One, std::max<std::int64_t>(capacity_q16, 1))};
}

void Scheduler::State::note_arrival(const Task& task) {
    mean_count = std::min(mean_count + 1, kMemory);
    mean_us += (task.mean.us - mean_us) / static_cast<std::int64_t>(mean_count);
    mean_us = std::max<std::int64_t>(mean_us, 1);
    size_bands.add(task.mean);
    const Duration wait = virtual_wait();
    if (wait.us == 0) return;
    tau_count = std::min(tau_count + 1, kMemory);
    tau_us += (wait.us - tau_us) / static_cast<std::int64_t>(tau_count);
}

// Runs that ended, as they would have taken on a worker of average speed.
void Scheduler::State::note_run(Duration run, Index worker) {
    const std::int64_t here =
        std::max<std::int64_t>(scale(run.us, 1'000'000, std::max<std::int64_t>(workers[worker].speed_ppm, 1)), 1);
    ran_count = std::min(ran_count + 1, kMemory);
    ran_mean_us += (here - ran_mean_us) / static_cast<std::int64_t>(ran_count);
    ran_mean_us = std::max<std::int64_t>(ran_mean_us, 1);
}

// Now; but a tenant that has less waiting than its share goes before what others have beyond theirs. Never before its
// own last task.
std::int64_t Scheduler::State::tenant_start(Index task) {
    const Class& cls = classes[tasks[task].cls];
    TenantRecord& tenant = tenants[cls.tenant];
    const bool by_count = queues[cls.queue].count_fair;
    const WorkAhead::Sum own = tenant.limit.waiting, all = ahead.total();
    const std::int64_t within =
        scale(by_count ? own.tasks : own.work_us, std::max(1U, active_shares), std::max(1U, tenant.share));
    std::int64_t start = now.us;
    if ((by_count ? all.tasks : all.work_us) > within) {
        const std::int64_t cap = scale(std::min(tau_us, overtake_cap()), 60, 1);
        std::int64_t from = now.us;
        for (const Index group : active_groups) from = std::min(from, groups[group].heads[0].key);
        const std::int64_t first = by_count ? ahead.key_beyond_tasks(within, from, tenant.own)
                                            : ahead.key_beyond_work(within, from, tenant.own);
        start = std::min(start, std::max(first - 1, saturating_sub(now.us, cap)));
    }
    // At the end of the line apart, so that others may come between.
    start = std::max(start, tenant.own.key + (start < now.us ? 0 : 1));
    ahead.note(tenant.own, start, tasks[task].mean.us);
    return start;
}

std::int64_t Scheduler::State::overtake_cap() const {
    return scale(mean_us, config.overtake_cap_means, 1);
}

// A minute means nothing where runs take hours.
std::int64_t Scheduler::State::overtake_bound() const {
    return std::max(config.overtake_max.us, overtake_cap());
}

// Only what is sure: short by both means is advanced, long even at its lower end is put off. What estimates say on
// average and what runs took in the end may differ several times.
std::int64_t Scheduler::State::size_term(Index task) const {
    const Task& t = tasks[task];
    if (config.policy != PolicyKind::predictive || t.source == EstimateSource::none) return 0;
    const bool known = ran_count >= kRunsKnown;
    const std::int64_t low = known ? std::min(mean_us, ran_mean_us) : mean_us;
    const std::int64_t high = known ? std::max(mean_us, ran_mean_us) : mean_us;
    const auto words = [](std::int64_t us) { return static_cast<std::uint64_t>(std::max<std::int64_t>(us, 1)); };
    std::int64_t ln = ln_ratio_q16(words(t.p50.us), words(low));
    if (ln >= 0) {  // p50 ^ 2 / p90 / high
        ln = ln_ratio_q16(words(t.p50.us), words(t.p90.us)) + ln_ratio_q16(words(t.p50.us), words(high));
        ln = std::clamp<std::int64_t>(ln, 0, kLnMost);
    }
    // Of an array nobody knows how long its members run before one of them has ended: they stay where they arrived.
    // Moved together by one wrong word they would hold all slots.
    if (t.source == EstimateSource::sibling_wait) ln = 0;
    const std::int64_t tau = std::min(tau_us, scale(low, config.overtake_cap_means, 1));
    const std::int64_t weighted = scale(scale(tau, config.size_weight_permille, 1000), trust_ppm, 1'000'000);
    // Of two tasks of one tenant, together the bound of C8.
    const std::int64_t half = overtake_bound() / 2;
    return std::clamp(scale(weighted, ln, kQ16One), -half, half);
}

// Called once per task, when it first may run: arrival in the sense of the order is that moment.
void Scheduler::State::set_base(Index task) {
    Task& t = tasks[task];
    note_arrival(t);
    t.keyed = true;
    t.base = now.us;
    if (config.policy == PolicyKind::predictive) {
        t.base = tenant_start(task);
        const std::int64_t credit = scale(mean_us, config.priority_credit_permille, 1000);
        t.base -= credit * (classes[t.cls].spec.priority - kPriorityDefault);
        t.base -= types[classes[t.cls].type].boost_us;
    }
    if (t.side != kNone) t.base -= sides[t.side].boost_us;
    set_key(task);
}

void Scheduler::State::set_key(Index task) {
    Task& t = tasks[task];
    t.key = saturating_add(t.base, size_term(task));
    if (t.side == kNone || sides[t.side].deadline.us == 0 || config.policy != PolicyKind::predictive) return;
    const std::int64_t due = saturating_sub(sides[t.side].deadline.us, wall_offset.us);
    t.key = std::min(t.key, due - t.p90.us - 2 * tau_us);
}

// Its key is beaten by a later start only as far as size_term() may advance that: by half the bound.
Instant Scheduler::overtaken_until(TaskId id) const {
    const State& s = *state_;
    const Index task = s.find_task(id);
    if (task == kNone || s.config.policy != PolicyKind::predictive) return kNever;
    const Task& t = s.tasks[task];
    if (!t.keyed || t.run != kNone) return kNever;
    const std::int64_t credit =
        scale(s.mean_us, s.config.priority_credit_permille, 1000) * (s.classes[t.cls].spec.priority - kPriorityDefault);
    return {saturating_add(t.key, credit + s.overtake_bound() / 2)};
}

std::int64_t Scheduler::State::slowness_ln(Index cls, Index worker) const {
    std::int64_t ln = workers[worker].speed_ln;
    if (!affinity_known || workers[worker].hardware == kNone) return ln;
    for (const AffinityFactor& factor : types[classes[cls].type].affinity)
        if (factor.hardware == workers[worker].hardware) ln += factor.ln_q16;
    return ln;
}

// The exact product of estimate, speed and affinity would need exp(); the factors themselves are integers already.
std::int64_t Scheduler::State::run_on(Index cls, std::int64_t mean, Index worker) const {
    return on_hardware(cls, scale(mean, workers[worker].speed_ppm, 1'000'000), worker);
}

std::int64_t Scheduler::State::usual_run(Index cls, std::int64_t time, Index worker) const {
    return on_hardware(cls, scale(time, std::max(median_speed_ppm, workers[worker].speed_ppm), 1'000'000), worker);
}

std::int64_t Scheduler::State::on_hardware(Index cls, std::int64_t run, Index worker) const {
    if (!affinity_known || workers[worker].hardware == kNone) return run;
    for (const AffinityFactor& factor : types[classes[cls].type].affinity)
        if (factor.hardware == workers[worker].hardware) run = scale(run, factor.factor_ppm, 1'000'000);
    return run;
}

}  // namespace nexus::core
