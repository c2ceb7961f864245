#pragma once
// Messages between processes: delayed, lost, cut. A Stream keeps the order of each direction, as TCP does; it can be
// reset (both ends hear of it) or half-open (nothing arrives any more and nobody is told).

#include <cstdint>
#include <memory>
#include <utility>

#include "base/rng.h"
#include "faults/plan.h"
#include "faults/timeline.h"

namespace nexus::faults {

class Net {
public:
    Net(const Plan& plan, Timeline& timeline) : plan_(plan), timeline_(timeline), rng_(plan.seed ^ 0x2E7) {}

    Duration delay() {
        Duration d{rng_.between(plan_.delay_min.us, plan_.delay_max.us)};
        if (chance(plan_.delay_tail_one_in)) d.us *= 100;
        return d;
    }
    bool chance(std::uint64_t one_in) { return !healed_ && one_in != 0 && rng_.one_in(one_in); }
    void heal() { healed_ = true; }
    Timeline& timeline() { return timeline_; }

private:
    const Plan& plan_;
    Timeline& timeline_;
    Rng rng_;
    bool healed_ = false;
};

// One direction of a stream. Owned by the two ends; the last message under way is the last owner.
class Lane : public std::enable_shared_from_this<Lane> {
public:
    explicit Lane(Net& net) : net_(net) {}
    void send(Timeline::Step arrive) {
        last_ = std::max(last_, net_.timeline().now() + net_.delay());
        net_.timeline().at(last_, [self = shared_from_this(), arrive = std::move(arrive)]() mutable {
            if (self->open_) arrive();
        });
    }
    // What is sent and under way arrives no earlier than after `length`.
    void stall(Duration length) { last_ = std::max(last_, net_.timeline().now() + length); }
    // Nothing arrives any more.
    void close() { open_ = false; }
    bool open() const { return open_; }

private:
    Net& net_;
    Instant last_;
    bool open_ = true;
};

}  // namespace nexus::faults
