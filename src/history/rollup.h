#pragma once
// How a finished task counts in the minute of its type: one rule for every history adapter.

#include "history/history_store.h"

namespace nexus::history {

// The number of core::TaskState::succeeded.
inline constexpr std::uint8_t kStateSucceeded = 4;

inline std::int64_t minute_of(WallTime at) {
    return at.us / 60'000'000;
}

// Adds the task to `sum`, whose minute and type are already its own.
inline void add_to_rollup(Rollup& sum, const TaskRow& row) {
    ++sum.finished;
    if (row.started.us != 0) sum.wait_sum = sum.wait_sum + (row.started - row.submitted);
    if (row.run.us > 0) sum.run_sum = sum.run_sum + row.run;
    if (row.state != kStateSucceeded) return;
    ++sum.succeeded;
    if (row.run.us <= 0 || row.predicted_p50.us <= 0) return;
    const Duration miss{row.run > row.predicted_p50 ? (row.run - row.predicted_p50).us
                                                    : (row.predicted_p50 - row.run).us};
    if (miss.us <= row.run.us / 4) ++sum.within_25;
    if (row.run <= row.predicted_p90) ++sum.within_p90;
}

inline void add_rollup(Rollup& sum, const Rollup& more) {
    sum.finished += more.finished;
    sum.succeeded += more.succeeded;
    sum.within_25 += more.within_25;
    sum.within_p90 += more.within_p90;
    sum.run_sum = sum.run_sum + more.run_sum;
    sum.wait_sum = sum.wait_sum + more.wait_sum;
}

}  // namespace nexus::history
