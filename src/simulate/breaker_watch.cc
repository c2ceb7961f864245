#include "simulate/breaker_watch.h"

#include <algorithm>

namespace nexus::simulate {

BreakerWatch::BreakerWatch(const World& world, RunRecord& record) : world_(world), record_(record) {
    const std::size_t workers = world.cluster.workers.size();
    tried_.resize(workers);
    state_.resize(workers);
    open_since_.resize(workers);
    for (const Trouble& trouble : world.cluster.troubles)
        if (trouble.kind != TroubleKind::down) record_.troubles.push_back({.worker = trouble.worker});
}

void BreakerWatch::was_open(std::uint32_t worker, Instant until) {
    const Instant from = std::max(open_since_[worker], record_.window_from);
    const Instant to = std::min(until, record_.window_to);
    if (from < to) record_.workers[worker].open = record_.workers[worker].open + (to - from);
}

void BreakerWatch::see(std::uint32_t worker, std::uint8_t state, Instant now) {
    if (state != 0 && state_[worker] == 0) open_since_[worker] = now;
    if (state == 0 && state_[worker] != 0) was_open(worker, now);
    state_[worker] = state;
    std::size_t at = 0;
    for (const Trouble& trouble : world_.cluster.troubles) {
        if (trouble.kind == TroubleKind::down) continue;
        TroubleRecord& told = record_.troubles[at++];
        if (trouble.worker != worker || now < trouble.from) continue;
        const auto seconds_since = [&](Instant then) { return static_cast<double>((now - then).us) / 1e6; };
        if (state != 0 && told.seconds_to_isolate < 0 && now < trouble.to) {
            told.tasks_to_isolate = tried_[worker];
            told.seconds_to_isolate = seconds_since(trouble.from);
        }
        if (state == 0 && told.seconds_to_isolate >= 0 && told.seconds_to_readmit < 0 && now >= trouble.to)
            told.seconds_to_readmit = seconds_since(trouble.to);
    }
}

void BreakerWatch::close() {
    for (std::uint32_t worker = 0; worker < state_.size(); ++worker)
        if (state_[worker] != 0) was_open(worker, record_.window_to);
}

}  // namespace nexus::simulate
