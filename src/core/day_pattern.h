#pragma once
// How many slots are connected at which time of the day, learned from the days before (docs/scheduling.md, "ETA"): so
// that what waits through the night is not told the speed of the evening. Integers only.

#include <array>
#include <cstdint>

#include "base/units.h"

namespace nexus::core {

class DayPattern {
public:
    static constexpr std::size_t kParts = 48;  // half hours of the day, UTC

    struct Part {
        std::int64_t slots_q16 = 0;  // usually, each day weighing a quarter of what is known
        std::uint32_t days = 0;      // seen, at most kDaysMax
    };

    // So many slots were connected since the last call. `wall_us`: time of day, microseconds since 1970; may be set back.
    void passed(std::int64_t wall_us, std::uint64_t slots);

    // When as much has been done as the slots of `wall_us` do in `span_us`: the span itself unless days have shown that
    // their number follows the time of day. At least 1; not beyond a week, after which today's slots are taken to go on.
    std::int64_t stretch(std::int64_t wall_us, std::int64_t span_us) const;

    // Whether the time of day has told the slots of the last days much better than their mean would have.
    bool believed() const;

    template <class A>
    void archive(A& a) {
        for (Part& part : parts_) a(part.slots_q16, part.days);
        a(since_us_, seen_us_, slot_us_, mean_q16_, off_by_part_q16_, off_by_mean_q16_);
    }

private:
    void close(std::size_t part);

    std::array<Part, kParts> parts_{};
    std::int64_t since_us_ = -1;  // wall time up to which slots are known; -1: nothing yet
    std::int64_t seen_us_ = 0;    // of the part of the day under way
    std::int64_t slot_us_ = 0;    // slots x time in it
    std::int64_t mean_q16_ = 0;   // slots of all parts lately
    // How far the part of the days before, and the mean, were off; slots, each part weighing a ninety-sixth.
    std::int64_t off_by_part_q16_ = 0, off_by_mean_q16_ = 0;
};

}  // namespace nexus::core
