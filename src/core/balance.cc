// How used each worker is, and which band of workers each size of task prefers (docs/scheduling.md).

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kHorizonMeans = 200;        // utilisation is measured over this many mean tasks
constexpr std::int64_t kSpeedPart = 36;            // of ln(speed factor), beside half of the utilisation
constexpr std::int64_t kSpeedStep = kQ16One / 20;  // workers within 5 % of each other share a band
}  // namespace

std::int64_t Scheduler::State::horizon_us() const {
    return std::max<std::int64_t>(mean_us * kHorizonMeans, 1'000);
}

// What the balance of the fleet says against this worker, Q16: half its utilisation. What runs there now counts beside
// what ran before, by a quarter of the share of its slots that are busy: else a worker that idled gets all at once.
std::int32_t Scheduler::State::load_of(Index w) const {
    const std::int32_t used = hot.utilization[w] / 2;
    if (config.policy != PolicyKind::predictive) return used;
    const auto busy = std::int64_t{workers[w].occupied()};
    return used + static_cast<std::int32_t>(scale(busy, kQ16One / 4, std::max(1U, workers[w].slots)));
}

// A little more work for faster workers, Q16: as much as costs the balance a few percent.
std::int32_t Scheduler::State::speed_taste(Index w) const {
    if (config.policy != PolicyKind::predictive || config.placement == Placement::fastest) return 0;
    return static_cast<std::int32_t>(workers[w].speed_ln / kSpeedPart);
}

void Scheduler::State::charge(Index w, std::int64_t work_us) {
    Worker& worker = workers[w];
    worker.work_us = std::max<std::int64_t>(0, saturating_add(worker.work_us, work_us));
    const std::int64_t room = scale(horizon_us(), std::max(1U, worker.slots), 1);
    hot.utilization[w] =
        static_cast<std::int32_t>(std::min<std::int64_t>(scale(worker.work_us, kQ16One, room), 1 << 24));
    if (hot.free_load[w] != kNotReady) hot.free_load[w] = load_of(w) + speed_taste(w);
}

void Scheduler::State::refresh_balance() {
    const std::int64_t horizon = horizon_us();
    const std::int64_t interval = std::clamp<std::int64_t>(horizon / 8, 10'000, 1'000'000);
    const std::int64_t passed = now.us - balanced_at.us;
    if (bands_stale || now.us - bands_at.us >= 1'000'000) refresh_bands();
    if (passed < interval) return;
    balanced_at = now;
    if (pausing()) note_ends();
    const std::int64_t kept = kQ16One - std::min(scale(passed, kQ16One, saturating_add(passed, horizon)), kQ16One);
    // A long run counts as it goes on: charged beforehand, it would keep its worker's other slots idle now for work of
    // later.
    for (Run& run : runs) {
        if (run.ticket == 0) continue;
        const std::int64_t done = run.spent(run.assigned, now).us;
        if (done <= run.charged) continue;
        Worker& worker = workers[run.worker];
        worker.work_us = saturating_add(worker.work_us, done - run.charged);
        run.charged = done;
    }
    for (Index w = 0; w < workers.size(); ++w) {
        workers[w].work_us = scale(workers[w].work_us, kept, kQ16One);
        charge(w, 0);
    }
}

// Lays the workers, fastest first, and the sizes of tasks along one line from 0 to 1: workers by capacity, sizes by
// work.
void Scheduler::State::refresh_bands() {
    bands_at = now;
    bands_stale = false;
    size_bands.lay();
    if (!std::exchange(fleet_moved, false)) return;
    std::vector<std::pair<std::int64_t, Index>> order;
    for (Index w = 0; w < workers.size(); ++w)
        if (workers[w].connected && workers[w].slots > 0) order.emplace_back(workers[w].speed_ln, w);
    std::sort(order.begin(), order.end());
    if (!order.empty()) {
        median_speed_ln = order[order.size() / 2].first;
        median_speed_ppm = workers[order[order.size() / 2].second].speed_ppm;
    }
    bands_differ = !order.empty() && order.back().first - order.front().first >= kSpeedStep;
    const auto capacity = [this](Index w) {
        return scale(workers[w].slots * kQ16One, 1'000'000, workers[w].speed_ppm);
    };
    std::int64_t all = 0, passed = 0;
    for (const auto& [speed, w] : order) all = saturating_add(all, capacity(w));
    all = std::max<std::int64_t>(all, 1);
    for (std::size_t i = 0; i < order.size();) {
        std::size_t end = i;
        std::int64_t here = 0;
        for (; end < order.size() && order[end].first - order[i].first < kSpeedStep; ++end)
            here = saturating_add(here, capacity(order[end].second));
        for (; i < end; ++i) {
            hot.band_low[order[i].second] = static_cast<std::int32_t>(scale(passed, kQ16One, all));
            hot.band_high[order[i].second] = static_cast<std::int32_t>(scale(passed + here, kQ16One, all));
        }
        passed += here;
    }
}

}  // namespace nexus::core
