#include "main/disk_watch.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

using namespace nexus;
using namespace nexus::serve;

TEST_CASE("a disk is told to be full when the growth of the last hour has used it up") {
    constexpr WallTime kStart{1'800'000'000'000'000};
    DiskTrend trend;
    CHECK_EQ(trend.add(kStart, 1000, 50'000).full, WallTime{});
    // Too early to tell.
    CHECK_EQ(trend.add(kStart + minutes(4), 2000, 49'000).full, WallTime{});
    const api::Disk disk = trend.add(kStart + minutes(10), 3000, 48'000);  // 2000 in ten minutes
    CHECK_EQ(disk.store_bytes, 3000);
    CHECK_EQ(disk.full, kStart + minutes(10) + minutes(240));
    // What shrinks is never full.
    CHECK_EQ(trend.add(kStart + minutes(20), 500, 50'000).full, WallTime{});
}

TEST_CASE("what the stores take is the sum of their files") {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / "nexus_disk_watch_test";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "journal.db") << std::string(1234, 'x');
    std::ofstream(folder / "history.db") << std::string(66, 'x');
    DiskWatch watch(folder.string());
    CHECK_EQ(watch.look().store_bytes, 1300);
    CHECK(watch.look().free_bytes > 0);
    std::filesystem::remove_all(folder);
    CHECK_EQ(DiskWatch("/nowhere/at/all").look().free_bytes, 0);
}
