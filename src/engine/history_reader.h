#pragma once
// The threads that answer questions about ended tasks: never the writer, so that a slow answer delays no row, and never
// the loop or the committer. Each question has a limit of time, from the moment it is asked; what cannot be answered
// within it is answered `unreachable`, and what finds too many before it `exhausted`. Thread-safe; ask() never blocks.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/history_questions.h"
#include "engine/history_writer.h"

namespace nexus::engine {

class HistoryReader {
public:
    struct Options {
        std::size_t threads = 2;
        std::size_t waiting_max = 10'000;
        Duration wait_max = seconds(5);  // the store limits what a question itself may take
    };
    HistoryReader(Options options, history::HistoryStore& history, store::JournalStore& journal,
                  const HistoryWriter& writer);
    // What waits is answered `unavailable`.
    ~HistoryReader();

    void ask(HistoryQuestion question);

private:
    struct Waiting {
        HistoryQuestion question;
        std::chrono::steady_clock::time_point since;
    };
    void run();
    void tell(HistoryQuestion question);

    const Options options_;
    history::HistoryStore& history_;
    store::JournalStore& journal_;
    const HistoryWriter& writer_;
    std::mutex mutex_;  // guards waiting_, stop_
    std::condition_variable wake_;
    std::deque<Waiting> waiting_;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace nexus::engine
