#pragma once
// How busy this machine is, for the heartbeat. Reads /proc; where that is missing it answers 0. Not thread-safe.

#include <cstdint>

namespace nexus::sdk {

class LoadMeter {
public:
    // Share of all cores used since the last call, 0..1; 0 at the first.
    double cpu_usage();
    // Share of memory that is not available, 0..1.
    double memory_usage() const;

private:
    std::uint64_t busy_ = 0, total_ = 0;
};

}  // namespace nexus::sdk
