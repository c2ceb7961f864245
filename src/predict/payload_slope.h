#pragma once
// How a type's run time grows with one size: the slope of ln(run) on ln(1 + size), learned online with forgetting.
//
// Recursive least squares for one regressor, kept as exponentially weighted moments: the slope is covariance over
// variance with a ridge that pulls it to zero while there is little evidence. Innovations are clipped so that one wild
// run cannot turn it.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "predict/floats.h"

namespace nexus::predict {

class PayloadSlope {
public:
    // Slopes are held between `least` and 1.5: more bytes do not make a run shorter.
    explicit PayloadSlope(float least = 0) : least_(least) {}

    void learn(float payload, float value) {
        const float step = std::max(1.0F / (count_ + 1.0F), kStepMin);
        count_ = std::min(count_ + 1.0F, 1e6F);
        const float dx = payload - mean_x_;
        const float line = mean_y_ + slope() * dx;
        const float innovation = count_ <= 3 ? value - line : std::clamp(value - line, -kClip, kClip);
        const float dy = line + innovation - mean_y_;
        var_y_ = (1 - step) * (var_y_ + step * dy * dy);
        mean_x_ += step * dx;
        mean_y_ += step * dy;
        var_x_ = (1 - step) * (var_x_ + step * dx * dx);
        cov_xy_ = (1 - step) * (cov_xy_ + step * dx * dy);
    }
    // The level has moved: the next runs count for more than those before. There is no line until the next of them.
    void forget() { count_ = std::min(count_, kKept); }
    float slope() const {
        if (count_ < 3 || var_x_ < kSpreadMin) return 0;
        return std::clamp(cov_xy_ / (var_x_ + kRidge / count_), least_, kSlopeMax);
    }
    // On the learned line. Means little before three runs.
    float expected(float payload) const { return mean_y_ + slope() * (payload - mean_x_); }
    float count() const { return count_; }
    float mean() const { return mean_x_; }
    // Share of the variance of ln(run) that the slope accounts for, 0..1.
    float explained() const {
        const float s = slope();
        if (s == 0 || var_y_ <= 0) return 0;
        return std::clamp(s * (2 * cov_xy_ - s * var_x_) / var_y_, 0.0F, 1.0F);
    }

    void save(Writer& out) const {
        for (const float v : {count_, mean_x_, mean_y_, var_x_, var_y_, cov_xy_}) put_float(out, v);
    }
    void load(Reader& in) {
        for (float* v : {&count_, &mean_x_, &mean_y_, &var_x_, &var_y_, &cov_xy_}) *v = get_float(in);
        if (count_ < 0 || var_x_ < 0 || var_y_ < 0) in.set_failed();
    }

private:
    static constexpr float kStepMin = 0.01F;    // forgetting 0.99: about the last 100 runs
    static constexpr float kClip = 1.0F;        // in ln: a factor of 2.7
    static constexpr float kKept = 2;           // runs that count when all is relearned
    static constexpr float kSpreadMin = 1e-3F;  // payloads that hardly differ say nothing
    static constexpr float kRidge = 0.25F;
    static constexpr float kSlopeMax = 1.5F;

    float least_;
    float count_ = 0;
    float mean_x_ = 0;
    float mean_y_ = 0;
    float var_x_ = 0;
    float var_y_ = 0;
    float cov_xy_ = 0;
};

}  // namespace nexus::predict
