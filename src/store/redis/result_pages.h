#pragma once
// Where results lie in Redis: in pages, each a hash, that are dropped whole. A page is closed after an hour, or when it
// holds a sixteenth of all bytes allowed; so age is kept to the hour, and bytes to a sixteenth. Not thread-safe.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace nexus::store {

class ResultPages {
public:
    ResultPages(Duration age_max, std::uint64_t bytes_max) : age_max_(age_max), bytes_max_(bytes_max) {}

    // The table as stored: page and "last put in microseconds, bytes".
    void clear() { pages_.clear(); }
    void loaded(std::uint64_t page, std::string_view value);
    std::string value_of(std::uint64_t page) const;

    // The page that a result of so many bytes goes to.
    std::uint64_t place(std::uint64_t bytes, WallTime now);
    // Pages whose time is over or that exceed the bytes, the oldest first; the newest only for its age.
    std::vector<std::uint64_t> due(WallTime now) const;
    void dropped(std::uint64_t page) { pages_.erase(page); }

private:
    struct Page {
        WallTime last;
        std::uint64_t bytes = 0;
    };
    Duration age_max_;
    std::uint64_t bytes_max_;
    std::map<std::uint64_t, Page> pages_;
};

}  // namespace nexus::store
