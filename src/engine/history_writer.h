#pragma once
// The thread that writes history. Rows are gathered for a quarter of a second and written in the order in which they were
// given; until they are written they can be read here. Bounded: when the buffer is full rows are dropped and counted,
// decisions first (C22), the audit never. What finds the store away or its disk full waits in the buffer and is tried
// again; writing it twice does no harm. Thread-safe; add() never waits for the store.
//
// A store that may be away for longer than the buffer lasts brings its own spool: an adapter that takes every write at
// once, into a file while its server does not answer, and counts what that drops. The embedded store has no need of one.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/runner.h"
#include "history/whole_history.h"

namespace nexus::engine {

class HistoryWriter {
public:
    struct Options {
        std::uint64_t bytes_max = 64ULL << 20;
        Duration retention = hours(24 * 30);
        std::uint64_t store_bytes_max = 0;
        Duration retry = seconds(1);  // of a store that is away or whose disk is full
        std::function<void(LogLevel, std::string, std::string)> log;
    };
    HistoryWriter(Options options, history::HistoryStore& history);
    ~HistoryWriter();

    // The rows of one batch of the journal. `last`: the position of its last event.
    void add(history::HistoryBatch rows, std::vector<history::DecisionNote> decisions, Sequence last);
    // Returns when everything given before is written or dropped; false: not within the limit.
    bool flush(Duration limit = seconds(5));
    // The history has everything up to here, but for what dropped() counts.
    Sequence upto() const { return Sequence{upto_}; }
    history::Unwritten unwritten() const;
    std::uint64_t dropped() const { return dropped_; }

private:
    using Group = std::shared_ptr<const history::UnwrittenRows>;
    using Clock = std::chrono::steady_clock;
    void run();
    void write(const std::vector<Group>& groups, bool last_chance);
    void expire_when_due();

    Options options_;
    history::HistoryStore& history_;
    mutable std::mutex mutex_;  // guards all down to the blank line
    std::condition_variable wake_, written_;
    std::deque<Group> groups_;
    std::uint64_t bytes_ = 0;             // of groups_
    std::uint64_t given_ = 0, done_ = 0;  // groups in all
    Clock::time_point retry_at_{};
    bool stop_ = false;
    bool hurry_ = false;  // somebody waits in flush()

    std::atomic<std::uint64_t> dropped_ = 0, upto_ = 0;
    bool complained_ = false;
    std::int64_t next_expiry_us_ = 0;
    std::thread thread_;
};

}  // namespace nexus::engine
