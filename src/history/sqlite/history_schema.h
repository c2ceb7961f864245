#pragma once
// The schema of history.db and how rows and columns meet. Task and attempt ids are blobs of 16 bytes, big-endian, so
// that their order is the order of submission; names are stored once and referred to by number.

#include <string>

#include "history/history_store.h"
#include "sqlite/database.h"

namespace nexus::history {

using sqlite::Access, sqlite::Database, sqlite::Statement, sqlite::Text;

inline constexpr std::int64_t kHistoryApplicationId = 0x4E584844;  // "NXHD"
inline constexpr std::int64_t kHistorySchemaVersion = 2;

inline constexpr const char* kAttemptTable =
    "CREATE TABLE attempt(task BLOB NOT NULL, number INTEGER NOT NULL, shard INTEGER NOT NULL, attempt BLOB NOT NULL,"
    " worker INTEGER NOT NULL, outcome INTEGER NOT NULL, assigned_us INTEGER NOT NULL, started_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, run_us INTEGER NOT NULL, predicted_p50_us INTEGER NOT NULL,"
    " predicted_p90_us INTEGER NOT NULL, source INTEGER NOT NULL, peak_memory_bytes INTEGER NOT NULL, error TEXT,"
    " PRIMARY KEY(task, number)) WITHOUT ROWID;";
inline constexpr const char* kDecisionTable =
    "CREATE TABLE decision(at_us INTEGER NOT NULL, shard INTEGER NOT NULL, number INTEGER NOT NULL,"
    " part INTEGER NOT NULL, task BLOB NOT NULL, type INTEGER NOT NULL, worker INTEGER NOT NULL,"
    " policy INTEGER NOT NULL, fallback INTEGER NOT NULL, record TEXT NOT NULL,"
    " PRIMARY KEY(at_us, shard, number, part)) WITHOUT ROWID;";
inline constexpr const char* kDecisionIndexes =
    "CREATE INDEX decision_by_task ON decision(task); CREATE INDEX decision_by_number ON decision(number);";
inline constexpr const char* kAuditTable =
    "CREATE TABLE audit(at_us INTEGER NOT NULL, shard INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,"
    " caller TEXT NOT NULL, author TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL, before TEXT NOT NULL, "
    "after TEXT NOT NULL,"
    " hash TEXT NOT NULL, PRIMARY KEY(at_us, shard, number, part)) WITHOUT ROWID;";
inline constexpr const char* kOtherTables =
    "CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE task(finished_us INTEGER NOT NULL, task BLOB NOT NULL, state INTEGER NOT NULL, type INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, queue INTEGER NOT NULL, worker INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " submitted_us INTEGER NOT NULL, started_us INTEGER NOT NULL, run_us INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, crashes INTEGER NOT NULL, payload_bytes INTEGER NOT NULL,"
    " result_bytes INTEGER NOT NULL, predicted_p50_us INTEGER NOT NULL, predicted_p90_us INTEGER NOT NULL,"
    " eta_finish_p50_us INTEGER NOT NULL, eta_finish_p90_us INTEGER NOT NULL, error TEXT, redrive_of BLOB,"
    " shard INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(finished_us, task)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX task_by_id ON task(task);";

// From version 1: shards, no columns that a join with `task` gives, places of events as keys, no rollups. Copies the
// attempts and the decisions: some seconds and as much disk space as they take, for each million.
inline constexpr const char* kUpgradeFrom1[] = {
    "ALTER TABLE task ADD COLUMN shard INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempt RENAME TO attempt_1; DROP INDEX decision_by_task; ALTER TABLE decision RENAME TO decision_1;"
    "ALTER TABLE audit RENAME TO audit_1; DROP TABLE rollup;",
    kAttemptTable,
    kDecisionTable,
    kAuditTable,
    "INSERT INTO attempt SELECT task, number, 0, attempt, worker, outcome, assigned_us, started_us, ended_us, run_us,"
    " predicted_p50_us, predicted_p90_us, source, peak_memory_bytes, error FROM attempt_1 ORDER BY task, number;"
    "INSERT INTO decision SELECT at_us, 0, number, row_number() OVER (PARTITION BY number ORDER BY task) - 1, task,"
    " type, worker, policy, fallback, record FROM decision_1 ORDER BY number, task;"
    "INSERT INTO audit SELECT at_us, 0, 0, id, '', author, action, reason, before, after, coalesce(hash, '') FROM "
    "audit_1;"
    "DROP TABLE attempt_1; DROP TABLE decision_1; DROP TABLE audit_1;",
    kDecisionIndexes,
};

inline constexpr const char* kSelectTasks =
    "SELECT t.finished_us, t.task, t.state, ty.text, te.text, q.text, w.text, t.priority, t.submitted_us, t.started_us,"
    " t.run_us, t.attempts, t.failures, t.crashes, t.payload_bytes, t.result_bytes, t.predicted_p50_us,"
    " t.predicted_p90_us, t.eta_finish_p50_us, t.eta_finish_p90_us, t.error, t.redrive_of, t.shard FROM task t";
inline constexpr const char* kJoinTaskNames =
    " JOIN name ty ON ty.id = t.type JOIN name te ON te.id = t.tenant JOIN name q ON q.id = t.queue"
    " JOIN name w ON w.id = t.worker ";
inline constexpr const char* kSelectAttempts =
    "SELECT a.task, a.number, a.shard, a.attempt, w.text, a.outcome, a.assigned_us, a.started_us, a.ended_us, a.run_us,"
    " a.predicted_p50_us, a.predicted_p90_us, s.text, a.peak_memory_bytes, a.error"
    " FROM attempt a JOIN name w ON w.id = a.worker JOIN name s ON s.id = a.source ";
inline constexpr const char* kSelectDecisions =
    "SELECT d.at_us, d.shard, d.number, d.part, d.task, ty.text, w.text, p.text, d.fallback, d.record FROM decision d"
    " JOIN name ty ON ty.id = d.type JOIN name w ON w.id = d.worker JOIN name p ON p.id = d.policy ";

// 16 bytes, big-endian.
struct IdBytes {
    char bytes[16];
    operator std::string_view() const { return {bytes, sizeof bytes}; }
};
template <class Tag>
IdBytes id_bytes(Id128<Tag> id) {
    IdBytes out{};
    for (int i = 0; i < 8; ++i) {
        out.bytes[i] = static_cast<char>(id.hi >> (56 - 8 * i));
        out.bytes[8 + i] = static_cast<char>(id.lo >> (56 - 8 * i));
    }
    return out;
}
template <class Id>
Id id_from(std::string_view bytes) {
    Id id;
    if (bytes.size() != 16) return id;
    for (std::size_t i = 0; i < 8; ++i) {
        id.hi = (id.hi << 8) | static_cast<unsigned char>(bytes[i]);
        id.lo = (id.lo << 8) | static_cast<unsigned char>(bytes[8 + i]);
    }
    return id;
}

}  // namespace nexus::history
