#pragma once
// A disk that can lose power: a SQLite VFS over the system's one that keeps every write aside until it is synced. A
// power cut throws away what was not synced, or lets some of it through (any sectors, in any order, the last one torn),
// as a real disk with a volatile cache may. It can also fill up, and fail a sync.
//
// Only SQLite's files pass through it. One thread at a time decides about power; SQLite's connections may be used by
// any.

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/rng.h"

namespace nexus::test {

class PowerDisk {
public:
    // Registers a VFS of this name for the life of the object.
    explicit PowerDisk(std::string name);
    ~PowerDisk();
    PowerDisk(const PowerDisk&) = delete;
    PowerDisk& operator=(const PowerDisk&) = delete;

    const std::string& name() const { return name_; }

    // The power fails now: writes that were not synced are lost, kept or torn as the seed says. All connections must be
    // closed afterwards, without their last writes reaching the disk; power_on() before the next ones are opened.
    void cut(std::uint64_t seed);
    void power_on();
    // The power will fail during the n-th write or sync from now on (1 = the next), as cut(seed) does. 0 = never.
    void cut_at_operation(std::uint64_t n, std::uint64_t seed);
    bool off();
    std::uint64_t operations();  // writes and syncs so far

    // Bytes that the files may have together with the reserve file at `reserve_path` (real); 0 = no limit.
    void set_capacity(std::uint64_t bytes, std::string reserve_path);
    void fail_syncs(bool fail);

    struct File;  // one path, shared by all connections
    std::shared_ptr<File> file(const std::string& path);
    void forget(const std::string& path);
    bool exists(const std::string& path);

    enum class Outcome : std::uint8_t { done, full, io_error };
    Outcome write(File& file, const char* bytes, std::size_t size, std::int64_t offset);
    Outcome sync(File& file);
    Outcome truncate(File& file, std::int64_t size);
    bool read(File& file, char* out, std::size_t size, std::int64_t offset);  // false: shorter, the rest is zeros
    std::int64_t size(File& file);

private:
    void cut_locked(std::uint64_t seed);
    bool count_operation();
    std::uint64_t used_locked();

    std::string name_;
    std::unique_ptr<sqlite3_vfs> vfs_;
    std::mutex mutex_;  // guards everything below
    std::map<std::string, std::shared_ptr<File>> files_;
    bool off_ = false;
    bool fail_syncs_ = false;
    std::uint64_t operations_ = 0;
    std::uint64_t cut_at_ = 0;
    std::uint64_t cut_seed_ = 0;
    std::uint64_t capacity_ = 0;
    std::string reserve_path_;
};

}  // namespace nexus::test
