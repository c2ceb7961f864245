#pragma once
// Workers that speak Redis alone, as sessions of the same core: with leases, fences and one attempt that counts.
//
//   A worker exists  from its subscription to nexus:worker:<id> on, or its first ReportCapacity. It may describe itself in
//                    the hash nexus:workers:<id>
//   A task goes      by PUBLISH, in one step with a note of it in our own keys: so after any end of ours it is known what
//                    was sent, and nothing is sent twice. Nobody listening: the attempt is given back at once
//   It ends          by an entry of nexus:tasks:completed, acknowledged when the end is in the journal
//   It is lost       after server.redis_worker_timeout without subscription, or without the reports it once sent; what it
//                    ran is given to others after the lease
//   It comes back    under its name, another process perhaps: what it held before has that long to end, or twice the
//                    p90 that was predicted, and is given to others then. Ten times that long after a start of ours
//
// Two threads of its own: one sends, one reads and looks. The engine's threads never wait for Redis here.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/runner.h"
#include "intake/stream_group.h"
#include "redis/pool.h"

namespace nexus::intake {

inline constexpr const char* kCompletedStream = "nexus:tasks:completed";
inline constexpr const char* kWorkerChannel = "nexus:worker:";
inline constexpr const char* kWorkerHash = "nexus:workers:";

struct WorkerCounts {
    std::uint64_t workers = 0, published = 0, unheard = 0, completions = 0, stale = 0, malformed = 0, forgotten = 0;
};

class Workers {
public:
    struct Options {
        std::string keys;  // how our own keys begin: "{nexus:0}:"
        Duration timeout = seconds(30);
        std::function<void(engine::LogLevel, std::string event, std::string text)> log;
    };
    // Both must outlive it.
    Workers(Options options, redis::Pool& pool, engine::Service& engine);
    ~Workers();

    // A report of a worker that has no stream of its own. Any thread.
    void heard(const std::string& worker, engine::WorkerReport::Load load);
    WorkerCounts counts() const;

private:
    using Clock = std::chrono::steady_clock;
    class Link;
    // How the engine's side reaches this one, as long as it is there.
    struct Way {
        std::mutex mutex;
        Workers* workers = nullptr;
    };
    struct Held {  // by a worker: what was sent to it and has not ended
        TaskId task;
        std::string old_id, entry;  // entry: of its completion, as soon as that was read
        Clock::time_point sent;
        std::string type;
        Duration long_run;                              // few run longer: twice the p90 that was predicted
        std::optional<Clock::time_point> doubted_from;  // its worker was away since it was sent: given up then
    };
    struct Worker {
        std::string id;  // as the old wire knows it
        std::uint64_t number = 0;
        SessionId session;
        bool connecting = false, subscribed = false, was_away = false;  // away: seen without subscription
        bool cut_off = false;                    // by a Redis that was away: that is no end of its process
        std::optional<bool> told_draining;       // none: its capacity is to be told
        Clock::time_point alive;                 // when it was last seen subscribed
        std::optional<Clock::time_point> heard;  // when it last reported by itself
        std::optional<engine::WorkerReport::Load> load;
        core::Labels labels;
        std::uint32_t slots = 1;
        bool draining = false;
        std::string hostname, version;
        Clock::time_point described{};
        std::map<AttemptId, Held> held;
    };
    struct Outgoing {
        std::string worker;
        engine::Assignment assignment;
    };

    // ---- from the engine
    void take(const std::string& worker, std::uint64_t number, engine::WorkerOrders orders);
    void joined(const std::string& worker, std::uint64_t number, Result<SessionId> session);
    // ---- the sender
    void send();
    Result<void> publish(const Outgoing& out, std::string& tried_on);
    Result<void> reach();
    // ---- the reader
    void run();
    Result<void> turn();
    Result<void> load_sent();
    Result<void> look();
    Result<void> describe(const std::string& id);
    engine::WorkerHello hello_of(Worker& worker);
    void judge();
    std::size_t give_up_doubted(Worker& worker);
    void let_go(const std::string& id);
    Result<void> complete(const Entry& entry);
    Result<void> settle();

    const Options options_;
    redis::Pool& pool_;
    engine::Service& engine_;
    StreamGroup group_;
    const std::shared_ptr<Way> way_ = std::make_shared<Way>();
    std::unique_ptr<redis::Connection> connection_;  // of the sender
    std::string run_;                                // which process of Redis it leads to
    const std::string sent_key_;                     // hash: attempt -> task, worker, old id, type
    bool loaded_ = false;                            // what was sent before has been read
    Clock::time_point look_at_{};

    mutable std::mutex mutex_;  // guards all below
    std::map<std::string, Worker, std::less<>> workers_;
    std::deque<Outgoing> outgoing_;
    std::string publishing_;   // the worker that something is being sent to
    bool read_again_ = false;  // ends that were reported may have been lost with their session
    std::vector<std::pair<std::string, AttemptId>> done_;  // entries that may be acknowledged, attempts to be forgotten
    WorkerCounts counts_;
    std::uint64_t numbers_ = 0;
    std::condition_variable wake_;
    std::atomic<bool> stopping_ = false;
    std::string trouble_;
    std::thread sender_, reader_;
};

}  // namespace nexus::intake
