#pragma once
// Natural logarithms of integers in Q16 (65,536 = 1.0), by integer arithmetic only: equal on every build and machine.

#include <array>
#include <bit>
#include <cstdint>

namespace nexus::core {

__extension__ typedef __int128 Wide;  // for products before they are scaled down
__extension__ typedef unsigned __int128 UnsignedWide;

inline constexpr std::int64_t kQ16One = 65'536;

// ln(1 + z) for 0 <= z < 1/127, both Q32: the first terms of its series, error below 2/2^32.
constexpr std::int64_t ln_near_one_q32(std::int64_t z) {
    const std::int64_t square = z * z >> 32;
    const std::int64_t cube = square * z >> 32;
    return z - square / 2 + cube / 3 - (cube * z >> 34);
}

// ln(1 + i / 128), Q32: each from the one before.
inline constexpr std::array<std::int64_t, 128> kLnQ32 = [] {
    std::array<std::int64_t, 128> table{};
    for (std::int64_t i = 1; i < 128; ++i)
        table[static_cast<std::size_t>(i)] =
            table[static_cast<std::size_t>(i - 1)] + ln_near_one_q32((std::int64_t{1} << 32) / (127 + i));
    return table;
}();

// ln(x) in Q16, error below 1/65536. ln_q16(0) is 0, like ln_q16(1).
constexpr std::int64_t ln_q16(std::uint64_t x) {
    if (x <= 1) return 0;
    constexpr std::int64_t kLn2Q32 = 2'977'044'472;
    const int exponent = 63 - std::countl_zero(x);
    const std::uint64_t mantissa = x << (63 - exponent);  // in [1, 2), Q63
    const std::uint64_t step = mantissa >> 56;            // 128 to 255: the part of it that the table knows
    const std::uint64_t rest = mantissa << 8 >> 32;       // beyond that, Q39
    const std::int64_t ln =
        exponent * kLn2Q32 + kLnQ32[step - 128] + ln_near_one_q32(static_cast<std::int64_t>(rest / step));
    return (ln + (1 << 15)) >> 16;
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
