#pragma once
// The history port: finished tasks, attempts and decisions, for people and for training. Best effort: never part of the
// durability promise, never waited for by a decision.
//
// Threads: write() and expire() by one writer thread; queries by any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace nexus::history {

struct TaskRow {
    TaskId task;
    std::string type, tenant, queue;
    std::uint8_t priority = 0;
    std::uint8_t state = 0;                 // core::TaskState, terminal
    WallTime submitted, started, finished;  // started 0 = never
    Duration run;                           // < 0 unknown
    std::string worker;
    std::uint32_t attempts = 0, failures = 0, crashes = 0;
    std::uint64_t payload_bytes = 0, result_bytes = 0;
    Duration predicted_p50, predicted_p90;    // at submission
    WallTime eta_finish_p50, eta_finish_p90;  // told at submission; 0 = none
    std::string error;
    TaskId redrive_of;
};

struct AttemptRow {
    TaskId task;
    AttemptId attempt;
    std::uint32_t number = 0;
    std::string type, tenant, worker;
    std::uint8_t outcome = 0;  // core::AttemptOutcome
    WallTime assigned, started, ended;
    Duration run, predicted_p50, predicted_p90;  // predicted at dispatch
    std::string source;                          // of the prediction
    std::uint64_t payload_bytes = 0, peak_memory_bytes = 0;
    std::string error;
};

struct DecisionRow {
    std::uint64_t number = 0;  // journal position
    TaskId task;
    WallTime at;
    std::string type, worker, policy;
    bool fallback = false;
    Duration predicted;
    std::string record;  // JSON of nexus.v1.Decision
};

struct AuditRow {
    std::uint64_t number = 0;  // of its event in the journal; 0 before core 8
    WallTime at;
    std::string caller;  // who it was, as the server proved it
    std::string author;  // who they said they were
    std::string action, reason, before, after;
    std::string hash;  // of this row and the one before
};

struct HistoryBatch {
    std::vector<TaskRow> tasks;
    std::vector<AttemptRow> attempts;
    std::vector<DecisionRow> decisions;
    std::vector<AuditRow> audit;
    std::size_t size() const { return tasks.size() + attempts.size() + decisions.size() + audit.size(); }
};

struct TaskQuery {
    std::optional<std::uint8_t> state;
    std::string type, tenant, queue, worker;  // empty = any
    WallTime finished_before;                 // paging: newest first; 0 = now
    TaskId before;                            // tie-break of finished_before
    std::size_t limit = 100;
};
struct DecisionQuery {
    std::optional<TaskId> task;
    std::string worker;
    std::uint64_t before = 0;  // number; 0 = newest
    std::size_t limit = 100;
};

struct Rollup {               // one minute of one type
    std::int64_t minute = 0;  // Unix minutes
    std::string type;
    std::uint64_t finished = 0, succeeded = 0, within_25 = 0, within_p90 = 0;
    Duration run_sum, wait_sum;
};

class HistoryStore {
public:
    virtual ~HistoryStore() = default;
    virtual Result<void> write(const HistoryBatch& batch) = 0;  // repeating a row replaces it
    virtual Result<std::optional<TaskRow>> task(TaskId task) = 0;
    virtual Result<std::vector<AttemptRow>> attempts(TaskId task) = 0;  // by number
    virtual Result<std::vector<TaskRow>> tasks(const TaskQuery& query) = 0;
    // Newest first. One event may cause several decisions with one number: these are never split between two pages, so
    // a page may be longer than its limit.
    virtual Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) = 0;
    virtual Result<std::vector<AuditRow>> audit(std::size_t limit, std::int64_t before_us) = 0;  // newest first
    // Minutes from <= minute < to. A task counts in its minute once, however often its row is repeated.
    virtual Result<std::vector<Rollup>> rollups(std::int64_t from_minute, std::int64_t to_minute) = 0;
    // Drops rows older than `oldest`, then the oldest rows until the store is at most `bytes_max` (0 = no limit). A
    // task goes with its attempts. The audit stays: it is small, and its hashes chain from its first row.
    virtual Result<void> expire(WallTime oldest, std::uint64_t bytes_max) = 0;
};

}  // namespace nexus::history
