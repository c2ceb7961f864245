#pragma once
// The schema of history.db and how rows and columns meet. Task and attempt ids are blobs of 16 bytes, big-endian, so
// that their order is the order of submission; names are stored once and referred to by number.
//
// Most tasks end with their only attempt, and most of what that tells stands in the task's row anyway: such an attempt is
// a few more columns there, and only others have rows of their own. The view `attempt` shows both alike.

#include <string>

#include "history/history_store.h"
#include "sqlite/database.h"

namespace nexus::history {

using sqlite::Access, sqlite::Database, sqlite::Statement, sqlite::Text;

inline constexpr std::int64_t kHistoryApplicationId = 0x4E584844;  // "NXHD"
inline constexpr std::int64_t kHistorySchemaVersion = 3;

inline constexpr const char* kAttemptTable =
    "CREATE TABLE attempt_apart(task BLOB NOT NULL, number INTEGER NOT NULL, shard INTEGER NOT NULL,"
    " attempt BLOB NOT NULL, worker INTEGER NOT NULL, outcome INTEGER NOT NULL, assigned_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, run_us INTEGER NOT NULL,"
    " predicted_p50_us INTEGER NOT NULL, predicted_p90_us INTEGER NOT NULL, source INTEGER NOT NULL,"
    " peak_memory_bytes INTEGER NOT NULL, error TEXT, PRIMARY KEY(task, number)) WITHOUT ROWID;";
inline constexpr const char* kAttemptView =
    "CREATE VIEW attempt(task, number, shard, attempt, worker, outcome, assigned_us, started_us, ended_us, run_us,"
    " predicted_p50_us, predicted_p90_us, source, peak_memory_bytes, error) AS"
    " SELECT task, number, shard, attempt, worker, outcome, assigned_us, started_us, ended_us, run_us,"
    " predicted_p50_us, predicted_p90_us, source, peak_memory_bytes, error FROM attempt_apart"
    " UNION ALL SELECT task, attempts, shard, attempt, worker, outcome, assigned_us, started_us, finished_us, run_us,"
    " attempt_p50_us, attempt_p90_us, source, peak_memory_bytes, error FROM task WHERE attempt IS NOT NULL;";
inline constexpr const char* kDecisionTable =
    "CREATE TABLE decision_block(id INTEGER PRIMARY KEY, first_at_us INTEGER NOT NULL, last_at_us INTEGER NOT NULL,"
    " number_min INTEGER NOT NULL, number_max INTEGER NOT NULL, task_min BLOB NOT NULL, task_max BLOB NOT NULL,"
    " count INTEGER NOT NULL, tasks BLOB NOT NULL, bytes BLOB NOT NULL);"
    "CREATE INDEX decision_block_by_time ON decision_block(last_at_us);"
    "CREATE INDEX decision_block_by_number ON decision_block(number_max, number_min);"
    "CREATE INDEX decision_block_by_task ON decision_block(task_max, task_min);";
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
    " shard INTEGER NOT NULL DEFAULT 0, attempt BLOB, outcome INTEGER, assigned_us INTEGER, attempt_p50_us INTEGER,"
    " attempt_p90_us INTEGER, source INTEGER, peak_memory_bytes INTEGER, PRIMARY KEY(finished_us, task)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX task_by_id ON task(task);";

// From version 1: shards, no columns that a join with `task` gives, places of events as keys, no rollups. Copies the
// attempts and the decisions: some seconds and as much disk space as they take, for each million.
inline constexpr const char* kUpgradeFrom1[] = {
    "ALTER TABLE task ADD COLUMN shard INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempt RENAME TO attempt_1; DROP INDEX decision_by_task; ALTER TABLE decision RENAME TO decision_1;"
    "ALTER TABLE audit RENAME TO audit_1; DROP TABLE rollup;",
    kAttemptTable,
    kAuditTable,
    "INSERT INTO attempt_apart SELECT task, number, 0, attempt, worker, outcome, assigned_us, started_us, ended_us,"
    " run_us, predicted_p50_us, predicted_p90_us, source, peak_memory_bytes, error FROM attempt_1 ORDER BY task, "
    "number;"
    "CREATE TEMP VIEW decision_before AS SELECT at_us, 0 AS shard, number,"
    " row_number() OVER (PARTITION BY number ORDER BY task) - 1 AS part, task, type, worker, policy, fallback, record"
    " FROM decision_1;"
    "INSERT INTO audit SELECT at_us, 0, 0, id, '', author, action, reason, before, after, coalesce(hash, '') FROM "
    "audit_1;"
    "DROP TABLE attempt_1; DROP TABLE audit_1;",
};
// From version 2: attempts that stand in the rows of their tasks, decisions in blocks. Copies the decisions.
inline constexpr const char* kUpgradeFrom2[] = {
    "ALTER TABLE attempt RENAME TO attempt_apart; DROP INDEX decision_by_task; DROP INDEX decision_by_number;"
    "ALTER TABLE decision RENAME TO decision_1;"
    "CREATE TEMP VIEW decision_before AS SELECT * FROM decision_1;",
};
// From either; then the decisions are copied from the view into blocks, in the order in which they lie, and the last step
// follows.
inline constexpr const char* kUpgradeToBlocks[] = {
    "ALTER TABLE task ADD COLUMN attempt BLOB; ALTER TABLE task ADD COLUMN outcome INTEGER;"
    "ALTER TABLE task ADD COLUMN assigned_us INTEGER; ALTER TABLE task ADD COLUMN attempt_p50_us INTEGER;"
    "ALTER TABLE task ADD COLUMN attempt_p90_us INTEGER; ALTER TABLE task ADD COLUMN source INTEGER;"
    "ALTER TABLE task ADD COLUMN peak_memory_bytes INTEGER;",
    kAttemptView,
    kDecisionTable,
};
inline constexpr const char* kSelectDecisionsBefore =
    "SELECT d.at_us, d.shard, d.number, d.part, d.task, ty.text, w.text, p.text, d.fallback, d.record"
    " FROM decision_before d CROSS JOIN name ty ON ty.id = d.type CROSS JOIN name w ON w.id = d.worker"
    " CROSS JOIN name p ON p.id = d.policy";
inline constexpr const char* kUpgradeEnd = "DROP VIEW decision_before; DROP TABLE decision_1; PRAGMA user_version=3;";

inline constexpr const char* kSelectTasks =
    "SELECT t.finished_us, t.task, t.state, ty.text, te.text, q.text, w.text, t.priority, t.submitted_us, t.started_us,"
    " t.run_us, t.attempts, t.failures, t.crashes, t.payload_bytes, t.result_bytes, t.predicted_p50_us,"
    " t.predicted_p90_us, t.eta_finish_p50_us, t.eta_finish_p90_us, t.error, t.redrive_of, t.shard FROM task t";
inline constexpr const char* kJoinTaskNames =
    " JOIN name ty ON ty.id = t.type JOIN name te ON te.id = t.tenant JOIN name q ON q.id = t.queue"
    " JOIN name w ON w.id = t.worker ";
// Those of task ?1 by number; what stands in both places comes twice, one after the other.
inline constexpr const char* kSelectAttempts =
    "SELECT a.task, a.number AS number, a.shard, a.attempt, w.text, a.outcome, a.assigned_us, a.started_us, a.ended_us,"
    " a.run_us, a.predicted_p50_us, a.predicted_p90_us, s.text, a.peak_memory_bytes, a.error"
    " FROM attempt_apart a JOIN name w ON w.id = a.worker JOIN name s ON s.id = a.source WHERE a.task = ?1"
    " UNION ALL SELECT t.task, t.attempts, t.shard, t.attempt, w.text, t.outcome, t.assigned_us, t.started_us,"
    " t.finished_us, t.run_us, t.attempt_p50_us, t.attempt_p90_us, s.text, t.peak_memory_bytes, t.error"
    " FROM task t JOIN name w ON w.id = t.worker JOIN name s ON s.id = t.source"
    " WHERE t.task = ?1 AND t.attempt IS NOT NULL ORDER BY number";

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
