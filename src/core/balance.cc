// How used each worker is, and which band of workers each type prefers (docs/scheduling.md).

#include <algorithm>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kHorizonMeans = 200;        // utilisation is measured over this many mean tasks
constexpr std::int64_t kSpeedStep = kQ16One / 20;  // workers within 5 % of each other share a band
constexpr std::int64_t kSmallShare =
    kQ16One / 20;  // the smallest types, up to 5 % of the work, go to the fastest first
}  // namespace

std::int64_t Scheduler::State::horizon_us() const {
    return std::max<std::int64_t>(mean_us * kHorizonMeans, 1'000);
}

void Scheduler::State::charge(Index w, std::int64_t work_us) {
    Worker& worker = workers[w];
    worker.work_us = std::max<std::int64_t>(0, saturating_add(worker.work_us, work_us));
    const std::int64_t room = scale(horizon_us(), std::max(1U, worker.slots), 1);
    hot.utilization[w] =
        static_cast<std::int32_t>(std::min<std::int64_t>(scale(worker.work_us, kQ16One, room), 1 << 24));
    if (hot.free_utilization[w] != kNotReady) hot.free_utilization[w] = hot.utilization[w] / 2;
}

void Scheduler::State::refresh_balance() {
    const std::int64_t horizon = horizon_us();
    const std::int64_t interval = std::clamp<std::int64_t>(horizon / 8, 10'000, 1'000'000);
    const std::int64_t passed = now.us - balanced_at.us;
    if (bands_stale || now.us - bands_at.us >= 1'000'000) refresh_bands();
    if (passed < interval) return;
    balanced_at = now;
    const std::int64_t kept = kQ16One - std::min(scale(passed, kQ16One, saturating_add(passed, horizon)), kQ16One);
    // A long run counts as it goes on: charged beforehand, it would keep its worker's other slots idle now for work of
    // later.
    for (Run& run : runs) {
        if (run.ticket == 0) continue;
        const std::int64_t done = now.us - run.assigned.us;
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

// Lays the workers, fastest first, and the types along one line from 0 to 1: workers by capacity, types by work; first
// the smallest types, then the rest from longest to shortest.
void Scheduler::State::refresh_bands() {
    bands_at = now;
    bands_stale = false;
    std::vector<std::pair<std::int64_t, Index>> order;
    for (Index w = 0; w < workers.size(); ++w)
        if (workers[w].connected && workers[w].slots > 0) order.emplace_back(workers[w].speed_ln, w);
    std::sort(order.begin(), order.end());
    if (!order.empty()) {
        median_speed_ln = order[order.size() / 2].first;
        median_speed_ppm = workers[order[order.size() / 2].second].speed_ppm;
    }
    bands_differ = !order.empty() && order.back().first - order.front().first >= kSpeedStep;
    std::int64_t slots = 0, passed = 0;
    for (const auto& [speed, w] : order) slots += workers[w].slots;
    for (std::size_t i = 0; i < order.size();) {
        std::size_t end = i;
        std::int64_t here = 0;
        for (; end < order.size() && order[end].first - order[i].first < kSpeedStep; ++end)
            here += workers[order[end].second].slots;
        for (; i < end; ++i) {
            hot.band_low[order[i].second] = static_cast<std::int32_t>(scale(passed, kQ16One, slots));
            hot.band_high[order[i].second] = static_cast<std::int32_t>(scale(passed + here, kQ16One, slots));
        }
        passed += here;
    }
    std::vector<std::pair<std::int64_t, Index>> sizes;
    std::int64_t work = 0;
    for (Index type = 0; type < types.records().size(); ++type) {
        TypeRecord& record = types[type];
        if (record.vacant || record.work_us == 0) continue;
        record.work_us -= record.work_us / 16;
        work = saturating_add(work, record.work_us);
        sizes.emplace_back(record.mean_us, type);
    }
    std::sort(sizes.begin(), sizes.end());
    std::int64_t at = 0;
    const auto lay = [&](Index type) {
        types[type].band_low = at;
        at += scale(types[type].work_us, kQ16One, std::max<std::int64_t>(work, 1));
        types[type].band_high = at;
    };
    std::size_t small = 0;
    while (small < sizes.size() &&
           at + scale(types[sizes[small].second].work_us, kQ16One, std::max<std::int64_t>(work, 1)) <= kSmallShare)
        lay(sizes[small++].second);
    for (std::size_t i = sizes.size(); i > small; --i) lay(sizes[i - 1].second);
}

}  // namespace nexus::core
