#include "predict/mixture.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/hash.h"
#include "predict/mixture_asking.h"
#include "predict/type_name.h"

namespace nexus::predict {
namespace {

// Memory and recency of each window. Chosen on recorded workloads of eight kinds (docs/prediction.md); all of them are
// flat around these values.
constexpr std::size_t kTypeWindow = 50;
constexpr std::size_t kCellWindow = 20;
constexpr std::size_t kPlaceWindow = 50;
constexpr std::size_t kAllWindow = 128;
constexpr std::size_t kAfterDrift = 4;  // runs kept when the type's run times jumped
constexpr AgeWeights kSteady = age_weights(0.97F);

constexpr float kScoreDecay = 0.98F;
constexpr float kFleetDecay = 0.999F;
constexpr std::uint64_t kFamilyRuns = 8;  // a type tells its family of its first runs, then of each eighth
constexpr std::uint32_t kBeyondMax = 3;   // censored runs in a row, all longer than estimated, before they are believed
constexpr double kUnknownUs = 5e6;

std::uint32_t short_hash(std::string_view text) {
    return text.empty() ? 0 : static_cast<std::uint32_t>(hash_bytes(text) >> 16);
}

float log_of(Duration d) {
    return std::log(static_cast<float>(std::max<std::int64_t>(d.us, 1)));
}

std::uint64_t key_of(std::uint64_t cell, const Estimate& made, std::int64_t p50_us) {
    const std::uint64_t manner = made.confidence_permille * 256ULL + static_cast<std::uint64_t>(made.source);
    return mix(mix(cell, static_cast<std::uint64_t>(p50_us)), manner) | 1;
}

}  // namespace

Mixture::Mixture(const MixtureLimits& limits)
    : limits_(limits),
      types_(limits.types_max),
      users_(limits.users_max),
      cells_(limits.cells_max),
      places_(limits.places_max),
      families_(limits.families_max),
      arrays_(limits.arrays_max),
      said_(limits.said_max) {}

Mixture::Query Mixture::query_of(const Features& features) {
    Query query;
    query.type = hash_bytes(features.type);
    query.place = features.worker.empty() ? 0 : hash_bytes(features.worker, ~query.type);
    query.family = family_of(features.type);
    if (features.hint.us > 0) query.hint = log_of(features.hint);
    query.sample.type = static_cast<std::uint32_t>(query.type >> 16);
    query.sample.user = short_hash(features.tenant);
    const std::uint64_t demand = mix(
        mix(mix(1, static_cast<std::uint64_t>(features.cpu_milli)), static_cast<std::uint64_t>(features.memory_bytes)),
        static_cast<std::uint64_t>(features.gpu_milli));
    query.sample.demand = static_cast<std::uint32_t>(demand >> 16);
    query.cell = mix(hash_bytes(features.tenant, query.type), demand);
    query.sample.worker = short_hash(features.worker);
    query.at = features.at;
    query.array = mix(mix(query.cell, features.payload_bytes), static_cast<std::uint64_t>(features.hint.us));
    if (features.numbers != nullptr)
        for (const auto& [name, value] : *features.numbers)
            query.array = mix(hash_bytes(name, query.array), std::bit_cast<std::uint64_t>(value));
    return query;
}

void Mixture::set_sizes(Query& query, const TypeState* type, const UserState* user, const Features& features) {
    static const SizeDriver kUnknown;
    query.sample.payload = (type == nullptr ? kUnknown : type->size).size_of(features);
    query.user_size = (user == nullptr ? kUnknown : user->size).size_of(features);
}

Result<Estimate> Mixture::estimate(const Features& features) {
    Query query = query_of(features);
    TypeState* type = types_.find(query.type);
    UserState* user = users_.find(query.sample.user);
    set_sizes(query, type, user, features);
    Cell* cell = cells_.find_or_admit(query.cell);
    Asking asking(*this, query, type, user, cell);
    const ExpertValues said = features.provisional ? kNobody : asking.all();
    const Standings standings = this->standings(type, cell);
    const Expert best = features.provisional ? choose_first(asking, standings) : choose(said, standings);
    Estimate estimate;
    double us = kUnknownUs;
    if (best != expert_count) {
        us = std::exp(static_cast<double>(asking.value(best)));
        estimate.source =
            asking.awaited() && alike(type, standings) ? EstimateSource::sibling_wait : kExpertSources[best];
        const Band band = asking.band(best);
        const float expected = standings[best];
        // Before there is a record the share of weight inside the band is the better guess of being right.
        const float sure = band.total > 0 ? 0.5F * (expected + band.weight / (band.total + 1)) : 0.5F * expected;
        estimate.confidence_permille = static_cast<std::uint16_t>(std::lround(1000 * std::clamp(sure, 0.0F, 1.0F)));
    } else if (!all_.empty()) {
        us = std::exp(static_cast<double>(all_.mode(kSteady).centre));
        estimate.source = EstimateSource::global;
        estimate.confidence_permille = 50;
    } else {
        estimate.source = EstimateSource::fallback;
    }
    estimate.p50.us = std::max<std::int64_t>(std::llround(std::min(us, 1e15)), 1);
    estimate.p90 = estimate.p50;
    estimate.mean = estimate.p50;
    if (cell != nullptr) cell->type = query.type;
    if (features.provisional) return estimate;
    if (type != nullptr) type->said = said;
    if (cell != nullptr) {
        cell->said = said;
        const std::uint64_t key = key_of(query.cell, estimate, estimate.p50.us);
        said_slot(key) = {.key = key, .values = said};
    }
    return estimate;
}

const ExpertValues& Mixture::said_at(std::uint64_t cell_key, const Cell& cell, const Estimate& predicted) {
    if (predicted.source == EstimateSource::none) return cell.said;
    // What was multiplied by a worker's speed and divided again may be off by one.
    for (const std::int64_t off : {0, 1, -1}) {
        const std::uint64_t key = key_of(cell_key, predicted, predicted.p50.us + off);
        if (said_slot(key).key == key) return said_slot(key).values;
    }
    return cell.said;
}

void Mixture::learn(const Observation& observation) {
    Query query = query_of(observation.features);
    query.sample.value = log_of(observation.run);
    TypeState* known = types_.find_or_admit(query.type);
    TypeState& type = known == nullptr ? rest_ : *known;
    if (observation.end == RunEnd::succeeded) {
        type.beyond = 0;
        Cell* cell = cells_.find_or_admit(query.cell);
        if (cell != nullptr) cell->type = query.type;
        if (cell != nullptr) {
            const ExpertValues& said = said_at(query.cell, *cell, observation.predicted);
            type.score.add(said, query.sample.value, kScoreDecay);
            cell->score.add(said, query.sample.value, kScoreDecay);
            score_.add(said, query.sample.value, kFleetDecay);
            if (type.seen < kNewRuns) new_score_.add(said, query.sample.value, kScoreDecay);
        }
        if (Siblings* array = arrays_.find_or_admit(query.array)) {
            array->type = query.type;
            array->end(query.sample.value, observation.at - observation.run, observation.at);
        }
        learn_run(query, type, cell, observation.features);
        return;
    }
    // A run that was cut off says only that its like take longer. One proves little; when nothing but such runs come,
    // their length is the best lower bound there is.
    if (Siblings* array = arrays_.find(query.array)) array->cut();
    const bool longer = observation.predicted.source == EstimateSource::none
                            ? type.seen == 0
                            : observation.run > observation.predicted.p50;
    if (observation.end != RunEnd::censored || !longer) return;
    if (++type.beyond < kBeyondMax && type.seen > 0) return;
    learn_run(query, type, cells_.find_or_admit(query.cell), observation.features);
}

bool Mixture::believes_siblings(const Query& query) {
    const TypeState* type = types_.find(query.type);
    return type != nullptr && alike(type, standings(type, cells_.find(query.cell)));
}

bool Mixture::began(const Features& features) {
    const Query query = query_of(features);
    Siblings* array = arrays_.find_or_admit(query.array);
    if (array == nullptr) return false;
    array->type = query.type;
    return array->start(features.at) && believes_siblings(query);
}

bool Mixture::passed(const Features& features, Duration ran, Instant began) {
    const Query query = query_of(features);
    Siblings* array = arrays_.find(query.array);
    return array != nullptr && array->pass(log_of(ran), began) && believes_siblings(query);
}

void Mixture::learn_run(Query& query, TypeState& type, Cell* cell, const Features& features) {
    const float value = query.sample.value;
    if (type.size.learn(features, value)) type.samples = {};  // their sizes are another number's
    UserState* user = users_.find_or_admit(query.sample.user);
    if (user != nullptr && user->size.learn(features, value)) user->samples = {};
    set_sizes(query, &type, user, features);
    // Every run turns the slope a little; the order is renewed only when it would matter.
    if (std::abs(type.size.slope() - type.sorted_slope) > 0.02F) {
        type.sorted_slope = type.size.slope();
        type.samples.resort(type.sorted_slope);
    }
    type.recent.insert(value, kTypeWindow);
    type.samples.insert(query.sample, type.sorted_slope);
    if (cell != nullptr) cell->recent.insert(value, kCellWindow);
    if (user != nullptr) {
        Sample by_user = query.sample;
        by_user.payload = query.user_size;
        user->samples.insert(by_user, 0);
        user->version = ++stamp_;
    }
    if (query.place != 0)
        if (Recent* place = places_.find_or_admit(query.place)) {
            place->type = query.type;
            place->recent.insert(value, kPlaceWindow);
        }
    const bool tells = type.seen < kFamilyRuns || type.seen % kFamilyRuns == 0;
    if (tells && !query.family.empty())
        if (Recent* family = families_.find_or_admit(hash_bytes(query.family)))
            family->recent.insert(value, kTypeWindow);
    all_.insert(value, kAllWindow);
    ++type.seen;
    type.version = ++stamp_;
}

void Mixture::forget(std::string_view name) {
    const std::uint64_t key = hash_bytes(name);
    if (TypeState* type = types_.find(key)) *type = TypeState{.version = ++stamp_};
    for (auto& entry : cells_.entries())
        if (entry.value.type == key) entry.value = Cell{.type = key};
    for (auto& entry : places_.entries())
        if (entry.value.type == key) entry.value = Recent{.type = key};
    for (auto& entry : arrays_.entries())
        if (entry.value.type == key) entry.value = Siblings();
}

void Mixture::shorten(std::string_view name) {
    const std::uint64_t key = hash_bytes(name);
    TypeState* type = types_.find(key);
    if (type == nullptr) return;
    type->version = ++stamp_;
    type->recent.keep_newest(kAfterDrift);
    type->samples.keep_newest(kAfterDrift);
    for (auto& entry : cells_.entries())
        if (entry.value.type == key) entry.value.recent.keep_newest(kAfterDrift);
    for (auto& entry : places_.entries())
        if (entry.value.type == key) entry.value.recent.keep_newest(kAfterDrift);
}

void Mixture::describe(std::string_view name, TypeStat& stat) const {
    const TypeState* type = types_.peek(hash_bytes(name));
    if (type == nullptr) return;
    stat.payload_slope = type->size.slope();
    stat.size_name = type->size.name();
    const Expert best = choose(type->said, standings(type, nullptr));
    stat.expert = best == expert_count ? "" : kExpertNames[best];
    for (std::size_t e = 0; e < expert_count; ++e) {
        if (std::isnan(type->said[e])) continue;
        const double hits =
            type->score.count[e] > 0 ? static_cast<double>(type->score.hits[e] / type->score.count[e]) : 0.0;
        const double us = std::exp(std::clamp(static_cast<double>(type->said[e]), 0.0, 33.0));
        stat.experts.push_back({.name = kExpertNames[e],
                                .hit_rate = hits,
                                .weight = e == best ? 1.0 : 0.0,
                                .estimate = {std::llround(us)}});
    }
}

}  // namespace nexus::predict
