#pragma once
// What will happen in the simulated world, soonest first; what was planned first wins a tie, so that order never
// depends on memory. A 4-ary heap of 16-byte entries: four children share a cache line.

#include <cstdint>
#include <vector>

#include "base/must.h"
#include "base/units.h"

namespace nexus::simulate {

enum class Happening : std::uint8_t { run_ends, trouble_starts, trouble_ends, asked_again };

struct Planned {
    Instant at;
    std::uint64_t number;  // of the plan, from 1: unique, and how a cancelled plan is known
    Happening what;
    std::uint32_t index;  // of the running attempt, of the trouble, or of the task
};

class EventQueue {
public:
    static constexpr std::uint32_t kIndexMax = (1U << 24) - 1;

    // Returns the plan's number.
    std::uint64_t plan(Instant at, Happening what, std::uint32_t index) {
        MUST(index <= kIndexMax);
        const std::uint64_t number = ++plans_;
        heap_.push_back({at.us, number << 26 | static_cast<std::uint64_t>(what) << 24 | index});
        rise(heap_.size() - 1);
        return number;
    }
    bool empty() const { return heap_.empty(); }
    Instant next_at() const { return heap_.empty() ? kNever : Instant{heap_.front().at}; }

    Planned take() {
        MUST(!heap_.empty());
        const Entry top = heap_.front();
        const Entry last = heap_.back();
        heap_.pop_back();
        if (!heap_.empty()) sink(last);
        return {.at = {top.at},
                .number = top.tag >> 26,
                .what = static_cast<Happening>((top.tag >> 24) & 3),
                .index = static_cast<std::uint32_t>(top.tag & kIndexMax)};
    }

private:
    struct Entry {
        std::int64_t at;
        std::uint64_t tag;  // number, what, index from the top
        bool before(const Entry& other) const { return at != other.at ? at < other.at : tag < other.tag; }
    };
    void rise(std::size_t at) {
        const Entry entry = heap_[at];
        while (at > 0) {
            const std::size_t parent = (at - 1) / 4;
            if (!entry.before(heap_[parent])) break;
            heap_[at] = heap_[parent];
            at = parent;
        }
        heap_[at] = entry;
    }
    void sink(const Entry entry) {
        std::size_t at = 0;
        for (;;) {
            const std::size_t first = 4 * at + 1;
            if (first >= heap_.size()) break;
            const std::size_t end = first + 4 < heap_.size() ? first + 4 : heap_.size();
            std::size_t least = first;
            for (std::size_t child = first + 1; child < end; ++child)
                if (heap_[child].before(heap_[least])) least = child;
            if (!heap_[least].before(entry)) break;
            heap_[at] = heap_[least];
            at = least;
        }
        heap_[at] = entry;
    }

    std::vector<Entry> heap_;
    std::uint64_t plans_ = 0;
};

}  // namespace nexus::simulate
