#pragma once
// The clairvoyant limit: shortest remaining work first with free preemption and free migration, the shortest on the
// fastest slot. No real scheduler can reach it; it says how much is left to gain. O(slots) per event.

#include "simulate/driver.h"
#include "simulate/world.h"

namespace nexus::simulate {

RunRecord run_srpt(const World& world, const DriverOptions& options = {});

}  // namespace nexus::simulate
