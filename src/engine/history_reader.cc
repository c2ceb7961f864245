#include "engine/history_reader.h"

#include <pthread.h>

namespace nexus::engine {

HistoryReader::HistoryReader(Options options, history::HistoryStore& history, store::JournalStore& journal,
                             const HistoryWriter& writer)
    : options_(options), history_(history), journal_(journal), writer_(writer) {
    for (std::size_t n = 0; n < options_.threads; ++n) threads_.emplace_back([this] { run(); });
}

HistoryReader::~HistoryReader() {
    std::deque<Waiting> left;
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        left.swap(waiting_);
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    for (Waiting& one : left) refuse(std::move(one.question), {Fault::unavailable, "the server is stopping"});
}

void HistoryReader::ask(HistoryQuestion question) {
    {
        const std::lock_guard lock(mutex_);
        if (!stop_ && waiting_.size() < options_.waiting_max) {
            waiting_.push_back({std::move(question), std::chrono::steady_clock::now()});
            wake_.notify_one();
            return;
        }
    }
    refuse(std::move(question), {Fault::exhausted, "too many questions about ended tasks wait for the history; retry"});
}

void HistoryReader::tell(HistoryQuestion question) {
    history::WholeHistory whole(history_, writer_.unwritten());
    answer(std::move(question), whole, journal_);
}

void HistoryReader::run() {
    pthread_setname_np(pthread_self(), "nexus-reader");
    const std::chrono::microseconds wait_max(options_.wait_max.us);
    for (;;) {
        Waiting next;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
            if (stop_) return;
            next = std::move(waiting_.front());
            waiting_.pop_front();
        }
        if (std::chrono::steady_clock::now() - next.since > wait_max)
            refuse(std::move(next.question), {Fault::unreachable, "the history has not answered in time; ask again"});
        else
            tell(std::move(next.question));
    }
}

}  // namespace nexus::engine
