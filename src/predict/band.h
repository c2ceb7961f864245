#pragma once
// Mode seeking in log space: where a point estimate must stand so that most of the given weight lies within 25 % of it.
//
// An estimate p is within 25 % of an actual a when p/1.25 <= a <= p/0.75, so a band of log width ln(1.25/0.75) is slid over
// the sorted values and the heaviest one wins; its contents are centred in it. That maximises the share of hits, which
// neither the mean nor the median does (docs/prediction.md).

#include <cstddef>

namespace nexus::predict {

inline constexpr float kBandWidth = 0.510826F;     // ln(1.25 / 0.75)
inline constexpr float kBandSkew = -0.032269F;     // (ln 1.25 + ln 0.75) / 2: from the middle of the actuals to the estimate
inline constexpr float kHitLow = -0.287682F;       // ln 0.75: ln(estimate / actual) of a hit lies between these two
inline constexpr float kHitHigh = 0.223144F;       // ln 1.25

struct Band {
    float centre = 0;  // ln of the estimate
    float weight = 0;  // inside the band
    float total = 0;   // of all values
};

// `value` ascending, `weight` >= 0, `count` of each. All weights zero gives weight 0 and the centre of the last band.
inline Band densest_band(const float* value, const float* weight, std::size_t count) {
    Band best;
    best.weight = -1;
    float inside = 0;
    std::size_t low = 0;
    for (std::size_t high = 0; high < count; ++high) {
        inside += weight[high];
        best.total += weight[high];
        while (value[high] - value[low] > kBandWidth) inside -= weight[low++];
        if (inside > best.weight) {
            best.weight = inside;
            best.centre = (value[low] + value[high]) * 0.5F + kBandSkew;
        }
    }
    if (best.weight < 0) best.weight = 0;
    return best;
}

constexpr bool within_band(float estimate, float actual) {
    return estimate - actual >= kHitLow && estimate - actual <= kHitHigh;
}

}  // namespace nexus::predict
