#pragma once
// Which share of a worker's slot time was used lately: exact over the half minute before the present one and what has
// passed of this one, together half a minute; or since the worker came. Integers, like all of the core.

#include <algorithm>
#include <cstdint>

#include "base/units.h"
#include "core/fixed_ln.h"

namespace nexus::core {

struct Usage {
    static constexpr std::int64_t kWindow = 30'000'000;  // microseconds

    Instant from, at;                                  // the present window's begin; counted up to
    std::int64_t busy = 0, offered = 0;                // slot time of the present window
    std::int64_t busy_before = 0, offered_before = 0;  // of the one before

    // `busy_slots` of `slots` were taken since the last call.
    void advance(Instant now, std::int64_t busy_slots, std::int64_t slots) {
        const std::int64_t windows = (now - from).us / kWindow;
        if (windows > 0) {
            const Instant edge{from.us + windows * kWindow};
            const std::int64_t rest = windows > 1 ? kWindow : (edge - at).us;
            busy_before = (windows > 1 ? 0 : busy) + busy_slots * rest;
            offered_before = (windows > 1 ? 0 : offered) + slots * rest;
            busy = offered = 0;
            from = at = edge;
        }
        busy += busy_slots * (now - at).us;
        offered += slots * (now - at).us;
        at = now;
    }

    // Nothing is known before any time has passed.
    bool known() const { return offered + offered_before > 0; }
    std::uint32_t share_ppm() const {
        const std::int64_t left = kWindow - (at - from).us;  // of the window before, as much as completes a whole one
        const std::int64_t used = busy + scale(busy_before, left, kWindow);
        const std::int64_t all = offered + scale(offered_before, left, kWindow);
        return static_cast<std::uint32_t>(scale(used, 1'000'000, std::max<std::int64_t>(all, 1)));
    }
    bool operator==(const Usage&) const = default;
};

}  // namespace nexus::core
