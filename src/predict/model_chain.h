#pragma once
// The champion model behind a guard, and the stand-in that answers when it fails.
//
// A champion may be foreign code: it may throw, return an error or nonsense, or take too long. None of that leaves
// here. After three failures in a row the champion rests for 1000 estimates, so that a hanging model does not hang
// every decision; then one call finds out whether it is back. The stand-in (ema) answers only for types it has seen.
// Not thread-safe.

#include <memory>
#include <string>

#include "predict/predictor.h"

namespace nexus::predict {

inline constexpr Duration kSlowMax = milliseconds(1);
inline constexpr Duration kRunMax = hours(24 * 3650);  // longer estimates are nonsense

class ModelChain {
public:
    explicit ModelChain(std::unique_ptr<Model> champion);

    // Source none when nothing answered. p50 >= 1 us.
    Estimate estimate(const Features& features);
    void learn(const Observation& observation);
    bool began(const Features& features);
    bool passed(const Features& features, Duration ran, Instant began);
    void forget(std::string_view type);
    void shorten(std::string_view type);
    void drifted() { ++failures_.drifts; }  // a detector of drift gave an alarm
    void describe(std::string_view type, TypeStat& stat) const;

    void set_stopwatch(Instant (*now)()) { stopwatch_ = now; }
    std::uint32_t failures_in_a_row() const { return in_a_row_; }
    const ModelFailures& failures() const { return failures_; }

    void save(std::string& out) const;
    // A champion of another name than the saved one starts cold; everything else is restored.
    Result<void> load(std::string_view bytes);

private:
    bool ask_champion(const Features& features, Estimate& made);

    std::unique_ptr<Model> champion_;
    std::unique_ptr<Model> stand_in_;
    ModelFailures failures_;
    std::uint32_t in_a_row_ = 0;
    std::uint32_t resting_ = 0;  // estimates left before the champion is asked again
    Instant (*stopwatch_)() = nullptr;
};

}  // namespace nexus::predict
