#pragma once
// Task id -> where its bytes lie. One flat table with linear probing, no allocation per task: 28 bytes a slot, between
// 3/5 and 4/5 full while it grows, so 35 to 47 bytes a task. Not thread-safe.

#include <algorithm>
#include <cstdint>
#include <cstring>
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
    bool fits() const { return segment >> (64 - kOffsetBits) == 0 && offset >> kOffsetBits == 0; }

    static constexpr int kOffsetBits = 24;  // a trillion segments, each with bodies that begin below 16 MiB
};

class PlaceIndex {
public:
    std::size_t size() const { return size_; }

    std::optional<Place> find(TaskId task) const {
        const std::size_t at = slot_of(task);
        return at == kNowhere ? std::nullopt : std::optional(slots_[at].place());
    }
    // Brings what find() and take() read first into the cache.
    void prefetch(TaskId task) const {
        if (!slots_.empty()) __builtin_prefetch(&slots_[home(task)], 1);
    }

    // Replaces what was there; answers it. The place must fit.
    std::optional<Place> put(TaskId task, const Place& place) {
        MUST(task && place.fits());
        if (const std::size_t at = slot_of(task); at != kNowhere) {
            const Place old = slots_[at].place();
            slots_[at] = Slot(task, place);
            return old;
        }
        reserve(size_ + 1);
        insert(Slot(task, place));
        ++size_;
        return std::nullopt;
    }

    std::optional<Place> take(TaskId task) {
        std::size_t at = slot_of(task);
        if (at == kNowhere) return std::nullopt;
        const Place taken = slots_[at].place();
        // Close the gap: move back every follower whose home does not lie behind it.
        for (std::size_t follower = next(at); slots_[follower].taken(); follower = next(follower)) {
            if (distance(home(slots_[follower].task()), follower) < distance(at, follower)) continue;
            slots_[at] = slots_[follower];
            at = follower;
        }
        slots_[at] = {};
        --size_;
        return taken;
    }

    void reserve(std::size_t tasks) {
        if (tasks * 5 <= slots_.size() * 4) return;
        std::vector<Slot> old(std::max({std::size_t{64}, slots_.size() * 4 / 3, tasks * 4 / 3}));
        old.swap(slots_);
        for (const Slot& slot : old)
            if (slot.taken()) insert(slot);
    }

private:
    static constexpr std::size_t kNowhere = SIZE_MAX;
    static constexpr int kOffsetBits = Place::kOffsetBits;
    class Slot {  // in words of four bytes, so that there is no padding
    public:
        Slot() = default;
        Slot(TaskId task, const Place& place) {
            std::memcpy(words_, &task, sizeof task);
            const std::uint64_t where = place.segment << kOffsetBits | place.offset;
            std::memcpy(words_ + 4, &where, sizeof where);
            words_[6] = place.length;
        }
        TaskId task() const {
            TaskId task;
            std::memcpy(&task, words_, sizeof task);
            return task;
        }
        Place place() const {
            std::uint64_t where = 0;
            std::memcpy(&where, words_ + 4, sizeof where);
            return {.segment = where >> kOffsetBits,
                    .offset = static_cast<std::uint32_t>(where & ((1U << kOffsetBits) - 1)),
                    .length = words_[6]};
        }
        bool taken() const { return (words_[0] | words_[1] | words_[2] | words_[3]) != 0; }

    private:
        std::uint32_t words_[7] = {};  // task, segment and offset, length
    };
    std::size_t home(TaskId task) const {  // below 4 billion slots
        return static_cast<std::size_t>((static_cast<std::uint64_t>(IdHash{}(task)) >> 25) * slots_.size() >> 32);
    }
    std::size_t next(std::size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
    std::size_t distance(std::size_t from, std::size_t to) const {
        return to >= from ? to - from : to + slots_.size() - from;
    }
    std::size_t slot_of(TaskId task) const {
        if (slots_.empty() || !task) return kNowhere;
        for (std::size_t at = home(task);; at = next(at)) {
            if (slots_[at].task() == task) return at;
            if (!slots_[at].taken()) return kNowhere;
        }
    }
    void insert(const Slot& slot) {
        std::size_t at = home(slot.task());
        while (slots_[at].taken()) at = next(at);
        slots_[at] = slot;
    }

    std::vector<Slot> slots_;  // task zero = empty
    std::size_t size_ = 0;
};

}  // namespace nexus::store
