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

// With --from-history: what a server has recorded itself. This room knows no stores, so somebody else reads them.
struct HistorySource {
    std::function<void(CLI::App&)> add_flags;  // that say where it is
    // The tasks that succeeded, in order of submission: at most so many, the newest ones; 0 = all.
    std::function<Result<std::vector<TraceRow>>(std::size_t limit)> read;
};

// Adds the verb to `root`, with --eta and --from-history if there is somebody to answer. When it was called, `exit_code` is its answer:
// 0 done, 2 bad arguments, 1 anything else.
void add_command(CLI::App& root, int& exit_code, EtaAnswer etas = {}, HistorySource history = {});

}  // namespace nexus::evaluate
