#pragma once
// Draws from the distributions of simulated worlds. Each call takes a fixed number of words from the generator, so that
// two worlds of one seed stay in step whatever values come out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"

namespace nexus::simulate {

// Standard normal (Box and Muller, one of the pair). Two words.
inline double draw_normal(Rng& rng) {
    const double radius = rng.unit();
    const double angle = rng.unit();
    return std::sqrt(-2.0 * std::log1p(-radius)) * std::cos(2.0 * std::numbers::pi * angle);
}

// Exponential of mean 1. One word.
inline double draw_exponential(Rng& rng) {
    return -std::log1p(-rng.unit());
}

// Bounded Pareto of shape `alpha` on [low, high] (inverse of its distribution). One word.
inline double draw_pareto(Rng& rng, double alpha, double low, double high) {
    const double u = rng.unit();
    const double l = std::pow(low, -alpha);
    const double h = std::pow(high, -alpha);
    return std::pow(l - u * (l - h), -1.0 / alpha);
}

// The mean of that distribution; alpha other than 1.
inline double pareto_mean(double alpha, double low, double high) {
    const double scale = std::pow(low, alpha) / (1.0 - std::pow(low / high, alpha));
    return scale * alpha / (alpha - 1.0) * (std::pow(low, 1.0 - alpha) - std::pow(high, 1.0 - alpha));
}

// An index drawn by weight: `cumulative` rises and ends in the total. One word.
inline std::uint32_t draw_index(Rng& rng, const std::vector<double>& cumulative) {
    const double u = rng.unit() * cumulative.back();
    const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), u);
    const auto last = static_cast<std::uint32_t>(cumulative.size() - 1);
    return std::min(last, static_cast<std::uint32_t>(at - cumulative.begin()));
}

// The generator of one purpose within a seed: what one purpose draws does not shift what another does.
inline Rng rng_for(std::uint64_t seed, std::uint64_t purpose, std::uint64_t item = 0) {
    return Rng(mix(mix(mix(0x6E65787573ULL, seed), purpose), item));
}

}  // namespace nexus::simulate
