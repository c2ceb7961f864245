#pragma once
// One contender: a policy, the predictor behind it, and what is done to its predictions. Its estimates are made the way
// the engine makes them: at submission, again at dispatch with the worker known, and for waiting tasks when their
// type's estimate has moved.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/estimate.h"
#include "base/result.h"
#include "core/config.h"
#include "core/event.h"
#include "predict/predictor.h"
#include "simulate/world.h"

namespace nexus::simulate {

struct Contender {
    std::string name = "predictive";  // how results call it
    core::Config config;              // config.policy decides
    std::string model = "mixture";
    bool oracle = false;                // true work, speeds and affinities instead of a predictor
    bool srpt_limit = false;            // not the core at all: the clairvoyant preemptive limit
    double noise_sigma = 0;             // estimates are multiplied by exp(N(0, sigma)), drawn per task
    bool reverse = false;               // estimates are mirrored in ln around their running mean: long looks short
    double kill_from = 2, kill_to = 2;  // no estimates in this part of the run (shares of the arrivals' span)

    // False when no decision of the policy rests on an estimate, so that any model gives the same run.
    bool uses_estimates() const;
};

// "predictive", "fcfs", ..., "oracle-predictive", ..., "oracle-srpt". Unknown names: invalid, listing the known.
Result<Contender> make_contender(std::string_view name);

// The estimates of one run. Owns the predictor; not thread-safe.
class Foresight {
public:
    // An unknown model: invalid.
    static Result<Foresight> make(const Contender& contender, const World& world);

    // `worker` >= 0: with that worker's speed. `at` is the current instant.
    Estimate estimate(std::uint32_t task, std::int32_t worker, Instant at);
    void learn(std::uint32_t task, std::uint32_t worker, const Estimate& predicted, predict::RunEnd end, Duration run,
               Instant at);
    void overdue(std::uint32_t task, std::uint32_t worker, const Estimate& predicted);
    void note_eta(bool within_p90);
    // Facts for the core that were learned since the last call: speeds, affinities, trust.
    void take_facts(std::vector<core::Fact>& out);
    // The facts an oracle knows of one worker at a time; empty for learners.
    void oracle_facts(std::uint32_t worker, Instant at, std::vector<core::Fact>& out) const;
    bool oracle() const { return contender_->oracle; }

private:
    Foresight(const Contender& contender, const World& world, std::unique_ptr<predict::Predictor> predictor)
        : contender_(&contender), world_(&world), predictor_(std::move(predictor)) {}
    predict::Features features(std::uint32_t task, std::int32_t worker, Instant at) const;
    Estimate spoil(Estimate estimate, std::uint32_t task);

    const Contender* contender_;
    const World* world_;
    std::unique_ptr<predict::Predictor> predictor_;
    double trust_told_ = 1;
    double ln_mean_ = 0;  // running mean of ln(estimate), the mirror of `reverse`
    std::uint64_t ln_count_ = 0;
};

}  // namespace nexus::simulate
