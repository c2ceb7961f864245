#pragma once
// Open-addressing map from a hash to an index; the keys live with the caller, who compares them. Linear probing,
// backward-shift deletion, 8 bytes per slot. Look-up only: it has no order. Not thread-safe.

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
        for (std::size_t at = home(tag);; at = (at + 1) & mask()) {
            const Slot& slot = slots_[at];
            if (slot.index_plus_one == 0) return kNone;
            if (slot.tag == tag && equal(slot.index_plus_one - 1)) return slot.index_plus_one - 1;
        }
    }
    // Brings what find() reads first into the cache.
    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[home(tag_of(hash))], 1); }
    // Makes room for `count` entries in all, so that insert() need not grow until then.
    void reserve(std::size_t count) {
        while (count * 3 > slots_.size() * 2) grow();
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
            at = (at + 1) & mask();
        }
        std::size_t hole = at;
        for (std::size_t next = (hole + 1) & mask(); slots_[next].index_plus_one != 0; next = (next + 1) & mask()) {
            const std::size_t distance = (next - home(slots_[next].tag)) & mask();
            if (distance >= ((next - hole) & mask())) {
                slots_[hole] = slots_[next];
                hole = next;
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
    std::size_t mask() const { return slots_.size() - 1; }
    std::size_t home(std::uint32_t tag) const { return tag & mask(); }
    void place(Slot slot) {
        std::size_t at = home(slot.tag);
        while (slots_[at].index_plus_one != 0) at = (at + 1) & mask();
        slots_[at] = slot;
    }
    void grow() {
        std::vector<Slot> old(slots_.size() * 2);
        old.swap(slots_);
        if (size_ == 0) return;
        for (const Slot& slot : old)
            if (slot.index_plus_one != 0) place(slot);
    }
    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

}  // namespace nexus::core
