#pragma once
// Open-addressing map from a hash to an index; the keys live with the caller, who compares them. Linear probing,
// backward-shift deletion, 8 bytes a slot, between 1/2 and 3/4 full while it grows: 11 to 16 bytes an index. Look-up only:
// it has no order. Not thread-safe.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nexus::core {

inline constexpr std::uint32_t kNone = UINT32_MAX;

class IndexTable {
public:
    IndexTable() : slots_(16) {}
    std::size_t size() const { return size_; }

    // The index stored under `hash` for which equal(index) holds, or kNone.
    template <class Equal>
    std::uint32_t find(std::uint64_t hash, Equal equal) const {
        const std::uint32_t tag = tag_of(hash);
        for (std::size_t at = home(tag);; at = next(at)) {
            const Slot& slot = slots_[at];
            if (slot.index_plus_one == 0) return kNone;
            if (slot.tag == tag && equal(slot.index_plus_one - 1)) return slot.index_plus_one - 1;
        }
    }
    // Brings what find() reads first into the cache.
    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[home(tag_of(hash))], 1); }
    // Makes room for `count` entries in all, so that insert() need not grow until then.
    void reserve(std::size_t count) {
        if (count * 4 > slots_.size() * 3) grow(std::max(count * 4 / 3 + 1, slots_.size() * 3 / 2));
    }
    // `index` must not be present under `hash` yet.
    void insert(std::uint64_t hash, std::uint32_t index) {
        reserve(size_ + 1);
        place({.tag = tag_of(hash), .index_plus_one = index + 1});
        ++size_;
    }
    // Removes exactly this index under this hash; does nothing when absent.
    void erase(std::uint64_t hash, std::uint32_t index) {
        const std::uint32_t tag = tag_of(hash);
        std::size_t at = home(tag);
        while (slots_[at].index_plus_one != index + 1) {
            if (slots_[at].index_plus_one == 0) return;
            at = next(at);
        }
        std::size_t hole = at;
        for (std::size_t after = next(hole); slots_[after].index_plus_one != 0; after = next(after)) {
            if (distance(home(slots_[after].tag), after) >= distance(hole, after)) {
                slots_[hole] = slots_[after];
                hole = after;
            }
        }
        slots_[hole] = {};
        --size_;
    }

private:
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t index_plus_one = 0;  // 0 = empty
    };
    static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash ^ (hash >> 32)); }
    std::size_t home(std::uint32_t tag) const {
        return static_cast<std::size_t>(std::uint64_t{tag} * slots_.size() >> 32);
    }
    std::size_t next(std::size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
    std::size_t distance(std::size_t from, std::size_t to) const {
        return to >= from ? to - from : to + slots_.size() - from;
    }
    void place(Slot slot) {
        std::size_t at = home(slot.tag);
        while (slots_[at].index_plus_one != 0) at = next(at);
        slots_[at] = slot;
    }
    void grow(std::size_t slots) {
        std::vector<Slot> old(slots);
        old.swap(slots_);
        if (size_ == 0) return;
        for (const Slot& slot : old)
            if (slot.index_plus_one != 0) place(slot);
    }
    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

}  // namespace nexus::core
