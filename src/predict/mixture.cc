#include "predict/mixture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
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
constexpr AgeWeights kSlow = age_weights(0.96F);
constexpr AgeWeights kFast = age_weights(0.70F);
constexpr AgeWeights kSteady = age_weights(0.97F);

// How much more a past run counts when it resembles the task in question.
constexpr float kSameUser = 4;
constexpr float kSameDemand = 12;
constexpr float kSameWorker = 4;
constexpr float kSameType = 5;
constexpr float kPayloadReach = 4;           // weight falls by e with each quarter of ln(payload) ...
constexpr float kPayloadReachScaled = 0.7F;  // ... or with each 1.4 when durations are carried over by the slope

constexpr float kScoreDecay = 0.98F;
constexpr float kFleetDecay = 0.999F;
constexpr float kErrorMax = 2.0F;
constexpr float kErrorWeight = 0.01F;
constexpr float kPriorCount = 20;
constexpr float kNewPriorCount = 4;
constexpr std::uint64_t kNewRuns = 3;     // a type with fewer runs is new
constexpr std::uint64_t kFamilyRuns = 8;  // a type tells its family of its first runs, then of each eighth
constexpr float kLostBy = 0.2F;           // hit rate: an expert this far behind is asked only each eighth run,
constexpr float kLostCount = 20;          // once it was scored that often
constexpr std::uint32_t kBeyondMax = 3;   // censored runs in a row, all longer than estimated, before they are believed
constexpr double kUnknownUs = 5e6;

// What experts are worth before any record: a hint is meant, a family is a guess.
constexpr std::array<float, expert_count> kPriorRate = {0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.6F, 0.35F};
constexpr std::array<EstimateSource, expert_count> kSources = {
    EstimateSource::type_mode,   EstimateSource::user_mode,   EstimateSource::scaled_mode, EstimateSource::joined_mode,
    EstimateSource::scaled_mode, EstimateSource::worker_mode, EstimateSource::hint,        EstimateSource::prefix};
constexpr std::array<const char*, expert_count> kNames = {"type_mode", "user_mode",   "scaled_mode", "joined_mode",
                                                          "near_mode", "worker_mode", "hint",        "prefix"};

// Weights by likeness. The kernel is (1 - d/8)^8, which is exp(-d) to the two digits that a weight needs, and 0 from d
// = 8 on. Written so that the compiler computes several at once.
struct Likes {
    const float* value = nullptr;  // ascending
    std::array<float, kWindowMax> weight;
    std::size_t count = 0;

    void weigh(const SampleWindow& past, const Sample& asked, float reach) {
        value = past.keys();
        count = past.size();
        const float* age = past.weights();
        const float* payload = past.payloads();
        const std::uint32_t* user = past.users();
        const std::uint32_t* demand = past.demands();
        const std::uint32_t* worker = past.workers();
        for (std::size_t i = 0; i < count; ++i) {
            const float near = std::max(1 - std::abs(payload[i] - asked.payload) * (reach / 8), 0.0F);
            const float squared = near * near;
            const float fourth = squared * squared;
            weight[i] = age[i] * fourth * fourth * (user[i] == asked.user ? kSameUser : 1.0F) *
                        (demand[i] == asked.demand ? kSameDemand : 1.0F) *
                        (worker[i] == asked.worker ? kSameWorker : 1.0F);
        }
    }
    Band band() const { return densest_band(value, weight.data(), count); }
};

// Of a type's own runs, each moved by `shift`, together with the tenant's runs of other types: two ascending lists
// merged.
Band joined_band(const Likes& own, float shift, const Likes& others, const std::uint32_t* types, std::uint32_t type) {
    std::array<float, 2 * kWindowMax> value;
    std::array<float, 2 * kWindowMax> weight;
    std::size_t count = 0;
    std::size_t next = 0;
    const auto take_own_up_to = [&](float limit) {
        for (; next < own.count && own.value[next] + shift <= limit; ++next) {
            value[count] = own.value[next] + shift;
            weight[count++] = own.weight[next] * kSameType;
        }
    };
    for (std::size_t i = 0; i < others.count; ++i) {
        if (types[i] == type) continue;
        take_own_up_to(others.value[i]);
        value[count] = others.value[i];
        weight[count++] = others.weight[i];
    }
    take_own_up_to(std::numeric_limits<float>::infinity());
    return densest_band(value.data(), weight.data(), count);
}

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
      families_(limits.families_max),
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
    return query;
}

