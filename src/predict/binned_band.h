#pragma once
// The densest band of two windows together, when the question itself moves one against the other.

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "predict/likeness.h"
#include "predict/window.h"

namespace nexus::predict {

// The runs of a window as one question sees them, by slot.
struct Carried {
    std::array<float, kWindowMax> value;
    std::array<std::int32_t, kWindowMax> bin;
    const std::int32_t* weight = nullptr;
    std::size_t count = 0;
    float lowest = std::numeric_limits<float>::max();
    float highest = std::numeric_limits<float>::lowest();

    // Each value less `slope` times its size, and `shift` more. `past` and `likes` outlive it.
    Carried(const SampleWindow& past, const Likes& likes, float slope, float shift);
    std::int64_t total() const;
};

// No order of the two together can be kept: weights are added up in bins of the line, and a band takes a whole number
// of them. Nothing in it is further apart than a band is wide, but up to one bin's width may be left out of it.
class BinnedBand {
public:
    static constexpr std::int32_t kPerBand = 64;

    Band densest(Carried& own, Carried& other);

private:
    static constexpr std::int32_t kBins = 2048;  // 16 in ln: beyond ten million times the least all are alike
    static constexpr float kBinsPerUnit = kPerBand / kBandWidth;

    void add(Carried& part, float lowest, std::size_t bins);

    std::array<std::int32_t, kBins + kPerBand + 1> before_;  // weight in bins up to this one, kPerBand further on
};

}  // namespace nexus::predict
