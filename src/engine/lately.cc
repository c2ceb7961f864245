#include "engine/lately.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/spelling.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kPointsMax = 2000;
constexpr Duration kUsual = minutes(30);

bool is_count(std::size_t gauge) {
    return gauge == static_cast<std::size_t>(Gauge::finished) || gauge == static_cast<std::size_t>(Gauge::submitted);
}
bool is_most(std::size_t gauge) {
    return gauge == static_cast<std::size_t>(Gauge::wait_p99_us) || gauge == static_cast<std::size_t>(Gauge::use_max);
}
bool is_least(std::size_t gauge) {
    return gauge == static_cast<std::size_t>(Gauge::use_min);
}

}  // namespace

const char* name_of(Gauge gauge) {
    static constexpr const char* names[] = {"waiting",     "running",   "finished",     "submitted", "wait_p50_us",
                                            "wait_p99_us", "within_25", "p90_coverage", "use_p5",    "use_p50",
                                            "use_p95",     "use_min",   "use_max"};
    static_assert(std::size(names) == kGauges);
    return names[static_cast<std::size_t>(gauge)];
}

// ------------------------------------------------------------------------------------------------------------- series

void Ring::add(WallTime begin, const Point& point) {
    const std::int64_t number = begin.us / step_.us;
    if (points_.empty() || number - end() > static_cast<std::int64_t>(most_)) {
        points_.clear();
        first_ = number;
    }
    if (number < end()) return;
    while (end() < number) points_.emplace_back();
    points_.push_back(point);
    while (points_.size() > most_) {
        points_.pop_front();
        ++first_;
    }
}

const Point* Ring::at(std::int64_t number) const {
    return number < first_ || number >= end() ? nullptr : &points_[static_cast<std::size_t>(number - first_)];
}

Point joined(const std::vector<const Point*>& points) {
    Point one;
    for (std::size_t g = 0; g < kGauges; ++g) {
        double sum = 0, least = 0, most = 0;
        int known = 0;
        for (const Point* point : points) {
            if (point == nullptr || std::isnan(point->values[g])) continue;
            const double value = point->values[g];
            least = known == 0 ? value : std::min(least, value);
            most = known == 0 ? value : std::max(most, value);
            sum += value;
            ++known;
        }
        if (known == 0) continue;
        one.values[g] = static_cast<float>(is_count(g) ? sum : is_most(g) ? most : is_least(g) ? least : sum / known);
    }
    return one;
}

void Series::add(WallTime begin, const Point& point) {
    fine_.add(begin, point);
    const std::int64_t each = kCoarse.us / kFine.us;
    // A whole minute has passed: its points as one.
    const std::int64_t number = begin.us / kFine.us;
    if ((number + 1) % each != 0) return;
    std::vector<const Point*> minute;
    for (std::int64_t n = number + 1 - each; n <= number; ++n) minute.push_back(fine_.at(n));
    coarse_.add({(number + 1 - each) * kFine.us}, joined(minute));
}

Result<SeriesInfo> Series::read(const SeriesQuery& query, WallTime now) const {
    SeriesInfo info;
    std::vector<std::string_view> known;
    for (std::size_t g = 0; g < kGauges; ++g) known.emplace_back(name_of(static_cast<Gauge>(g)));
    for (const std::string& name : query.names) {
        const auto found = std::ranges::find(known, name);
        if (found == known.end()) return fail(Fault::invalid, "names: no such series" + did_you_mean(name, known));
        info.gauges.push_back(static_cast<Gauge>(found - known.begin()));
    }
    if (query.names.empty())
        for (std::size_t g = 0; g < kGauges; ++g) info.gauges.push_back(static_cast<Gauge>(g));
    const WallTime to = query.to.us == 0 || query.to > now ? now : query.to;
    const WallTime from = query.from.us == 0 ? WallTime{to.us - kUsual.us} : query.from;
    if (from > to) return fail(Fault::invalid, "from_unix_us: later than to_unix_us, or than now");
    // Where the minutes reach no further back than the finer steps, as after a start, those tell all there is.
    const bool reaches = !fine_.empty() && (from.us / kFine.us >= fine_.first() - 1 || coarse_.empty() ||
                                            coarse_.first() * kCoarse.us > (fine_.first() - 1) * kFine.us - kCoarse.us);
    const bool fine =
        reaches && query.step < kCoarse && (to - from).us / kFine.us < static_cast<std::int64_t>(kPointsMax);
    // What is older than all that is kept is not told as unknown: it would be most of the answer.
    const Ring& ring = fine || coarse_.empty() ? fine_ : coarse_;
    const std::int64_t one = ring.step().us;
    const std::int64_t begin = std::max(from.us / one, ring.empty() ? to.us / one : ring.first());
    const std::int64_t end = std::min(to.us / one + 1, ring.empty() ? begin : std::max(begin, ring.end()));
    const std::int64_t least =
        (end - begin + static_cast<std::int64_t>(kPointsMax) - 1) / static_cast<std::int64_t>(kPointsMax);
    const std::int64_t each = std::max({std::int64_t{1}, least, (query.step.us + one - 1) / one});
    const std::int64_t first = begin / each * each;  // the same steps whenever one asks
    info.from = {first * one};
    info.step = {each * one};
    info.values.resize(info.gauges.size());
    for (std::int64_t n = first; n < end; n += each) {
        std::vector<const Point*> points;
        for (std::int64_t m = n; m < std::min(n + each, end); ++m) points.push_back(ring.at(m));
        const Point point = joined(points);
        for (std::size_t i = 0; i < info.gauges.size(); ++i) info.values[i].push_back(point[info.gauges[i]]);
    }
    return info;
}

