#pragma once
// Which stretch of the fleet, fastest worker first, tasks of each size prefer (docs/scheduling.md, Placement): sizes
// laid end to end by their share of the predicted work that arrives, first the smallest that hold 2 % of it, then the
// rest from the longest down. At a fixed split of work the mean does not depend on which size runs where; the p50 and
// the p99 do.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "core/fixed_ln.h"
#include "core/task.h"

namespace nexus::core {

class SizeBands {
public:
    // A stretch of the fleet by capacity, Q16: 0 = the fastest, 65,536 = the slowest end.
    struct Band {
        std::int32_t low = 0, high = kQ16One;
        bool operator==(const Band&) const = default;
    };

    // A task of this predicted run time on an average worker arrived.
    void add(Duration size) {
        std::int64_t& work = work_[bucket(size)];
        work = saturating_add(work, size.us);
        if (++added_ % kFadeEvery != 0) return;
        for (std::int64_t& old : work_) old -= old / 8;
    }

    // Lays the bands by what has arrived.
    void lay() {
        std::int64_t all = 0;
        for (const std::int64_t work : work_) all = saturating_add(all, work);
        if (all == 0) return;
        std::int64_t laid = 0;
        std::int32_t end = 0;  // of what is laid
        const auto lay_one = [&](std::size_t at) {
            bands_[at].low = end;
            if (work_[at] > 0) {
                laid = saturating_add(laid, work_[at]);
                end = static_cast<std::int32_t>(scale(laid, kQ16One, all));
            }
            bands_[at].high = end;
        };
        std::size_t small = 0;
        while (small < kBuckets && saturating_add(laid, work_[small]) <= all / kSmallShare) lay_one(small++);
        for (std::size_t at = kBuckets; at > small; --at) lay_one(at - 1);
    }

    const Band& of(Duration size) const { return bands_[bucket(size)]; }
    // Of a task that may be of either size: both bands and what lies between.
    Band of(Duration one, Duration other) const {
        const Band& a = of(one);
        const Band& b = of(other);
        return {.low = std::min(a.low, b.low), .high = std::max(a.high, b.high)};
    }

    template <class A>
    void archive(A& a) {
        a(added_);
        for (std::int64_t& work : work_) a(work);
        for (Band& band : bands_) a(band.low, band.high);
    }

private:
    static constexpr std::size_t kBuckets = 256;       // a quarter of an octave each
    static constexpr std::uint64_t kFadeEvery = 1024;  // tasks after which old ones count an eighth less
    static constexpr std::int64_t kSmallShare = 50;    // the smallest sizes: one part in so many of the work

    static std::size_t bucket(Duration size) {
        if (size.us < 4) return 0;
        const auto us = static_cast<std::uint64_t>(size.us);
        const int octave = 63 - std::countl_zero(us);
        return static_cast<std::size_t>(octave) * 4 + (us >> (octave - 2) & 3);
    }

    std::array<std::int64_t, kBuckets> work_{};  // predicted microseconds, fading
    std::array<Band, kBuckets> bands_{};
    std::uint64_t added_ = 0;
};

}  // namespace nexus::core
