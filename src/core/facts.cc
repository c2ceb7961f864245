// Facts that change settings rather than tasks: starts, the calendar, the configuration, what was learned.

#include <algorithm>

#include "base/hash.h"
#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

void Scheduler::State::on(const EngineStarted& fact) {
    rng = Rng(mix(fact.seed, fence));
    wall_offset = fact.wall_offset;
    for (Index w = 0; w < workers.size(); ++w) {
        Worker& worker = workers[w];
        if (!worker.connected) continue;
        const std::vector<Index> held = worker.runs;
        end_session(w);
        for (const Index r : held) {
            if (runs[r].task == kNone) continue;
            const bool exclusive = classes[runs[r].cls].spec.exclusive;
            orphan(r, now + std::max(config.reconnect_grace, exclusive ? config.lease : Duration{}));
        }
    }
    // Leases that were already running when the server went down: their workers could not return meanwhile.
    for (Index r = 0; r < runs.size(); ++r)
        if (runs[r].ticket != 0 && runs[r].orphan && runs[r].ends_at < now + config.reconnect_grace)
            orphan(r, now + config.reconnect_grace);
}

void Scheduler::State::on(const WallMoved& fact) { wall_offset = fact.wall_offset; fire_timers(); }

void Scheduler::State::on(const ConfigChanged& fact) {
    const bool rebinding = fact.config.policy != config.policy && !late_binding();
    config = fact.config;
    apply_limits();
    if (rebinding) unbind_all();
    for (Index w = 0; w < workers.size(); ++w) judge_speed(w);
    dispatch_everything = true;
}

// Limits of the configuration, onto the records they name; records made later take theirs when they are made.
void Scheduler::State::apply_limits() {
    const auto renew = [this](auto& directory, const auto& limits, auto set) {
        using Limits = std::decay_t<decltype(limits[0])>;
        for (auto& record : directory.records()) {
            if (record.vacant) continue;
            const auto found = std::find_if(limits.begin(), limits.end(),
                                            [&](const auto& limit) { return limit.name == record.name; });
            set(record, found == limits.end() ? Limits{} : *found);
            unpark(record.limit);
        }
    };
    renew(queues, config.queues, [](QueueRecord& record, const QueueLimits& limits) {
        record.limit.running_max = limits.running_max;
        record.paused = limits.paused;
        record.count_fair = limits.count_fair;
    });
    renew(tenants, config.tenants, [this](TenantRecord& record, const TenantLimits& limits) {
        if (record.waiting > 0) active_shares += std::max(1U, limits.share) - record.share;
        record.share = std::max(1U, limits.share);
        record.limit.running_max = limits.running_max;
        record.waiting_max = limits.waiting_max;
    });
    renew(types, config.types, [](TypeRecord& record, const TypeLimits& limits) {
        record.limit.running_max = limits.running_max;
    });
}

void Scheduler::State::on(const WorkerSpeedLearned& fact) {
    if (fact.worker.n >= workers.size()) return;
    const Index w = fact.worker.n;
    count_capacity(w, -1);
    workers[w].speed_ppm = std::clamp(fact.speed_ppm, 1'000U, 1'000'000'000U);
    workers[w].deviation_ppm = fact.deviation_ppm;
    workers[w].speed_ln = ln_ratio_q16(workers[w].speed_ppm, 1'000'000);
    count_capacity(w, 1);
    bands_stale = true;
    judge_speed(w);
}

void Scheduler::State::on(const AffinityLearned& fact) {
    const Index type = types.find(fact.type);
    if (type == kNone || fact.factor_ppm == 0) return;
    const auto known = std::find(hardware.begin(), hardware.end(), fact.hardware);
    const Index h = static_cast<Index>(known - hardware.begin());
    if (known == hardware.end()) hardware.push_back(fact.hardware);
    for (Worker& worker : workers)
        for (const auto& [name, value] : worker.labels)
            if (name == "hw" && value == fact.hardware) worker.hardware = h;
    const std::int64_t ln = ln_ratio_q16(fact.factor_ppm, 1'000'000);
    affinity_known = true;
    for (AffinityFactor& factor : types[type].affinity) {
        if (factor.hardware != h) continue;
        factor.ln_q16 = ln;
        factor.factor_ppm = fact.factor_ppm;
        return;
    }
    types[type].affinity.push_back({.hardware = h, .ln_q16 = ln, .factor_ppm = fact.factor_ppm});
}

void Scheduler::State::on(const TrustLearned& fact) { trust_ppm = std::min(fact.trust_ppm, 1'000'000U); }

}  // namespace nexus::core
