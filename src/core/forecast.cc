// The forecast of slot ends (docs/scheduling.md, "ETA").

#include "core/forecast.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/hash.h"
#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::size_t kTasksLook = 128;  // waiting tasks that are followed one by one
constexpr std::size_t kBeyond = 16;      // starts told after the last of them
constexpr std::size_t kForecastsMax = 8;
constexpr std::size_t kSampleFrom = 2048;  // runs: with more the earliest ends are found by a threshold from a sample
constexpr std::size_t kSample = 256;
constexpr std::size_t kLimitRuns = 1024;                  // that are looked through for those under a limit
constexpr std::size_t kLimitLook = 256;                   // tasks before it under a limit, followed one by one
constexpr std::int64_t kLongest = 1'000'000'000'000'000;  // microseconds: 31 years, so that no sum overflows
constexpr std::uint64_t kWhole = 1ULL << 32;
constexpr std::uint64_t kHalf = kWhole / 2, kTenth = kWhole / 10;

using Ends = std::vector<std::int64_t>;

// Replaces the smallest of a binary heap.
void replace_top(Ends& heap, std::int64_t value) {
    std::size_t at = 0;
    for (;;) {
        std::size_t child = at * 2 + 1;
        if (child >= heap.size()) break;
        if (child + 1 < heap.size() && heap[child + 1] < heap[child]) ++child;
        if (value <= heap[child]) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

// The slots that end first are taken one after the other: each of the first `places` ends later by what draw(place)
// says, the others not again. When each was taken.
template <class Draw>
Ends take_turns(Ends ends, std::size_t places, std::size_t beyond, Draw draw) {
    std::make_heap(ends.begin(), ends.end(), std::greater<>());
    Ends turns;
    turns.reserve(places + beyond);
    for (std::size_t place = 0; place < places + beyond && !ends.empty(); ++place) {
        const std::int64_t turn = ends.front();
        turns.push_back(turn);
        if (place < places) {
            replace_top(ends, turn + std::clamp<std::int64_t>(draw(place), 1, kLongest));
        } else {
            std::pop_heap(ends.begin(), ends.end(), std::greater<>());
            ends.pop_back();
        }
    }
    return turns;
}
}  // namespace

Law::Law(Duration median, Duration ninth, Duration average)
    : p50(std::clamp<std::int64_t>(median.us, 0, kLongest)),
      p90(std::clamp(ninth.us, p50, kLongest)),
      mean(std::clamp<std::int64_t>(average.us, 0, kLongest)) {
    low = std::max<std::int64_t>(0, p50 - (p90 - p50));
    const std::int64_t body = (low + p50) / 4 + (p50 + p90) / 5;  // nine tenths of it, weighted
    tail = std::max({10 * (mean - body) - p90, (p90 - p50) / 2, std::int64_t{1}});
}

std::int64_t Law::mean_left(std::int64_t ran) const {
    ran = std::min(ran, kLongest);
    if (ran <= low) return std::max<std::int64_t>(mean - ran, 1);
    if (ran >= p90) return scale(tail, ran, std::max<std::int64_t>(p90, 1));
    const std::int64_t beyond = p90 + tail - ran;
    if (ran >= p50) {
        const std::int64_t mass = scale(400, p90 - ran, p90 - p50);  // permille
        return (scale(p90 - ran, mass, 2) + 100 * beyond) / (mass + 100);
    }
    const std::int64_t mass = scale(500, p50 - ran, p50 - low);
    return (scale(p50 - ran, mass, 2) + 400 * ((p50 + p90) / 2 - ran) + 100 * beyond) / (mass + 500);
}

std::int64_t Law::left(std::int64_t ran, std::uint32_t u) const {
    const std::uint64_t rare = std::max(u, 1U);
    ran = std::clamp<std::int64_t>(ran, 0, kLongest);
    if (ran >= p90) {
        const std::int64_t ln = ln_ratio_q16(kWhole, rare);
        return std::max<std::int64_t>(scale(scale(tail, ran, std::max<std::int64_t>(p90, 1)), ln, kQ16One), 1);
    }
    const auto part = [](std::uint64_t of, std::int64_t x, std::int64_t width) {
        return static_cast<std::uint64_t>(scale(static_cast<std::int64_t>(of), x, std::max<std::int64_t>(width, 1)));
    };
    std::uint64_t alive = kWhole;  // share of such runs that get as far as this one
    if (ran >= p50)
        alive = kHalf - part(kHalf - kTenth, ran - p50, p90 - p50);
    else if (ran > low)
        alive = kWhole - part(kHalf, ran - low, p50 - low);
    const std::uint64_t beyond = std::max<std::uint64_t>(alive * rare >> 32, 1);
    const auto signed_part = [](std::uint64_t x) { return static_cast<std::int64_t>(x); };
    std::int64_t end = 0;
    if (beyond >= kHalf)
        end = low + scale(p50 - low, signed_part(kWhole - beyond), signed_part(kHalf));
    else if (beyond >= kTenth)
        end = p50 + scale(p90 - p50, signed_part(kHalf - beyond), signed_part(kHalf - kTenth));
    else
        end = p90 + scale(tail, ln_ratio_q16(kTenth, beyond), kQ16One);
    return std::max<std::int64_t>(end - ran, 1);
}

std::uint32_t draw_of_run(std::size_t world, std::uint32_t ticket) {
    constexpr std::uint32_t kGolden = 2'654'435'769;  // .6180340 of 2^32
    return static_cast<std::uint32_t>((2 * world + 1) * kWhole / (2 * kWorlds)) + kGolden * ticket;
}

std::uint32_t draw_of_waiting(std::size_t world, std::size_t place) {
    constexpr std::uint32_t kPlastic = 3'242'174'889;  // .7548777 of 2^32
    return static_cast<std::uint32_t>((4 * world + 1) * kWhole / (4 * kWorlds)) +
           kPlastic * static_cast<std::uint32_t>(place);
}

Forecast::Turn Forecast::turn(std::int64_t before, Instant at) const {
    std::array<std::int64_t, kWorlds> starts_at{};
    for (std::size_t world = 0; world < kWorlds; ++world) {
        const Ends& own = starts[world];
        const auto count = static_cast<std::int64_t>(own.size());
        if (before < count) {
            starts_at[world] = own[static_cast<std::size_t>(before)];
            continue;
        }
        const std::int64_t half = count / 2;
        const std::int64_t told = own.back() - own[static_cast<std::size_t>(half)];
        const std::int64_t rest =
            told > 0 ? scale(told, before - count + 1, count - 1 - half) : scale(step_us, before - count + 1, 1);
        starts_at[world] = saturating_add(own.back(), std::min(rest, kLongest));
    }
    std::sort(starts_at.begin(), starts_at.end());
    const auto told = [&](std::int64_t us) { return std::max(at, Instant{us}); };
    return {told(starts_at.front()), told(starts_at[kWorlds / 2]), told(starts_at.back())};
}

// ---- of the state

void Scheduler::State::forget_end(Index run, bool holds_slot) {
    for (auto& ends : slot_ends) {
        if (ends.size() < runs.size()) ends.resize(runs.size(), kNoEnd);
        ends[run] = holds_slot ? 0 : kNoEnd;
    }
}

std::int64_t Scheduler::State::draw_end(std::size_t world, Index r, Instant at) const {
    const Run& run = runs[r];
    if (run.task == kNone) return at.us + 1;  // it was revoked: its worker is about to confirm
    const Law law(run.p50, run.p90, run.mean);
    // What has come to pass says where in its law the first draw was: the next is another.
    const std::uint64_t again = slot_ends[world][r] == 0 ? 0 : mix(static_cast<std::uint64_t>(at.us), run.ticket);
    return at.us + law.left(run.ran(at).us, draw_of_run(world, run.ticket + static_cast<std::uint32_t>(again)));
}

std::uint64_t Scheduler::State::forecast_events() const {
    return counters.submitted + counters.succeeded + counters.dead + counters.cancelled + counters.expired +
           counters.requeues;
}

// All that are connected, or which.
std::uint64_t Scheduler::State::pool_of(const Group& group) const {
    if (group.reach == sessions.size()) return 0;
    std::uint64_t pool = 1;
    for (const std::uint64_t word : group.eligible) pool = mix(pool, word);
    return std::max<std::uint64_t>(pool, 1);
}

bool Scheduler::State::is_current(const Forecast& forecast, std::int64_t before) const {
    const std::uint64_t passed = forecast_events() - forecast.events;
    return passed < std::max({std::uint64_t{1}, static_cast<std::uint64_t>(std::max<std::int64_t>(before, 0)) / 16,
                              total_slots / 256});
}

// The waiting tasks of these groups that can start, smallest key first, until visit(task, group) says false. Walks the
// heaps together from a frontier, so it costs what it visits, not what waits.
template <class Visit>
void Scheduler::State::visit_waiting(const std::vector<Index>& of_groups, Visit visit) const {
    struct Step {
        HeapEntry entry;
        Index group = kNone, cls = kNone;
        std::size_t head = 0, at = 0;  // at 0: the first of its class, which stands at `head` of its group
        bool operator<(const Step& other) const { return other.entry < entry; }
    };
    std::vector<Step> frontier;
    const auto reach = [&](Step step) {
        if (step.at == 0) {
            const auto& heads = groups[step.group].heads;
            if (step.head >= heads.size()) return;
            step.cls = heads[step.head].cls;
        }
        const auto& entries = classes[step.cls].heap.entries();
        if (step.at >= entries.size()) return;
        step.entry = entries[step.at];
        frontier.push_back(step);
        std::push_heap(frontier.begin(), frontier.end());
    };
    for (const Index group : of_groups) reach({.entry = {}, .group = group});
    while (!frontier.empty()) {
        std::pop_heap(frontier.begin(), frontier.end());
        const Step step = frontier.back();
        frontier.pop_back();
        if (current(step.entry) && !visit(step.entry.task, step.group)) return;
        if (step.at == 0)
            for (std::size_t child = 1; child <= 2; ++child)
                reach({.entry = {}, .group = step.group, .head = step.head * 2 + child});
        for (std::size_t child = 1; child <= 4; ++child)
            reach({.entry = {}, .group = step.group, .cls = step.cls, .at = step.at * 4 + child});
    }
}

std::vector<Index> Scheduler::State::first_waiting(std::size_t limit) const {
    std::vector<Index> found;
    if (limit == 0) return found;
    visit_waiting(active_groups, [&](Index task, Index) {
        found.push_back(task);
        return found.size() < limit;
    });
    return found;
}

// The earliest ends in one world, of slots that the group may have: at most `most`, unsorted.
std::vector<std::int64_t> Scheduler::State::earliest_ends(std::size_t world, const Group& group, bool everywhere,
                                                          Instant at, std::size_t most) const {
    const Ends& kept = slot_ends[world];
    const auto end_of = [&](Index r) { return kept[r] > at.us ? kept[r] : draw_end(world, r, at); };
    std::vector<std::pair<std::int64_t, Index>> found;
    if (!everywhere) {
        for (std::size_t word = 0; word < group.eligible.size(); ++word)
            for (std::uint64_t bits = group.eligible[word]; bits != 0; bits &= bits - 1)
                for (const Index r : workers[word * 64 + static_cast<std::size_t>(std::countr_zero(bits))].runs)
                    if (kept[r] != kNoEnd) found.emplace_back(end_of(r), r);
    } else {
        std::int64_t threshold = kNoEnd - 1;
        if (kept.size() > kSampleFrom) {
            Ends sample;
            const std::size_t step = kept.size() / kSample;
            for (std::size_t r = 0; r < kept.size(); r += step)
                if (kept[r] > at.us && kept[r] != kNoEnd) sample.push_back(kept[r]);
            const std::size_t rank = 2 * most * sample.size() / kept.size() + 4;
            if (rank < sample.size()) {
                std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(rank), sample.end());
                threshold = sample[rank];
            }
        }
        for (;;) {
            for (Index r = 0; r < kept.size(); ++r)
                if (kept[r] <= threshold) found.emplace_back(end_of(r), r);
            if (found.size() >= most || threshold == kNoEnd - 1) break;
            found.clear();
            threshold = kNoEnd - 1;
        }
    }
    // Some may belong to workers that take nothing more: seldom, so all are looked at only when one of the first does.
    const auto lost = [&](const auto& end) { return !takes_work(workers[runs[end.second].worker]); };
    const auto middle = [&] { return found.begin() + static_cast<std::ptrdiff_t>(std::min(most, found.size())); };
    if (found.size() > most) std::nth_element(found.begin(), middle(), found.end());
    if (std::any_of(found.begin(), middle(), lost)) {
        std::erase_if(found, lost);
        if (found.size() > most) std::nth_element(found.begin(), middle(), found.end());
    }
    found.resize(std::min(most, found.size()));
    Ends ends;
    ends.reserve(found.size());
    for (const auto& [end, run] : found) ends.push_back(end);
    return ends;
}

