#pragma once
// Four numbers computed at once, the same on every compiler: no choice of order is left to it.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nexus::predict {

inline constexpr std::size_t kLane = 4;
using Floats = float __attribute__((vector_size(16)));
using Words = std::int32_t __attribute__((vector_size(16)));

template <class Vector, class Number>
Vector load_lanes(const Number* from) {
    static_assert(sizeof(Number) * kLane == sizeof(Vector));
    Vector made;
    std::memcpy(&made, from, sizeof made);
    return made;
}
template <class Vector, class Number>
void store_lanes(const Vector& from, Number* to) {
    static_assert(sizeof(Number) * kLane == sizeof(Vector));
    std::memcpy(to, &from, sizeof from);
}
inline Floats floats(float value) {
    return Floats{} + value;
}
inline Floats floats(Words words) {
    return __builtin_convertvector(words, Floats);
}
inline Words words(Floats floats) {
    return __builtin_convertvector(floats, Words);
}
inline Floats lesser(Floats a, Floats b) {
    return a < b ? a : b;
}
inline Floats greater(Floats a, Floats b) {
    return a > b ? a : b;
}
inline float added(Floats v) {
    return (v[0] + v[1]) + (v[2] + v[3]);
}
inline float least(Floats v) {
    const float a = v[0] < v[1] ? v[0] : v[1];
    const float b = v[2] < v[3] ? v[2] : v[3];
    return a < b ? a : b;
}
inline float greatest(Floats v) {
    return -least(-v);
}

}  // namespace nexus::predict
