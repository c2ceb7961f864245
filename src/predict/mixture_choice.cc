// Whom the mixture believes: the standing of each expert, and the choice among them.

#include <algorithm>
#include <cmath>

#include "predict/lanes.h"
#include "predict/mixture_asking.h"

namespace nexus::predict {
namespace {

constexpr float kErrorWeight = 0.01F;
constexpr float kPriorCount = 20;
constexpr float kNewPriorCount = 4;
constexpr float kSiblingDoubt = 0.03F;  // few runs speak: it must be better by so much

// What experts are worth before any record: a hint is meant, a family is a guess.
constexpr ExpertNumbers kPriorRate = {0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.6F, 0.35F, 0.5F};

}  // namespace

// The share of hits expected of each expert here: its recent record with the type and with the (type, tenant), each
// shrunk to its record with everything, less a little for far misses.
Mixture::Standings Mixture::standings(const TypeState* type, const Cell* cell) const {
    const bool is_new = type == nullptr || type->seen < kNewRuns;
    const ExpertScore& fleet = is_new ? new_score_ : score_;
    Standings made;
    for (std::size_t e = 0; e < expert_count; e += kLane) {
        const Floats base = (load_lanes<Floats>(&fleet.hits[e]) + kNewPriorCount * load_lanes<Floats>(&kPriorRate[e])) /
                            (load_lanes<Floats>(&fleet.count[e]) + kNewPriorCount);
        const auto rate = [&](const ExpertScore& score) {
            return (load_lanes<Floats>(&score.hits[e]) + kPriorCount * base) /
                   (load_lanes<Floats>(&score.count[e]) + kPriorCount);
        };
        if (type == nullptr) {
            store_lanes(base, &made[e]);
            continue;
        }
        const Floats count = load_lanes<Floats>(&type->score.count[e]);
        const Floats error = count > 0 ? load_lanes<Floats>(&type->score.errors[e]) / count : floats(0);
        store_lanes(
            0.5F * rate(type->score) + 0.5F * (cell == nullptr ? base : rate(cell->score)) - kErrorWeight * error,
            &made[e]);
    }
    made[sibling_mode] -= kSiblingDoubt;
    return made;
}

// Whether members of an array are as good a guess of each other as anything that ever spoke of the type.
bool Mixture::alike(const TypeState* type, const Standings& standings) {
    if (type == nullptr) return false;
    for (std::size_t e = 0; e < expert_count; ++e)
        if (type->score.count[e] > 0 && standings[e] > standings[sibling_mode] + kSiblingDoubt) return false;
    return true;
}

Expert Mixture::choose(const ExpertValues& values, const Standings& standings) {
    Expert best = expert_count;
    float best_standing = -1;
    for (std::size_t e = 0; e < expert_count; ++e) {
        if (std::isnan(values[e]) || standings[e] <= best_standing) continue;
        best_standing = standings[e];
        best = static_cast<Expert>(e);
    }
    return best;
}

// The same without asking whom nobody would believe: in order of standing until one has something to say.
Expert Mixture::choose_first(Asking& asking, Standings standings) {
    for (std::size_t asked = 0; asked < expert_count; ++asked) {
        const auto best = std::max_element(standings.begin(), standings.begin() + expert_count);
        const auto expert = static_cast<Expert>(best - standings.begin());
        if (!std::isnan(asking.value(expert))) return expert;
        *best = -2;
    }
    return expert_count;
}

}  // namespace nexus::predict