// Slots that are free for it now, at most so many.
std::size_t Scheduler::State::free_slots(const Group& group, std::size_t most) const {
    std::size_t count = 0;
    for (std::size_t word = 0; word < ready.size() && count < most; ++word)
        for (std::uint64_t bits = ready[word] & group.eligible[word]; bits != 0; bits &= bits - 1) {
            const Index w = static_cast<Index>(word * 64) + static_cast<Index>(std::countr_zero(bits));
            if (fits(group, w)) count += workers[w].slots - workers[w].occupied();
        }
    return std::min(count, most);
}

// What competes with a group: all that shares workers with it, each by the part of its workers that is shared.
Forecast Scheduler::State::make_forecast(Index g, Instant at) const {
    const Group& group = groups[g];
    Forecast made{
        .pool = pool_of(group), .made = at, .events = forecast_events(), .decisions = counters.decisions, .starts = {}};
    if (group.reach == 0) return made;  // nobody is there who may run it: no slot comes free, whatever waits before it
    std::vector<Index> rivals;
    std::vector<std::int64_t> weight(groups.size());
    std::int64_t all = 0, shared = 0;
    for (const Index other : active_groups) {
        const Group& rival = groups[other];
        std::int64_t common = 1, own = 1;
        if (other != g && (rival.reach != group.reach || rival.reach != sessions.size())) {
            common = own = 0;
            for (std::size_t word = 0; word < rival.eligible.size(); ++word) {
                common += std::popcount(rival.eligible[word] & group.eligible[word]);
                own += std::popcount(rival.eligible[word]);
            }
        }
        weight[other] = scale(common, kQ16One, std::max<std::int64_t>(own, 1));
        all += rival.waiting;
        shared += scale(rival.waiting, weight[other], kQ16One);
        if (common > 0) rivals.push_back(other);
    }
    if (all > 0) made.share_q16 = scale(shared, kQ16One, all);
    std::vector<Index> list;
    std::int64_t due = 0;  // of a task that is no rival everywhere only each so manieth counts
    visit_waiting(rivals, [&](Index task, Index of) {
        due += weight[of];
        if (due < kQ16One) return true;
        due -= kQ16One;
        list.push_back(task);
        made.list.push_back({tasks[task].key, tasks[task].ticket});
        return list.size() < kTasksLook;
    });
    const bool everywhere = made.pool == 0;
    const std::size_t beyond = list.size() == kTasksLook ? 1 : kBeyond;
    const std::size_t most = list.size() + beyond;
    const std::size_t free = free_slots(group, most);
    const std::int64_t capacity = std::max<std::int64_t>(capacity_q16, 1);
    const auto slots = static_cast<std::int64_t>(total_slots);
    const std::int64_t pool_slots = std::max<std::int64_t>(
        scale(slots, group.reach, std::max<std::int64_t>(static_cast<std::int64_t>(sessions.size()), 1)), 1);
    made.step_us = std::max<std::int64_t>(scale(scale(mean_us, slots * kQ16One, capacity), 1, pool_slots), 1);
    for (std::size_t world = 0; world < kWorlds; ++world) {
        Ends ends = earliest_ends(world, group, everywhere, at, most);
        ends.insert(ends.end(), free, at.us);
        made.starts[world] = take_turns(std::move(ends), list.size(), beyond, [&](std::size_t place) {
            const Task& t = tasks[list[place]];
            const std::int64_t run = Law(t.p50, t.p90, t.mean).left(0, draw_of_waiting(world, place));
            return scale(run, slots * kQ16One, capacity);
        });
    }
    return made;
}

