#pragma once
// The verb `nexus evaluate`: how well models predict the run times of a recorded workload, and when it would have been
// done on a fleet. docs/prediction.md is its manual.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "evaluate/trace.h"

namespace CLI {
class App;
}

namespace nexus::evaluate {

// With --eta: each recorded workload arrives at equal workers, and every task is told its ETA when it is submitted.
struct EtaQuestion {
    std::vector<std::string> traces;
    TraceFormat format = TraceFormat::csv;
    std::vector<std::string> models;
    std::uint32_t limit = 0;  // of rows; 0 = all
    std::uint32_t workers = 50, slots = 2;
    double load = 0.8;              // work offered / capacity
    bool recorded_arrivals = true;  // as they were recorded, at the speed that makes the load; false: Poisson
    std::uint64_t seed = 1;
    bool json = false;
};
// What is to be printed. A file or number that cannot be: invalid, not_found or corrupt.
using EtaAnswer = std::function<Result<std::string>(const EtaQuestion&)>;

// Adds the verb to `root`, with --eta if there is somebody to answer. When it was called, `exit_code` is its answer:
// 0 done, 2 bad arguments, 1 anything else.
void add_command(CLI::App& root, int& exit_code, EtaAnswer etas = {});

}  // namespace nexus::evaluate
