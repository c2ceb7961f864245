#pragma once
// Prediction of run times: observations in, integer estimates out. Deterministic given its inputs; no clock, no I/O.
//
//   Model      one way to estimate (mixture, ema, and the exam's baselines); the plug-in interface
//   Predictor  what the engine uses: a chain of models with fallback, worker speeds, P90 tracking, accuracy, drift,
//              overrides, memory prediction. Not thread-safe; owned by the engine's loop.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/estimate.h"
#include "base/result.h"
#include "base/units.h"

namespace nexus::predict {

// What is known of a task before it runs. Views are valid during the call only.
struct Features {
    std::string_view type;
    std::string_view tenant;  // the trace's group_or_user
    std::string_view queue;
    std::string_view worker;          // empty = not decided yet
    std::string_view hardware;        // value of the worker's label "hw"; empty = none
    std::uint64_t payload_bytes = 0;  // 0 = unknown
    Duration hint;                    // 0 = none
    std::int64_t cpu_milli = 0;
    std::int64_t memory_bytes = 0;
    std::int64_t gpu_milli = 0;
    std::uint32_t attempt = 1;
    const std::vector<std::pair<std::string, double>>* numbers = nullptr;  // named features
    // Asked to plan with: the run will be judged by another estimate, made when it starts. The answer is the same, but
    // a model need not note what it might have said otherwise.
    bool provisional = false;
    Instant at;  // of the question; filled in by the Predictor
};

enum class RunEnd : std::uint8_t { succeeded, failed, censored };  // censored: cancelled, timed out, lost

struct Observation {
    Features features;
    RunEnd end = RunEnd::succeeded;
    Duration run;  // of a censored run: it lasted at least this long
    std::uint64_t peak_memory_bytes = 0;
    Estimate predicted;          // as made at dispatch with features.worker set; source none = unknown
    Instant at;                  // when it ended
    bool out_of_memory = false;  // it was killed for its memory: the type's memory prediction grows
};

// After how long a run is to be told to Predictor::passed() next: at its p50, and each time that it has run a quarter
// longer since.
constexpr Duration next_mark(Duration p50, Duration ran) {
    return ran < p50 ? p50 : Duration{ran.us + ran.us / 4 + 1};
}

struct TypeStat;

class Model {
public:
    virtual ~Model() = default;
    virtual std::string_view name() const = 0;
    // An error, a non-positive or a non-finite answer makes the Predictor ask the next simpler model.
    virtual Result<Estimate> estimate(const Features& features) = 0;
    virtual void learn(const Observation& observation) = 0;
    // A run that began then and goes on took so long already, on a worker of average speed. True when that may move
    // what is said of others.
    virtual bool passed(const Features& /*features*/, Duration /*ran*/, Instant /*began*/) { return false; }
    // It was given to a worker. True when that may move what is said of others.
    virtual bool began(const Features& /*features*/) { return false; }
    virtual void forget(std::string_view type) = 0;
    // The type's run times changed abruptly: what came before its last few runs misleads.
    virtual void shorten(std::string_view /*type*/) {}
    // Adds what the model knows of the type: expert, payload slope, experts.
    virtual void describe(std::string_view /*type*/, TypeStat& /*stat*/) const {}
    virtual void save(std::string& out) const = 0;
    virtual Result<void> load(std::string_view bytes) = 0;
};

// "mixture" (default), "ema", "median10", "mode50"; an error lists the names.
Result<std::unique_ptr<Model>> make_model(std::string_view name);
std::vector<std::string_view> model_names();

struct ExpertStat {
    std::string name;
    double hit_rate = 0;
    double weight = 0;
    Duration estimate;
};

// An operator's word against whatever was learned.
struct Override {
    Duration estimate;  // 0 = none
    Instant expires = kNever;
    WallTime expires_wall;  // the same for people; 0 = never
    std::string author;
    std::string reason;
};

struct TypeStat {
    std::string type;
    std::uint64_t samples = 0;
    std::uint64_t failed = 0;
    Duration p50, p90, mean;
    double within_25 = 0;      // rolling
    double p90_coverage = 0;   // rolling
    std::string size_name;     // the number that run times grow with: "payload" or a named feature
    double payload_slope = 0;  // of ln(run) on ln(1 + that number)
    std::string expert;
    bool drifting = false;
    std::uint64_t drifts = 0;
    std::uint64_t memory_p95_bytes = 0;
    double trend = 0;                 // within_25 of about the last 20 runs less that of the last 100
    Override forced;                  // its estimate is 0 = no override
    std::vector<ExpertStat> experts;  // detail only
    std::vector<std::pair<Duration, std::uint64_t>> histogram;  // detail only: upper bound, count
};

struct SpeedChange {  // worth an event: moved by more than 2 %
    std::string worker;
    std::uint32_t speed_ppm = 1'000'000;
    std::uint32_t deviation_ppm = 0;
};
struct AffinityChange {
    std::string type, hardware;
    std::uint32_t factor_ppm = 1'000'000;
};

struct Accuracy {
    double within_25 = 0;
    double p90_coverage = 0;
    double eta_p90_coverage = 0;
    std::uint64_t samples = 0;
    double trend = 0;  // within_25 of the last 100 completions less that of the last 1000
};

// What went wrong with the champion so far. Whenever it does, the stand-in (ema, of types it has seen) answers.
struct ModelFailures {
    std::uint64_t errors = 0;      // returned an error
    std::uint64_t exceptions = 0;  // threw, from estimate or learn
    std::uint64_t invalid = 0;     // an answer that is not positive, or beyond ten years
    std::uint64_t slow = 0;        // took more than 1 ms; needs set_stopwatch
    std::uint64_t skipped = 0;  // not asked, because it failed three times in a row; asked again after 1000 estimates
    std::uint64_t unanswered = 0;  // the stand-in had no answer either: source none
    std::uint64_t drifts = 0;      // not a failure: alarms of the drift detectors, all types
};

class Predictor {
public:
    explicit Predictor(std::unique_ptr<Model> champion);  // mixture when null
    ~Predictor();

