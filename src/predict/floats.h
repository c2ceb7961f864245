#pragma once
// Floating-point state as bytes, exact; anything that is not a plain number of sensible size is refused.

#include <cmath>

#include "base/bytes.h"

namespace nexus::predict {

inline void put_float(Writer& out, float v) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &v, sizeof bits);
    out.u32(bits);
}

inline float get_float(Reader& in) {
    const std::uint32_t bits = in.u32();
    float v = 0;
    std::memcpy(&v, &bits, sizeof v);
    if (std::abs(v) < 1e9F) return v;
    in.set_failed();
    return 0;
}

// Absent values are kept as NaN.
inline float get_float_or_nan(Reader& in) {
    const std::uint32_t bits = in.u32();
    float v = 0;
    std::memcpy(&v, &bits, sizeof v);
    if (std::isnan(v) || std::abs(v) < 1e9F) return v;
    in.set_failed();
    return 0;
}

}  // namespace nexus::predict
