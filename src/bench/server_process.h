#pragma once
// `nexus serve` as a child process on a free port, with its data in a directory of its own.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace nexus::bench {

// Removed with all it holds at the end.
class ScratchDirectory {
public:
    ScratchDirectory();
    ~ScratchDirectory();
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

class ServerProcess {
public:
    // Starts this very binary and waits for its ready line, at most five minutes.
    // `http` is the address of its page, or "off".
    static Result<std::unique_ptr<ServerProcess>> start(const std::string& data, const std::string& durability,
                                                        const std::string& http = "off");
    ~ServerProcess();  // kill -9, if it still runs
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    const std::string& address() const { return address_; }
    const std::string& http_address() const { return http_address_; }  // empty when off
    void kill_now();
    std::uint64_t rss_bytes() const;
    double cpu_s() const;

private:
    ServerProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
    Result<void> wait_ready();

    pid_t pid_;
    int output_;
    std::string address_, http_address_;
};

}  // namespace nexus::bench
