#pragma once
// The schema of history.db and how rows and columns meet. Task and attempt ids are blobs of 16 bytes, big-endian, so
// that their order is the order of submission; names are stored once and referred to by number.

#include <string>

#include "history/history_store.h"
#include "sqlite/database.h"

namespace nexus::history {

using sqlite::Access, sqlite::Database, sqlite::Statement, sqlite::Text;

inline constexpr std::int64_t kHistoryApplicationId = 0x4E584844;  // "NXHD"
inline constexpr std::int64_t kHistorySchemaVersion = 1;

inline constexpr const char* kHistorySchema =
    "CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE task(finished_us INTEGER NOT NULL, task BLOB NOT NULL, state INTEGER NOT NULL, type INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, queue INTEGER NOT NULL, worker INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " submitted_us INTEGER NOT NULL, started_us INTEGER NOT NULL, run_us INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, crashes INTEGER NOT NULL, payload_bytes INTEGER NOT NULL, result_bytes INTEGER NOT "
    "NULL,"
    " predicted_p50_us INTEGER NOT NULL, predicted_p90_us INTEGER NOT NULL, eta_finish_p50_us INTEGER NOT NULL,"
    " eta_finish_p90_us INTEGER NOT NULL, error TEXT, redrive_of BLOB, PRIMARY KEY(finished_us, task)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX task_by_id ON task(task);"
    "CREATE TABLE attempt(task BLOB NOT NULL, number INTEGER NOT NULL, attempt BLOB NOT NULL, type INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, worker INTEGER NOT NULL, outcome INTEGER NOT NULL, assigned_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, run_us INTEGER NOT NULL, predicted_p50_us INTEGER NOT "
    "NULL,"
    " predicted_p90_us INTEGER NOT NULL, source INTEGER NOT NULL, payload_bytes INTEGER NOT NULL,"
    " peak_memory_bytes INTEGER NOT NULL, error TEXT, PRIMARY KEY(task, number)) WITHOUT ROWID;"
    "CREATE TABLE decision(number INTEGER NOT NULL, task BLOB NOT NULL, at_us INTEGER NOT NULL, type INTEGER NOT NULL,"
    " worker INTEGER NOT NULL, policy INTEGER NOT NULL, fallback INTEGER NOT NULL, predicted_us INTEGER NOT NULL,"
    " record TEXT NOT NULL, PRIMARY KEY(number, task)) WITHOUT ROWID;"
    "CREATE INDEX decision_by_task ON decision(task);"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, author TEXT NOT NULL, action TEXT NOT NULL,"
    " reason TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, hash TEXT UNIQUE);"
    "CREATE TABLE rollup(minute INTEGER NOT NULL, type INTEGER NOT NULL, finished INTEGER NOT NULL,"
    " succeeded INTEGER NOT NULL, within_25 INTEGER NOT NULL, within_p90 INTEGER NOT NULL, run_us INTEGER NOT NULL,"
    " wait_us INTEGER NOT NULL, PRIMARY KEY(minute, type)) WITHOUT ROWID;";

inline constexpr const char* kSelectTasks =
    "SELECT t.finished_us, t.task, t.state, ty.text, te.text, q.text, w.text, t.priority, t.submitted_us, t.started_us,"
    " t.run_us, t.attempts, t.failures, t.crashes, t.payload_bytes, t.result_bytes, t.predicted_p50_us,"
    " t.predicted_p90_us, t.eta_finish_p50_us, t.eta_finish_p90_us, t.error, t.redrive_of FROM task t"
    " JOIN name ty ON ty.id = t.type JOIN name te ON te.id = t.tenant JOIN name q ON q.id = t.queue"
    " JOIN name w ON w.id = t.worker ";
inline constexpr const char* kSelectAttempts =
    "SELECT a.task, a.number, a.attempt, ty.text, te.text, w.text, a.outcome, a.assigned_us, a.started_us, a.ended_us,"
    " a.run_us, a.predicted_p50_us, a.predicted_p90_us, s.text, a.payload_bytes, a.peak_memory_bytes, a.error"
    " FROM attempt a JOIN name ty ON ty.id = a.type JOIN name te ON te.id = a.tenant JOIN name w ON w.id = a.worker"
    " JOIN name s ON s.id = a.source ";
inline constexpr const char* kSelectDecisions =
    "SELECT d.number, d.task, d.at_us, ty.text, w.text, p.text, d.fallback, d.predicted_us, d.record FROM decision d"
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

TaskRow task_row(const Statement& row);          // a row of kSelectTasks
AttemptRow attempt_row(const Statement& row);    // of kSelectAttempts
DecisionRow decision_row(const Statement& row);  // of kSelectDecisions

}  // namespace nexus::history
