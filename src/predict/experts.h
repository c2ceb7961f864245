#pragma once
// The experts of the mixture: who they are, what they said, and the record of each.

#include <array>
#include <cstdint>
#include <limits>

#include "base/bytes.h"
#include "base/estimate.h"

namespace nexus::predict {

enum Expert : std::size_t {
    type_mode,
    user_mode,
    scaled_mode,
    joined_mode,
    near_mode,
    worker_mode,
    by_hint,
    by_prefix,
    expert_count
};
using ExpertValues = std::array<float, expert_count>;  // ln(microseconds); NaN = this expert has nothing to say
inline constexpr ExpertValues kNobody = [] {
    ExpertValues values{};
    values.fill(std::numeric_limits<float>::quiet_NaN());
    return values;
}();

// Recency-weighted record of each expert.
struct ExpertScore {
    std::array<float, expert_count> hits{};
    std::array<float, expert_count> errors{};  // |ln(estimate / actual)|, clipped
    std::array<float, expert_count> count{};

    void add(const ExpertValues& made, float actual, float decay);
    void save(Writer& out) const;
    void load(Reader& in);
};

// What is kept of an answer.
void put_values(Writer& out, const ExpertValues& values);
ExpertValues get_values(Reader& in);

inline constexpr std::array<EstimateSource, expert_count> kExpertSources = {
    EstimateSource::type_mode,   EstimateSource::user_mode,   EstimateSource::scaled_mode, EstimateSource::joined_mode,
    EstimateSource::scaled_mode, EstimateSource::worker_mode, EstimateSource::hint,        EstimateSource::prefix};
inline constexpr std::array<const char*, expert_count> kExpertNames = {
    "type_mode", "user_mode", "scaled_mode", "joined_mode", "near_mode", "worker_mode", "hint", "prefix"};

}  // namespace nexus::predict
