// Facts that change settings rather than tasks: starts, the calendar, the configuration, what was learned.

#include <algorithm>

#include "base/hash.h"
#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

void Scheduler::State::on(const EngineStarted& fact) {
    rng = Rng(mix(fact.seed, fence));
    wall_offset = fact.wall_offset;
    epoch = fact.epoch;
    shard = fact.shard & ((1U << kShardBits) - 1);
    announced = kNever;  // the engine that heard the last WakeAt is gone
    for (Index w = 0; w < workers.size(); ++w) {
        Worker& worker = workers[w];
        if (!worker.connected) continue;
        const std::vector<Index> held = worker.runs;
        end_session(w);
        for (const Index r : held) {
            if (runs[r].task == kNone || runs[r].orphan) continue;
            const bool exclusive = classes[runs[r].cls].spec.exclusive;
            orphan(r, now + std::max(config.reconnect_grace, exclusive ? config.lease : Duration{}));
        }
    }
    // Leases that were already running when the server went down: their workers could not return meanwhile.
    for (Index r = 0; r < runs.size(); ++r)
        if (runs[r].ticket != 0 && runs[r].orphan && runs[r].ends_at < now + config.reconnect_grace)
            orphan(r, now + config.reconnect_grace);
}

void Scheduler::State::on(const WallMoved& fact) {
    wall_offset = fact.wall_offset;
    fire_timers();
}

void Scheduler::State::on(const ConfigChanged& fact) {
    const bool rebinding = fact.config.policy != config.policy && !late_binding();
    const bool other_retention = fact.config.worker_retention != config.worker_retention;
    config = fact.config;
    if (other_retention) plan_forgetting();
    apply_limits();
    if (rebinding) unbind_all();
    note_ends();
    for (Index w = 0; w < workers.size(); ++w) {
        judge_speed(w);
        update_ready(w);
        if (!config.prefetch || !late_binding()) recall_all(w);
    }
    dispatch_everything = true;
}

namespace {
template <class Limits>
Limits limits_named(const std::vector<Limits>& limits, const std::string& name) {
    for (const Limits& limit : limits)
        if (limit.name == name) return limit;
    return {};
}
}  // namespace

void Scheduler::State::limit_type(TypeRecord& record) {
    record.limit.running_max = limits_named(config.types, record.name).running_max;
}

void Scheduler::State::limit_tenant(TenantRecord& record) {
    const TenantLimits limits = limits_named(config.tenants, record.name);
    const std::uint32_t share = std::max(1U, limits.share);
    if (record.waiting > 0) active_shares += share - record.share;
    record.share = share;
    record.limit.running_max = limits.running_max;
    record.waiting_max = limits.waiting_max;
}

void Scheduler::State::limit_queue(QueueRecord& record) {
    const QueueLimits limits = limits_named(config.queues, record.name);
    record.limit.running_max = limits.running_max;
    record.paused = limits.paused;
    record.count_fair = limits.count_fair;
}

// A changed configuration, onto all records; those made later take their limits when they are made.
void Scheduler::State::apply_limits() {
    const auto renew = [this](auto& directory, auto set) {
        for (auto& record : directory.records()) {
            if (record.vacant) continue;
            (this->*set)(record);
            unpark(record.limit);
        }
    };
    renew(types, &State::limit_type);
    renew(tenants, &State::limit_tenant);
    renew(queues, &State::limit_queue);
    update_all_stuck();
}

void Scheduler::State::on(const WorkerSpeedLearned& fact) {
    if (fact.worker.n >= workers.size() || workers[fact.worker.n].name.empty()) return;
    const Index w = fact.worker.n;
    count_capacity(w, -1);
    workers[w].speed_ppm = std::clamp(fact.speed_ppm, 1'000U, 1'000'000'000U);
    workers[w].deviation_ppm = fact.deviation_ppm;
    workers[w].speed_ln = ln_ratio_q16(workers[w].speed_ppm, 1'000'000);
    count_capacity(w, 1);
    fleet_moved = true;
    judge_speed(w);
    update_ready(w);
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

void Scheduler::State::on(const TrustLearned& fact) {
    trust_ppm = std::min(fact.trust_ppm, 1'000'000U);
}

}  // namespace nexus::core