// ---------------------------------------------------------------------------------------------------------- slot time

void SlotTime::forget(WallTime now) {
    while (!kept_.empty() && kept_.front().number <= now.us / step_.us - steps_) {
        for (const auto& [name, us] : kept_.front().by_name)
            if (const auto sum = sum_.find(name); (sum->second -= us) <= 0) sum_.erase(sum);
        all_ -= kept_.front().all;
        kept_.pop_front();
    }
}

void SlotTime::add(WallTime at, std::uint32_t name, Duration ran) {
    if (ran.us <= 0) return;
    forget(at);
    const std::int64_t number = at.us / step_.us;
    if (kept_.empty() || kept_.back().number < number) kept_.push_back({.number = number, .all = 0, .by_name = {}});
    Step& step = kept_.back();
    step.all += ran.us;
    all_ += ran.us;
    if (!sum_.contains(name) && sum_.size() >= kNamesMax) return;
    step.by_name[name] += ran.us;
    sum_[name] += ran.us;
}

Duration SlotTime::of(std::uint32_t name) const {
    const auto found = sum_.find(name);
    return {found == sum_.end() ? 0 : found->second};
}

// ------------------------------------------------------------------------------------------------------ what happened

void Lately::happened(Happened event) {
    if (!event.of_type && event.what == What::forgotten) {
        if (const auto found = workers_.find(event.about); found != workers_.end()) workers_.erase(found);
    } else if (!event.of_type && event.what <= What::draining) {
        OfWorker& worker = workers_[event.about];
        worker.state_since = event.at;
        const bool by_order =
            event.what == What::cordoned || event.what == What::uncordoned || event.what == What::draining;
        if (by_order) {
            worker.author = event.what == What::uncordoned ? "" : event.author;
            worker.reason = event.what == What::uncordoned ? "" : event.reason;
        }
    }
    events_.push_back(std::move(event));
    if (events_.size() > kEvents) events_.pop_front();
}

void Lately::ran(const std::string& name, WorkerRun run) {
    const auto is_failure = [](const WorkerRun& one) {
        using enum core::AttemptOutcome;
        return one.outcome == failed || one.outcome == timed_out || one.outcome == out_of_memory ||
               one.outcome == worker_lost;
    };
    OfWorker& worker = workers_[name];
    worker.failures += is_failure(run) ? 1 : 0;
    worker.runs.push_front(run);
    if (worker.runs.size() <= kRuns) return;
    worker.failures -= is_failure(worker.runs.back()) ? 1 : 0;
    worker.runs.pop_back();
}

void Lately::breaker(const std::string& name, std::uint8_t breaker, const std::string& why, WallTime now) {
    OfWorker& worker = workers_[name];
    if (worker.breaker == breaker) return;
    worker.breaker = breaker;
    worker.breaker_since = now;
    static constexpr What kWhats[] = {What::breaker_closed, What::breaker_opened, What::breaker_probing};
    happened({.at = now, .what = kWhats[breaker < 3 ? breaker : 0], .about = name, .text = why});
}

const Lately::OfWorker* Lately::worker(std::string_view name) const {
    const auto found = workers_.find(name);
    return found == workers_.end() ? nullptr : &found->second;
}

std::vector<Happened> Lately::events(bool of_type, std::string_view about) const {
    std::vector<Happened> told;
    for (auto event = events_.rbegin(); event != events_.rend() && told.size() < kTold; ++event)
        if (event->of_type == of_type && event->about == about) told.push_back(*event);
    return told;
}

std::map<std::string, WallTime> Lately::drifted(WallTime since) const {
    std::map<std::string, WallTime> types;
    for (auto event = events_.rbegin(); event != events_.rend() && event->at >= since; ++event)
        if (event->what == What::drifted) types.try_emplace(event->about, event->at);
    return types;
}

void Lately::forget(WallTime now) {
    for (SlotTime* times : {&types, &tenants, &tenants_day, &deaths_}) times->forget(now);
}

Lately::Deaths Lately::deaths() const {
    Deaths deaths{.tasks = static_cast<std::uint64_t>(deaths_.all().us), .type = {}};
    std::int64_t most = 0;
    for (const auto& [type, tasks] : deaths_.by_name())
        if (tasks > most) {
            most = tasks;
            deaths.type = type;
        }
    return deaths;
}

}  // namespace nexus::engine
