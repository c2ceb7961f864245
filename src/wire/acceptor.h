#pragma once
// Listens, accepts and counts connections by itself, then hands each descriptor on. Never gives up: when descriptors
// run out it sheds the newest connection, waits a moment, and goes on.
//
// One thread. A connection's end is seen by its socket's inode: the receiver closes the descriptor and tells nobody.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "api/methods.h"
#include "base/result.h"
#include "wire/server.h"

namespace nexus::wire {

class Acceptor {
public:
    // Owns the descriptor from the call on. Called from the acceptor's thread.
    using Receiver = std::function<void(int listener, int descriptor)>;

    // Binds and listens. Faults: invalid, conflict (the port is taken), denied, exhausted.
    // `counts` must outlive it.
    static Result<std::unique_ptr<Acceptor>> listen(const std::string& address, const Limits& limits,
                                                    api::PortCounts& counts);
    ~Acceptor();

    // Starts the thread. `each_second` runs on it, too.
    void run(Receiver receiver, std::function<void()> each_second);
    void stop();  // closes the listener; idempotent

    std::uint16_t port() const { return port_; }

private:
    struct Peer {
        std::uint64_t inode = 0;
        std::string address;  // empty for loopback, which has no cap of its own
    };

    Acceptor(const Limits& limits, int listener, int wake, std::uint16_t port, api::PortCounts& counts);
    void loop();
    bool accept_one();  // false: nothing left, or no descriptors
    void shed();
    bool admit(int descriptor, std::string address);
    void forget(std::unordered_map<int, Peer>::iterator peer);
    void sweep();

    const std::uint32_t connections_max_, per_ip_max_;
    int listener_, wake_, reserve_ = -1;
    const std::uint16_t port_;
    Receiver receiver_;
    std::function<void()> each_second_;
    std::unordered_map<int, Peer> peers_;  // by descriptor
    std::unordered_map<std::string, std::uint32_t> per_ip_;
    api::PortCounts& counts_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

// Raises the soft limit of open descriptors to the hard one. Returns the limit in force.
std::uint64_t raise_descriptor_limit();

}  // namespace nexus::wire
