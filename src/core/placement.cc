// Which worker an arriving task gets, when several are free: the smallest score. All scores are integers in Q16.

#include <algorithm>
#include <bit>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int32_t kPreferenceMissed = 1 << 18;  // per preferred label: outweighs band and utilisation together
constexpr std::int32_t kFailedThere = 1 << 24;       // outweighs all preferences

constexpr std::int32_t kBandPart = 4;      // of a distance, beside half of the utilisation
constexpr std::int32_t kCertain = 1 << 8;  // of `certainty`

// How far a task's size is known before it runs: p50 / p90, at most 1. A worker is chosen by size as far as that goes.
std::int32_t certainty(const Task& task) {
    return static_cast<std::int32_t>(
        std::min<std::int64_t>(scale(task.p50.us, kCertain, std::max<std::int64_t>(task.p90.us, 1)), kCertain));
}

// What a distance between bands counts in a score; both Q16.
std::int32_t band_cost(std::int32_t distance, std::int32_t certainty) {
    return distance * certainty / (kCertain * kBandPart);
}

bool amount_fits(std::int64_t need, std::int64_t used, std::int64_t offer) {
    return need == 0 || offer < 0 || need <= offer - used;
}

// Keeps the three smallest scores, the earlier worker first among equals.
void offer_candidate(Candidate candidate, Decision& decision) {
    for (std::uint8_t place = 0; place < 3; ++place) {
        if (place == decision.candidates_count) {
            decision.candidates[decision.candidates_count++] = candidate;
            return;
        }
        Candidate& held = decision.candidates[place];
        const bool before =
            candidate.score != held.score ? candidate.score < held.score : candidate.worker < held.worker;
        if (before) std::swap(candidate, held);
    }
}

std::int64_t custom_amount(const Resources& resources, const std::string& name) {
    for (const auto& [known, amount] : resources.custom)
        if (known == name) return amount;
    return 0;
}
}  // namespace

void take_resources(Resources& used, const Resources& amount, int sign) {
    used.cpu_milli += sign * amount.cpu_milli;
    used.memory_bytes += sign * amount.memory_bytes;
    used.gpu_milli += sign * amount.gpu_milli;
    for (const auto& [name, need] : amount.custom) {
        auto at = std::lower_bound(used.custom.begin(), used.custom.end(), name,
                                   [](const auto& pair, const std::string& key) { return pair.first < key; });
        if (at == used.custom.end() || at->first != name) at = used.custom.insert(at, {name, 0});
        at->second += sign * need;
        if (at->second == 0) used.custom.erase(at);
    }
}

Resources less(Resources asked, const Resources& amount) {
    const auto lower = [](std::int64_t& value, std::int64_t by) { value = std::max<std::int64_t>(0, value - by); };
    lower(asked.cpu_milli, amount.cpu_milli);
    lower(asked.memory_bytes, amount.memory_bytes);
    lower(asked.gpu_milli, amount.gpu_milli);
    for (auto& [name, value] : asked.custom) lower(value, custom_amount(amount, name));
    return asked;
}

// Room at this moment; whether the worker could ever run it is the group's eligibility bit.
bool Scheduler::State::fits(const Group& group, Index w) const {
    const Worker& worker = workers[w];
    if (group.alone && !worker.runs.empty()) return false;
    return !group.needs_resources || room_for(group.resources, w);
}

bool Scheduler::State::room_for(const Resources& need, Index w) const {
    const Worker& worker = workers[w];
    if (!amount_fits(need.cpu_milli, worker.used.cpu_milli, worker.offered.cpu_milli)) return false;
    if (!amount_fits(need.memory_bytes, worker.used.memory_bytes, worker.offered.memory_bytes)) return false;
    if (!amount_fits(need.gpu_milli, worker.used.gpu_milli, worker.offered.gpu_milli)) return false;
    for (const auto& [name, amount] : need.custom)
        if (!amount_fits(amount, custom_amount(worker.used, name), custom_amount(worker.offered, name))) return false;
    return true;
}

Candidate Scheduler::State::score(Index task, Index w) const {
    const Class& cls = classes[tasks[task].cls];
    Candidate candidate{.worker = WorkerNo{w}};
    candidate.utilization = load_of(w);
    if (config.policy == PolicyKind::predictive) {
        if (affinity_known || config.placement == Placement::fastest) {
            candidate.speed = static_cast<std::int32_t>(slowness_ln(tasks[task].cls, w));
        } else {
            const SizeBands::Band band = size_bands.of(tasks[task].mean, tasks[task].p90);
            candidate.speed = speed_taste(w);
            const std::int32_t distance = std::max({band.low - hot.band_high[w], hot.band_low[w] - band.high, 0});
            candidate.band = band_cost(distance, certainty(tasks[task]));
        }
        for (const NameValue& preferred : cls.spec.labels_preferred) {
            const bool met = std::binary_search(workers[w].labels.begin(), workers[w].labels.end(), preferred);
            if (!met) candidate.preference += kPreferenceMissed;
        }
    }
    if (tasks[task].avoid == w) candidate.preference += kFailedThere;
    candidate.score = std::int64_t{candidate.band} + candidate.utilization + candidate.speed + candidate.preference;
    return candidate;
}

