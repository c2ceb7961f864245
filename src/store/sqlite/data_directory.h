#pragma once
// The directory of an embedded store: private (0700, files 0600), held by one process at a time, with a reserve of disk
// space set aside for the day the disk is full.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace nexus::store {

// Creates the directory when missing and takes its privacy seriously: 0700.
Result<void> make_private_directory(const std::string& path);
// Makes a rename or a new file in the directory durable.
Result<void> sync_directory(const std::string& path);
// Writes the whole file, synced in steps so that the device is never flooded. `next` gives the next part; empty = the end.
Result<void> write_parts_durably(const std::string& path, const std::function<Result<std::string_view>()>& next);
Result<void> write_file_durably(const std::string& path, std::string_view bytes);
Result<void> read_parts(const std::string& path, const std::function<Result<void>(std::string_view)>& take);
Result<std::string> read_file(const std::string& path);

// Holds the lock file until destroyed. Fault conflict names the process that holds it.
class DirectoryLock {
public:
    static Result<DirectoryLock> take(const std::string& path);
    DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    DirectoryLock& operator=(DirectoryLock&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~DirectoryLock();

private:
    explicit DirectoryLock(int fd) : fd_(fd) {}
    int fd_ = -1;
};

// Disk blocks set aside in a file, given back to the file system when the disk is full (contract C17). One thread.
class SpaceReserve {
public:
    SpaceReserve(std::string path, std::uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}
    // True when the blocks are held (or none are wanted); tries to take them when they are not.
    bool hold();
    bool held() const { return held_; }
    void release();

private:
    std::string path_;
    std::uint64_t bytes_;
    bool held_ = false;
};

}  // namespace nexus::store
