#pragma once
// How much slower (> 0) or faster (< 0) than average a worker is, in ln, learned from how far runs there are
// from what their types take.
//
// One scalar Kalman filter a worker: prior variance 0.25, a little process noise with each completion, the type's
// residual variance as observation noise, innovations clipped at 2.5 standard deviations. A CUSUM of clipped |z|
// reopens the filter when the worker changed. The core hears of the belief and its deviation. Estimates use it shrunk
// to 0 by its own uncertainty, and only while it has been making them clearly better, because a worker that gets other
// work than its fellows looks slow without being so. The fleet's mean is kept at 0. A worker is compared with others: the
// only one, or the only one that has done anything for kAloneAfter runs, is average whatever it does.
//
//   worker speed  by worker name
//   affinity      by (type, hardware class): what remains after the worker's own speed. What all classes of hardware
//                 have in common is the type's own change and is no affinity: it is kept under the empty class
//
// Deterministic, bounded, not thread-safe.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "predict/key_table.h"
#include "predict/predictor.h"

namespace nexus::predict {

class WorkerSpeeds {
public:
    // ln of the factor on run times now; 0 without a worker.
    float factor(const Features& features);
    // ln of the factor that was applied to an estimate made at `when`.
    float factor_then(const Features& features, Instant when);

    // ln of the factor as learned, whether or not estimates use it. What types take is measured without it: were it
    // shrunk to 0, types that mostly run on fast workers would look short, and those workers average.
    float belief(const Features& features);

    struct Lesson {
        float distance = 0;  // ln(run) less what the type's runs take on an average worker
        float variance = 0;  // of such distances
        float miss = 0;      // ln(run / estimate) less the type's own bias
        float applied = 0;   // the part of the estimate that was this worker's factor
        Instant at;
    };
    void learn(const Features& features, const Lesson& lesson);
    void forget(std::string_view worker);

    std::vector<SpeedChange> take_speed_changes();
    std::vector<AffinityChange> take_affinity_changes();

    void save(Writer& out) const;
    void load(Reader& in);
    void save_more(Writer& out) const;
    void load_more(Reader& in);

private:
    static constexpr std::uint32_t kAloneAfter = 64;
    struct Published {
        std::int64_t at_us = 0;
        float factor = 0;
    };
    struct Worker {
        std::string name;
        float belief = 0;
        float variance = 0.25F;
        float cusum = 0;
        float gain = 0;          // recent mean of |residual| without less that with the factor
        float seen = 0;          // completions behind `gain`
        std::uint32_t kind = 0;  // type of its newest run
        float told = 0;          // last factor handed out as a SpeedChange
        bool changed = false;
        std::array<Published, 8> history{};  // newest at `head`
        std::uint8_t head = 0;
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct Affinity {
        std::string type;
        std::string hardware;
        float belief = 0;
        std::uint32_t samples = 0;
        float told = 0;
        bool changed = false;
        void save(Writer& out) const;
        void load(Reader& in);
    };

    // What is told to the core; the same shrunk to 0; what estimates use.
    float learned(const Worker& worker) const;
    float believed(const Worker& worker) const;
    float effective(const Worker& worker) const;
    float effective(const Affinity& affinity) const;
    float affinity_of(const Features& features);

    KeyTable<Worker> workers_{20'000};
    KeyTable<Affinity> affinities_{8192};
    float fleet_mean_ = 0;
    std::uint64_t newest_ = 0;  // whose run was the last
    std::uint32_t in_a_row_ = 0;
    std::vector<std::uint64_t> speeds_changed_;  // keys, in order of first change
    std::vector<std::uint64_t> affinities_changed_;
};

}  // namespace nexus::predict