// Before something is told that is kept: the forecast in force is made anew when it is old.
void Scheduler::State::refresh_forecast(Index task) {
    const Index group = classes[tasks[task].cls].group;
    const std::uint64_t pool = pool_of(groups[group]);
    const auto known = std::find_if(forecasts.begin(), forecasts.end(),
                                    [&](const Forecast& forecast) { return forecast.pool == pool; });
    if (known != forecasts.end() && is_current(*known, startable_before(tasks[task].key).tasks)) return;
    if (known != forecasts.end()) {
        forecasts.erase(known);
    } else if (forecasts.size() >= kForecastsMax) {
        forecasts.erase(forecasts.begin());
    }
    for (std::size_t world = 0; world < kWorlds; ++world)
        for (Index r = 0; r < slot_ends[world].size(); ++r)
            if (slot_ends[world][r] <= now.us) slot_ends[world][r] = draw_end(world, r, now);
    forecasts.push_back(make_forecast(group, now));
}

// That in force, or one made for this question and kept for others at the same moment.
const Forecast& Scheduler::State::forecast_for(Index group, std::int64_t before, Instant at) const {
    const std::uint64_t pool = pool_of(groups[group]);
    for (const Forecast& forecast : forecasts)
        if (forecast.pool == pool && is_current(forecast, before)) return forecast;
    return forecast_now(group, at);
}

