#pragma once
// The thread that writes history and answers questions about it. Rows are written in batches; a question is answered
// after all rows given before it, so that a caller reads what was just written. Bounded: when the buffer is full rows
// are dropped and counted, decisions first (C22). What finds the disk full waits in the buffer for space. Thread-safe;
// nothing blocks but stop() and flush().

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <variant>

#include "engine/engine.h"

namespace nexus::engine {

class HistoryWriter {
public:
    struct Options {
        std::uint64_t bytes_max = 64ULL << 20;
        Duration retention = hours(24 * 30);
        std::uint64_t store_bytes_max = 0;
        std::function<void(LogLevel, std::string, std::string)> log;
    };
    HistoryWriter(Options options, history::HistoryStore& history, store::JournalStore& journal);
    ~HistoryWriter();

    void add(history::HistoryBatch rows, std::vector<history::DecisionNote> decisions);
    void ask(HistoryQuestion question);
    void flush();  // returns when everything given before is written
    std::uint64_t dropped() const { return dropped_; }

private:
    struct Rows {
        history::HistoryBatch batch;
        std::vector<history::DecisionNote> decisions;
        std::uint64_t bytes = 0;
    };
    struct Gathered {  // taken from items_, not yet written; of the thread
        history::HistoryBatch rows;
        std::uint64_t bytes = 0;  // as counted in bytes_
        std::chrono::steady_clock::time_point retry_at{};
    };
    using Item = std::variant<Rows, HistoryQuestion>;
    void run();
    void write(Gathered& gathered);
    void expire_when_due();

    Options options_;
    history::HistoryStore& history_;
    store::JournalStore& journal_;
    std::mutex mutex_;  // guards items_, bytes_, stop_, asked_
    std::condition_variable wake_;
    std::deque<Item> items_;
    std::uint64_t bytes_ = 0;
    bool stop_ = false;
    bool asked_ = false;  // a question waits among the items
    std::atomic<std::uint64_t> dropped_ = 0;
    bool complained_ = false;
    std::int64_t next_expiry_us_ = 0;
    std::thread thread_;
};

}  // namespace nexus::engine
