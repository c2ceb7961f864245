#pragma once
// Mode seeking in log space: where a point estimate must stand so that most of the given weight lies within 25 % of it.
//
// An estimate p is within 25 % of an actual a when p/1.25 <= a <= p/0.75, so a band of log width ln(1.25/0.75) is slid
// over the sorted values and the heaviest one wins; the estimate stands in it so that nothing falls out, between the
// middle of its extremes and its mean. That maximises the share of hits, which neither the mean nor the median does
// (docs/prediction.md).

#include <algorithm>
#include <cstddef>

namespace nexus::predict {

inline constexpr float kBandWidth = 0.510826F;  // ln(1.25 / 0.75)
inline constexpr float kBandSkew =
    -0.032269F;                               // (ln 1.25 + ln 0.75) / 2: from the middle of the actuals to the estimate
inline constexpr float kHitLow = -0.287682F;  // ln 0.75: ln(estimate / actual) of a hit lies between these two
inline constexpr float kHitHigh = 0.223144F;  // ln 1.25

inline constexpr float kMeanShare = 0.45F;  // how far from the middle towards the mean; flat from 0.3 to 0.5

struct Band {
    float centre = 0;  // ln of the estimate
    float weight = 0;  // inside the band
    float total = 0;   // of all values
};

// Where the estimate stands in a band whose lowest and highest value and mean are these: between the middle and the
// mean, and so that all of the band is within 25 % of it.
inline float band_centre(float first, float last, float mean) {
    const float middle = (first + last) * 0.5F;
    const float leaning =
        std::clamp(mean, std::min(last - kBandWidth * 0.5F, middle), std::max(first + kBandWidth * 0.5F, middle));
    return middle + kMeanShare * (leaning - middle) + kBandSkew;
}

// `value` ascending, `weight` >= 0, `count` of each. All weights zero gives weight 0 and the middle of the
// first band.
inline Band densest_band(const float* value, const float* weight, std::size_t count) {
    Band best;
    best.weight = -1;
    float inside = 0;
    float moment = 0;  // of what is inside, around the smallest value: keeps the sums small
    float best_moment = 0;
    std::size_t best_low = 0;
    std::size_t best_high = 0;
    std::size_t low = 0;
    for (std::size_t high = 0; high < count; ++high) {
        inside += weight[high];
        moment += weight[high] * (value[high] - value[0]);
        best.total += weight[high];
        for (; value[high] - value[low] > kBandWidth; ++low) {
            inside -= weight[low];
            moment -= weight[low] * (value[low] - value[0]);
        }
        if (inside <= best.weight) continue;
        best.weight = inside;
        best_moment = moment;
        best_low = low;
        best_high = high;
    }
    if (count == 0) return {};
    const float first = value[best_low];
    const float last = value[best_high];
    const float mean = best.weight > 0 ? value[0] + best_moment / best.weight : (first + last) * 0.5F;
    best.centre = band_centre(first, last, mean);
    return best;
}

constexpr bool within_band(float estimate, float actual) {
    return estimate - actual >= kHitLow && estimate - actual <= kHitHigh;
}

}  // namespace nexus::predict
