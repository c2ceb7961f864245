#include "predict/sorted_band.h"

namespace nexus::predict {

// Where `value` belongs among those here, counted in one pass without a branch.
SortedBand::Standing SortedBand::standing_of(float value) const {
    const float* other = value_.data();
    const std::size_t count = value_.size();
    std::int32_t not_above = 0;
    std::int32_t too_low = 0;
    std::int32_t too_high = 0;
    for (std::size_t i = 0; i < count; ++i) {
        not_above += other[i] <= value ? 1 : 0;
        too_low += value - other[i] > kBandWidth ? 1 : 0;
        too_high += other[i] - value > kBandWidth ? 1 : 0;
    }
    return {.not_above = static_cast<std::size_t>(not_above),
            .too_low = static_cast<std::size_t>(too_low),
            .too_high = static_cast<std::size_t>(too_high)};
}

// Entry `at` gets this value, whose place it is. For those far above it that is one more too low.
void SortedBand::settle(std::size_t at, float value, std::uint32_t tag, const Standing& standing) {
    value_[at] = value;
    tag_[at] = tag;
    below_[at] = static_cast<std::uint8_t>(standing.too_low);
    for (std::size_t i = size() - standing.too_high; i < size(); ++i) ++below_[i];
}

Band SortedBand::band_of(const std::int32_t* sum, std::int32_t most) const {
    const float total = static_cast<float>(sum[size()]) / kWeightOne;
    if (most == 0) return {.total = total};
    std::size_t high = 0;
    while (sum[high + 1] - sum[below_[high]] != most) ++high;
    const std::size_t low = below_[high];
    const float* value = value_.data();
    Floats moments{};
    std::size_t i = low;
    for (; i + kLane <= high + 1; i += kLane)
        moments += floats(load_lanes<Words>(sum + i + 1) - load_lanes<Words>(sum + i)) *
                   (load_lanes<Floats>(value + i) - value[low]);
    float moment = added(moments);
    for (; i <= high; ++i) moment += static_cast<float>(sum[i + 1] - sum[i]) * (value[i] - value[low]);
    const float mean = value[low] + moment / static_cast<float>(most);
    return {.centre = band_centre(value[low], value[high], mean),
            .weight = static_cast<float>(most) / kWeightOne,
            .total = total};
}

void SortedBand::insert(float value, std::uint32_t tag) {
    MUST(size() < kWindowMax);
    const Standing standing = standing_of(value);
    const auto at = static_cast<std::ptrdiff_t>(standing.not_above);
    value_.insert(value_.begin() + at, value);
    tag_.insert(tag_.begin() + at, tag);
    below_.insert(below_.begin() + at, 0);
    settle(standing.not_above, value, tag, standing);
}

void SortedBand::append(float value, std::uint32_t tag) {
    MUST(size() < kWindowMax);
    value_.push_back(value);
    tag_.push_back(tag);
    below_.push_back(0);
    settle(size() - 1, value, tag, {.not_above = size() - 1, .too_low = standing_of(value).too_low, .too_high = 0});
}

void SortedBand::replace(std::size_t from, float value, std::uint32_t tag) {
    MUST(from < size());
    const auto leaving = static_cast<std::uint8_t>(from);
    std::uint8_t* below = below_.data();
    const std::size_t count = size();
    for (std::size_t i = 0; i < count; ++i)
        below[i] = static_cast<std::uint8_t>(below[i] - (below[i] > leaving ? 1 : 0));
    Standing standing = standing_of(value);
    const float left = value_[from];
    standing.not_above -= left <= value ? 1 : 0;
    standing.too_low -= value - left > kBandWidth ? 1 : 0;
    standing.too_high -= left - value > kBandWidth ? 1 : 0;
    const std::size_t at = standing.not_above;
    const auto move = [from, at](auto& column) {
        const auto first = column.begin() + static_cast<std::ptrdiff_t>(std::min(from, at));
        const auto last = column.begin() + static_cast<std::ptrdiff_t>(std::max(from, at));
        if (from < at)
            std::move(first + 1, last + 1, first);
        else
            std::move_backward(first, last, last + 1);
    };
    move(value_);
    move(tag_);
    move(below_);
    settle(at, value, tag, standing);
}

}  // namespace nexus::predict
