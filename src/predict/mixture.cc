#include "predict/mixture.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "predict/lanes.h"
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

// 1, or `more` where a run equals the question.
inline Floats if_same(const std::uint32_t* own, std::uint32_t asked, float more) {
    const Words same = load_lanes<Words>(own) == static_cast<std::int32_t>(asked);
    return same ? floats(more) : floats(1);
}

// Weights by likeness, by slot of the window. The kernel is (1 - d/8)^8, which is exp(-d) to the two digits that a
// weight needs, and 0 from d = 8 on.
struct Likes {
    const SampleWindow* past = nullptr;
    std::array<std::int32_t, kWindowMax> weight;  // quanta

    // `own_type`: what a run of the same type counts more.
    void weigh(const SampleWindow& window, const Sample& asked, float reach, float own_type) {
        past = &window;
        const float* age = window.weights();
        for (std::size_t i = 0; i < window.size(); i += kLane) {
            const Floats apart = load_lanes<Floats>(window.payloads() + i) - asked.payload;
            const Floats near = 1 - (apart < 0 ? -apart : apart) * (reach / 8);
            const Floats kernel = greater(near, floats(0));
            const Floats squared = kernel * kernel;
            const Floats fourth = squared * squared;
            const Floats same = if_same(window.types() + i, asked.type, own_type) *
                                if_same(window.users() + i, asked.user, kSameUser) *
                                if_same(window.demands() + i, asked.demand, kSameDemand) *
                                if_same(window.workers() + i, asked.worker, kSameWorker);
            store_lanes(words(load_lanes<Floats>(age + i) * (fourth * fourth) * same * kWeightOne), weight.data() + i);
        }
    }
    Band band() const {
        return past->sorted().densest([this](std::uint32_t slot) { return weight[slot]; });
    }
};

// The runs of a window as one question sees them, by slot.
struct Carried {
    std::array<float, kWindowMax> value;
    std::array<std::int32_t, kWindowMax> bin;
    const std::int32_t* weight = nullptr;
    std::size_t count = 0;
    float lowest = std::numeric_limits<float>::max();
    float highest = std::numeric_limits<float>::lowest();

    // Each value less `slope` times its size, and `shift` more.
    Carried(const SampleWindow& past, const Likes& likes, float slope, float shift)
        : weight(likes.weight.data()), count(past.size()) {
        for (std::size_t i = 0; i < count; i += kLane)
            store_lanes(load_lanes<Floats>(past.values() + i) - slope * load_lanes<Floats>(past.payloads() + i) + shift,
                        value.data() + i);
        if (count == 0) return;
        lowest = past.sorted().value(0) + shift;
        highest = past.sorted().value(count - 1) + shift;
    }
    std::int64_t total() const { return std::accumulate(weight, weight + count, std::int64_t{0}); }
};

// The densest band of two windows together, when the question itself moves one against the other so that no order can
// be kept: weights are added up in bins of the line, and a band takes a whole number of them. Nothing in it is further
// apart than a band is wide, but up to one bin's width may be left out of it.
class BinnedBand {
public:
    Band densest(Carried& own, Carried& other) {
        if (own.count + other.count == 0) return {};
        // Where a type's own runs outweigh the rest the band is near some of them.
        const bool near_own = own.total() > other.total();
        const float lowest = near_own ? own.lowest - kBandWidth : std::min(own.lowest, other.lowest);
        const float highest = near_own ? own.highest + kBandWidth : std::max(own.highest, other.highest);
        const auto bins = static_cast<std::size_t>(std::min((highest - lowest) * kBinsPerUnit + 1, float{kBins}));
        std::fill_n(before_.begin(), bins + kPerBand + 1, 0);
        for (Carried* part : {&own, &other}) add(*part, lowest, bins);
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < bins + kPerBand; ++i) before_[i] = sum += before_[i];
        std::int32_t most = 0;
        for (std::size_t i = 0; i < bins; ++i) most = std::max(most, before_[i + kPerBand] - before_[i]);
        sum += before_[bins + kPerBand];
        Band band{.weight = static_cast<float>(most) / kWeightOne, .total = static_cast<float>(sum) / kWeightOne};
        if (most == 0) return band;
        std::size_t last = 0;
        while (before_[last + kPerBand] - before_[last] != most) ++last;
        band.centre = centre_of(own, other, static_cast<std::int32_t>(last), lowest, most);
        return band;
    }