bool Scheduler::State::falls_back(const Task& task) const {
    return task.source == EstimateSource::none || prediction_failures >= config.fallback_threshold;
}

// The first eligible worker of the mask at or after `from`, around the end.
Index Scheduler::State::rotate(const Group& group, const std::vector<std::uint64_t>& mask, std::uint32_t from) const {
    const std::size_t words = mask.size();
    if (words == 0) return kNone;
    if (from >= workers.size()) from = 0;
    for (std::size_t step = 0; step <= words; ++step) {
        const std::size_t word = (from / 64 + step) % words;
        std::uint64_t bits = mask[word] & group.eligible[word];
        if (step == 0) bits &= ~0ULL << (from % 64);
        for (; bits != 0; bits &= bits - 1) {
            const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
            if (fits(group, w)) return w;
        }
    }
    return kNone;
}

Index Scheduler::State::choose_worker(Index task, Decision& decision) {
    refresh_balance();
    const Group& group = groups[classes[tasks[task].cls].group];
    const bool simple = !group.needs_resources && !group.alone;
    decision.baseline = WorkerNo{rotate(group, ready, rotation)};
    decision.candidates_count = 0;
    decision.eligible_free = 0;
    const Index avoid = tasks[task].avoid;
    if (decision.baseline.n == kNone) {
        Index found = kNone;
        for (std::size_t word = 0; word < open.size(); ++word)
            for (std::uint64_t bits = open[word] & group.eligible[word]; bits != 0; bits &= bits - 1) {
                const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
                if ((found != kNone && found != avoid) || !fits(group, w) || !open_may_take(task, w)) continue;
                found = w;
            }
        if (found == kNone) return kNone;
        decision.reason = DecisionReason::probe;
        decision.candidates[0] = score(task, found);
        decision.candidates_count = 1;
        return found;
    }
    rotation = decision.baseline.n + 1;
    if (decision.baseline.n == avoid) decision.baseline = WorkerNo{rotate(group, ready, rotation)};
    if (falls_back(tasks[task]) && config.policy == PolicyKind::predictive) {
        decision.fallback = true;
        decision.reason = DecisionReason::fallback;
        decision.candidates[0] = {.worker = decision.baseline};
        decision.candidates_count = 1;
        return decision.baseline.n;
    }
    if (simple && avoid == kNone && !affinity_known && config.placement == Placement::balanced &&
        classes[tasks[task].cls].spec.labels_preferred.empty()) {
        scan_plain(task, decision);
    } else {
        scan_scored(task, decision);
    }
    return decision.candidates[0].worker.n;
}

// Exact arg-min of band distance plus utilisation. First the minimum of each block of 64 workers, in a loop that the
// compiler vectorises; the three best workers can only be in the three blocks with the smallest minima.
void Scheduler::State::scan_plain(Index task, Decision& decision) const {
    const Group& group = groups[classes[tasks[task].cls].group];
    const bool banded = config.policy == PolicyKind::predictive && bands_differ;
    const SizeBands::Band band =
        banded ? size_bands.of(tasks[task].mean, tasks[task].p90) : SizeBands::Band{INT32_MIN / 2, INT32_MAX / 2};
    const std::int32_t certain = certainty(tasks[task]);
    const auto score_of = [&](std::size_t w) {
        const std::int32_t below = band.low - hot.band_high[w];
        const std::int32_t above = hot.band_low[w] - band.high;
        return hot.free_load[w] + band_cost(std::max(std::max(below, above), 0), certain);
    };
    struct Block {
        std::int32_t least = INT32_MAX;
        std::size_t word = 0;
    };
    Block blocks[3];
    for (std::size_t word = 0; word < ready.size(); ++word) {
        const std::uint64_t bits = ready[word] & group.eligible[word];
        if (bits == 0) continue;
        decision.eligible_free += static_cast<std::uint32_t>(std::popcount(bits));
        Block block{.word = word};
        if (bits == ready[word]) {  // workers that are not ready carry a prohibitive utilisation
            for (std::size_t i = 0; i < 64; ++i) block.least = std::min(block.least, score_of(word * 64 + i));
        } else {
            for (std::uint64_t rest = bits; rest != 0; rest &= rest - 1)
                block.least =
                    std::min(block.least, score_of(word * 64 + static_cast<std::size_t>(std::countr_zero(rest))));
        }
        for (Block& place : blocks)
            if (block.least < place.least) std::swap(block, place);
    }
    for (const Block& block : blocks) {
        if (block.least == INT32_MAX) continue;
        for (std::uint64_t bits = ready[block.word] & group.eligible[block.word]; bits != 0; bits &= bits - 1) {
            const std::size_t w = block.word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
            const std::int32_t value = score_of(w);
            if (decision.candidates_count < 3 || value < decision.candidates[2].score)
                offer_candidate(score(task, static_cast<Index>(w)), decision);
        }
    }
}

void Scheduler::State::scan_scored(Index task, Decision& decision) const {
    const Group& group = groups[classes[tasks[task].cls].group];
    for (std::size_t word = 0; word < ready.size(); ++word) {
        for (std::uint64_t bits = ready[word] & group.eligible[word]; bits != 0; bits &= bits - 1) {
            const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
            if (!fits(group, w)) continue;
            ++decision.eligible_free;
            offer_candidate(score(task, w), decision);
        }
    }
}

}  // namespace nexus::core
