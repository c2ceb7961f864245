#pragma once
// The clock of a worker's loop: real time in production, moved by hand in tests. Thread-safe.

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace nexus::sdk {

class Clock {
public:
    using Micros = std::chrono::microseconds;
    virtual ~Clock() = default;

    // Monotonic, since any fixed origin.
    virtual Micros now() = 0;
    // Waits on `changed` until it is notified or now() >= `until`; may wake early for no reason.
    virtual void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Micros until) = 0;
};

class SteadyClock final : public Clock {
public:
    Micros now() override {
        return std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now().time_since_epoch());
    }
    void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Micros until) override {
        if (until == Micros::max()) return changed.wait(lock);
        changed.wait_until(lock, std::chrono::steady_clock::time_point(until));
    }
};

}  // namespace nexus::sdk
