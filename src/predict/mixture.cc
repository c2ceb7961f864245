#include "predict/mixture.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"

namespace nexus::predict {
namespace {

// Memory and recency of each window; chosen on real workloads (docs/prediction.md).
constexpr std::size_t kTypeWindow = 50;
constexpr std::size_t kCellWindow = 20;
constexpr std::size_t kPlaceWindow = 50;
constexpr std::size_t kSampleWindow = 128;
constexpr std::size_t kAllWindow = 128;
constexpr std::size_t kAfterDrift = 4;  // runs kept when the type's run times jumped
constexpr AgeWeights kSlow = age_weights(0.95F);
constexpr AgeWeights kFast = age_weights(0.80F);
constexpr AgeWeights kSteady = age_weights(0.97F);

// How much more a past run counts when it resembles the task in question.
constexpr float kSameUser = 4;
constexpr float kSameDemand = 3;
constexpr float kSameWorker = 2;
constexpr float kSameType = 5;

constexpr float kScoreDecay = 0.95F;
constexpr float kErrorMax = 2.0F;
constexpr float kErrorWeight = 0.01F;
constexpr float kPriorCount = 2.5F;

// exp(-d / scale) by table: the weight needs no more than two digits.
class Kernel {
public:
    Kernel() {
        for (std::size_t i = 0; i < table_.size(); ++i) table_[i] = std::exp(-static_cast<float>(i) / kSteps);
    }
    float at(float distance) const {
        const float steps = distance * kSteps;
        return steps >= static_cast<float>(table_.size()) ? 0.0F : table_[static_cast<std::size_t>(steps)];
    }

private:
    static constexpr float kSteps = 16;
    std::array<float, 128> table_;
};
const Kernel kKernel;

std::uint32_t short_hash(std::string_view text) {
    return text.empty() ? 0 : static_cast<std::uint32_t>(hash_bytes(text) >> 16);
}

}  // namespace

void ExpertScore::add(const ExpertValues& made, float actual, float decay) {
    for (std::size_t e = 0; e < kExperts; ++e) {
        if (std::isnan(made[e])) continue;
        hits[e] = hits[e] * decay + (within_band(made[e], actual) ? 1.0F : 0.0F);
        errors[e] = errors[e] * decay + std::min(std::abs(made[e] - actual), kErrorMax);
        count[e] = count[e] * decay + 1;
    }
}

Mixture::Mixture(const MixtureLimits& limits)
    : limits_(limits), types_(limits.types_max), users_(limits.users_max), cells_(limits.cells_max), places_(limits.places_max) {}

Mixture::Query Mixture::query_of(const Features& features) {
    Query query;
    query.type = hash_bytes(features.type);
    query.cell = hash_bytes(features.tenant, query.type);
    query.place = features.worker.empty() ? 0 : hash_bytes(features.worker, ~query.type);
    query.sample.payload = std::log1p(static_cast<float>(features.payload_bytes));
    query.sample.type = static_cast<std::uint32_t>(query.type >> 16);
    query.sample.user = short_hash(features.tenant);
    const std::uint64_t demand =
        mix(mix(mix(1, static_cast<std::uint64_t>(features.cpu_milli)), static_cast<std::uint64_t>(features.memory_bytes)),
            static_cast<std::uint64_t>(features.gpu_milli));
    query.sample.demand = static_cast<std::uint32_t>(demand >> 16);
    query.sample.worker = short_hash(features.worker);
    return query;
}

void Mixture::ask_similar(const Query& query, TypeState* type, Answer& answer) {
    std::array<float, 2 * kWindowMax> value;
    std::array<float, 2 * kWindowMax> weight;
    const Sample& asked = query.sample;
    std::size_t count = 0;
    if (type != nullptr && !type->samples.empty()) {
        const SampleWindow& window = type->samples;
        const float slope = type->sorted_slope;
        const float reach = slope > 0 ? 1.0F : 4.0F;
        for (std::size_t i = 0; i < window.size(); ++i) {
            const Sample& past = window.sorted(i);
            float w = kSteady[window.age(i)] * kKernel.at(std::abs(past.payload - asked.payload) * reach);
            if (past.user == asked.user) w *= kSameUser;
            if (past.demand == asked.demand) w *= kSameDemand;
            if (past.worker == asked.worker) w *= kSameWorker;
            value[i] = window.key(i) + slope * asked.payload;
            weight[i] = w;
        }
        count = window.size();
        answer.bands[2] = densest_band(value.data(), weight.data(), count);
        answer.values[2] = answer.bands[2].centre;
    }
    const UserState* user = users_.find(asked.user);
    if (user == nullptr) return;
    std::array<float, 2 * kWindowMax> joined;
    std::array<float, 2 * kWindowMax> joined_weight;
    std::size_t n = 0;
    std::size_t i = 0;
    const SampleWindow& others = user->samples;
    for (std::size_t j = 0; j < others.size(); ++j) {
        const Sample& past = others.sorted(j);
        if (past.type == asked.type) continue;
        while (i < count && value[i] <= past.value) {
            joined[n] = value[i];
            joined_weight[n++] = weight[i++] * kSameType;
        }
        float w = kSteady[others.age(j)] * kSameUser * kKernel.at(std::abs(past.payload - asked.payload));
        if (past.demand == asked.demand) w *= kSameDemand;
        if (past.worker == asked.worker) w *= kSameWorker;
        joined[n] = past.value;
        joined_weight[n++] = w;
    }
    while (i < count) {
        joined[n] = value[i];
        joined_weight[n++] = weight[i++] * kSameType;
    }
    if (n == 0) return;
    answer.bands[3] = densest_band(joined.data(), joined_weight.data(), n);
    answer.values[3] = answer.bands[3].centre;
}

Mixture::Answer Mixture::ask(const Query& query, TypeState* type, Cell* cell) {
    Answer answer;
    answer.values = kNobody;
    const auto set = [&](std::size_t expert, const Band& band) {
        answer.bands[expert] = band;
        answer.values[expert] = band.centre;
    };
    if (type != nullptr && !type->recent.empty()) set(0, type->recent.mode(kSlow));
    if (cell != nullptr && !cell->recent.empty()) set(1, cell->recent.mode(kFast));
    ask_similar(query, type, answer);
    if (query.place != 0)
        if (const Place* place = places_.find(query.place)) set(4, place->recent.mode(kSlow));
    return answer;
}

std::size_t Mixture::choose(const ExpertValues& values, const TypeState* type, const Cell* cell) const {
    std::size_t best = kExperts;
    float best_score = -1e9F;
    for (std::size_t e = 0; e < kExperts; ++e) {
        if (std::isnan(values[e])) continue;
        const float base = (score_.hits[e] + 1) / (score_.count[e] + 2);
        const auto rate = [&](const ExpertScore& score) {
            return (score.hits[e] + kPriorCount * base) / (score.count[e] + kPriorCount);
        };
        const float by_type = type == nullptr ? base : rate(type->score);
        const float by_cell = cell == nullptr ? base : rate(cell->score);
        const float error = type == nullptr || type->score.count[e] == 0 ? 0.0F : type->score.errors[e] / type->score.count[e];
        const float score = 0.5F * by_type + 0.5F * by_cell - kErrorWeight * error;
        if (score > best_score) {
            best_score = score;
            best = e;
        }
    }
    return best;
}

Result<Estimate> Mixture::estimate(const Features& features) {
    const Query query = query_of(features);
    TypeState* type = types_.find(query.type);
    Cell* cell = cells_.find_or_admit(query.cell);
    const Answer answer = ask(query, type, cell);
    const std::size_t best = choose(answer.values, type, cell);
    if (cell != nullptr) {
        if (cell->said.size() == kSaidMax) cell->said.erase(cell->said.begin());
        cell->said.push_back(answer.values);
        cell->type = query.type;
    }
    if (type != nullptr) type->said = answer.values;
    Estimate estimate;
    float centre = 0;
    Band band;
    if (best < kExperts) {
        centre = answer.values[best];
        band = answer.bands[best];
        estimate.source = static_cast<EstimateSource>(static_cast<std::size_t>(EstimateSource::type_mode) + best);
    } else if (features.hint.us > 0) {
        centre = std::log(static_cast<float>(features.hint.us));
        estimate.source = EstimateSource::hint;
    } else if (!all_.empty()) {
        centre = all_.mode(kSteady).centre;
        estimate.source = EstimateSource::global;
    } else {
        centre = std::log(5e6F);
        estimate.source = EstimateSource::fallback;
    }
    estimate.p50.us = std::llround(std::exp(static_cast<double>(centre)));
    estimate.p50 = std::max(estimate.p50, microseconds(1));
    estimate.p90 = estimate.p50;
    estimate.mean = estimate.p50;
    estimate.confidence_permille = band.total > 0 ? static_cast<std::uint16_t>(1000 * band.weight / band.total) : 0;
    return estimate;
}

const ExpertValues* Mixture::said_at(const Cell& cell, const Estimate& predicted) const {
    if (cell.said.empty()) return nullptr;
    if (predicted.source == EstimateSource::none) return &cell.said.back();
    const float made = std::log(static_cast<float>(std::max<std::int64_t>(predicted.p50.us, 1)));
    for (std::size_t i = cell.said.size(); i-- > 0;)
        for (const float value : cell.said[i])
            if (std::abs(value - made) < 0.002F) return &cell.said[i];
    return &cell.said.front();
}

void Mixture::learn(const Observation& observation) {
    if (observation.end != RunEnd::succeeded) return;
    Query query = query_of(observation.features);
    query.sample.value = std::log(static_cast<float>(std::max<std::int64_t>(observation.run.us, 1)));
    const float value = query.sample.value;
    TypeState* type = types_.find_or_admit(query.type);
    if (type == nullptr) type = &rest_;
    Cell* cell = cells_.find_or_admit(query.cell);
    if (cell != nullptr) {
        if (const ExpertValues* said = said_at(*cell, observation.predicted)) {
            type->score.add(*said, value, kScoreDecay);
            cell->score.add(*said, value, kScoreDecay);
            score_.add(*said, value, 0.999F);
        }
        cell->type = query.type;
        cell->recent.insert(value, kCellWindow);
    }
    type->slope.learn(query.sample.payload, value);
    if (std::abs(type->slope.slope() - type->sorted_slope) > 0.02F) {
        type->sorted_slope = type->slope.slope();
        type->samples.resort(type->sorted_slope);
    }
    type->recent.insert(value, kTypeWindow);
    type->samples.insert(query.sample, kSampleWindow, type->sorted_slope);
    if (UserState* user = users_.find_or_admit(query.sample.user)) user->samples.insert(query.sample, kSampleWindow, 0);
    if (query.place != 0)
        if (Place* place = places_.find_or_admit(query.place)) {
            place->type = query.type;
            place->recent.insert(value, kPlaceWindow);
        }
    all_.insert(value, kAllWindow);
}

void Mixture::forget(std::string_view name) {
    const std::uint64_t key = hash_bytes(name);
    if (TypeState* type = types_.find(key)) *type = TypeState();
    for (auto& entry : cells_.entries())
        if (entry.value.type == key) entry.value = Cell{.type = key};
    for (auto& entry : places_.entries())
        if (entry.value.type == key) entry.value = Place{.type = key};
}

void Mixture::shorten(std::string_view name) {
    const std::uint64_t key = hash_bytes(name);
    TypeState* type = types_.find(key);
    if (type == nullptr) return;
    type->recent.keep_newest(kAfterDrift);
    type->samples.keep_newest(kAfterDrift);
    for (auto& entry : cells_.entries())
        if (entry.value.type == key) entry.value.recent.keep_newest(kAfterDrift);
    for (auto& entry : places_.entries())
        if (entry.value.type == key) entry.value.recent.keep_newest(kAfterDrift);
}

void Mixture::describe(std::string_view name, TypeStat& stat) const {
    static constexpr std::array<const char*, kExperts> kNames = {"type_mode", "user_mode", "scaled_mode", "joined_mode",
                                                                 "worker_mode"};
    const TypeState* type = types_.peek(hash_bytes(name));
    if (type == nullptr) return;
    stat.payload_slope = type->slope.slope();
    const std::size_t best = choose(type->said, type, nullptr);
    stat.expert = best < kExperts ? kNames[best] : "";
    for (std::size_t e = 0; e < kExperts; ++e) {
        if (std::isnan(type->said[e])) continue;
        const double hits = type->score.count[e] > 0 ? static_cast<double>(type->score.hits[e] / type->score.count[e]) : 0.0;
        const double us = std::exp(std::clamp(static_cast<double>(type->said[e]), 0.0, 33.0));
        stat.experts.push_back(
            {.name = kNames[e], .hit_rate = hits, .weight = e == best ? 1.0 : 0.0, .estimate = {std::llround(us)}});
    }
}

}  // namespace nexus::predict
