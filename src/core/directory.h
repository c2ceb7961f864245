#pragma once
// Named records with dense indices, counted references and a bounded memory of idle ones. A record whose last reference
// goes stays findable until `idle_max` others went idle after it, so that what was learned of a type or tenant survives
// quiet times, while names used once cannot pile up for ever. Not thread-safe.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/must.h"
#include "core/index_table.h"

namespace nexus::core {

// What a record must carry.
struct Named {
    std::string name;
    std::uint32_t references = 0;
    std::uint64_t idle_stamp = 0;  // 0 = in use
    bool vacant = false;           // a free index
};

template <class Record>
class Directory {
public:
    explicit Directory(std::size_t idle_max) : idle_max_(idle_max) {}

    std::uint32_t find(std::string_view name) const {
        return table_.find(hash_bytes(name), [&](std::uint32_t i) { return records_[i].name == name; });
    }
    // Finds or creates; `made` tells which. No reference is taken.
    std::uint32_t obtain(std::string_view name, bool& made) {
        const std::uint32_t found = find(name);
        made = found == kNone;
        if (!made) return found;
        std::uint32_t index = static_cast<std::uint32_t>(records_.size());
        if (free_.empty()) {
            records_.emplace_back();
        } else {
            index = free_.back();
            free_.pop_back();
            records_[index] = Record{};
        }
        records_[index].name = name;
        table_.insert(hash_bytes(name), index);
        go_idle(index);
        return index;
    }
    void retain(std::uint32_t index) {
        ++records_[index].references;
        records_[index].idle_stamp = 0;
    }
    void release(std::uint32_t index) {
        MUST(records_[index].references > 0);
        if (--records_[index].references == 0) go_idle(index);
    }
    Record& operator[](std::uint32_t index) { return records_[index]; }
    const Record& operator[](std::uint32_t index) const { return records_[index]; }
    std::vector<Record>& records() { return records_; }
    const std::vector<Record>& records() const { return records_; }

    template <class Archive>
    void archive(Archive& a) {
        a(records_, free_, idle_, stamp_);
        if constexpr (Archive::kReading) {
            table_ = IndexTable();
            table_.reserve(records_.size());
            for (std::uint32_t i = 0; i < records_.size(); ++i)
                if (!records_[i].vacant) table_.insert(hash_bytes(records_[i].name), i);
        }
    }

private:
    void go_idle(std::uint32_t index) {
        records_[index].idle_stamp = ++stamp_;
        idle_.push_back(index);
        while (idle_.size() > idle_max_ + 1) {
            const std::uint32_t oldest = idle_.front();
            const std::uint64_t stamp = stamp_ - idle_.size() + 1;
            idle_.pop_front();
            if (records_[oldest].idle_stamp != stamp) continue;
            table_.erase(hash_bytes(records_[oldest].name), oldest);
            records_[oldest] = Record{};
            records_[oldest].vacant = true;
            free_.push_back(oldest);
        }
    }
    std::vector<Record> records_;
    std::vector<std::uint32_t> free_;
    std::deque<std::uint32_t> idle_;  // went idle, the oldest first; in use again when its stamp is another
    std::uint64_t stamp_ = 0;         // of the newest of them; each before it has one less
    std::size_t idle_max_;
    IndexTable table_;
};

}  // namespace nexus::core
