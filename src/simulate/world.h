#pragma once
// A simulated world: the tasks that arrive and the workers that run them, troubles included. It is drawn once from a
// seed and then shared by every policy that is compared (common random numbers). Nothing here knows the scheduler.
//
//   work      what a task takes on a worker of average speed
//   run       work x the worker's multiplier x hardware affinity x trouble of the worker x straggling of this attempt

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/task.h"
#include "evaluate/trace.h"

namespace nexus::simulate {

struct SimTask {
    Instant arrival;
    Duration work;             // > 0
    std::uint32_t type = 0;    // index into Workload::types
    std::uint32_t user = 0;    // index into Workload::users: seen by predictors, not by fair sharing
    std::uint16_t tenant = 0;  // index into Workload::tenants
    std::uint8_t priority = core::kPriorityDefault;
    std::uint8_t zone = 0;  // 0 = runs anywhere; z = only on workers labelled zone=z
    std::uint64_t payload_bytes = 0;
    Duration hint;               // 0 = none
    std::int32_t cpu_milli = 0;  // asked for when resources are simulated
};

struct Workload {
    std::string name;
    std::vector<std::string> types, users, tenants;
    std::vector<SimTask> tasks;  // sorted by arrival
    Duration mean_work;
    Instant last_arrival() const { return tasks.empty() ? Instant{} : tasks.back().arrival; }
};

// The value of the label hw of such workers.
inline std::string hardware_name(std::uint32_t hardware) {
    return "hw" + std::to_string(hardware + 1);
}

struct SimWorker {
    std::string name;
    std::uint32_t slots = 1;
    double multiplier = 1;  // run times here are work x this
    std::uint32_t hardware = 0;
    std::uint8_t zone = 0;
    bool healthy = true;  // false: slow by accident, or troubled at some time
};

enum class TroubleKind : std::uint8_t {
    slow,   // attempts that start within the window take `factor` times as long
    fails,  // attempts that start within the window fail after a tenth of their run
    down,   // the worker is gone: its attempts are lost, its session ends; it joins again at the end
};
struct Trouble {
    TroubleKind kind = TroubleKind::slow;
    std::uint32_t worker = 0;
    Instant from, to;
    double factor = 1;
};

struct Cluster {
    std::vector<SimWorker> workers;
    std::vector<Trouble> troubles;  // sorted by worker, then from
    double straggler_share = 0;     // of attempts
    double straggler_low = 3, straggler_high = 8;
    std::vector<std::vector<double>> affinity;  // [type][hardware], empty = all 1
    std::int32_t cpu_milli_per_slot = 0;        // 0 = resources are not simulated

    std::uint32_t slots() const;
    // Work done per second when every slot is busy and nothing is wrong.
    double capacity() const;
};

struct World {
    Workload workload;
    Cluster cluster;
    std::uint64_t seed = 1;
    double load = 0;

    // The run time of attempt `number` (1, 2, ...) of a task started on a worker at `start`. Depends on nothing else.
    Duration run_time(std::uint32_t task, std::uint32_t worker, std::uint32_t number, Instant start) const;
    // The expected multiplier of a worker at a time: what an oracle knows.
    double speed_of(std::uint32_t worker, Instant at) const;
    double affinity_of(std::uint32_t type, std::uint32_t worker) const;
    // The load of the worker that has most of it when every worker gets an equal number of the tasks, as under
    // round-robin: its queue grows for ever at 1 or more. Troubles count at their worst, hardware and zones not at all.
    double equal_split_load() const;
    // The trouble of that kind a worker is in, if any.
    const Trouble* trouble_of(std::uint32_t worker, TroubleKind kind, Instant at) const;
};

enum class Arrivals : std::uint8_t { poisson, bursts, trace };

// What to draw. The defaults are one cell of the grid.
struct WorldSpec {
    std::string workload = "mix";  // mix, ln, ppar, par, bim, arrays, drift; ignored when trace is set
    std::string trace;             // path
    evaluate::TraceFormat format = evaluate::TraceFormat::csv;
    std::uint32_t tasks = 20'000;  // of a trace: its first so many; 0 = all
    std::uint32_t workers = 20;
    std::uint32_t slots = 1;
    double speed_sigma = 0.3;  // of ln(multiplier); cluster H: 0
    char cluster = 'A';        // A heterogeneous, B with troubles, H homogeneous
    double load = 0.8;         // sum of work / capacity over the arrivals' span
    Arrivals arrivals = Arrivals::poisson;
    std::vector<std::pair<double, double>> load_profile;  // (seconds it lasts, load); after the last: `load`
    std::uint64_t seed = 1;

    double crash_rate = 0;        // crashes per worker and 1000 mean tasks' time
    double straggler_share = -1;  // < 0: as the cluster says
    bool degrade = false;         // one worker 5x slower from 45 to 85 % of the run; cluster B always
    bool failing = false;         // one worker fails everything from 40 to 60 % of the run
    std::uint32_t hardware_classes = 0;
    double affinity_sigma = 0;  // of ln(type x hardware factor)
    std::uint32_t zones = 0;    // half of the tasks ask for one of so many zones
    bool resources = false;     // tasks ask for 250 .. 2000 milli-cpu; a slot offers 1000
    std::uint32_t tenants = 1;  // > 1: the first one bursts to 2x its rate from 50 to 60 % of the run
    bool priorities = false;    // tasks spread over priorities 3, 5, 7
};

// Draws the world, or says which part of the spec cannot be.
Result<World> make_world(const WorldSpec& spec);

std::vector<std::string_view> workload_names();

}  // namespace nexus::simulate
