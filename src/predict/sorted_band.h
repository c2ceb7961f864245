#pragma once
// Up to kWindowMax values in ascending order as they come and go, and the densest band of them under whatever weights
// a question brings.
//
// For each value its lowest companion within one band is kept, so that a question costs one pass of integer additions
// and no comparison of values. Weights are whole quanta: sums are exact in any order, the same on every build.
// Not thread-safe.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/must.h"
#include "predict/band.h"
#include "predict/lanes.h"

namespace nexus::predict {

inline constexpr std::size_t kWindowMax = 128;

// A weight of 1 in quanta. Weights up to 1000 fit, their sum over a window that fades by kSampleDecay too.
inline constexpr float kWeightOne = 32'768;
constexpr std::int32_t quanta(float weight) {
    return static_cast<std::int32_t>(weight * kWeightOne);
}

class SortedBand {
public:
    std::size_t size() const { return value_.size(); }
    bool empty() const { return value_.empty(); }
    // i-th in order.
    float value(std::size_t i) const { return value_[i]; }
    std::uint32_t tag(std::size_t i) const { return tag_[i]; }
    const float* values() const { return value_.data(); }
    // Of the entry with this tag, which must be there.
    std::size_t place_of(std::uint32_t tag) const {
        return static_cast<std::size_t>(std::find(tag_.begin(), tag_.end(), tag) - tag_.begin());
    }

    // A further value, after those equal to it.
    void insert(float value, std::uint32_t tag);
    // In the place of the entry at `from`.
    void replace(std::size_t from, float value, std::uint32_t tag);
    // At the end; `value` is not below the last one.
    void append(float value, std::uint32_t tag);
    // Gives every entry the value that `value_of(tag)` says and renews the order; equal ones keep theirs.
    template <class ValueOf>
    void reorder(ValueOf value_of);

    // weight_of(tag) in quanta, >= 0. Nothing of weight: Band::weight is 0.
    template <class WeightOf>
    Band densest(WeightOf weight_of) const;

private:
    struct Standing {  // of a value among those here, itself left out
        std::size_t not_above = 0;
        std::size_t too_low = 0;  // to share a band with it
        std::size_t too_high = 0;
    };
    Standing standing_of(float value) const;
    // The first band of this weight, given the sums of the weights before each value.
    Band band_of(const std::int32_t* sum, std::int32_t most) const;
    void settle(std::size_t at, float value, std::uint32_t tag, const Standing& standing);

    std::vector<float> value_;
    std::vector<std::uint32_t> tag_;
    std::vector<std::uint8_t> below_;  // how many values are too low to share a band whose top is this one
};

template <class WeightOf>
Band SortedBand::densest(WeightOf weight_of) const {
    std::array<std::int32_t, kWindowMax + 1> sum;  // of the weights before each
    std::int32_t before = 0;
    std::int32_t most = 0;
    sum[0] = 0;
    const std::size_t count = value_.size();
    const std::uint32_t* tag = tag_.data();
    const std::uint8_t* below = below_.data();
    for (std::size_t i = 0; i < count; ++i) {
        sum[i + 1] = before += weight_of(tag[i]);
        most = std::max(most, before - sum[below[i]]);
    }
    return band_of(sum.data(), most);
}

template <class ValueOf>
void SortedBand::reorder(ValueOf value_of) {
    const std::size_t count = value_.size();
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t tag = tag_[i];
        const float value = value_of(tag);
        // What comes before is in order already, and nearly right, which insertion likes.
        std::size_t at = i;
        for (; at > 0 && value_[at - 1] > value; --at) {
            value_[at] = value_[at - 1];
            tag_[at] = tag_[at - 1];
        }
        value_[at] = value;
        tag_[at] = tag;
    }
    std::size_t low = 0;
    for (std::size_t i = 0; i < count; ++i) {
        while (value_[i] - value_[low] > kBandWidth) ++low;
        below_[i] = static_cast<std::uint8_t>(low);
    }
}

}  // namespace nexus::predict
