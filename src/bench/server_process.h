#pragma once
// `nexus serve` as a child process on a free port, with its data in a directory of its own; and a redis-server for it.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "bench/target.h"
#include "process/child.h"

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

double cpu_s(pid_t process);
std::uint64_t rss_bytes(pid_t process);

// On a Unix socket in that directory, with an append-only file there: fsync always for durability disk, else everysec.
class RedisProcess {
public:
    static Result<std::unique_ptr<RedisProcess>> start(const std::string& directory, const std::string& durability);
    const std::string& url() const { return url_; }
    pid_t pid() const { return child_.pid(); }

private:
    RedisProcess(process::Child child, std::string url) : child_(std::move(child)), url_(std::move(url)) {}
    process::Child child_;
    std::string url_;
};

class ServerProcess {
public:
    // Starts this very binary and waits for its ready line, at most five minutes.
    // `http` is the address of its page, or "off".
    static Result<std::unique_ptr<ServerProcess>> start(const std::string& data, const std::string& durability,
                                                        const std::string& http = "off", Protection protection = {},
                                                        const std::string& store = "embedded");
    const std::string& address() const { return target_.address; }
    const Target& target() const { return target_; }  // with the first token, and who signed the certificate
    const std::string& http_address() const { return http_address_; }  // empty when off
    void kill_now() { child_.reap({}); }                               // SIGKILL, as its end does
    std::uint64_t rss_bytes() const { return bench::rss_bytes(child_.pid()); }
    double cpu_s() const { return bench::cpu_s(child_.pid()); }

private:
    ServerProcess(process::Child child, Target target, std::string http_address)
        : child_(std::move(child)), target_(std::move(target)), http_address_(std::move(http_address)) {}

    process::Child child_;
    Target target_;
    std::string http_address_;
};

}  // namespace nexus::bench
