#pragma once
// One contender: a policy, the model behind it, and what is done to its predictions.

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/config.h"

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

}  // namespace nexus::simulate
