#include "predict/predictor.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "predict/predictor_state.h"

namespace nexus::predict {
namespace {

constexpr float kTrustStep = 0.003F;     // algorithms: about the last 300 completions
constexpr float kTrustPrior = 0.05F;     // variance's worth of belief in slope 1 while there is little evidence
constexpr float kNewTailStep = 0.1F;     // of a type's step: what types just met start from moves slowly
constexpr std::uint64_t kKnownRuns = 5;  // before so many, a type's estimates lean on other types
constexpr float kTailHaste = 4;          // a type's first steps are so much longer
constexpr float kFleetTailShare = 0.1F;  // of a type's step
constexpr float kFleetTailMax = 2;
constexpr float kLongStep = 0.001F;
constexpr float kShortStep = 0.01F;

float log_of(Duration d) {
    return static_cast<float>(std::log(static_cast<double>(std::max<std::int64_t>(d.us, 1))));
}

Duration scaled(Duration d, float log_factor) {
    const double us = static_cast<double>(d.us) * std::exp(static_cast<double>(log_factor));
    return {std::llround(std::clamp(us, 1.0, static_cast<double>(kRunMax.us)))};
}

std::size_t bucket_of(Duration run, std::size_t buckets) {
    std::size_t bucket = 0;
    while (bucket + 1 < buckets && (std::int64_t{1} << bucket) < run.us) ++bucket;
    return bucket;
}

}  // namespace

Predictor::Predictor(std::unique_ptr<Model> champion) : state_(std::make_unique<State>(std::move(champion))) {}
Predictor::~Predictor() = default;

TypeRecord& Predictor::State::record_of(std::string_view type) {
    TypeRecord* record = types.find_or_admit(hash_bytes(type));
    if (record == nullptr) return rest;
    if (record->name.empty() && !type.empty()) {
        record->name = type;
        record->tail = new_tail;
    }
    return *record;
}

Estimate Predictor::estimate(const Features& features, Instant now) {
    State& s = *state_;
    TypeRecord* known = s.types.find(hash_bytes(features.type));
    const float own_tail = known == nullptr || known->samples == 0 ? s.unseen_tail : known->tail;
    const float tail = std::max(own_tail + s.fleet_tail, 0.0F);
    if (!s.forced.empty()) {
        const auto forced = s.forced.find(features.type);
        if (forced != s.forced.end() && now < forced->second.expires) {
            const Duration p50 = forced->second.estimate;
            return {.p50 = p50,
                    .p90 = scaled(p50, tail),
                    .mean = p50,
                    .confidence_permille = 1000,
                    .source = EstimateSource::forced};
        }
        if (forced != s.forced.end()) s.forced.erase(forced);
    }
    Features asked = features;
    asked.at = now;
    Estimate made = s.models.estimate(asked);
    if (made.source == EstimateSource::none) return made;
    made.p90 = scaled(made.p50, tail);
    const float ratio = known == nullptr || known->ratio.count < 3 ? 1.0F : known->ratio.mean;
    made.mean = scaled(made.p50, std::log(std::max(ratio, 0.01F)));
    if (known != nullptr) made = known->last = known->bounded(made);
    const float factor = s.speeds.factor(features);
    if (factor != 0)
        for (Duration* d : {&made.p50, &made.p90, &made.mean}) *d = scaled(*d, factor);
    return made;
}

void Predictor::learn(const Observation& observation) {
    State& s = *state_;
    const Features& features = observation.features;
    TypeRecord& type = s.record_of(features.type);
    type.learn_memory(observation.peak_memory_bytes, observation.out_of_memory);
    const Estimate& predicted = observation.predicted;
    const bool compared = predicted.source != EstimateSource::none && predicted.source != EstimateSource::forced;
    const bool exceeded = observation.run > predicted.p90;
    // A run beyond its P90 was counted when it passed it, if anybody looked; the count must not be taken twice.
    const bool counted = compared && exceeded && type.overdue > 0;
    if (counted) --type.overdue;
    if (observation.end != RunEnd::succeeded)
        ++type.failed;
    else
        ++type.samples;

    const float applied = compared ? s.speeds.factor_then(features, observation.at - observation.run) : 0.0F;
    const float now_applied = s.speeds.factor(features);
    Observation normal = observation;
    normal.run = scaled(observation.run, -now_applied);
    if (observation.end != RunEnd::failed) type.see(normal.run);
    const Instant began = observation.at - observation.run;
    if (compared && applied != 0) normal.predicted.p50 = scaled(predicted.p50, -applied);
    s.models.learn(normal);

    if (observation.end != RunEnd::succeeded) {
        // All that is known of it is that it takes longer; only beyond the P90 that is news.
        if (compared && exceeded && !counted)
            s.count_tail(type, type.burst.add(true, began, observation.at), type.samples == 0);
        return;
    }
    ++type.histogram[bucket_of(observation.run, type.histogram.size())];
    const std::uint64_t drifts = type.drifts;
    const float distance = type.learn_line(features, log_of(observation.run), s.speeds.belief(features));
    if (type.drifts > drifts) s.models.drifted();
    if (!compared) return;
    if (!counted) s.count_tail(type, type.burst.add(exceeded, began, observation.at), type.samples == 1);
    type.covered.add(exceeded ? 0.0F : 1.0F, kShortStep);
    s.covered.add(exceeded ? 0.0F : 1.0F, kLongStep);
    const float actual = log_of(observation.run);
    const float expected = log_of(predicted.p50);
    const float residual = actual - expected;
    const bool hit = within_band(-residual, 0);
    s.hits.add(hit ? 1.0F : 0.0F, kLongStep);
    s.hits_lately.add(hit ? 1.0F : 0.0F, kShortStep);
    // What is told of a type never seen is no prediction that could be wrong.
    if (predicted.source != EstimateSource::fallback) s.trust.add(expected, actual);
    const float bias = type.bias.mean;
    const bool own = began >= type.known_since;
    if (type.known_since == kNever && type.samples >= kKnownRuns) type.known_since = observation.at;
    const std::uint64_t drifts_of_line = type.drifts;
    if (type.learn_residual(residual, own)) s.models.shorten(features.type);
    if (type.drifts > drifts_of_line) s.models.drifted();
    if (!std::isnan(distance)) {
        const float variance = type.line_spread.count < 5 ? 0.1F : type.line_spread.mean;
        s.speeds.learn(features, {.distance = distance,
                                  .variance = variance,
                                  .miss = residual - bias,
                                  .applied = applied,
                                  .at = observation.at});
    }
}

void Predictor::overdue(const Features& features, Instant began, Instant now) {
    TypeRecord& type = state_->record_of(features.type);
    ++type.overdue;
    type.see(scaled(now - began, -state_->speeds.factor(features)));
    state_->count_tail(type, type.burst.add(true, began, now), type.samples == 0);
}

bool Predictor::began(const Features& features, Instant now) {
    Features asked = features;
    asked.at = now;
    return state_->models.began(asked);
}

bool Predictor::passed(const Features& features, Instant began, Instant now) {
    return state_->models.passed(features, scaled(now - began, -state_->speeds.factor(features)), began);
}

// One number by type, and one for all of them that makes up for what each type loses while it is new.
// A type's first estimates come from elsewhere and miss by far more than later ones; they must not widen those.
void Predictor::State::count_tail(TypeRecord& type, float step, bool unseen) {
    fleet_tail = std::clamp(fleet_tail + kFleetTailShare * step, -kFleetTailMax, kFleetTailMax);
    if (unseen) {
        unseen_tail = std::clamp(unseen_tail + kNewTailStep * step, 0.0F, kTailMax);
        return;
    }
    const float haste = 1 + kTailHaste / (1 + static_cast<float>(type.samples) / 4);
    type.tail = std::clamp(type.tail + haste * step, 0.0F, kTailMax);
    new_tail = std::clamp(new_tail + kNewTailStep * step, 0.0F, kTailMax);
}

void Predictor::note_eta(bool finish_within_p90) {
    state_->eta_covered.add(finish_within_p90 ? 1.0F : 0.0F, kLongStep);
}
void Predictor::set_stopwatch(Instant (*now)()) {
    state_->models.set_stopwatch(now);
}
std::vector<SpeedChange> Predictor::take_speed_changes() {
    return state_->speeds.take_speed_changes();
}

void Predictor::forget_worker(std::string_view worker) {
    state_->speeds.forget(worker);
}
std::vector<AffinityChange> Predictor::take_affinity_changes() {
    return state_->speeds.take_affinity_changes();
}
double Predictor::trust() const {
    return state_->trust.slope();
}
std::uint32_t Predictor::failures_in_a_row() const {
    return state_->models.failures_in_a_row();
}
ModelFailures Predictor::failures() const {
    return state_->models.failures();
}

Accuracy Predictor::accuracy() const {
    const State& s = *state_;
    return {.within_25 = s.hits.mean,
            .p90_coverage = s.covered.mean,
            .eta_p90_coverage = s.eta_covered.mean,
            .samples = static_cast<std::uint64_t>(s.hits.count),
            .trend = s.hits_lately.mean - s.hits.mean};
}

namespace {

// The run time below which `share` of the successful runs lie, as near as buckets of an octave tell.
Duration quantile_of(const TypeRecord& record, double share) {
    std::uint64_t all = 0;
    std::uint64_t seen = 0;
    for (const std::uint32_t count : record.histogram) all += count;
    for (std::size_t i = 0; i < record.histogram.size(); ++i) {
        seen += record.histogram[i];
        if (all > 0 && static_cast<double>(seen) >= share * static_cast<double>(all))
            return Duration{static_cast<std::int64_t>(std::exp2(static_cast<double>(i) - 0.5))};
    }
    return {};
}

}  // namespace

TypeStat Predictor::State::stat_of(const TypeRecord& record) const {
    TypeStat stat{.type = record.name,
                  .samples = record.samples,
                  .failed = record.failed,
                  .p50 = record.last.p50,
                  .p90 = record.last.p90,
                  .mean = record.last.mean,
                  .within_25 = record.hits.mean,
                  .p90_coverage = record.covered.mean,
                  .drifting = record.drifting > 0,
                  .drifts = record.drifts,
                  .memory_p95_bytes = record.memory_p95_bytes(),
                  .trend = record.hits_lately.mean - record.hits.mean};
    if (stat.p50.us == 0) {  // nobody asked for an estimate since it is known
        stat.p50 = stat.mean = quantile_of(record, 0.5);
        stat.p90 = quantile_of(record, 0.9);
    }
    const auto overridden = forced.find(record.name);
    if (overridden != forced.end()) stat.forced = overridden->second;
    models.describe(record.name, stat);
    return stat;
}

std::vector<TypeStat> Predictor::types() const {
    std::vector<TypeStat> stats;
    for (const auto& entry : state_->types.entries()) stats.push_back(state_->stat_of(entry.value));
    if (state_->rest.samples + state_->rest.failed > 0) stats.push_back(state_->stat_of(state_->rest));
    for (TypeStat& stat : stats) stat.experts.clear();
    std::sort(stats.begin(), stats.end(), [](const TypeStat& a, const TypeStat& b) { return a.type < b.type; });
    return stats;
}

Result<TypeStat> Predictor::type(std::string_view type) const {
    const TypeRecord* record = state_->types.peek(hash_bytes(type));
    if (record == nullptr) {
        const auto forced = state_->forced.find(type);
        if (forced == state_->forced.end())
            return fail(Fault::not_found, "type '" + std::string(type) + "' was never observed");
        return TypeStat{.type = std::string(type), .forced = forced->second};
    }
    TypeStat stat = state_->stat_of(*record);
    for (std::size_t i = 0; i < record->histogram.size(); ++i)
        if (record->histogram[i] > 0)
            stat.histogram.emplace_back(microseconds(std::int64_t{1} << i), record->histogram[i]);
    return stat;
}

bool Predictor::observed(std::string_view type) const {
    return state_->types.peek(hash_bytes(type)) != nullptr;
}

Result<void> Predictor::reset(std::string_view type) {
    TypeRecord* record = state_->types.find(hash_bytes(type));
    if (record == nullptr) return fail(Fault::not_found, "type '" + std::string(type) + "' was never observed");
    *record = TypeRecord();
    record->name = type;
    record->tail = state_->new_tail;
    state_->models.forget(type);
    return {};
}

Result<void> Predictor::force(std::string_view type, Override forced) {
    auto& all = state_->forced;
    const auto at = all.find(type);
    if (at != all.end()) all.erase(at);
    if (forced.estimate.us <= 0) return {};
    if (all.size() >= kForcedMax)
        return fail(Fault::exhausted, "more than " + std::to_string(kForcedMax) + " forced estimates");
    forced.estimate = std::min(forced.estimate, kRunMax);
    all.emplace(type, std::move(forced));
    return {};
}

std::vector<std::pair<std::string, Override>> Predictor::take_forced() {
    std::vector<std::pair<std::string, Override>> all(state_->forced.begin(), state_->forced.end());
    state_->forced.clear();
    return all;
}

void Predictor::drop_expired(Instant now) {
    std::erase_if(state_->forced, [now](const auto& entry) { return entry.second.expires <= now; });
}

void TrustSlope::add(float expected, float actual) {
    count = std::min(count + 1, 1e6F);
    const float step = std::max(1 / count, kTrustStep);
    const float dx = expected - mean_x;
    const float dy = actual - mean_y;
    mean_x += step * dx;
    mean_y += step * dy;
    xx = (1 - step) * (xx + step * dx * dx);
    xy = (1 - step) * (xy + step * dx * dy);
}

double TrustSlope::slope() const {
    // Before twenty completions the prior decides; a fleet whose predictions are all alike stays at it.
    const float prior = kTrustPrior * 20 / (count + 20);
    return std::clamp(static_cast<double>((xy + prior) / (xx + prior)), 0.0, 1.0);
}

}  // namespace nexus::predict
