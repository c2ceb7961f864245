#pragma once
// One producer: submits numbered no-op tasks, as fast as `inflight` calls allow or at a mean rate with random gaps.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "bench/target.h"
#include "bench/workers.h"

namespace nexus::bench {

struct SubmitPlan {
    std::uint64_t tasks = 0;
    std::uint32_t batch = 1;      // tasks per call
    std::uint32_t inflight = 64;  // calls at once
    std::uint32_t payload = 100;  // bytes, at least 8
    double rate = 0;              // tasks per second, Poisson; 0 = as fast as possible
    std::uint64_t seed = 1;
    std::uint64_t first = 0;  // the number of the first task
    std::string type = "noop";
    std::string zone;  // the value that the worker label `zone` must have; empty = any worker
};
struct SubmitOutcome {
    double took_s = 0;  // first call to last answer
    std::uint64_t accepted = 0;
    std::uint64_t retried = 0;  // calls that the server put off (RESOURCE_EXHAUSTED)
};

// Fails on the first refusal that waiting does not cure.
Result<SubmitOutcome> submit_all(const Target& target, const SubmitPlan& plan, Ledger& ledger);

}  // namespace nexus::bench
