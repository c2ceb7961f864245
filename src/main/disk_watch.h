#pragma once
// How much room the stores of this server take, what is left on their disk, and when that is used up if it goes on as in
// the last hour. Looks at most every ten seconds, whoever asks. Thread-safe.

#include <deque>
#include <mutex>
#include <string>

#include "api/methods.h"
#include "base/units.h"

namespace nexus::serve {

// What is seen at a moment -> what it means. Pure, so that it can be tried without a disk.
class DiskTrend {
public:
    static constexpr Duration kSpan = hours(1), kLeast = minutes(5);
    api::Disk add(WallTime now, std::int64_t store_bytes, std::int64_t free_bytes);

private:
    std::deque<std::pair<WallTime, std::int64_t>> seen_;  // what the stores took, oldest first
};

class DiskWatch {
public:
    explicit DiskWatch(std::string folder) : folder_(std::move(folder)) {}
    api::Disk look();

private:
    const std::string folder_;
    std::mutex mutex_;  // guards all below
    DiskTrend trend_;
    api::Disk last_;
    WallTime looked_;
};

}  // namespace nexus::serve
