#pragma once
// The tasks of a world, without arrival times: synthetic mixes, and real traces.
//
// Synthetic workloads have 20 types whose median work is spread evenly in ln over 0.1 .. 30 s, the short ones popular
// (Zipf, exponent 1). They differ in what hides inside a type:
//   mix    residual sigma .1 to .5, payload slope 0, .5 or 1; one type in five is bimodal 1:8, one in five bounded Pareto
//   ln     lognormal, sigma .15: nearly all of a task is known from its type
//   ppar   heavy-tailed, but by its payload (slope 1), residual sigma .2
//   par    heavy-tailed without a visible reason: bounded Pareto, shape 1.5, 1:300
//   bim    one run in ten is eight times as long, without a visible reason
// Two more were made to judge by, and nothing was tuned on them: arrays of like tasks (arrays), and builds with a cache
// whose times drift (drift).

#include <cstdint>
#include <string>

#include "base/result.h"
#include "simulate/world.h"

namespace nexus::simulate {

// Arrival times are left at zero; order is the order of arrival. Unknown names: invalid, listing the known.
Result<Workload> draw_workload(const std::string& name, std::uint32_t tasks, std::uint64_t seed);

// Durations, types, users, payloads and user estimates in trace order. Arrivals are those of the trace.
Result<Workload> read_workload(const std::string& path, std::uint32_t limit, evaluate::TraceFormat format);

}  // namespace nexus::simulate
