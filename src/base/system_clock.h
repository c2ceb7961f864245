#pragma once
// The clocks of the system, for whoever may look at one: core, predict, learn and journal may not (tools/pure.sh).

#include <chrono>

#include "base/units.h"

namespace nexus {

inline WallTime system_wall() {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count()};
}
// Since any fixed origin; never goes backwards.
inline std::int64_t system_steady_ns() {
    const auto since_origin = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since_origin).count();
}
inline std::int64_t system_steady_us() {
    return system_steady_ns() / 1000;
}

}  // namespace nexus
