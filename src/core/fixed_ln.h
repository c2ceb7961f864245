#pragma once
// Natural logarithms of integers in Q16 (65,536 = 1.0), by integer arithmetic only: equal on every build and machine.

#include <bit>
#include <cstdint>

namespace nexus::core {

__extension__ typedef __int128 Wide;  // for products before they are scaled down
__extension__ typedef unsigned __int128 UnsignedWide;

inline constexpr std::int64_t kQ16One = 65'536;

// ln(x) in Q16, error below 2/65536. ln_q16(0) is 0, like ln_q16(1).
constexpr std::int64_t ln_q16(std::uint64_t x) {
    if (x <= 1) return 0;
    const int exponent = 63 - std::countl_zero(x);
    // The mantissa in [1, 2) as Q63; each squaring yields one more bit of the binary logarithm.
    std::uint64_t mantissa = x << (63 - exponent);
    std::uint64_t fraction = 0;
    for (int bit = 0; bit < 20; ++bit) {
        const UnsignedWide square = static_cast<UnsignedWide>(mantissa) * mantissa;
        const bool carry = static_cast<bool>(static_cast<std::uint64_t>(square >> 127));
        mantissa = static_cast<std::uint64_t>(square >> (carry ? 64 : 63));
        fraction = (fraction << 1) | static_cast<std::uint64_t>(carry);
    }
    const std::uint64_t log2_q20 = (static_cast<std::uint64_t>(exponent) << 20) | fraction;
    constexpr std::uint64_t kLn2Q32 = 2'977'044'472ULL;  // ln 2 x 2^32, rounded
    return static_cast<std::int64_t>((static_cast<UnsignedWide>(log2_q20) * kLn2Q32 + (1ULL << 35)) >> 36);
}

// ln(a / b) in Q16; zeros count as one.
constexpr std::int64_t ln_ratio_q16(std::uint64_t a, std::uint64_t b) {
    return ln_q16(a) - ln_q16(b);
}

// a * b / c without overflow in between, saturated to the range of int64. c > 0.
constexpr std::int64_t scale(std::int64_t a, std::int64_t b, std::int64_t c) {
    std::int64_t narrow = 0;
    if (!__builtin_mul_overflow(a, b, &narrow))
        return narrow / c;  // a division of 64 bits takes a fraction of the time
    const Wide product = static_cast<Wide>(a) * b / c;
    if (product > INT64_MAX) return INT64_MAX;
    if (product < INT64_MIN) return INT64_MIN;
    return static_cast<std::int64_t>(product);
}

}  // namespace nexus::core