private:
    static constexpr std::int32_t kPerBand = 64;
    static constexpr std::int32_t kBins = 2048;  // 16 in ln: beyond ten million times the least all are alike
    static constexpr float kBinsPerUnit = kPerBand / kBandWidth;

    // What is out of range goes where no band looks.
    void add(Carried& part, float lowest, std::size_t bins) {
        const auto nowhere = static_cast<std::int32_t>(bins) + kPerBand;
        for (std::size_t i = 0; i < part.count; i += kLane) {
            const Words at = words((load_lanes<Floats>(part.value.data() + i) - lowest) * kBinsPerUnit + kPerBand);
            const Words in = (at >= kPerBand) & (at <= nowhere);
            store_lanes(in ? at : Words{} + nowhere, part.bin.data() + i);
        }
        for (std::size_t i = part.count; i % kLane != 0; ++i) part.bin[i] = nowhere;
        for (std::size_t i = 0; i < part.count; ++i) before_[static_cast<std::size_t>(part.bin[i])] += part.weight[i];
    }
    // Of what lies in the kPerBand bins up to `last`.
    static float centre_of(const Carried& own, const Carried& other, std::int32_t last, float lowest,
                           std::int32_t most) {
        Floats low = floats(std::numeric_limits<float>::max());
        Floats high = -low;
        Floats moments{};
        for (const Carried* part : {&own, &other})
            for (std::size_t i = 0; i < part->count; i += kLane) {
                const Words bin = load_lanes<Words>(part->bin.data() + i);
                const Words in = (bin > last) & (bin <= last + kPerBand);
                const Floats value = load_lanes<Floats>(part->value.data() + i);
                low = in ? lesser(low, value) : low;
                high = in ? greater(high, value) : high;
                const Floats moment = floats(load_lanes<Words>(part->weight + i)) * (value - lowest);
                moments += in ? moment : floats(0);
            }
        return band_centre(least(low), greatest(high), lowest + added(moments) / static_cast<float>(most));
    }

    std::array<std::int32_t, kBins + kPerBand + 1> before_;  // weight in bins up to this one, kPerBand further on
};

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
    for (std::size_t e = 0; e < expert_count; e += kLane) {
        const Floats said = load_lanes<Floats>(&made[e]);
        const Words spoke = said == said;  // not NaN
        const Floats off = said - actual;
        const Words hit = (off >= kHitLow) & (off <= kHitHigh);
        const auto add_to = [&](std::array<float, expert_count>& record, Floats more) {
            const Floats old = load_lanes<Floats>(&record[e]);
            store_lanes(spoke ? old * decay + more : old, &record[e]);
        };
        add_to(hits, hit ? floats(1) : floats(0));
        add_to(errors, lesser(off < 0 ? -off : off, floats(kErrorMax)));
        add_to(count, floats(1));
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

// One question to the experts: each is asked when its answer is wanted, and what it said is kept with the cell while
// neither the type nor the tenant learns.
class Mixture::Asking {
public:
    Asking(Mixture& mixture, const Query& query, TypeState* type, UserState* user, Cell* cell)
        : query_(query),
          type_(type),
          user_(user),
          cell_(cell),
          place_(query.place == 0 ? nullptr : mixture.places_.find(query.place)),
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

    // ln(microseconds); NaN: it has nothing to say.
    float value(Expert expert) {
        switch (expert) {
            case by_hint: return query_.hint;
            case by_prefix: return is_new_ && family_ != nullptr ? prefix().centre : kNothing;
            case worker_mode: return place_ != nullptr && !place_->recent.empty() ? place().centre : kNothing;
            default: break;
        }
        const auto bit = static_cast<std::uint8_t>(1U << expert);
        if ((kept_->asked & bit) == 0) {
            kept_->asked |= bit;
            ask(expert);
        }
        return kept_->values[expert];
    }
    // Of an expert that had something to say.
    Band band(Expert expert) const {
        switch (expert) {
            case by_hint: return {};
            case by_prefix: return prefix();
            case worker_mode: return place();
            default: return kept_->bands[expert];
        }
    }
    ExpertValues all() {
        ExpertValues values;
        for (std::size_t e = 0; e < expert_count; ++e) values[e] = value(static_cast<Expert>(e));
        return values;
    }

private:
    static constexpr float kNothing = std::numeric_limits<float>::quiet_NaN();

    Band prefix() const { return family_->recent.mode(kSlow); }
    Band place() const { return place_->recent.mode(kSlow); }
    void set(Expert expert, Band band, float shift) {
        band.centre += shift;
        kept_->bands[expert] = band;
        if (band.weight > 0) kept_->values[expert] = band.centre;
    }
    bool worth(Expert expert) const { return type_ == nullptr || worth_asking(type_->score, type_->seen, expert); }

    void ask(Expert expert) {
        if (expert == type_mode && type_ != nullptr && !type_->recent.empty())
            set(expert, type_->recent.mode(kSlow), 0);
        if (expert == user_mode && cell_ != nullptr && !cell_->recent.empty())
            set(expert, cell_->recent.mode(kFast), 0);
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
    void ask_joined() {
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
    // The type's own runs, all of which count more beside other types'.
    const Likes& own() {
        if (likes_.past == nullptr)
            likes_.weigh(type_->samples, query_.sample, type_->sorted_slope == 0 ? kPayloadReach : kPayloadReachScaled,
                         kSameType);
        return likes_;
    }

    const Query& query_;
    TypeState* type_;
    UserState* user_;
    Cell* cell_;
    const Recent* place_;
    const Recent* family_ = nullptr;
    bool is_new_;
    Answer own_;
    Answer* kept_;
    Likes likes_;
};

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
    return made;
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
        const auto best = std::max_element(standings.begin(), standings.end());
        const auto expert = static_cast<Expert>(best - standings.begin());
        if (!std::isnan(asking.value(expert))) return expert;
        *best = -2;
    }
    return expert_count;
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
        estimate.source = kSources[best];
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
    const Expert best = choose(type->said, standings(type, nullptr));
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
