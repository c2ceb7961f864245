#pragma once
// What this machine has for the programs of a worker: cores and memory, as far as this process may use them.

#include <cstdint>
#include <string>

namespace nexus::worker {

struct MachineOffer {
    std::int64_t cpu_milli = 0;  // 0 = not known
    std::int64_t memory_bytes = 0;
};
MachineOffer machine_offer();

}  // namespace nexus::worker
