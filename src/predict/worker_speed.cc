#include "predict/worker_speed.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "predict/floats.h"

namespace nexus::predict {
namespace {

constexpr float kPriorVariance = 0.25F;
constexpr float kProcessNoise = 2e-4F;
constexpr float kNoiseMin = 0.01F;
constexpr float kClip = 2.5F;
constexpr float kCusumRest = 1.5F;
constexpr float kCusumAlarm = 6;
constexpr float kFactorMax = 3;          // ln: twenty times
constexpr float kMeanStep = 0.001F;      // of the fleet's mean, a completion
constexpr float kEverywhereStep = 0.2F;  // of what a type's classes of hardware have in common, a completion
constexpr float kGainStep = 0.02F;       // memory of the check whether the factor helps: about 50 completions
constexpr float kGainPrior = 4;          // completions' worth of no gain to start from
constexpr float kGainShare = 0.5F;       // of the factor itself that it must bring before estimates use it
constexpr float kFactorMin = 0.1F;       // a smaller one moves no estimate out of its 25 %
constexpr float kWorthTelling = 0.02F;
constexpr std::size_t kToldMax = 65'536;  // changes kept for a caller that never takes them

std::uint64_t affinity_key(std::string_view type, std::string_view hardware) {
    return hash_bytes(hardware, hash_bytes(type));
}
std::uint64_t affinity_key(const Features& features) {
    return affinity_key(features.type, features.hardware);
}

std::uint32_t ppm(float log_factor) {
    return static_cast<std::uint32_t>(
        std::llround(1e6 * std::exp(static_cast<double>(std::clamp(log_factor, -7.0F, 7.0F)))));
}

}  // namespace

float WorkerSpeeds::learned(const Worker& worker) const {
    return std::clamp(worker.belief - fleet_mean_, -kFactorMax, kFactorMax);
}

float WorkerSpeeds::believed(const Worker& worker) const {
    const float d = worker.belief - fleet_mean_;
    const float square = d * d;
    const float doubt = 2 * worker.variance;
    return square <= doubt ? 0.0F : std::clamp(d * (1 - doubt / square), -kFactorMax, kFactorMax);
}

float WorkerSpeeds::effective(const Worker& worker) const {
    const float d = believed(worker);
    return std::abs(d) > kFactorMin && worker.gain > kGainShare * std::abs(d) ? d : 0.0F;
}

float WorkerSpeeds::effective(const Affinity& affinity) const {
    const auto n = static_cast<float>(affinity.samples);
    const Affinity* everywhere = affinities_.peek(affinity_key(affinity.type, ""));
    return (affinity.belief - (everywhere == nullptr ? 0 : everywhere->belief)) * n / (n + 4);
}

float WorkerSpeeds::affinity_of(const Features& features) {
    if (features.hardware.empty()) return 0;
    const Affinity* affinity = affinities_.find(affinity_key(features));
    return affinity == nullptr ? 0.0F : effective(*affinity);
}

float WorkerSpeeds::factor(const Features& features) {
    if (features.worker.empty()) return 0;
    const Worker* worker = workers_.find(hash_bytes(features.worker));
    return (worker == nullptr ? 0.0F : effective(*worker)) + affinity_of(features);
}

float WorkerSpeeds::factor_then(const Features& features, Instant when) {
    if (features.worker.empty()) return 0;
    const Worker* worker = workers_.find(hash_bytes(features.worker));
    if (worker == nullptr) return 0;
    const std::size_t size = worker->history.size();
    for (std::size_t back = 0; back < size; ++back) {
        const Published& entry = worker->history[(worker->head + size - back) % size];
        if (entry.at_us <= when.us || back + 1 == size) return entry.factor + affinity_of(features);
    }
    return 0;
}

float WorkerSpeeds::belief(const Features& features) {
    if (features.worker.empty()) return 0;
    const Worker* worker = workers_.find(hash_bytes(features.worker));
    return (worker == nullptr ? 0.0F : learned(*worker)) + affinity_of(features);
}

void WorkerSpeeds::learn(const Features& features, const Lesson& lesson) {
    if (features.worker.empty()) return;
    const std::uint64_t key = hash_bytes(features.worker);
    Worker* worker = workers_.find_or_admit(key);
    if (worker == nullptr) return;
    if (worker->name.empty()) worker->name = features.worker;
    // Had the estimate been made without the factor, or with it, how much further off would it have been?
    const float without = lesson.miss + lesson.applied;
    const float with = without - (lesson.applied != 0 ? lesson.applied : believed(*worker));
    const float gain = std::clamp(std::abs(without) - std::abs(with), -1.0F, 1.0F);
    // A burst of one type is one witness: what slows it down may be its own.
    const auto kind = static_cast<std::uint32_t>(hash_bytes(features.type) >> 16);
    if (std::exchange(worker->kind, kind) != kind) {
        worker->gain += std::max(kGainStep, 1 / (worker->seen + kGainPrior)) * (gain - worker->gain);
        worker->seen = std::min(worker->seen + 1, 1000.0F);
    }

    worker->variance = std::min(worker->variance + kProcessNoise, kPriorVariance);
    const float own = lesson.distance - affinity_of(features);
    const float noise = std::max(lesson.variance, kNoiseMin);
    const float spread = std::sqrt(worker->variance + noise);
    const float z = (own + fleet_mean_ - worker->belief) / spread;
    const float weight = worker->variance / (worker->variance + noise);
    worker->belief += weight * std::clamp(z, -kClip, kClip) * spread;
    worker->belief = std::clamp(worker->belief, -kFactorMax, kFactorMax);
    worker->variance *= 1 - weight;
    worker->cusum = std::max(0.0F, worker->cusum + std::min(3.0F, std::abs(z)) - kCusumRest);
    if (worker->cusum > kCusumAlarm) {
        worker->cusum = 0;
        worker->variance = kPriorVariance;
        worker->seen = 0;
    }
    in_a_row_ = newest_ == key ? std::min(in_a_row_ + 1, kAloneAfter) : 0;
    newest_ = key;
    if (workers_.size() == 1 || in_a_row_ >= kAloneAfter)
        fleet_mean_ = worker->belief;
    else
        fleet_mean_ += kMeanStep * (worker->belief - fleet_mean_);

    const float now = effective(*worker);
    Published& newest = worker->history[worker->head];
    if (std::abs(now - newest.factor) > 0.005F) {
        worker->head = static_cast<std::uint8_t>((worker->head + 1) % worker->history.size());
        worker->history[worker->head] = {.at_us = lesson.at.us, .factor = now};
    }
    if (std::abs(learned(*worker) - worker->told) > kWorthTelling && !worker->changed &&
        speeds_changed_.size() < kToldMax) {
        worker->changed = true;
        speeds_changed_.push_back(key);
    }

    if (features.hardware.empty()) return;
    const std::uint64_t pair = affinity_key(features);
    Affinity* affinity = affinities_.find_or_admit(pair);
    if (affinity == nullptr) return;
    if (affinity->samples == 0) {
        affinity->type = features.type;
        affinity->hardware = features.hardware;
    }
    const float step = std::max(1.0F / (static_cast<float>(affinity->samples) + 2), 0.01F);
    affinity->samples = std::min<std::uint32_t>(affinity->samples + 1, 1'000'000);
    const float rest =
        std::clamp(lesson.distance - learned(*worker) - affinity->belief, -kClip * spread, kClip * spread);
    affinity->belief = std::clamp(affinity->belief + step * rest, -kFactorMax, kFactorMax);
    const float belief = affinity->belief;  // admitting another entry moves or replaces this one
    if (Affinity* everywhere = affinities_.find_or_admit(affinity_key(features.type, ""))) {
        everywhere->belief += kEverywhereStep * (belief - everywhere->belief);
        affinity = affinities_.find(pair);
        if (affinity == nullptr) return;
    }
    if (std::abs(effective(*affinity) - affinity->told) > kWorthTelling && !affinity->changed &&
        affinities_changed_.size() < kToldMax) {
        affinity->changed = true;
        affinities_changed_.push_back(pair);
    }
}

void WorkerSpeeds::forget(std::string_view name) {
    Worker* worker = workers_.find(hash_bytes(name));
    if (worker != nullptr) *worker = {.name = std::string(name), .history = {}};
}

std::vector<SpeedChange> WorkerSpeeds::take_speed_changes() {
    std::vector<SpeedChange> changes;
    for (const std::uint64_t key : std::exchange(speeds_changed_, {})) {
        Worker* worker = workers_.find(key);
        if (worker == nullptr) continue;
        worker->changed = false;
        worker->told = learned(*worker);
        const auto deviation = static_cast<std::uint32_t>(std::lround(1e6F * std::sqrt(worker->variance)));
        changes.push_back({.worker = worker->name, .speed_ppm = ppm(worker->told), .deviation_ppm = deviation});
    }
    return changes;
}

std::vector<AffinityChange> WorkerSpeeds::take_affinity_changes() {
    std::vector<AffinityChange> changes;
    for (const std::uint64_t key : std::exchange(affinities_changed_, {})) {
        Affinity* affinity = affinities_.find(key);
        if (affinity == nullptr) continue;
        affinity->changed = false;
        affinity->told = effective(*affinity);
        changes.push_back({.type = affinity->type, .hardware = affinity->hardware, .factor_ppm = ppm(affinity->told)});
    }
    return changes;
}

void WorkerSpeeds::Worker::save(Writer& out) const {
    out.text(name);
    for (const float v : {belief, variance, cusum, gain, seen, told}) put_float(out, v);
    out.u32(kind);
    out.u8(changed ? 1 : 0);
    out.u8(head);
    for (const Published& entry : history) {
        out.svarint(entry.at_us);
        put_float(out, entry.factor);
    }
}

void WorkerSpeeds::Worker::load(Reader& in) {
    name = in.text();
    for (float* v : {&belief, &variance, &cusum, &gain, &seen, &told}) *v = get_float(in);
    kind = in.u32();
    changed = in.u8() != 0;
    head = in.u8();
    if (head >= history.size() || variance < 0 || seen < 0) return in.set_failed();
    for (Published& entry : history) {
        entry.at_us = in.svarint();
        entry.factor = get_float(in);
    }
}

void WorkerSpeeds::Affinity::save(Writer& out) const {
    out.text(type);
    out.text(hardware);
    put_float(out, belief);
    out.varint(samples);
    put_float(out, told);
    out.u8(changed ? 1 : 0);
}

void WorkerSpeeds::Affinity::load(Reader& in) {
    type = in.text();
    hardware = in.text();
    belief = get_float(in);
    samples = static_cast<std::uint32_t>(std::min<std::uint64_t>(in.varint(), 1'000'000));
    told = get_float(in);
    changed = in.u8() != 0;
}

void WorkerSpeeds::save(Writer& out) const {
    put_float(out, fleet_mean_);
    workers_.save(out);
    affinities_.save(out);
    for (const auto* keys : {&speeds_changed_, &affinities_changed_}) {
        out.varint(keys->size());
        for (const std::uint64_t key : *keys) out.u64(key);
    }
}

void WorkerSpeeds::load(Reader& in) {
    fleet_mean_ = get_float(in);
    workers_.load(in);
    affinities_.load(in);
    for (auto* keys : {&speeds_changed_, &affinities_changed_}) {
        const std::uint64_t count = in.count(8);
        for (std::uint64_t i = 0; i < count && !in.failed(); ++i) keys->push_back(in.u64());
    }
}

void WorkerSpeeds::save_more(Writer& out) const {
    out.u64(newest_);
    out.varint(in_a_row_);
}

void WorkerSpeeds::load_more(Reader& in) {
    newest_ = in.u64();
    in_a_row_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(in.varint(), kAloneAfter));
}

}  // namespace nexus::predict
