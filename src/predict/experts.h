#pragma once
// The experts of the mixture: who they are, what they said, and the record of each.

#include <array>
#include <cstdint>
#include <limits>

#include "base/bytes.h"
#include "base/estimate.h"
#include "predict/lanes.h"

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
    sibling_mode,
    expert_count
};
inline constexpr std::size_t kExpertsBefore =
    sibling_mode;  // of version 2; of later ones more is saved behind the rest
inline constexpr std::size_t kExpertLanes = (expert_count + kLane - 1) / kLane * kLane;  // the rest say nothing
using ExpertNumbers = std::array<float, kExpertLanes>;
using ExpertValues = ExpertNumbers;  // ln(microseconds); NaN = this expert has nothing to say
inline constexpr ExpertValues kNobody = [] {
    ExpertValues values{};
    values.fill(std::numeric_limits<float>::quiet_NaN());
    return values;
}();

// Recency-weighted record of each expert.
struct ExpertScore {
    ExpertNumbers hits{};
    ExpertNumbers errors{};  // |ln(estimate / actual)|, clipped
    ExpertNumbers count{};

    void add(const ExpertValues& made, float actual, float decay);
    void save(Writer& out) const;
    void load(Reader& in);
    void save_more(Writer& out) const;
    void load_more(Reader& in);
};

// What is kept of an answer.
void put_values(Writer& out, const ExpertValues& values);
ExpertValues get_values(Reader& in);
void put_more(Writer& out, const ExpertValues& values);
void get_more(Reader& in, ExpertValues& values);

inline constexpr std::array<EstimateSource, expert_count> kExpertSources = {
    EstimateSource::type_mode,   EstimateSource::user_mode,   EstimateSource::scaled_mode,
    EstimateSource::joined_mode, EstimateSource::scaled_mode, EstimateSource::worker_mode,
    EstimateSource::hint,        EstimateSource::prefix,      EstimateSource::sibling_mode};
inline constexpr std::array<const char*, expert_count> kExpertNames = {"type_mode",   "user_mode", "scaled_mode",
                                                                       "joined_mode", "near_mode", "worker_mode",
                                                                       "hint",        "prefix",    "sibling_mode"};

}  // namespace nexus::predict
