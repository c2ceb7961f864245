#pragma once
// Runs one contender through one world: the production core and the production learning loop on simulated time. What
// the engine does around the core is done here the same way: estimate and submit, carry out commands, learn from ended
// attempts, look around every learn::kBeat. Deterministic: one world and one contender give one record, digest
// included, timings excepted.

#include "base/result.h"
#include "simulate/contender.h"
#include "simulate/record.h"
#include "simulate/world.h"

namespace nexus::simulate {

struct DriverOptions {
    double warm_up = 0.2;    // share of the tasks that is not measured
    bool idempotent = true;  // tasks may be run twice at once
    bool eta = true;         // ask for the ETA at submission
    // Of the same world and contender: each task that waited there is asked for its ETA again after half of its wait.
    const RunRecord* ask_again = nullptr;
    bool check = false;  // check the core's invariants after every event: slow
};

Result<RunRecord> run(const World& world, const Contender& contender, const DriverOptions& options = {});

}  // namespace nexus::simulate
