#include "core/day_pattern.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/fixed_ln.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kDayUs = 86'400'000'000;
constexpr std::int64_t kPartUs = kDayUs / static_cast<std::int64_t>(DayPattern::kParts);
constexpr std::int64_t kGapMax = 2 * kDayUs;  // longer than that nobody was watching
constexpr std::uint32_t kDaysMax = 4;
constexpr std::uint32_t kDaysNeeded = 2;
constexpr std::int64_t kMemory = 96;  // parts of a day: two days
constexpr std::int64_t kSlotsMax = 1 << 30;
constexpr std::int64_t kStretchMax = 7 * kDayUs;

std::size_t part_of(std::int64_t wall_us) {
    const std::int64_t in_day = (wall_us % kDayUs + kDayUs) % kDayUs;
    return static_cast<std::size_t>(in_day / kPartUs);
}
std::int64_t left_of_part(std::int64_t wall_us) {
    return kPartUs - (wall_us % kPartUs + kPartUs) % kPartUs;
}
}  // namespace

void DayPattern::passed(std::int64_t wall_us, std::uint64_t slots) {
    const auto held = static_cast<std::int64_t>(std::min<std::uint64_t>(slots, kSlotsMax));
    if (since_us_ < 0 || wall_us < since_us_ || wall_us - since_us_ > kGapMax) {
        since_us_ = std::max<std::int64_t>(wall_us, 0);
        seen_us_ = slot_us_ = 0;
        return;
    }
    while (since_us_ < wall_us) {
        const std::int64_t step = std::min(wall_us - since_us_, left_of_part(since_us_));
        const std::size_t part = part_of(since_us_);
        seen_us_ += step;
        slot_us_ += step * held;
        since_us_ += step;
        if (part_of(since_us_) != part) close(part);
    }
}

// The part of the day is over. One that was seen for less than half tells nothing.
void DayPattern::close(std::size_t at) {
    const std::int64_t seen = std::exchange(seen_us_, 0), slot_us = std::exchange(slot_us_, 0);
    if (seen < kPartUs / 2) return;
    const std::int64_t was = scale(slot_us, kQ16One, seen);
    Part& part = parts_[at];
    if (part.days > 0) {
        off_by_part_q16_ += (std::abs(was - part.slots_q16) - off_by_part_q16_) / kMemory;
        off_by_mean_q16_ += (std::abs(was - mean_q16_) - off_by_mean_q16_) / kMemory;
    }
    part.days = std::min(part.days + 1, kDaysMax);
    part.slots_q16 += (was - part.slots_q16) / part.days;
    mean_q16_ += (was - mean_q16_) / (part.days > 1 ? kMemory : 8);
}

bool DayPattern::believed() const {
    return off_by_mean_q16_ > mean_q16_ / 20 && off_by_part_q16_ < off_by_mean_q16_ / 2 &&
           std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.days >= kDaysNeeded; });
}

std::int64_t DayPattern::stretch(std::int64_t wall_us, std::int64_t span_us) const {
    if (span_us <= left_of_part(wall_us) || !believed()) return std::max<std::int64_t>(span_us, 1);
    const std::int64_t here = parts_[part_of(wall_us)].slots_q16;
    if (here <= 0) return span_us;  // there are slots where there never were any
    std::int64_t left = span_us;    // of the work, in time of the slots that are here now
    std::int64_t at = wall_us;
    while (at - wall_us < kStretchMax) {
        const std::int64_t step = left_of_part(at);
        const std::int64_t slots = parts_[part_of(at)].slots_q16;
        const std::int64_t done = scale(step, slots, here);
        if (done >= left)
            return std::max<std::int64_t>(at + scale(left, here, std::max<std::int64_t>(slots, 1)) - wall_us, 1);
        left -= done;
        at += step;
    }
    return at + left - wall_us;
}

}  // namespace nexus::core
