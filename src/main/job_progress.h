#pragma once
// What is known of a job's tasks, and the figures made of it. No clock, no network.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "nexus/v1/nexus.pb.h"

namespace nexus::dev {

// Predicted against actual run times of some tasks.
struct Accuracy {
    std::size_t tasks = 0;
    double within_25 = 0;     // share within 25 % of the actual time
    double error_median = 0;  // of |predicted - actual| / actual
};

struct JobEta {
    std::int64_t p50_us = 0;  // from now
    std::int64_t p90_us = 0;
};

struct WorkerUse {
    std::uint64_t tasks = 0;
    std::int64_t busy_us = 0;
};

class JobProgress {
public:
    // The task belongs to the job.
    void expect(const std::string& id);
    // Keeps what the latest message says of any task; a task is counted once it is expected. Ends count once.
    void take(const nexus::v1::Task& task);

    // What ended so far was done by an earlier run of `nexus dev`: workers() and the percentiles leave it out.
    void begin_run();

    std::size_t total() const { return ours_.size(); }
    std::size_t ended() const { return ended_; }
    std::size_t succeeded() const { return succeeded_; }
    std::size_t running() const;
    bool done() const { return ended_ == ours_.size(); }
    std::vector<std::string> open_ids() const;

    // The time to the end: `drain_us` is the server's prediction for all its backlog (0 = unknown: then predicted work
    // over `slots`). The band comes from the errors seen so far.
    JobEta eta(std::int64_t drain_us, std::uint32_t slots) const;
    // Of the last `window` ends, or of the ends from..to as shares of all.
    Accuracy recent(std::size_t window) const;
    Accuracy part(double from, double to) const;
    // Of ended tasks; `share` 0..1.
    std::int64_t wait_percentile(double share) const;
    std::int64_t run_percentile(double share) const;
    const std::map<std::string, WorkerUse>& workers() const { return workers_; }

private:
    struct Latest {
        nexus::v1::TaskState state = nexus::v1::TASK_STATE_UNSPECIFIED;
        std::int64_t estimate_us = 0;
        std::int64_t predicted_us = 0;
        std::int64_t run_us = 0;
        std::int64_t wait_us = 0;
        std::string worker;
    };
    struct End {
        std::int64_t predicted_us = 0, run_us = 0, wait_us = 0;
    };
    void count_end(const Latest& latest);
    Accuracy accuracy(std::size_t from, std::size_t to) const;

    std::unordered_map<std::string, Latest> latest_;  // of every task heard of
    std::unordered_map<std::string, bool> ours_;      // id -> its end is counted
    std::vector<End> ends_;                           // in the order they came
    std::size_t ended_ = 0, succeeded_ = 0;
    std::map<std::string, WorkerUse> workers_;
};

}  // namespace nexus::dev
