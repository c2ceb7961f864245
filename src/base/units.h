#pragma once
// Strong types for time and size. Integers of one unit; no implicit mixing of kinds.
//
//   Duration   a span of time, microseconds
//   Instant    a point on the engine's own clock, microseconds. It never goes backwards, goes on over restarts,
//              and is the only time the core decides by
//   WallTime   a point in calendar time, microseconds since the Unix epoch. For people, run_at and deadline only

#include <compare>
#include <cstdint>
#include <limits>

namespace nexus {

struct Duration {
    std::int64_t us = 0;
    constexpr auto operator<=>(const Duration&) const = default;
};

struct Instant {
    std::int64_t us = 0;
    constexpr auto operator<=>(const Instant&) const = default;
};

struct WallTime {
    std::int64_t us = 0;
    constexpr auto operator<=>(const WallTime&) const = default;
};

inline constexpr Instant kNever{std::numeric_limits<std::int64_t>::max()};

constexpr Duration microseconds(std::int64_t n) {
    return {n};
}
constexpr Duration milliseconds(std::int64_t n) {
    return {n * 1'000};
}
constexpr Duration seconds(std::int64_t n) {
    return {n * 1'000'000};
}
constexpr Duration minutes(std::int64_t n) {
    return seconds(n * 60);
}
constexpr Duration hours(std::int64_t n) {
    return minutes(n * 60);
}

// Sums saturate at the ends of the range: an absurd input becomes "never", not undefined behaviour.
constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
    std::int64_t sum = 0;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return b > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}
constexpr std::int64_t saturating_sub(std::int64_t a, std::int64_t b) {
    std::int64_t difference = 0;
    if (!__builtin_sub_overflow(a, b, &difference)) return difference;
    return b < 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

constexpr Duration operator+(Duration a, Duration b) {
    return {saturating_add(a.us, b.us)};
}
constexpr Duration operator-(Duration a, Duration b) {
    return {saturating_sub(a.us, b.us)};
}
constexpr Instant operator+(Instant a, Duration b) {
    return {saturating_add(a.us, b.us)};
}
constexpr Instant operator-(Instant a, Duration b) {
    return {saturating_sub(a.us, b.us)};
}
constexpr Duration operator-(Instant a, Instant b) {
    return {saturating_sub(a.us, b.us)};
}
constexpr WallTime operator+(WallTime a, Duration b) {
    return {saturating_add(a.us, b.us)};
}
constexpr WallTime operator-(WallTime a, Duration b) {
    return {saturating_sub(a.us, b.us)};
}
constexpr Duration operator-(WallTime a, WallTime b) {
    return {saturating_sub(a.us, b.us)};
}

}  // namespace nexus
