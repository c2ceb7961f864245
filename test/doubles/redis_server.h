#pragma once
// A real redis-server of a test's own: on a Unix socket (and a port, for TLS) in a directory of its own, killed at the end.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "process/child.h"
#include "redis/connection.h"

namespace nexus::test {

class RedisServer {
public:
    // `settings` as on its command line: {"--appendfsync", "always"}. Fault not_found says what to install.
    static Result<std::unique_ptr<RedisServer>> start(std::vector<std::string> settings);
    ~RedisServer();

    const std::string& socket() const { return socket_; }
    const std::string& directory() const { return directory_; }
    redis::Server address() const;
    // As kill -9, and as a start after it, until it answers.
    void kill();
    Result<void> start_again();
    void signal(int number) const;  // SIGSTOP, SIGCONT
    // From now on it can be reached on this port of 127.0.0.1, too: replicas need one.
    std::uint16_t listen() const;
    // One command; its reply, which must come.
    redis::Reply ask(std::initializer_list<std::string_view> words) const;

private:
    RedisServer(std::string program, std::string directory, std::vector<std::string> settings);

    std::string program_, directory_, socket_;
    std::vector<std::string> settings_;
    std::optional<process::Child> child_;
};

}  // namespace nexus::test
