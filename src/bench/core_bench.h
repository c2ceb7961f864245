#pragma once
// The core alone, in steady state: `pending` tasks wait, all workers are busy. Each step a slot becomes free, the core
// decides what runs there next, and a new task takes the place of the one that left the queue.

#include <cstdint>

#include "bench/report.h"

namespace nexus::bench {

struct CoreOptions {
    std::uint32_t workers = 1000;
    std::uint32_t slots = 1;
    std::uint64_t pending = 100'000;
    std::uint64_t tasks = 200'000;  // decisions measured
    std::uint32_t types = 20;
    std::uint64_t seed = 1;
};
Report run_core(const CoreOptions& options);

}  // namespace nexus::bench
