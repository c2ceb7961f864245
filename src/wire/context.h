#pragma once
// What all services of one server share: options, the door to the engine, counters, and the streams that are open.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/methods.h"
#include "base/ids.h"
#include "wire/server.h"

namespace nexus::wire {

using Clock = std::chrono::steady_clock;

// A long-lived call. Both functions come from the server's own threads, may come after the call ended (then they do
// nothing), and never block.
class Stream {
public:
    virtual ~Stream() = default;
    virtual void look_after(Clock::time_point now) = 0;  // about once a second: cut what stalls
    virtual void wind_up() = 0;                          // the server stops: end in good order, soon
    // Who called, while the stream goes on only as long as that holds; null: it ends by itself anyway.
    virtual const Caller* caller() const { return nullptr; }
    virtual void turn_out(const Error&) {}  // its caller's credential is good no more
};

// The open streams. Thread-safe. A stream adds itself when it begins and removes itself in OnDone.
class Streams {
public:
    // False when the server is stopping: the stream must refuse the call.
    bool add(const std::shared_ptr<Stream>& stream);
    void remove(const Stream* stream);
    void look_after(Clock::time_point now, const identity::Guard& guard);
    void wind_up();

private:
    std::vector<std::shared_ptr<Stream>> all() const;

    mutable std::mutex mutex_;  // guards the two below
    std::unordered_map<const Stream*, std::weak_ptr<Stream>> open_;
    bool stopping_ = false;
};

// Which session a connected worker has, for the old capacity reports. Thread-safe.
class WorkerNames {
public:
    void set(const std::string& name, SessionId session, const std::string& owner);
    void erase(const std::string& name, SessionId session);  // nothing when a newer session took the name
    // None when it is not connected, or by somebody else than `owner` (Caller::name).
    SessionId find(const std::string& name, const std::string& owner) const;

private:
    mutable std::mutex mutex_;  // guards sessions_
    std::map<std::string, std::pair<SessionId, std::string>> sessions_;
};

struct Counters {
    std::atomic<std::uint64_t> worker_streams_open{0}, worker_streams_cut{0}, watches_open{0}, watches_cut{0};
    std::atomic<std::uint64_t> submit_streams_open{0}, submit_streams_cut{0};
    std::atomic<std::uint64_t> requests{0}, requests_malformed{0}, legacy_reports{0};
};

struct Context {
    Options options;
    api::Door& door;
    Counters counters;
    std::atomic<std::uint64_t> answer_bytes{0};  // of large answers that are not sent yet
    std::atomic<std::uint64_t> watch_bytes{0};   // of changes that watchers have not read yet
    Streams streams;
    WorkerNames workers;

    void malformed() {
        counters.requests_malformed.fetch_add(1, std::memory_order_relaxed);
        door.grpc.malformed.fetch_add(1, std::memory_order_relaxed);
    }
    // A stream was cut; `which` counts its kind.
    void cut(std::atomic<std::uint64_t>& which) {
        which.fetch_add(1, std::memory_order_relaxed);
        door.grpc.cut.fetch_add(1, std::memory_order_relaxed);
    }
};

}  // namespace nexus::wire
