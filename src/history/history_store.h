#pragma once
// The history port: ended tasks, their attempts, decisions and the audit, for people and for training. Never part of
// the durability promise, never waited for by a decision; whatever must not be lost is in the journal.
//
// Threads: write() and expire() by one writer thread; the queries by any thread, also while write() runs.
//
// Order. Every list is newest first and ends in ids that never repeat, so a page that continues after the last row of
// the one before repeats nothing and skips nothing, whatever is written meanwhile.
//
// Faults: unreachable (no answer in time; the same call may be sent again), failed (finished for good), no_space
// (write(): nothing was stored), corrupt.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace nexus::history {

struct TaskRow {
    TaskId task;
    std::uint32_t shard = 0;
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
    std::uint32_t shard = 0;
    std::string worker;
    std::uint8_t outcome = 0;  // core::AttemptOutcome
    WallTime assigned, started, ended;
    Duration run, predicted_p50, predicted_p90;  // predicted at dispatch
    std::string source;                          // of the prediction
    std::uint64_t peak_memory_bytes = 0;
    std::string error;
};

// The place of what an event caused: several things of one event are told apart by `part`.
struct EventPlace {
    WallTime at;
    std::uint32_t shard = 0;
    std::uint64_t number = 0;  // journal position
    std::uint32_t part = 0;
    constexpr auto operator<=>(const EventPlace&) const = default;
};

struct DecisionRow {
    EventPlace place;
    TaskId task;
    std::string type, worker, policy;
    bool fallback = false;
    std::string record;  // bytes, see decision.h
};

struct AuditRow {
    EventPlace place;    // number 0: before core 8
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

enum class TaskOrder : std::uint8_t {
    submitted,  // by id: the newest submission first
    finished,   // by (finished, id): the latest end first
};
struct IdRange {  // both ends belong to it
    TaskId first, last{UINT64_MAX, UINT64_MAX};
};
// Ids grow with the time of submission: all that were submitted from then on and before then are among these.
IdRange ids_submitted(WallTime from, WallTime to);
// Those whose text begins so, in lower case; none when no id can.
std::optional<IdRange> ids_beginning_with(std::string_view text);

// Of tasks that succeeded and were told at submission when they would be done: by the p90 told, or after it.
enum class PromiseKept : std::uint8_t { any = 0, kept, missed };
struct TaskQuery {
    std::vector<std::uint8_t> states;  // empty = any
    PromiseKept promise = PromiseKept::any;
    std::string type, tenant, queue, worker;  // empty = any
    // Text that type, tenant, queue or worker holds, or that the id begins with, in lower case; they are compared so.
    std::string search;
    WallTime submitted_from, submitted_to;  // from then on, and before then; 0 = no bound
    TaskOrder order = TaskOrder::finished;
    TaskId before;             // only what comes after this row; zero = from the newest
    WallTime before_finished;  // of that row; for TaskOrder::finished
    std::size_t limit = 100;

    bool wants(const TaskRow& row) const;                     // as far as states, promise, names, text and times say
    bool holds_text(const TaskRow& row) const;                // what is searched for
    bool continues_with(const TaskRow& row) const;            // it comes after `before`
    bool in_order(const TaskRow& a, const TaskRow& b) const;  // a comes before b
};
// Whether it was made for that reason, by its code.
bool is_kind(const DecisionRow& row, std::string_view kind);
struct DecisionNote;  // decision.h
bool is_kind(const DecisionNote& note, std::string_view kind);
bool is_fallback(const DecisionRow& row);
bool is_fallback(const DecisionNote& note);
struct DecisionQuery {
    std::optional<TaskId> task;
    std::string worker, type;  // empty = any
    std::uint64_t number = 0;  // only those of this event; 0 = any
    EventPlace before;         // only older ones; at 0 = from the newest
    std::size_t limit = 100;
    std::string kind;       // the code of a reason; empty = any
    bool fallback = false;  // only those of round-robin
    WallTime from;          // only then or later

    // A decision that is written, or noted to be.
    template <class Decision>
    bool wants(const Decision& row) const {
        return (!task || *task == row.task) && (worker.empty() || worker == row.worker) &&
               (type.empty() || type == row.type) && (number == 0 || number == row.place.number) &&
               (before.at.us == 0 || row.place < before) && row.place.at >= from && (!fallback || is_fallback(row)) &&
               (kind.empty() || is_kind(row, kind));
    }
};
struct AuditQuery {
    EventPlace before;  // only what comes after this row in the order; at 0 = from its beginning
    std::size_t limit = 100;
    std::string search;     // only rows that hold it in one of their texts, as it is written; empty = all
    WallTime from, to;      // only then or later, only before; 0 = no bound
    bool versions = false;  // only changes of the configuration: their `after` begins with "version = "
    bool chain = false;     // in the order of the journal, oldest first, which a clock that was set may not keep

    bool wants(const AuditRow& row) const;  // as far as texts and times say
    bool continues_with(const AuditRow& row) const;
    bool in_order(const AuditRow& a, const AuditRow& b) const;  // a comes before b
};

class HistoryStore {
public:
    virtual ~HistoryStore() = default;
    // All rows of the batches in one transaction. A row that the store has, by task, (task, number of the attempt) or
    // place of the event, is left as it is: writing again what may have been written changes nothing.
    virtual Result<void> write(std::span<const HistoryBatch* const> batches) = 0;
    Result<void> write(const HistoryBatch& batch) {
        const HistoryBatch* const one = &batch;
        return write(std::span(&one, 1));
    }
    virtual Result<std::optional<TaskRow>> task(TaskId task) = 0;
    // Those of the given tasks, by task and number.
    virtual Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) = 0;
    virtual Result<std::vector<TaskRow>> tasks(const TaskQuery& query) = 0;
    virtual Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) = 0;  // newest first
    virtual Result<std::vector<AuditRow>> audit(const AuditQuery& query) = 0;            // newest first
    // Drops rows older than `oldest`, then the oldest rows until the store is at most `bytes_max` (0 = no limit). A
    // task goes with its attempts. The audit stays: it is small, and its hashes chain from its first row.
    virtual Result<void> expire(WallTime oldest, std::uint64_t bytes_max) = 0;
};

}  // namespace nexus::history
