#include "main/disk_watch.h"

#include <sys/statvfs.h>

#include <chrono>
#include <filesystem>
#include <system_error>

#include "base/system_clock.h"

namespace nexus::serve {
namespace {

constexpr Duration kLook = seconds(10), kSample = minutes(1);

// Of the files in it; those that go away meanwhile do not count.
std::int64_t bytes_in(const std::string& folder) {
    std::int64_t bytes = 0;
    std::error_code failed;
    std::filesystem::directory_iterator file(folder, failed);
    for (const std::filesystem::directory_iterator end; !failed && file != end; file.increment(failed)) {
        std::error_code gone;
        if (!file->is_regular_file(gone)) continue;
        const std::uintmax_t size = file->file_size(gone);
        if (!gone) bytes += static_cast<std::int64_t>(size);
    }
    return bytes;
}

}  // namespace

api::Disk DiskTrend::add(WallTime now, std::int64_t store_bytes, std::int64_t free_bytes) {
    if (!seen_.empty() && now < seen_.back().first) seen_.clear();  // the clock was set back
    if (seen_.empty() || now - seen_.back().first >= kSample) seen_.emplace_back(now, store_bytes);
    while (now - seen_.front().first > kSpan) seen_.pop_front();
    api::Disk disk{.store_bytes = store_bytes, .free_bytes = free_bytes, .full = {}};
    const Duration passed = now - seen_.front().first;
    const std::int64_t grown = store_bytes - seen_.front().second;
    if (passed < kLeast || grown <= 0) return disk;
    const double left_us =
        static_cast<double>(free_bytes) / static_cast<double>(grown) * static_cast<double>(passed.us);
    if (left_us < static_cast<double>(hours(24 * 3650).us))
        disk.full = now + Duration{static_cast<std::int64_t>(left_us)};
    return disk;
}

api::Disk DiskWatch::look() {
    const WallTime now = system_wall();
    const std::lock_guard lock(mutex_);
    if (looked_.us != 0 && now >= looked_ && now - looked_ < kLook) return last_;
    looked_ = now;
    struct statvfs disk{};
    const bool known = statvfs(folder_.c_str(), &disk) == 0;
    const auto free = known ? static_cast<std::int64_t>(disk.f_bavail * disk.f_frsize) : 0;
    last_ = trend_.add(now, bytes_in(folder_), free);
    return last_;
}

}  // namespace nexus::serve
