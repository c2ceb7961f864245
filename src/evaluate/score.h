#pragma once
// From outcomes to the figures `nexus evaluate` prints.

#include <span>
#include <string>
#include <vector>

#include "evaluate/replay.h"

namespace nexus::evaluate {

struct Score {
    double within_25 = 0;           // share with |predicted - actual| <= 0.25 actual
    double median_ape = 0;          // median of |predicted - actual| / actual
    double mean_abs_log_ratio = 0;  // mean of |ln(predicted / actual)|; 0.2 is about 20 %
    double p90_coverage = 0;        // share that ended by the predicted P90
    double p50_us = 0;              // median of the point estimates
    std::uint64_t rows = 0;
};

struct TypeScore {
    std::string type;
    Score score;
    // What could be had at all. `sigma` is the standard deviation of ln(run) that a line in ln(payload), fitted in
    // hindsight, leaves unexplained; a log-normal workload of that sigma allows 2 Phi(0.2554 / sigma) - 1. `hindsight`
    // is the share of hits of the best single constant. Neither is a hard bound: history can explain more than payload.
    double sigma = 0;
    double ceiling = 0;
    double hindsight = 0;
    double share_of_ceiling = 0;  // within_25 / max(ceiling, hindsight)
};

Score score(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes);

// Most rows first, then by name.
std::vector<TypeScore> score_by_type(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes);

// The same over the rows of predictable types only: at least 20 rows, of which one constant would hit 80 % in
// hindsight. `rows` 0 when there are none.
Score score_predictable(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes);

// The share of hits after so many completed runs of the type.
struct LearningStep {
    std::uint64_t known_min = 0;  // to the next step's
    std::uint64_t rows = 0;
    double within_25 = 0;
};
std::vector<LearningStep> learning_speed(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes);

}  // namespace nexus::evaluate
