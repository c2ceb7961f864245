#pragma once
// What the Predictor knows of one task type, whatever model made the estimates: calibration, accuracy, drift, memory.
//
//   tail       ln(P90 / P50), one number pushed up by 0.045 when a run exceeds its P90 and down by 0.005 when it does
//              not: it settles where one run in ten exceeds it. Runs that were under way together say the same thing
//              many times: they move it together, as few runs would
//   residual   moments of ln(run / estimate): bias, variance, mean of the ratio
//   accuracy   share within 25 % and P90 coverage of about the last 100 runs
//   drift      two-sided CUSUM on standardised residuals
//   memory     95 % quantile of the last 64 peaks, raised by half of what a run had when it was killed for its memory
//
// Not thread-safe.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "predict/predictor.h"
#include "predict/size_driver.h"
#include "predict/window.h"

namespace nexus::predict {

inline constexpr float kTailMax = 12;  // a factor of 160,000

// An exponential mean that starts as a plain one.
struct RollingMean {
    float mean = 0;
    float count = 0;
    void add(float value, float step_min) {
        count = std::min(count + 1, 1e6F);
        mean += std::max(1 / count, step_min) * (value - mean);
    }
    void save(Writer& out) const;
    void load(Reader& in);
};

// Notices that what should scatter around 0 has moved: a two-sided CUSUM (Page 1954) of deviations in standard
// deviations, each clipped at 3.
struct Cusum {
    float up = 0, down = 0;
    // True on an alarm, after which it starts anew.
    bool add(float z, float alarm);
};

// Runs of a type whose estimates were made before any of them was heard of.
struct Burst {
    Instant since;  // when the first of them was heard of: what began later is none of them
    std::uint32_t over = 0, within = 0;

    // How far the tail is to move for one more run that began then: up when positive.
    float add(bool exceeded, Instant began, Instant now);
    void save(Writer& out) const;
    void load(Reader& in);

private:
    float moved() const;  // for all of them
};

struct TypeRecord {
    std::string name;
    std::uint64_t samples = 0;
    std::uint64_t failed = 0;
    Estimate last;  // the newest estimate for a worker of average speed

    float tail = 0.5F;
    Burst burst;
    Duration
        longest;  // run seen so far, on a worker of average speed; of a run that was cut off or goes on, its length
    std::uint32_t overdue = 0;  // running attempts counted as beyond their P90 already
    RollingMean bias;
    RollingMean spread;            // of squared residuals around the bias
    RollingMean ratio;             // of run / estimate, clipped; of attempts that began after `known_since`
    Instant known_since = kNever;  // earlier estimates came from elsewhere
    RollingMean hits;
    RollingMean hits_lately;
    RollingMean covered;
    SizeDriver line;             // ln(run on an average worker) by size: what worker speeds are measured against
    RollingMean line_spread;     // of squared distances to it
    Cusum drift;                 // of residuals
    Cusum line_drift;            // of distances
    std::uint32_t drifting = 0;  // completions until the alarm is over
    std::uint64_t drifts = 0;
    std::uint32_t answering = 0;  // completions until the estimates of before the last alarm are answered for
    ModeWindow peaks;             // ln bytes
    float memory_floor = 0;       // ln bytes; after kills for memory
    std::array<std::uint32_t, 48> histogram{};  // of successful runs: bucket i ends at 2^i us

    // Of a successful run with a known estimate; `residual` = ln(run / estimate), `own`: the estimate was made when the
    // type was known. True when what came before misleads.
    bool learn_residual(float residual, bool own);
    void see(Duration run) { longest = std::max(longest, run); }
    // No run of the type took so long: nobody has reason to say more.
    Estimate bounded(Estimate made) const;
    void learn_memory(std::uint64_t peak_bytes, bool out_of_memory);
    std::uint64_t memory_p95_bytes() const;
    // Of `value` = ln(run); `worker` = ln of its worker's believed factor. Returns the distance to the line before
    // learning, or NaN while there is no line. Here, too, drift is noticed.
    float learn_line(const Features& features, float value, float worker);

    void save(Writer& out) const;
    void load(Reader& in);
    void save_more(Writer& out) const;
    void load_more(Reader& in);
    void guess_more();  // what load_more() would tell, of a release that did not save it

private:
    void note_drift();
};

}  // namespace nexus::predict