void Mixture::set_sizes(Query& query, const TypeState* type, const UserState* user, const Features& features) {
    static const SizeDriver kUnknown;
    query.sample.payload = (type == nullptr ? kUnknown : type->size).size_of(features);
    query.user_size = (user == nullptr ? kUnknown : user->size).size_of(features);
}

// scaled_mode, near_mode and joined_mode: one weight for each past run, by its age and by how much it resembles the
// task.
void Mixture::ask_similar(const Query& query, const TypeState* type, const UserState* user, Answer& answer) {
    Likes own;
    const Sample& asked = query.sample;
    const float slope = type == nullptr ? 0.0F : type->sorted_slope;
    const float shift = slope * asked.payload;
    if (type != nullptr && worth_asking(type->score, type->seen, scaled_mode)) {
        own.weigh(type->samples, asked, slope == 0 ? kPayloadReach : kPayloadReachScaled);
        answer.set_shifted(scaled_mode, own.band(), shift);
    }
    if (slope != 0 && worth_asking(type->score, type->seen, near_mode)) {
        Likes near;
        near.weigh(type->samples, asked, kPayloadReach);
        answer.set_shifted(near_mode, near.band(), shift);
    }
    if (user == nullptr || (type != nullptr && !worth_asking(type->score, type->seen, joined_mode))) return;
    Likes others;
    Sample by_user = asked;
    by_user.payload = query.user_size;
    others.weigh(user->samples, by_user, kPayloadReach);
    const std::uint32_t* types = user->samples.types();
    if (slope == 0) {
        for (std::size_t i = 0; i < others.count; ++i) others.weight[i] *= types[i] == asked.type ? kSameType : 1.0F;
        return answer.set_shifted(joined_mode, others.band(), 0);
    }
    if (own.count == 0) own.weigh(type->samples, asked, kPayloadReachScaled);
    answer.set_shifted(joined_mode, joined_band(own, shift, others, types, asked.type), 0);
}

void Mixture::ask_history(const Query& query, const TypeState* type, Cell* cell, Answer& answer) {
    const UserState* user = users_.find(query.sample.user);
    const std::uint64_t user_version = user == nullptr ? UINT64_MAX : user->version;
    const bool keeps = cell != nullptr && type != nullptr;
    if (keeps && cell->type_version == type->version && cell->user_version == user_version &&
        cell->asked == query.sample && cell->asked_user_size == query.user_size) {
        answer = cell->answered;
        return;
    }
    if (type != nullptr && !type->recent.empty()) answer.set(type_mode, type->recent.mode(kSlow));
    if (cell != nullptr && !cell->recent.empty()) answer.set(user_mode, cell->recent.mode(kFast));
    ask_similar(query, type, user, answer);
    if (!keeps) return;
    cell->answered = answer;
    cell->asked = query.sample;
    cell->asked_user_size = query.user_size;
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
    Query query = query_of(features);
    TypeState* type = types_.find(query.type);
    set_sizes(query, type, users_.find(query.sample.user), features);
    Cell* cell = cells_.find_or_admit(query.cell);
    const Answer answer = ask(query, type, cell);
    const Expert best = choose(answer.values, type, cell);
    if (type != nullptr) type->said = answer.values;
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
    if (cell != nullptr) {
        cell->type = query.type;
        cell->said = answer.values;
        const std::uint64_t key = key_of(query.cell, estimate, estimate.p50.us);
        said_slot(key) = {.key = key, .values = answer.values};
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
        learn_run(query, type, cell, observation.features);
        return;
    }
    // A run that was cut off says only that its like take longer. One proves little; when nothing but such runs come,
    // their length is the best lower bound there is.
    const bool longer = observation.predicted.source == EstimateSource::none
                            ? type.seen == 0
                            : observation.run > observation.predicted.p50;
    if (observation.end != RunEnd::censored || !longer) return;
    if (++type.beyond < kBeyondMax && type.seen > 0) return;
    learn_run(query, type, cells_.find_or_admit(query.cell), observation.features);
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
