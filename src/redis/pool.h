#pragma once
// Connections to one server that several threads share, each for as long as it needs one; and when to try again to reach
// a server that is away: after 20 ms first, then twice as long each time up to 250 ms, each drawn from the upper half.
// Thread-safe.

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "redis/connection.h"

namespace nexus::redis {

class Pool {
public:
    using Clock = std::chrono::steady_clock;
    explicit Pool(Server server);

    // A new connection, unless the last attempt has just failed: then its error, at once.
    Result<std::unique_ptr<Connection>> open();

    // Runs the commands on a connection of its own for that time. A connection that had lain idle may be dead without our
    // knowledge: then they are sent again on a new one, so they must be harmless when done twice.
    Result<std::vector<Reply>> run(const Commands& commands, Duration patience = {});
    Result<Reply> run(std::initializer_list<std::string_view> words, Duration patience = {});

    const Server& server() const { return server_; }

private:
    std::unique_ptr<Connection> take_idle();

    const Server server_;
    mutable std::mutex mutex_;  // guards all below
    std::vector<std::unique_ptr<Connection>> idle_;
    Rng jitter_;
    Clock::time_point try_again_{};
    std::chrono::milliseconds pause_{0};  // 0: the last attempt succeeded
    Error last_error_;
};

}  // namespace nexus::redis