const Forecast& Scheduler::State::forecast_now(Index group, Instant at) const {
    const std::uint64_t pool = pool_of(groups[group]);
    if (!looked || looked->pool != pool || looked->made != at || looked_digest != digest) {
        looked = make_forecast(group, at);
        looked_digest = digest;
    }
    return *looked;
}

Instant Scheduler::State::as_usual(Instant from, Instant then) const {
    if (then <= from) return then;
    return from + Duration{day_pattern.stretch(saturating_add(from.us, wall_offset.us), (then - from).us)};
}

// When a slot comes free for a task of this class that has this key; of one that waits the ticket helps to find it.
std::optional<Forecast::Turn> Scheduler::State::slot_turn(Index cls, std::int64_t key, std::uint32_t ticket,
                                                          Instant at) const {
    const Index group = classes[cls].group;
    const std::int64_t before = startable_before(key).tasks;
    const Forecast* forecast = &forecast_for(group, before, at);
    // One that has come true without the start that it told is no longer believed.
    for (bool again = true;; again = false) {
        if (forecast->empty()) return std::nullopt;
        const auto since = static_cast<std::int64_t>(counters.decisions - forecast->decisions);
        std::int64_t place = scale(before + since, forecast->share_q16, kQ16One);
        const Forecast::Place own{key, ticket};
        const auto listed = std::lower_bound(forecast->list.begin(), forecast->list.end(), own);
        if (listed != forecast->list.end() && *listed == own) place = listed - forecast->list.begin();
        Forecast::Turn turn = forecast->turn(place, at);
        for (Instant* start : {&turn.p10, &turn.p50, &turn.p90})
            *start = std::max(as_usual(forecast->made, *start), at);
        if (turn.p50 > at || forecast->made == at || !again) return turn;
        forecast = &forecast_now(group, at);
    }
}

