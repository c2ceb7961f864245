#include "predict/mixture_asking.h"

#include <algorithm>
#include <limits>

#include "base/hash.h"
#include "predict/binned_band.h"

namespace nexus::predict {
namespace {

constexpr float kNothing = std::numeric_limits<float>::quiet_NaN();
constexpr AgeWeights kSlow = age_weights(0.96F);
constexpr AgeWeights kFast = age_weights(0.70F);
constexpr float kSameType = 5;               // how much more a run of the same type counts
constexpr float kPayloadReach = 4;           // weight falls by e with each quarter of ln(payload) ...
constexpr float kPayloadReachScaled = 0.7F;  // ... or with each 1.4 when durations are carried over by the slope
constexpr float kLostBy = 0.2F;              // hit rate: an expert this far behind is asked only each eighth run,
constexpr float kLostCount = 20;             // once it was scored that often

// The two experts that look at every past run cost most. Where one has lost to another for long it is asked only after
// each eighth run. Depends on the type's own record alone, so that an answer stays good until the type learns.
bool worth_asking(const ExpertScore& score, std::uint64_t seen, Expert expert) {
    if (seen % 8 == 0 || score.count[expert] <= kLostCount) return true;
    float best = 0;
    for (const Expert e : {type_mode, user_mode, scaled_mode, joined_mode, near_mode})
        if (score.count[e] > kLostCount) best = std::max(best, score.hits[e] / score.count[e]);
    return score.hits[expert] / score.count[expert] >= best - kLostBy;
}

}  // namespace

Mixture::Asking::Asking(Mixture& mixture, const Query& query, TypeState* type, UserState* user, Cell* cell)
    : query_(query),
      type_(type),
      user_(user),
      cell_(cell),
      place_(query.place == 0 ? nullptr : mixture.places_.find(query.place)),
      array_(mixture.arrays_.find(query.array)),
      awaited_(array_ != nullptr && array_->awaited(query.at)),
      is_new_(type == nullptr || type->seen < kNewRuns),
      kept_(cell != nullptr && type != nullptr ? &cell->answered : &own_) {
    if (is_new_ && !query.family.empty()) family_ = mixture.families_.find(hash_bytes(query.family));
    if (kept_ == &own_) return;
    const std::uint64_t user_version = user == nullptr ? UINT64_MAX : user->version;
    if (cell->type_version == type->version && cell->user_version == user_version && cell->asked == query.sample &&
        cell->asked_user_size == query.user_size)
        return;
    *kept_ = {};
    cell->asked = query.sample;
    cell->asked_user_size = query.user_size;
    cell->type_version = type->version;
    cell->user_version = user_version;
}

float Mixture::Asking::value(Expert expert) {
    switch (expert) {
        case by_hint: return query_.hint;
        case by_prefix: return is_new_ && family_ != nullptr ? prefix().centre : kNothing;
        case worker_mode: return place_ != nullptr && !place_->recent.empty() ? place().centre : kNothing;
        case sibling_mode: return array_ != nullptr && !array_->silent() ? array_->band().centre : kNothing;
        default: break;
    }
    const auto bit = static_cast<std::uint8_t>(1U << expert);
    if ((kept_->asked & bit) == 0) {
        kept_->asked |= bit;
        ask(expert);
    }
    return kept_->values[expert];
}

Band Mixture::Asking::band(Expert expert) const {
    switch (expert) {
        case by_hint: return {};
        case by_prefix: return prefix();
        case worker_mode: return place();
        case sibling_mode: return array_->band();
        default: return kept_->bands[expert];
    }
}

ExpertValues Mixture::Asking::all() {
    ExpertValues values = kNobody;
    for (std::size_t e = 0; e < expert_count; ++e) values[e] = value(static_cast<Expert>(e));
    return values;
}

Band Mixture::Asking::prefix() const {
    return family_->recent.mode(kSlow);
}

Band Mixture::Asking::place() const {
    return place_->recent.mode(kSlow);
}

void Mixture::Asking::set(Expert expert, Band band, float shift) {
    band.centre += shift;
    kept_->bands[expert] = band;
    if (band.weight > 0) kept_->values[expert] = band.centre;
}

bool Mixture::Asking::worth(Expert expert) const {
    return type_ == nullptr || worth_asking(type_->score, type_->seen, expert);
}

void Mixture::Asking::ask(Expert expert) {
    if (expert == type_mode && type_ != nullptr && !type_->recent.empty()) set(expert, type_->recent.mode(kSlow), 0);
    if (expert == user_mode && cell_ != nullptr && !cell_->recent.empty()) set(expert, cell_->recent.mode(kFast), 0);
    if (expert == joined_mode && user_ != nullptr && worth(expert)) ask_joined();
    if (type_ == nullptr || (expert != scaled_mode && expert != near_mode) || !worth(expert)) return;
    if (expert == near_mode && type_->sorted_slope == 0) return;  // it would say what scaled_mode says
    if (expert == scaled_mode) {
        Band band = own().band();
        band.weight /= kSameType;
        band.total /= kSameType;
        return set(expert, band, type_->sorted_slope * query_.sample.payload);
    }
    Likes near;
    near.weigh(type_->samples, query_.sample, kPayloadReach, 1);
    set(expert, near.band(), type_->sorted_slope * query_.sample.payload);
}

void Mixture::Asking::ask_joined() {
    Sample by_user = query_.sample;
    by_user.payload = query_.user_size;
    Likes others;
    const float slope = type_ == nullptr ? 0.0F : type_->sorted_slope;
    others.weigh(user_->samples, by_user, kPayloadReach, slope == 0 ? kSameType : 0);
    if (slope == 0) return set(joined_mode, others.band(), 0);
    // The type's own runs are carried over to this size and stand in place of those among the tenant's.
    Carried mine(type_->samples, own(), slope, slope * query_.sample.payload);
    Carried theirs(user_->samples, others, 0, 0);
    set(joined_mode, BinnedBand().densest(mine, theirs), 0);
}

const Likes& Mixture::Asking::own() {
    if (likes_.past == nullptr)
        likes_.weigh(type_->samples, query_.sample, type_->sorted_slope == 0 ? kPayloadReach : kPayloadReachScaled,
                     kSameType);
    return likes_;
}

}  // namespace nexus::predict
