#pragma once
// A clock that stands still until the test moves it.

#include <atomic>

#include "clock.h"

namespace nexus::sdk::test {

class ManualClock final : public Clock {
public:
    Micros now() override { return Micros(now_.load()); }

    void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Micros until) override {
        {
            const std::lock_guard guard(mutex_);
            waiter_lock_ = lock.mutex();
            waiter_ = &changed;
        }
        if (now() < until) changed.wait(lock);
    }

    void advance(Micros span) {
        now_ += span.count();
        std::unique_lock guard(mutex_);
        std::mutex* const waiter_lock = waiter_lock_;
        std::condition_variable* const waiter = waiter_;
        guard.unlock();
        if (waiter == nullptr) return;
        // Whoever looked at the clock before it moved holds this until it waits.
        {
            const std::lock_guard until_it_waits(*waiter_lock);
        }
        waiter->notify_all();
    }

private:
    std::atomic<std::int64_t> now_{0};
    std::mutex mutex_;  // guards what follows
    std::mutex* waiter_lock_ = nullptr;
    std::condition_variable* waiter_ = nullptr;
};

}  // namespace nexus::sdk::test
