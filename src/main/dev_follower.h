#pragma once
// Follows the tasks of `nexus dev` through a watch.

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/interrupt.h"
#include "cli/session.h"

namespace nexus::dev {

namespace pb = nexus::v1;

// Follows the tasks of our tenant on a thread of its own; comes back by itself when the server does.
class Follower {
public:
    Follower(std::string server, cli::Interrupt& interrupt)
        : session_({.server = std::move(server)}, interrupt), interrupt_(interrupt) {
        thread_ = std::thread([this] { follow(); });
    }
    // The stream ends with the server; call it after the server has stopped or is about to.
    ~Follower() {
        over_ = true;
        thread_.join();
    }
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;

    std::vector<pb::Task> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(changed_, {});
    }
    // True once after each time the stream broke: what changed meanwhile must be asked for.
    bool missed() { return missed_.exchange(false); }

private:
    void follow();

    cli::Session session_;
    cli::Interrupt& interrupt_;
    std::atomic<bool> over_ = false, missed_ = false;
    std::mutex mutex_;  // guards changed_
    std::vector<pb::Task> changed_;
    std::thread thread_;
};

}  // namespace nexus::dev
