#pragma once
// Workers whose handler does nothing, each a stream on a connection of its own, all on gRPC's threads.
//
// A task's payload begins with its number (8 bytes, this machine's order): so its start can be timed without a table of
// ids. Facts that arise while a write is under way go out merged in the next one.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "bench/target.h"

namespace grpc {
class Channel;
}

namespace nexus::bench {

using Clock = std::chrono::steady_clock;

// What submitters and workers know of each task, by number.
struct Ledger {
    explicit Ledger(std::size_t tasks) : submitted_ns(tasks), started_ns(tasks), runs(tasks) {}
    std::vector<std::atomic<std::int64_t>> submitted_ns, started_ns;  // 0 = not yet
    std::vector<std::atomic<std::uint32_t>> runs;
    std::atomic<std::uint64_t> acknowledged{0};  // results that the server took
    std::atomic<std::uint64_t> refused{0};       // results that it did not
    std::atomic<std::int64_t> first_assign_ns{0};
};

std::int64_t now_ns();
std::shared_ptr<grpc::Channel> open(const Target& target);

class Workers {
public:
    Workers(const Target& target, std::uint32_t count, std::uint32_t slots, bool tell_started, Ledger& ledger);
    ~Workers();  // ends the streams

    // All are welcome, within `limit`.
    Result<void> wait_connected(std::chrono::seconds limit);
    std::uint64_t streams_lost() const;

private:
    class Worker;
    void beat();

    std::vector<std::unique_ptr<Worker>> workers_;
    std::atomic<bool> stopping_{false};
    std::thread heart_;
};

}  // namespace nexus::bench
