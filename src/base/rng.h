#pragma once
// A small seeded generator (xoshiro256**, Blackman and Vigna 2018, seeded by splitmix64). The same seed gives the same
// numbers on every build. Not for secrets.

#include <cstdint>

#include "base/must.h"

namespace nexus {

class Rng {
public:
    explicit Rng(std::uint64_t seed = 1) {
        for (auto& word : state_) word = next_seed(seed);
    }

    std::uint64_t next() {
        const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = rotate(state_[3], 45);
        return result;
    }

    // Uniform in [0, n); n > 0.
    std::uint64_t below(std::uint64_t n) {
        MUST(n > 0);
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * n) >> 64);
    }
    // Uniform in [low, high], both ends included.
    std::int64_t between(std::int64_t low, std::int64_t high) {
        MUST(low <= high);
        return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
    }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    // Uniform in [0, 1). For simulated worlds and estimators, never for a decision.
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

    const std::uint64_t* words() const { return state_; }
    void set_words(const std::uint64_t* words) {
        for (int i = 0; i < 4; ++i) state_[i] = words[i];
    }

private:
    __extension__ using Wide = unsigned __int128;

    static std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
    static std::uint64_t next_seed(std::uint64_t& seed) {
        std::uint64_t z = (seed += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }

    std::uint64_t state_[4];
};

}  // namespace nexus
