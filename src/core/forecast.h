#pragma once
// When slots come free, and so when a waiting task starts (docs/scheduling.md, "ETA"): a few sampled worlds, in each of
// which every run has one end, drawn from what its estimate says of it. Integers only; the same state tells the same.

#include <array>
#include <cstdint>
#include <vector>

#include "base/units.h"

namespace nexus::core {

inline constexpr std::size_t kWorlds = 3;

// What an estimate says of a run, microseconds: half of it even from p50 - (p90 - p50) to p50, 40 % even from there to
// p90, the rest an exponential tail with the mean that makes the whole have the estimate's mean.
struct Law {
    std::int64_t low = 0, p50 = 0, p90 = 0, mean = 0;
    std::int64_t tail = 1;

    Law(Duration median, Duration ninth, Duration average);
    // What such a run is expected to have left after it ran so long, microseconds, at least 1.
    std::int64_t mean_left(std::int64_t ran) const;
    // What such a run has left after it ran so long, microseconds, at least 1: the value that a share `u` (of 2^32) of
    // the runs that got so far exceed. Of a run beyond its p90 the tail grows with its age.
    std::int64_t left(std::int64_t ran, std::uint32_t u) const;
};

// The draws of a world: low-discrepancy, so that three worlds lie apart and neighbours differ.
std::uint32_t draw_of_run(std::size_t world, std::uint32_t ticket);
std::uint32_t draw_of_waiting(std::size_t world, std::size_t place);

// When the tasks that wait for some set of workers start, one after the other, in each world.
struct Forecast {
    std::uint64_t pool = 0;  // fingerprint of the set; 0 = all that are connected
    Instant made;
    std::uint64_t events = 0, decisions = 0;  // submissions and ends, starts of attempts: so many had been
    std::int64_t share_q16 = 65'536;          // of what waits in all, that competes for these workers
    std::int64_t step_us = 1;                 // between two starts, where it does not tell
    struct Place {
        std::int64_t key = 0;
        std::uint32_t ticket = 0;
        bool operator<(const Place& other) const { return key != other.key ? key < other.key : ticket < other.ticket; }
        bool operator==(const Place&) const = default;
    };
    std::vector<Place> list;  // of the tasks that were followed, in their order
    std::array<std::vector<std::int64_t>, kWorlds> starts;

    struct Turn {
        Instant p10, p50, p90;
    };
    bool empty() const { return starts[0].empty(); }
    // Of the task with so many before it; nothing earlier than `at`. Not of an empty one.
    Turn turn(std::int64_t before, Instant at) const;
};

}  // namespace nexus::core
