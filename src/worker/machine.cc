#include "worker/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace nexus::worker {
namespace {

// The lowest limit of the own control group (version 2) and those above it; 0 = none. A file is "max" or a number, or
// two: the quota and the period it is for.
std::int64_t group_limit(const std::string& file, std::int64_t unit) {
    std::ifstream groups("/proc/self/cgroup");
    std::string path;
    for (std::string line; std::getline(groups, line);)
        if (line.starts_with("0::/")) path = line.substr(3);
    std::int64_t least = 0;
    for (; !path.empty(); path.resize(path.rfind('/'))) {
        std::ifstream limit("/sys/fs/cgroup" + path + (path.ends_with('/') ? "" : "/") + file);
        std::int64_t amount = 0, period = unit;
        if (!(limit >> amount)) continue;
        limit >> period;
        amount = amount * unit / std::max<std::int64_t>(period, 1);
        least = least == 0 ? amount : std::min(least, amount);
    }
    return least;
}

std::int64_t lower(std::int64_t have, std::int64_t limit) {
    return limit > 0 ? std::min(have, limit) : have;
}

}  // namespace

MachineOffer machine_offer() {
    cpu_set_t cpus;
    const std::int64_t cores = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 0;
    const std::int64_t memory = sysconf(_SC_PHYS_PAGES) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
    return {.cpu_milli = lower(cores * 1000, group_limit("cpu.max", 1000)),
            .memory_bytes = lower(memory, group_limit("memory.max", 1))};
}

}  // namespace nexus::worker
