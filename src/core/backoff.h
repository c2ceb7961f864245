#pragma once
// How long a failed task waits before its next try (contract C14): exponential, full jitter, capped.

#include <cstdint>

#include "base/rng.h"
#include "base/units.h"

namespace nexus::core {

// The ceiling before jitter: `first` doubled for each failure after the first, at most `most`.
constexpr Duration backoff_ceiling(Duration first, Duration most, std::uint32_t failures) {
    if (first.us <= 0) return {0};
    std::int64_t ceiling = first.us;
    for (std::uint32_t n = 1; n < failures && ceiling < most.us; ++n)
        ceiling = ceiling > INT64_MAX / 2 ? INT64_MAX : ceiling * 2;
    return {ceiling < most.us ? ceiling : most.us};
}

// Full jitter: uniform in [0, ceiling], so that many tasks failed by one cause do not return together.
inline Duration backoff_delay(Duration first, Duration most, std::uint32_t failures, Rng& rng) {
    const Duration ceiling = backoff_ceiling(first, most, failures);
    return {ceiling.us <= 0 ? 0 : rng.between(0, ceiling.us)};
}

}  // namespace nexus::core