    // Never fails: source none says that no model answered. The estimate is for a worker of average speed unless
    // features.worker is set; then it includes that worker's speed. <= 5 us mean.
    Estimate estimate(const Features& features, Instant now);
    void learn(const Observation& observation);
    // A running attempt passed its P90: counted at once for the quantile tracker; later learn() does not count it
    // again.
    void overdue(const Features& features, Instant began, Instant now);
    // A task was given to a worker. True when the estimates of tasks of its type may have moved.
    bool began(const Features& features, Instant now);
    // A running attempt passed a mark (next_mark). True when the estimates of tasks of its type may have moved.
    bool passed(const Features& features, Instant began, Instant now);
    void note_eta(bool finish_within_p90);
    // Of a monotonic clock, so that a slow model is noticed. Without one (simulation, replay) slowness is not judged,
    // and nothing here depends on time but what the caller passes.
    void set_stopwatch(Instant (*now)());

    std::vector<SpeedChange> take_speed_changes();
    std::vector<AffinityChange> take_affinity_changes();
    double trust() const;  // slope of ln actual on ln predicted, 0..1
    std::uint32_t failures_in_a_row() const;
    ModelFailures failures() const;

    std::vector<TypeStat> types() const;  // sorted by name, at most the kept types
    Result<TypeStat> type(std::string_view type) const;
    bool observed(std::string_view type) const;
    Result<void> reset(std::string_view type);
    // Its speed, as if it had never run anything.
    void forget_worker(std::string_view worker);
    // An estimate of 0 clears. Fault exhausted: 1024 types are forced already.
    Result<void> force(std::string_view type, Override forced);
    // All that are forced; none is afterwards.
    std::vector<std::pair<std::string, Override>> take_forced();
    // Overrides whose time is over are gone from what type() and types() tell; estimate() never uses them.
    void drop_expired(Instant now);
    Accuracy accuracy() const;

    void save(std::string& out) const;
    Result<void> load(std::string_view bytes);
    // The old Nexus snapshot: JSON of the key scheduler:predictions (docs: nexus contract).
    Result<void> load_nexus_snapshot(std::string_view json);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace nexus::predict
