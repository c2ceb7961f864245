#pragma once
// A 4-ary min-heap over plain values with operator<. Entries are removed lazily: whoever owns them knows which are
// stale, drops stale tops, and asks for compaction when they are too many. Not thread-safe.

#include <cstddef>
#include <utility>
#include <vector>

namespace nexus::core {

template <class Entry>
class Heap {
public:
    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    const Entry& top() const { return entries_.front(); }
    const std::vector<Entry>& entries() const { return entries_; }
    std::vector<Entry>& raw() { return entries_; }  // for snapshots: the layout is kept as it is

    void push(const Entry& entry) {
        entries_.push_back(entry);
        rise(entries_.size() - 1);
    }
    void pop() {
        const Entry last = entries_.back();
        entries_.pop_back();
        if (entries_.empty()) return;
        entries_.front() = last;
        sink(0);
    }
    void clear() { entries_.clear(); }
    // Keeps the entries for which keep(entry) holds. O(size).
    template <class Keep>
    void compact(Keep keep) {
        std::size_t kept = 0;
        for (const Entry& entry : entries_)
            if (keep(entry)) entries_[kept++] = entry;
        entries_.resize(kept);
        for (std::size_t i = kept / 4 + 1; i-- > 0;)
            if (i < kept) sink(i);
    }

private:
    void rise(std::size_t at) {
        const Entry entry = entries_[at];
        while (at > 0) {
            const std::size_t parent = (at - 1) / 4;
            if (!(entry < entries_[parent])) break;
            entries_[at] = entries_[parent];
            at = parent;
        }
        entries_[at] = entry;
    }
    void sink(std::size_t at) {
        const Entry entry = entries_[at];
        const std::size_t size = entries_.size();
        for (;;) {
            const std::size_t first = at * 4 + 1;
            if (first >= size) break;
            std::size_t best = first;
            const std::size_t last = first + 4 < size ? first + 4 : size;
            for (std::size_t child = first + 1; child < last; ++child)
                if (entries_[child] < entries_[best]) best = child;
            if (!(entries_[best] < entry)) break;
            entries_[at] = entries_[best];
            at = best;
        }
        entries_[at] = entry;
    }
    std::vector<Entry> entries_;
};

}  // namespace nexus::core
