#include "predict/mixture.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "predict/type_name.h"

namespace nexus::predict {
namespace {

// Memory and recency of each window. Chosen on recorded workloads of eight kinds (docs/prediction.md); all of them are
// flat around these values.
constexpr std::size_t kTypeWindow = 50;
constexpr std::size_t kCellWindow = 20;
constexpr std::size_t kPlaceWindow = 50;
constexpr std::size_t kSampleWindow = 128;
constexpr std::size_t kUserWindow = 128;
constexpr std::size_t kAllWindow = 128;
constexpr std::size_t kAfterDrift = 4;  // runs kept when the type's run times jumped
constexpr AgeWeights kSlow = age_weights(0.95F);
constexpr AgeWeights kFast = age_weights(0.70F);
constexpr AgeWeights kSteady = age_weights(0.97F);

// How much more a past run counts when it resembles the task in question.
constexpr float kSameUser = 4;
constexpr float kSameDemand = 6;
constexpr float kSameWorker = 4;
constexpr float kSameType = 3;
constexpr float kPayloadReach = 4;        // weight falls by e with each quarter of ln(payload) ...
constexpr float kPayloadReachScaled = 1;  // ... or with each 1 when durations are carried over by the slope

constexpr float kScoreDecay = 0.98F;
constexpr float kFleetDecay = 0.999F;
constexpr float kErrorMax = 2.0F;
constexpr float kErrorWeight = 0.01F;
constexpr float kPriorCount = 10;
constexpr float kNewPriorCount = 4;
constexpr std::uint64_t kNewRuns = 3;     // a type with fewer runs is new
constexpr std::uint64_t kFamilyRuns = 8;  // a type tells its family of its first runs, then of each eighth
constexpr float kLostBy = 0.15F;          // hit rate: an expert this far behind is asked only each eighth run,
constexpr float kLostCount = 20;          // once it was scored that often
constexpr std::uint32_t kBeyondMax = 3;   // censored runs in a row, all longer than estimated, before they are believed
constexpr double kUnknownUs = 5e6;

// What experts are worth before any record: a hint is meant, a family is a guess.
constexpr std::array<float, expert_count> kPriorRate = {0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.6F, 0.35F};
constexpr std::array<EstimateSource, expert_count> kSources = {
    EstimateSource::type_mode,   EstimateSource::user_mode, EstimateSource::scaled_mode, EstimateSource::joined_mode,
    EstimateSource::worker_mode, EstimateSource::hint,      EstimateSource::prefix};
constexpr std::array<const char*, expert_count> kNames = {"type_mode",   "user_mode", "scaled_mode", "joined_mode",
                                                          "worker_mode", "hint",      "prefix"};

// exp(-d) by table: the weight needs no more than two digits.
constexpr float kKernelSteps = 16;
const std::array<float, 128> kKernel = [] {
    std::array<float, 128> table{};
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = std::exp(-static_cast<float>(i) / kKernelSteps);
    return table;
}();
float kernel(float distance) {
    const float steps = distance * kKernelSteps;
    return steps >= static_cast<float>(kKernel.size()) ? 0.0F : kKernel[static_cast<std::size_t>(steps)];
}

std::uint32_t short_hash(std::string_view text) {
    return text.empty() ? 0 : static_cast<std::uint32_t>(hash_bytes(text) >> 16);
}

float log_of(Duration d) {
    return std::log(static_cast<float>(std::max<std::int64_t>(d.us, 1)));
}

// The two experts that look at every past run cost most. Where one has lost to another for long it is asked only after
// each eighth run. Depends on the type's own record alone, so that an answer stays good until the type learns.
bool worth_asking(const ExpertScore& score, std::uint64_t seen, Expert expert) {
    if (seen % 8 == 0 || score.count[expert] <= kLostCount) return true;
    float best = 0;
    for (const Expert e : {type_mode, user_mode, scaled_mode, joined_mode})
        if (score.count[e] > kLostCount) best = std::max(best, score.hits[e] / score.count[e]);
    return score.hits[expert] / score.count[expert] >= best - kLostBy;
}

}  // namespace

void ExpertScore::add(const ExpertValues& made, float actual, float decay) {
    for (std::size_t e = 0; e < expert_count; ++e) {
        if (std::isnan(made[e])) continue;
        hits[e] = hits[e] * decay + (within_band(made[e], actual) ? 1.0F : 0.0F);
        errors[e] = errors[e] * decay + std::min(std::abs(made[e] - actual), kErrorMax);
        count[e] = count[e] * decay + 1;
    }
}

Mixture::Mixture(const MixtureLimits& limits)
    : limits_(limits),
      types_(limits.types_max),
      users_(limits.users_max),
      cells_(limits.cells_max),
      places_(limits.places_max),
      families_(limits.families_max) {}

Mixture::Query Mixture::query_of(const Features& features) {
    Query query;
    query.type = hash_bytes(features.type);
    query.cell = hash_bytes(features.tenant, query.type);
    query.place = features.worker.empty() ? 0 : hash_bytes(features.worker, ~query.type);
    query.family = family_of(features.type);
    if (features.hint.us > 0) query.hint = log_of(features.hint);
    query.sample.payload = features.payload_bytes == 0 ? 0.0F : std::log1p(static_cast<float>(features.payload_bytes));
    query.sample.type = static_cast<std::uint32_t>(query.type >> 16);
    query.sample.user = short_hash(features.tenant);
    const std::uint64_t demand = mix(
        mix(mix(1, static_cast<std::uint64_t>(features.cpu_milli)), static_cast<std::uint64_t>(features.memory_bytes)),
        static_cast<std::uint64_t>(features.gpu_milli));
    query.sample.demand = static_cast<std::uint32_t>(demand >> 16);
    query.sample.worker = short_hash(features.worker);
    return query;
}

// scaled_mode, and joined_mode by merging the type's runs (already in order, shifted as a whole) with the tenant's.
void Mixture::ask_similar(const Query& query, const TypeState* type, const UserState* user, Answer& answer) {
    std::array<float, 2 * kWindowMax> value;
    std::array<float, 2 * kWindowMax> weight;
    const Sample& asked = query.sample;
    const bool scaled = type != nullptr && worth_asking(type->score, type->seen, scaled_mode);
    const bool joined = user != nullptr && (type == nullptr || worth_asking(type->score, type->seen, joined_mode));
    if (!scaled && !joined) return;
    const auto likeness = [&asked](const Sample& past, float reach) {
        float w = kernel(std::abs(past.payload - asked.payload) * reach);
        w *= past.user == asked.user ? kSameUser : 1.0F;
        w *= past.demand == asked.demand ? kSameDemand : 1.0F;
        w *= past.worker == asked.worker ? kSameWorker : 1.0F;
        return w;
    };
    std::size_t count = 0;
    if (type != nullptr) {
        const SampleWindow& window = type->samples;
        const float slope = type->sorted_slope;
        const float shift = slope * asked.payload;
        const float reach = slope > 0 ? kPayloadReachScaled : kPayloadReach;
        count = window.size();
        for (std::size_t i = 0; i < count; ++i) {
            value[i] = window.key(i) + shift;
            weight[i] = kSteady[window.age(i)] * likeness(window.sorted(i), reach);
        }
        if (scaled && count > 0) answer.set(scaled_mode, densest_band(value.data(), weight.data(), count));
    }
    if (!joined) return;
    std::array<float, 2 * kWindowMax> both;
    std::array<float, 2 * kWindowMax> both_weight;
    std::size_t n = 0;
    std::size_t i = 0;
    const auto take_own_up_to = [&](float limit) {
        for (; i < count && value[i] <= limit; ++i) {
            both[n] = value[i];
            both_weight[n++] = weight[i] * kSameType;
        }
    };
    const SampleWindow& others = user->samples;
    for (std::size_t j = 0; j < others.size(); ++j) {
        const Sample& past = others.sorted(j);
        if (past.type == asked.type) continue;
        take_own_up_to(past.value);
        both[n] = past.value;
        both_weight[n++] = kSteady[others.age(j)] * likeness(past, kPayloadReach);
    }
    take_own_up_to(std::numeric_limits<float>::infinity());
    if (n > 0) answer.set(joined_mode, densest_band(both.data(), both_weight.data(), n));
}

void Mixture::ask_history(const Query& query, const TypeState* type, Cell* cell, Answer& answer) {
    const UserState* user = users_.find(query.sample.user);
    const std::uint64_t user_version = user == nullptr ? UINT64_MAX : user->version;
    const bool keeps = cell != nullptr && type != nullptr;
    if (keeps && cell->type_version == type->version && cell->user_version == user_version &&
        cell->asked == query.sample) {
        answer = cell->answered;
        return;
    }
    if (type != nullptr && !type->recent.empty()) answer.set(type_mode, type->recent.mode(kSlow));
    if (cell != nullptr && !cell->recent.empty()) answer.set(user_mode, cell->recent.mode(kFast));
    ask_similar(query, type, user, answer);
    if (!keeps) return;
    cell->answered = answer;
    cell->asked = query.sample;
    cell->type_version = type->version;
    cell->user_version = user_version;
}

Mixture::Answer Mixture::ask(const Query& query, TypeState* type, Cell* cell) {
    Answer answer;
    ask_history(query, type, cell, answer);
    if (query.place != 0)
        if (const Recent* place = places_.find(query.place))
            if (!place->recent.empty()) answer.set(worker_mode, place->recent.mode(kSlow));
    answer.values[by_hint] = query.hint;
    const bool is_new = type == nullptr || type->seen < kNewRuns;
    if (is_new && !query.family.empty())
        if (const Recent* family = families_.find(hash_bytes(query.family)))
            answer.set(by_prefix, family->recent.mode(kSlow));
    return answer;
}

// The share of hits expected of an expert here: its recent record with the type and with the (type, tenant), each
// shrunk to its record with everything, less a little for far misses.
float Mixture::standing(Expert expert, const TypeState* type, const Cell* cell) const {
    const bool is_new = type == nullptr || type->seen < kNewRuns;
    const ExpertScore& fleet = is_new ? new_score_ : score_;
    const float base =
        (fleet.hits[expert] + kNewPriorCount * kPriorRate[expert]) / (fleet.count[expert] + kNewPriorCount);
    const auto rate = [&](const ExpertScore& score) {
        return (score.hits[expert] + kPriorCount * base) / (score.count[expert] + kPriorCount);
    };
    if (type == nullptr) return base;
    const float count = type->score.count[expert];
    const float error = count == 0 ? 0.0F : type->score.errors[expert] / count;
    return 0.5F * rate(type->score) + 0.5F * (cell == nullptr ? base : rate(cell->score)) - kErrorWeight * error;
}

Expert Mixture::choose(const ExpertValues& values, const TypeState* type, const Cell* cell) const {
    Expert best = expert_count;
    float best_standing = -1;
    for (std::size_t e = 0; e < expert_count; ++e) {
        if (std::isnan(values[e])) continue;
        const float here = standing(static_cast<Expert>(e), type, cell);
        if (here <= best_standing) continue;
        best_standing = here;
        best = static_cast<Expert>(e);
    }
    return best;
}

Result<Estimate> Mixture::estimate(const Features& features) {
    const Query query = query_of(features);
    TypeState* type = types_.find(query.type);
    Cell* cell = cells_.find_or_admit(query.cell);
    const Answer answer = ask(query, type, cell);
    const Expert best = choose(answer.values, type, cell);
    if (type != nullptr) type->said = answer.values;
    if (cell != nullptr) {
        cell->type = query.type;
        // Floats compare by their bits here: an absent answer equals an absent answer.
        if (cell->said.empty() || std::memcmp(&cell->said.back(), &answer.values, sizeof answer.values) != 0) {
            if (cell->said.size() == kSaidMax) cell->said.erase(cell->said.begin());
            cell->said.push_back(answer.values);
        }
    }
    Estimate estimate;
    double us = kUnknownUs;
    if (best != expert_count) {
        us = std::exp(static_cast<double>(answer.values[best]));
        estimate.source = kSources[best];
        const Band& band = answer.bands[best];
        const float expected = standing(best, type, cell);
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
    return estimate;
}

// What the experts said when `predicted` was made. Estimates carry no number to look them up by, so it is the newest
// answer in which some expert said that value, or else the oldest kept: dispatches long ago are nearest to that one.
const ExpertValues* Mixture::said_at(const Cell& cell, const Estimate& predicted) {
    if (cell.said.empty()) return nullptr;
    if (predicted.source == EstimateSource::none) return &cell.said.back();
    const float made = log_of(predicted.p50);
    for (std::size_t i = cell.said.size(); i-- > 0;)
        for (const float value : cell.said[i])
            if (std::abs(value - made) < 0.002F) return &cell.said[i];
    return &cell.said.front();
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
        if (cell != nullptr)
            if (const ExpertValues* said = said_at(*cell, observation.predicted)) {
                type.score.add(*said, query.sample.value, kScoreDecay);
                cell->score.add(*said, query.sample.value, kScoreDecay);
                score_.add(*said, query.sample.value, kFleetDecay);
                if (type.seen < kNewRuns) new_score_.add(*said, query.sample.value, kScoreDecay);
            }
        learn_run(query, type, cell);
        return;
    }
    // A run that was cut off says only that its like take longer. One proves little; when nothing but such runs come,
    // their length is the best lower bound there is.
    const bool longer = observation.predicted.source == EstimateSource::none
                            ? type.seen == 0
                            : observation.run > observation.predicted.p50;
    if (observation.end != RunEnd::censored || !longer) return;
    if (++type.beyond < kBeyondMax && type.seen > 0) return;
    learn_run(query, type, cells_.find_or_admit(query.cell));
}

void Mixture::learn_run(const Query& query, TypeState& type, Cell* cell) {
    const float value = query.sample.value;
    type.slope.learn(query.sample.payload, value);
    // Every run turns the slope a little; the order is renewed only when it would matter.
    if (std::abs(type.slope.slope() - type.sorted_slope) > 0.02F) {
        type.sorted_slope = type.slope.slope();
        type.samples.resort(type.sorted_slope);
    }
    type.recent.insert(value, kTypeWindow);
    type.samples.insert(query.sample, kSampleWindow, type.sorted_slope);
    if (cell != nullptr) cell->recent.insert(value, kCellWindow);
    if (UserState* user = users_.find_or_admit(query.sample.user)) {
        user->samples.insert(query.sample, kUserWindow, 0);
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
    stat.payload_slope = type->slope.slope();
    const Expert best = choose(type->said, type, nullptr);
    stat.expert = best == expert_count ? "" : kNames[best];
    for (std::size_t e = 0; e < expert_count; ++e) {
        if (std::isnan(type->said[e])) continue;
        const double hits =
            type->score.count[e] > 0 ? static_cast<double>(type->score.hits[e] / type->score.count[e]) : 0.0;
        const double us = std::exp(std::clamp(static_cast<double>(type->said[e]), 0.0, 33.0));
        stat.experts.push_back(
            {.name = kNames[e], .hit_rate = hits, .weight = e == best ? 1.0 : 0.0, .estimate = {std::llround(us)}});
    }
}

}  // namespace nexus::predict
