#pragma once
// Whether this process may still act for its journal. While it is not sure, heartbeats are not acknowledged, reads are
// not answered and calls are refused: another owner may have told the world something else (docs/decisions.md).
//
// Asked by any thread, transports too; costs a look at the clock.

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/system_clock.h"
#include "base/units.h"

namespace nexus::engine {

class Sure {
public:
    // `steady_ns`: a monotonic clock; null = the system's.
    explicit Sure(std::int64_t (*steady_ns)() = nullptr) : steady_ns_(steady_ns) {}
    bool holds() const {
        const std::int64_t until = until_us_;
        return until == kNever.us || now().us < until;
    }
    Instant until() const { return {until_us_}; }
    Instant now() const {
        if (steady_ns_ != nullptr) return {steady_ns_() / 1000};
        return {system_steady_us()};
    }
    // kNever: for good.
    void set(Instant until) { until_us_ = until.us; }

private:
    std::int64_t (*steady_ns_)();
    std::atomic<std::int64_t> until_us_ = kNever.us;
};

}  // namespace nexus::engine
