#pragma once
// Task id -> where its bytes lie. One flat table with linear probing: 32 bytes a slot, at most 3/4 full, no allocation
// per task. Not thread-safe.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/must.h"

namespace nexus::store {

struct Place {
    std::uint64_t segment = 0;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    bool operator==(const Place&) const = default;
};

class PlaceIndex {
public:
    std::size_t size() const { return size_; }

    const Place* find(TaskId task) const {
        if (slots_.empty()) return nullptr;
        for (std::size_t at = home(task);; at = next(at)) {
            if (slots_[at].task == task) return &slots_[at].place;
            if (!slots_[at].task) return nullptr;
        }
    }

    // Replaces what was there; answers it.
    std::optional<Place> put(TaskId task, const Place& place) {
        MUST(task);
        if ((size_ + 1) * 4 > slots_.size() * 3) grow();
        for (std::size_t at = home(task);; at = next(at)) {
            if (slots_[at].task == task) return std::exchange(slots_[at].place, place);
            if (slots_[at].task) continue;
            slots_[at] = {.task = task, .place = place};
            ++size_;
            return std::nullopt;
        }
    }

    std::optional<Place> take(TaskId task) {
        if (slots_.empty() || !task) return std::nullopt;
        std::size_t at = home(task);
        for (; slots_[at].task != task; at = next(at))
            if (!slots_[at].task) return std::nullopt;
        const Place taken = slots_[at].place;
        // Close the gap: move back every follower whose home does not lie behind it.
        for (std::size_t follower = next(at); slots_[follower].task; follower = next(follower)) {
            const std::size_t distance_home = (follower - home(slots_[follower].task)) & mask();
            const std::size_t distance_gap = (follower - at) & mask();
            if (distance_home < distance_gap) continue;
            slots_[at] = slots_[follower];
            at = follower;
        }
        slots_[at] = {};
        --size_;
        return taken;
    }

    void reserve(std::size_t tasks) {
        while (tasks * 4 > slots_.size() * 3) grow();
    }

private:
    struct Slot {
        TaskId task;
        Place place;
    };
    std::size_t mask() const { return slots_.size() - 1; }
    std::size_t home(TaskId task) const { return IdHash{}(task)&mask(); }
    std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
    void grow() {
        std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
        old.swap(slots_);
        size_ = 0;
        for (const Slot& slot : old)
            if (slot.task) put(slot.task, slot.place);
    }

    std::vector<Slot> slots_;  // a power of two of them; task zero = empty
    std::size_t size_ = 0;
};

}  // namespace nexus::store
