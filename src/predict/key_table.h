#pragma once
// A bounded table from 64-bit keys to state, for things that outsiders may name without limit (types, tenants,
// workers).
//
// Full means full: a new key takes the place of one that was not used since the clock hand last passed it; when the
// hand finds none, the newcomer is refused this time and its data belongs into the owner's common bucket. Frequent keys
// stay, whatever flood of one-time keys passes by. Look-ups cost one probe; everything is O(1). Entries keep their
// order of arrival, so saving needs no sorting and equal histories give equal bytes. Not thread-safe.

#include <cstdint>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/must.h"

namespace nexus::predict {

template <class Value>
class KeyTable {
public:
    struct Entry {
        std::uint64_t key = 0;
        bool used = false;  // since the hand last passed
        Value value;
    };

    explicit KeyTable(std::size_t entries_max) : entries_max_(entries_max) { MUST(entries_max > 0); }

    Value* find(std::uint64_t key) {
        const std::size_t at = slot_of(key);
        if (index_.empty() || index_[at] == 0) return nullptr;
        Entry& entry = entries_[index_[at] - 1];
        entry.used = true;
        return &entry.value;
    }
    // Does not count as use.
    const Value* peek(std::uint64_t key) const {
        const std::size_t at = slot_of(key);
        return index_.empty() || index_[at] == 0 ? nullptr : &entries_[index_[at] - 1].value;
    }

    // The state of `key`, made fresh when it is new; null when the table is full of busier keys. Making it moves or
    // replaces other entries: what earlier calls returned is not to be used any more.
    Value* find_or_admit(std::uint64_t key) {
        if (Value* known = find(key)) return known;
        if (entries_.size() < entries_max_) {
            entries_.push_back({.key = key, .used = true, .value = Value()});
            link(entries_.size() - 1);
            return &entries_.back().value;
        }
        Entry& candidate = entries_[hand_];
        const std::size_t at = hand_;
        hand_ = (hand_ + 1) % entries_.size();
        if (std::exchange(candidate.used, false)) return nullptr;
        unlink(candidate.key);
        candidate = {.key = key, .used = true, .value = Value()};
        link(at);
        return &candidate.value;
    }

    std::vector<Entry>& entries() { return entries_; }
    const std::vector<Entry>& entries() const { return entries_; }
    std::size_t size() const { return entries_.size(); }

    // Value needs save(Writer&) const and load(Reader&); a bad byte sets the reader's failed().
    void save(Writer& out) const {
        out.varint(entries_.size());
        out.varint(hand_);
        for (const Entry& entry : entries_) {
            out.u64(entry.key);
            out.u8(entry.used ? 1 : 0);
            entry.value.save(out);
        }
    }
    void load(Reader& in) {
        entries_.clear();
        index_.clear();
        const std::uint64_t count = in.count(10);
        hand_ = in.varint();
        if (count > entries_max_ || hand_ >= (count == 0 ? 1 : count)) in.set_failed();
        for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
            Entry entry;
            entry.key = in.u64();
            entry.used = in.u8() != 0;
            entry.value.load(in);
            if (peek(entry.key) != nullptr) in.set_failed();
            if (in.failed()) return;
            entries_.push_back(std::move(entry));
            link(entries_.size() - 1);
        }
    }

private:
    std::size_t home_of(std::uint64_t key) const {
        return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 20) & (index_.size() - 1);
    }
    // Where `key` stands, or the empty slot where it would.
    std::size_t slot_of(std::uint64_t key) const {
        if (index_.empty()) return 0;
        std::size_t at = home_of(key);
        while (index_[at] != 0 && entries_[index_[at] - 1].key != key) at = (at + 1) & (index_.size() - 1);
        return at;
    }
    void link(std::size_t entry) {
        if (entries_.size() * 2 > index_.size()) {
            index_.assign(index_.empty() ? 16 : index_.size() * 2, 0);
            for (std::size_t i = 0; i < entries_.size(); ++i)
                index_[slot_of(entries_[i].key)] = static_cast<std::uint32_t>(i + 1);
            return;
        }
        index_[slot_of(entries_[entry].key)] = static_cast<std::uint32_t>(entry + 1);
    }
    // Linear probing without tombstones: later members of the run move up into the hole.
    void unlink(std::uint64_t key) {
        std::size_t hole = slot_of(key);
        MUST(index_[hole] != 0);
        std::size_t at = hole;
        while (true) {
            at = (at + 1) & (index_.size() - 1);
            if (index_[at] == 0) break;
            const std::size_t home = home_of(entries_[index_[at] - 1].key);
            const bool reachable = hole <= at ? home > hole && home <= at : home > hole || home <= at;
            if (reachable) continue;
            index_[hole] = index_[at];
            hole = at;
        }
        index_[hole] = 0;
    }

    std::size_t entries_max_;
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> index_;  // entry number + 1; 0 = empty
    std::size_t hand_ = 0;
};

}  // namespace nexus::predict
