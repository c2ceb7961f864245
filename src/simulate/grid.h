#pragma once
// The generated grid: workloads x clusters x arrivals x loads x sizes, several policies in each cell over the same
// world. Cells run on up to two threads; results do not depend on how many.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "simulate/metrics.h"
#include "simulate/world.h"

namespace nexus::simulate {

struct GridSpec {
    std::vector<std::string> workloads{"mix", "ln", "ppar", "par", "bim"};
    std::vector<char> clusters{'A', 'B', 'H'};
    std::vector<double> loads{0.5, 0.7, 0.85, 0.95};
    // The first is judged, and every other "predictive...".
    std::vector<std::string> policies{
        "predictive", "fcfs", "least-loaded", "least-work", "round-robin", "oracle-predictive", "predictive+pause"};
    std::vector<std::pair<std::string, std::string>> settings;  // configuration of every contender
    std::uint32_t tasks = 0;                                    // per cell; 0 = 15,000 on 20 slots, 40,000 on 200
    std::uint64_t seed = 1;   // of the first world of each cell; further ones count up
    std::uint32_t seeds = 1;  // worlds per cell
    unsigned threads = 2;
};

// One world of the grid; a cell is its worlds of all seeds.
struct Cell {
    WorldSpec spec;
    double equal_split_load = 0;   // see World
    std::vector<Metrics> results;  // one per policy, in order of GridSpec::policies
};

// `progress` is called from the working threads with the number of finished cells and of all.
Result<std::vector<Cell>> run_grid(const GridSpec& spec, const std::function<void(std::size_t, std::size_t)>& progress);

std::string cell_name(const WorldSpec& spec);

// The figures a grid is judged by: geometric means over the worlds, gaps, spreads. A cell is worse than a baseline when
// the geometric mean over its seeds is, by more than a hundredth; its spread is the median over its seeds.
struct GridVerdict {
    std::size_t cells = 0, worlds = 0, stable_worlds = 0;  // stable: round-robin's queues do not grow
    double mean_vs_least_loaded = 0, p99_vs_least_loaded = 0, p99_slowdown_vs_least_loaded = 0;
    double mean_vs_round_robin = 0, p99_vs_round_robin = 0;  // over stable cells
    double variance_vs_round_robin = 0, variance_vs_round_robin_min = 0;
    double mean_vs_fcfs = 0, p99_vs_fcfs = 0;
    double mean_vs_least_work = 0, p99_vs_least_work = 0;
    double oracle_gap_mean = 0, oracle_gap_p99 = 0;
    double spread_median = 0, spread_within_15 = 0;  // over cells, of healthy workers
    double idle_while_waiting_s = 0;
    double unfinished = 0;
    std::vector<std::string> worse_than_round_robin, worse_than_least_loaded;  // cells, in mean or p99
};
// Of the policy at index `of` (the one under judgement). Comparisons whose policy was not run stay 0.
GridVerdict judge(const std::vector<Cell>& cells, std::size_t of);

}  // namespace nexus::simulate
