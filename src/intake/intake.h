#pragma once
// Tasks from the stream nexus:tasks:pending, to which the producers of the old Nexus write.
//
//     read -> submit to the engine -> the task is in the journal, and a mark of its entry with it -> XACK -> 60 s later
//     the mark is dropped
//
// An entry that is read again, after whatever ended in between, finds its mark and becomes no second task. What cannot
// become a task goes to nexus:tasks:dead with the reason, and is acknowledged then. While the engine takes no tasks,
// entries wait in the stream. A thread of its own; the engine's loop waits for nothing here.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/runner.h"
#include "intake/stream_group.h"
#include "redis/pool.h"
#include "store/journal_store.h"

namespace nexus::intake {

inline constexpr const char* kPendingStream = "nexus:tasks:pending";
inline constexpr const char* kDeadStream = "nexus:tasks:dead";

struct IntakeCounts {
    std::uint64_t read = 0, submitted = 0, duplicates = 0, dead = 0, warnings = 0, claimed = 0, deleted = 0;
    std::uint64_t foreign = 0;  // fetched by other consumers and not acknowledged
    std::string last_dead;      // "entry 1700000000000-0: payload: is no JSON"
    std::string trouble;        // why nothing is read; empty = all is well
};

class Intake {
public:
    struct Options {
        std::string keys;  // how our own keys begin: "{nexus:0}:"
        Duration claim_after = seconds(60);
        Duration mark_kept = seconds(60);
        std::function<Result<std::vector<TaskId>>()> marks;  // all that stand in the journal
        std::function<void(engine::LogLevel, std::string event, std::string text)> log;
    };
    // All three must outlive it.
    Intake(Options options, redis::Pool& pool, engine::Service& engine, store::JournalStore& journal);
    ~Intake();

    IntakeCounts counts() const;

private:
    using Clock = std::chrono::steady_clock;
    struct Marked {
        TaskId task;
        Clock::time_point due;
    };
    void run();
    Result<void> sweep();
    Result<void> turn();
    Result<void> take(std::vector<Entry> entries);
    Result<void> bury(const Entry& entry, const std::string& reason);
    Result<std::vector<engine::Submitted>> submit(std::vector<engine::Submission> items);
    Result<bool> submit_each(std::vector<std::pair<Entry, engine::Submission>>& items);
    std::vector<TaskId> marks_due();
    void pause(Duration time);
    void trouble(const Error& error);
    template <class Change>
    void count(Change change) {
        const std::lock_guard lock(counts_mutex_);
        change(counts_);
    }

    const Options options_;
    redis::Pool& pool_;
    engine::Service& engine_;
    store::JournalStore& journal_;
    StreamGroup group_;
    std::deque<Marked> marked_;
    bool swept_ = false;

    mutable std::mutex counts_mutex_;  // guards counts_
    IntakeCounts counts_;

    std::mutex stop_mutex_;  // guards stopping_
    std::condition_variable stopped_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace nexus::intake
