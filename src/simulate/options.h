#pragma once
// The arguments of `nexus simulate`, and what is made of them.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "simulate/contender.h"
#include "simulate/report.h"
#include "simulate/world.h"

namespace CLI {
class App;
}

namespace nexus::simulate {

struct Options {
    WorldSpec world;
    std::vector<std::string> policies{"predictive", "least-loaded", "round-robin"};
    std::vector<std::string> settings;
    std::string sweep, model = "mixture", arrivals, cluster = "A", output = "table", plot, kill;
    double noise_sigma = 0;
    bool reverse = false, overload = false, grid = false, check = false;
    std::uint32_t tasks = 0;
    std::uint32_t seeds = 1;
    unsigned threads = 2;
};

// `options` outlives the verb.
void add_options(CLI::App& verb, Options& options);
// Fills in what follows from other options. Anything that cannot be: invalid.
Result<void> finish(Options& options);

// Every policy, once for each value of a sweep.
Result<std::vector<Contender>> contenders_of(const Options& options);
// The configuration of every contender. Not of the form NAME=VALUE: invalid.
Result<std::vector<std::pair<std::string, std::string>>> settings_of(const Options& options);
// As results tell them.
Arguments arguments_of(const Options& options);

}  // namespace nexus::simulate
