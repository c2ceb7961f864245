#pragma once
// Generated workloads for the tests of this room: run times with a known law, so that what a predictor should reach is
// known.

#include <cmath>
#include <string>

#include "base/rng.h"
#include "predict/predictor.h"

namespace nexus::predict {

// A normal deviate from twelve uniforms: the same on every machine, which std::normal_distribution is not.
inline double gauss(Rng& rng) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += rng.unit();
    return sum;
}

inline bool within_25(Duration predicted, double actual_us) {
    return std::abs(static_cast<double>(predicted.us) - actual_us) <= 0.25 * actual_us;
}

// One task at a time goes through a predictor: estimated, run, learned.
class Feed {
public:
    explicit Feed(Predictor& predictor) : predictor_(predictor) {}

    // True when the estimate was within 25 % of the run.
    bool run(const Features& features, double us) {
        made_ = predictor_.estimate(features, now_);
        const Duration actual{static_cast<std::int64_t>(us)};
        if (actual > made_.p90) predictor_.overdue(features, now_, now_ + made_.p90);
        now_ = now_ + actual;
        predictor_.learn({.features = features, .run = actual, .predicted = made_, .at = now_});
        return within_25(made_.p50, us);
    }
    const Estimate& made() const { return made_; }
    Instant now() const { return now_; }

private:
    Predictor& predictor_;
    Estimate made_;
    Instant now_ = Instant{1};
};

}  // namespace nexus::predict
