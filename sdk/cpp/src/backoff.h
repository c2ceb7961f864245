#pragma once
// Exponential backoff with full jitter: the n-th delay is uniform in [0, min(max, first * 2^n)]. Full jitter spreads a
// herd of clients evenly, whatever made them fail together. Deterministic by seed; not thread-safe.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace nexus::sdk {

class Backoff {
public:
    using Micros = std::chrono::microseconds;

    Backoff(Micros first, Micros max, std::uint64_t seed)
        : first_(std::max(first, Micros(1))), max_(std::max(max, first_)), state_(seed) {}

    Micros next() {
        const Micros ceiling = ceiling_after(failures_);
        if (ceiling < max_) ++failures_;
        return uniform(ceiling);
    }
    // Uniform in [0, ceiling], without counting as a failure.
    Micros uniform(Micros ceiling) {
        const std::uint64_t span = static_cast<std::uint64_t>(std::max<std::int64_t>(ceiling.count(), 0)) + 1;
        return Micros(static_cast<std::int64_t>(draw() % span));
    }
    void reset() { failures_ = 0; }

private:
    Micros ceiling_after(std::uint32_t failures) const {
        Micros ceiling = first_;
        for (std::uint32_t i = 0; i < failures && ceiling < max_; ++i) ceiling *= 2;
        return std::min(ceiling, max_);
    }
    std::uint64_t draw() {  // splitmix64 (Steele, Lea, Flood 2014)
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }

    Micros first_, max_;
    std::uint64_t state_;
    std::uint32_t failures_ = 0;
};

}  // namespace nexus::sdk
