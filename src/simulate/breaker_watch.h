#pragma once
// Follows the breakers of one run: how long each was open, and how fast it opened on trouble and closed after it.

#include <cstdint>
#include <vector>

#include "simulate/record.h"
#include "simulate/world.h"

namespace nexus::simulate {

class BreakerWatch {
public:
    // Both outlive it; the record's window is known.
    BreakerWatch(const World& world, RunRecord& record);

    // An attempt that began in a worker's trouble ended.
    void tried(std::uint32_t worker) { ++tried_[worker]; }
    // `state` as in core::WorkerView.
    void see(std::uint32_t worker, std::uint8_t state, Instant now);
    // The run is over.
    void close();

private:
    void was_open(std::uint32_t worker, Instant until);

    const World& world_;
    RunRecord& record_;
    std::vector<std::int64_t> tried_;  // by worker: attempts that ended in trouble
    std::vector<std::uint8_t> state_;  // by worker: as last seen
    std::vector<Instant> open_since_;
};

}  // namespace nexus::simulate
