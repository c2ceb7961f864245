#pragma once
// Simulated time: what happens next, in order of time and, at one time, in the order it was planned. One thread; the
// same plans give the same order on every build.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/must.h"
#include "base/units.h"

namespace nexus::faults {

class Timeline {
public:
    using Step = std::move_only_function<void()>;

    Instant now() const { return now_; }

    void at(Instant when, Step step) {
        heap_.push_back({.when = std::max(when, now_), .order = ++order_, .step = std::move(step)});
        std::push_heap(heap_.begin(), heap_.end(), later);
    }
    void after(Duration delay, Step step) { at(now_ + delay, std::move(step)); }

    // Takes the next step, unless it lies after `until`: then time stands at `until`.
    bool advance(Instant until) {
        if (heap_.empty() || heap_.front().when > until) {
            now_ = std::max(now_, until);
            return false;
        }
        std::pop_heap(heap_.begin(), heap_.end(), later);
        Planned next = std::move(heap_.back());
        heap_.pop_back();
        MUST(next.when >= now_);
        now_ = next.when;
        ++steps_;
        next.step();
        return true;
    }
    std::uint64_t steps() const { return steps_; }

private:
    struct Planned {
        Instant when;
        std::uint64_t order = 0;
        Step step;
    };
    static bool later(const Planned& a, const Planned& b) {
        return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
    std::vector<Planned> heap_;
    Instant now_;
    std::uint64_t order_ = 0;
    std::uint64_t steps_ = 0;
};

}  // namespace nexus::faults
