#include "predict/binned_band.h"

#include <algorithm>
#include <numeric>

#include "predict/lanes.h"

namespace nexus::predict {
namespace {

constexpr std::int32_t kPerBand = BinnedBand::kPerBand;

// Of what lies in the kPerBand bins up to `last`.
float centre_of(const Carried& own, const Carried& other, std::int32_t last, float lowest, std::int32_t most) {
    Floats low = floats(std::numeric_limits<float>::max());
    Floats high = -low;
    Floats moments{};
    for (const Carried* part : {&own, &other})
        for (std::size_t i = 0; i < part->count; i += kLane) {
            const Words bin = load_lanes<Words>(part->bin.data() + i);
            const Words in = (bin > last) & (bin <= last + kPerBand);
            const Floats value = load_lanes<Floats>(part->value.data() + i);
            low = in ? lesser(low, value) : low;
            high = in ? greater(high, value) : high;
            const Floats moment = floats(load_lanes<Words>(part->weight + i)) * (value - lowest);
            moments += in ? moment : floats(0);
        }
    return band_centre(least(low), greatest(high), lowest + added(moments) / static_cast<float>(most));
}

}  // namespace

Carried::Carried(const SampleWindow& past, const Likes& likes, float slope, float shift)
    : weight(likes.weight.data()), count(past.size()) {
    for (std::size_t i = 0; i < count; i += kLane)
        store_lanes(load_lanes<Floats>(past.values() + i) - slope * load_lanes<Floats>(past.payloads() + i) + shift,
                    value.data() + i);
    if (count == 0) return;
    lowest = past.sorted().value(0) + shift;
    highest = past.sorted().value(count - 1) + shift;
}

std::int64_t Carried::total() const {
    return std::accumulate(weight, weight + count, std::int64_t{0});
}

Band BinnedBand::densest(Carried& own, Carried& other) {
    if (own.count + other.count == 0) return {};
    // Where a type's own runs outweigh the rest the band is near some of them.
    const bool near_own = own.total() > other.total();
    const float lowest = near_own ? own.lowest - kBandWidth : std::min(own.lowest, other.lowest);
    const float highest = near_own ? own.highest + kBandWidth : std::max(own.highest, other.highest);
    const auto bins = static_cast<std::size_t>(std::min((highest - lowest) * kBinsPerUnit + 1, float{kBins}));
    std::fill_n(before_.begin(), bins + kPerBand + 1, 0);
    for (Carried* part : {&own, &other}) add(*part, lowest, bins);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < bins + kPerBand; ++i) before_[i] = sum += before_[i];
    std::int32_t most = 0;
    for (std::size_t i = 0; i < bins; ++i) most = std::max(most, before_[i + kPerBand] - before_[i]);
    sum += before_[bins + kPerBand];
    Band band{.weight = static_cast<float>(most) / kWeightOne, .total = static_cast<float>(sum) / kWeightOne};
    if (most == 0) return band;
    std::size_t last = 0;
    while (before_[last + kPerBand] - before_[last] != most) ++last;
    band.centre = centre_of(own, other, static_cast<std::int32_t>(last), lowest, most);
    return band;
}

// What is out of range goes where no band looks.
void BinnedBand::add(Carried& part, float lowest, std::size_t bins) {
    const auto nowhere = static_cast<std::int32_t>(bins) + kPerBand;
    for (std::size_t i = 0; i < part.count; i += kLane) {
        const Words at = words((load_lanes<Floats>(part.value.data() + i) - lowest) * kBinsPerUnit + kPerBand);
        const Words in = (at >= kPerBand) & (at <= nowhere);
        store_lanes(in ? at : Words{} + nowhere, part.bin.data() + i);
    }
    for (std::size_t i = part.count; i % kLane != 0; ++i) part.bin[i] = nowhere;
    for (std::size_t i = 0; i < part.count; ++i) before_[static_cast<std::size_t>(part.bin[i])] += part.weight[i];
}

}  // namespace nexus::predict
