// Gated speculation: an idempotent task far beyond its prediction gets a second copy, when slots are idle anyway and
// the type's copies tend to win. The first to finish decides; the other is revoked.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::uint64_t kExploreOneIn = 33;  // copies tried although the win rate speaks against them
}  // namespace

void Scheduler::State::watch_straggler(Index r) {
    const Run& run = runs[r];
    if (!config.speculation || !late_binding() || run.speculative || !classes[run.cls].spec.idempotent) return;
    const Task& task = tasks[run.task];
    if (task.source == EstimateSource::none) return;
    set_timer(run.started + straggler_limit(run), TimerKind::straggler, r, run.ticket);
}

// The 97th percentile of a lognormal lies about half the distance from p50 to p90 beyond p90; then 15 % more.
Duration Scheduler::State::straggler_limit(const Run& run) const {
    const Task& task = tasks[run.task];
    const std::int64_t q97 = task.p90.us + std::max<std::int64_t>(0, task.p90.us - task.p50.us) / 2;
    return {scale(run_on(run.cls, std::max<std::int64_t>(q97, 1000), run.worker), 1150, 1000)};
}

void Scheduler::State::straggler_due(Index r) {
    Run& run = runs[r];
    const Index task = run.task;
    Task& t = tasks[task];
    if (t.run != r || t.copy != kNone || run.orphan || run.notice) return;
    const std::int64_t calendar = saturating_add(now.us, wall_offset.us);
    if (t.side != kNone && sides[t.side].deadline.us != 0 && sides[t.side].deadline.us <= calendar) return;
    const std::int64_t elapsed = run.ran(now).us;
    const Duration early = straggler_limit(run) - Duration{elapsed};  // it was paused meanwhile
    if (run.paused() || (run.paused_for.us > 0 && early.us > 0))
        return set_timer(now + std::max(early, seconds(1)), TimerKind::straggler, r, run.ticket);
    set_timer(now + Duration{std::max<std::int64_t>(elapsed / 2, 100'000)}, TimerKind::straggler, r, run.ticket);
    if (!config.speculation || total_slots <= busy_slots) return;
    if (!trusted()) return;
    if ((total_slots - busy_slots) * 50 < total_slots) return;
    if (copies_running > 0 && std::uint64_t{copies_running} * 1000 >= config.speculation_slots_permille * total_slots)
        return;
    TypeRecord& type = types[classes[run.cls].type];
    const bool wins = (3 * std::uint64_t{type.copies_won} + 4) * 10 >= 9 * (std::uint64_t{type.copies} + 4);
    if (!wins && !rng.one_in(kExploreOneIn)) return;
    const Group& group = groups[classes[run.cls].group];
    Decision decision{.reason = DecisionReason::speculation};
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    for (Index w = 0; w < workers.size(); ++w) {
        if ((ready[w / 64] >> (w % 64) & 1) == 0 || w == run.worker || !eligible(group, w) || !fits(group, w)) continue;
        // What waits may only need more room there. Of what this worker may not run at all nothing is taken away.
        if (std::any_of(active_groups.begin(), active_groups.end(), [&](Index g) { return eligible(groups[g], w); }))
            continue;
        ++decision.eligible_free;
        const std::int64_t there = run_on(run.cls, t.mean.us, w);
        if (there > elapsed || there >= best) continue;
        best = there;
        decision.candidates[0] = score(task, w);
        decision.candidates_count = 1;
    }
    if (decision.candidates_count == 0) return;
    decision.baseline = decision.candidates[0].worker;
    ++type.copies;
    start(task, decision.candidates[0].worker.n, decision, true);
}

}  // namespace nexus::core
