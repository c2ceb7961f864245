#pragma once
// What many look at all the time (status, workers, counters), as one immutable value. The loop makes it when somebody
// asks and the last one is too old; everybody who asks until then shares it, without the loop.
//
// It may be as old as a hundred times what making it took, and a second at most: the readers of a large fleet cost the
// loop a hundredth of its time however many they are, and in a small one what was acknowledged is seen at once.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "engine/latency.h"
#include "engine/messages.h"
#include "predict/predictor.h"

namespace nexus::engine {

struct ReadModel {
    Instant made;       // on the engine's clock
    Duration good_for;  // others may be given it for so long
    StatusInfo status;
    std::vector<WorkerInfo> workers;                        // by name
    std::array<std::uint64_t, 8> finished{};                // since the start, by core::TaskState
    std::map<std::string, PromiseCount> promises_of_types;  // since the start, of the first 200 names
    std::shared_ptr<const std::vector<QueueInfo>> queues;
    std::uint64_t dead_lately = 0;  // tasks that died within the last hour, most of them of this type
    std::string dead_type;
    std::map<std::string, WallTime> drifted;    // types, within the last hour, and when
    double arrived_per_s = 0, ended_per_s = 0;  // tasks, of the last minutes
    std::uint64_t tasks_max = 0;                // live tasks that are taken
    predict::ModelFailures failures;
    // An event in the core, a group commit, submission to start, the end of an attempt to the next start in its slot.
    Latency decide, commit, wait, gap;
};

}  // namespace nexus::engine
