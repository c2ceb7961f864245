#pragma once
// What happened lately, for people: series of points, the last runs of workers, what happened to workers and types, and
// who got how much of the slots. The engine tells it, and shows it; no decision ever reads it.
//
// It begins anew with each start, but for what a replay tells again. Bounded: what is too old or too much is forgotten.
// Not thread-safe; owned by the loop. All times are the calendar's.

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/task.h"

namespace nexus::engine {

// ---- series

enum class Gauge : std::uint8_t {
    waiting = 0,
    running,
    finished,  // of a step, as the next one
    submitted,
    wait_p50_us,
    wait_p99_us,
    within_25,
    p90_coverage,
    use_p5,
    use_p50,
    use_p95,
    use_min,
    use_max,
};
inline constexpr std::size_t kGauges = static_cast<std::size_t>(Gauge::use_max) + 1;
const char* name_of(Gauge gauge);

inline constexpr float kNotKnown = std::numeric_limits<float>::quiet_NaN();
struct Point {
    std::array<float, kGauges> values;
    Point() { values.fill(kNotKnown); }
    float& operator[](Gauge gauge) { return values[static_cast<std::size_t>(gauge)]; }
    float operator[](Gauge gauge) const { return values[static_cast<std::size_t>(gauge)]; }
};

struct SeriesQuery {
    std::vector<std::string> names;  // empty = all
    WallTime from, to;               // 0 = the last half hour, now
    Duration step;                   // at least so much; 0 = as fine as 2000 points allow
};
struct SeriesInfo {
    WallTime from;
    Duration step;
    std::vector<Gauge> gauges;
    std::vector<std::vector<float>> values;  // of each gauge, one a step; kNotKnown where nothing is known
};

// Points of steps that follow each other, the newest `most` of them.
class Ring {
public:
    Ring(Duration step, std::size_t most) : step_(step), most_(most) {}
    // Of the step that begins then. Steps that were left out are unknown; one that is not newer is dropped.
    void add(WallTime begin, const Point& point);
    Duration step() const { return step_; }
    bool empty() const { return points_.empty(); }
    std::int64_t first() const { return first_; }  // number of the oldest step: its begin / step
    std::int64_t end() const { return first_ + static_cast<std::int64_t>(points_.size()); }
    const Point* at(std::int64_t number) const;  // null: not kept

private:
    Duration step_;
    std::size_t most_;
    std::int64_t first_ = 0;
    std::deque<Point> points_;
};

// Several points as one: counts are summed, extremes kept, the rest averaged.
Point joined(const std::vector<const Point*>& points);

class Series {
public:
    static constexpr Duration kFine = seconds(10), kCoarse = minutes(1);
    // Of the fine step that begins then.
    void add(WallTime begin, const Point& point);
    // Fault invalid names what is wrong.
    Result<SeriesInfo> read(const SeriesQuery& query, WallTime now) const;

private:
    Ring fine_{kFine, 6 * 360}, coarse_{kCoarse, 30 * 24 * 60};
};

// ---- slot time

// Run time by name (by its number) within a window that slides by steps.
class SlotTime {
public:
    SlotTime(Duration step, std::int64_t steps) : step_(step), steps_(steps) {}
    void add(WallTime at, std::uint32_t name, Duration ran);
    void forget(WallTime now);  // what is too old by then
    Duration of(std::uint32_t name) const;
    Duration all() const { return {all_}; }
    const std::map<std::uint32_t, std::int64_t>& by_name() const { return sum_; }  // microseconds

private:
    static constexpr std::size_t kNamesMax = 4096;  // of others the time counts in all() alone

    Duration step_;
    std::int64_t steps_;
    struct Step {
        std::int64_t number = 0, all = 0;
        std::map<std::uint32_t, std::int64_t> by_name;
    };
    std::deque<Step> kept_;  // oldest first
    std::map<std::uint32_t, std::int64_t> sum_;
    std::int64_t all_ = 0;
};

// ---- what happened

enum class What : std::uint8_t {
    connected = 1,
    left,    // it said goodbye
    closed,  // its connection ended without a goodbye
    suspected,
    recovered,
    lost,
    cordoned,
    uncordoned,
    draining,
    forgotten,
    breaker_ordered,  // closed by an operator
    breaker_opened,   // text: why
    breaker_probing,
    breaker_closed,
    failed,   // an attempt: task, text: its outcome
    drifted,  // of a type, as the rest
    forced,   // count: the estimate, microseconds
    freed,    // it is estimated by what was learned again
    reset,
};
struct Happened {
    WallTime at;
    What what = What::connected;
    bool of_type = false;
    std::string about;           // the worker or the type
    std::string author, reason;  // of an operator's act
    std::string text;
    std::int64_t count = 0;
    TaskId task;
};

struct WorkerRun {
    WallTime at;
    TaskId task;
    std::uint32_t type = 0;  // number of its name
    Duration run, predicted;
    core::AttemptOutcome outcome = core::AttemptOutcome::succeeded;
};

class Lately {
public:
    static constexpr std::size_t kRuns = 36;        // of a worker
    static constexpr std::size_t kEvents = 20'000;  // in all
    static constexpr std::size_t kTold = 200;       // of one worker or type

    struct OfWorker {
        std::deque<WorkerRun> runs;           // newest first
        std::uint32_t failures = 0;           // of these
        WallTime state_since, breaker_since;  // 0 = not known
        std::string author, reason;           // who cordoned or drained it
        std::uint8_t breaker = 0;
    };

    // Of a state that begins: also into the worker's record.
    void happened(Happened event);
    void ran(const std::string& worker, WorkerRun run);
    // The breaker as it stands; noted where it is another than before.
    void breaker(const std::string& worker, std::uint8_t breaker, const std::string& why, WallTime now);
    void died(std::uint32_t type, WallTime now) { deaths_.add(now, type, Duration{1}); }

    const OfWorker* worker(std::string_view name) const;
    template <class Known>
    void forget_workers(Known known) {  // those that are not
        std::erase_if(workers_, [&](const auto& one) { return !known(one.first); });
    }
    // The newest of one, newest first.
    std::vector<Happened> events(bool of_type, std::string_view about) const;
    // The types that drifted since then, and when each did last.
    std::map<std::string, WallTime> drifted(WallTime since) const;

    Series series;
    SlotTime types{minutes(1), 15};
    SlotTime tenants{minutes(1), 15}, tenants_day{hours(1), 24};
    // Tasks that died within the last hour: how many, and the type of most of them.
    struct Deaths {
        std::uint64_t tasks = 0;
        std::optional<std::uint32_t> type;
    };
    Deaths deaths() const;
    void forget(WallTime now);  // what is too old by then

private:
    std::map<std::string, OfWorker, std::less<>> workers_;
    std::deque<Happened> events_;  // oldest first
    SlotTime deaths_{minutes(1), 60};
};

}  // namespace nexus::engine