// When the limit lets one more start that has so many before it: its holders end, and each before it takes what is usual
// of what waits there, in proportions of the task's own estimate.
Forecast::Turn Scheduler::State::limit_turn(const Limit& limit, std::int64_t rank, const Task& task, Instant at,
                                            const std::function<bool(const Run&)>& holds) const {
    const std::int64_t mean =
        limit.waiting.tasks > 0 ? limit.waiting.work_us / limit.waiting.tasks : std::max(task.mean.us, std::int64_t{1});
    const auto usual = [&](Duration time) {
        return Duration{scale(time.us, mean, std::max(task.mean.us, std::int64_t{1}))};
    };
    const Law law(usual(task.p50), usual(task.p90), {mean});
    Forecast turns{.step_us = std::max<std::int64_t>(mean / std::max<std::int64_t>(limit.running_max, 1), 1),
                   .starts = {}};
    for (std::size_t world = 0; world < kWorlds; ++world) {
        Ends ends;
        for (Index r = 0; r < runs.size() && runs.size() <= kLimitRuns; ++r) {
            const Run& run = runs[r];
            if (run.ticket == 0 || run.task == kNone || tasks[run.task].run != r || !holds(run)) continue;
            const std::int64_t kept = slot_ends[world][r];
            ends.push_back(kept > at.us && kept != kNoEnd ? kept : draw_end(world, r, at));
        }
        // Holders that were not looked for, or do not run yet.
        for (std::size_t n = ends.size(); n < limit.running; ++n)
            ends.push_back(at.us + law.left(0, draw_of_waiting(world, n)));
        for (std::size_t n = limit.running; n < limit.running_max; ++n) ends.push_back(at.us);
        const auto places = static_cast<std::size_t>(std::clamp<std::int64_t>(rank, 0, kLimitLook));
        turns.starts[world] = take_turns(std::move(ends), places, 1,
                                         [&](std::size_t place) { return law.left(0, draw_of_waiting(world, place)); });
    }
    return turns.turn(rank, at);
}

}  // namespace nexus::core
