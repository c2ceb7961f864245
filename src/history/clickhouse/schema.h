#pragma once
// The tables in ClickHouse. One schema for servers from 18.16 on: no TTL, codecs, DateTime64 (but in scheduler_decisions,
// where the server knows it) or LowCardinality. Times are microseconds since 1970 in *_us, and beside them a DateTime for
// people and partitions. Ids are text, so that they sort as they were made.
//
// Rows that are written again are dropped when ClickHouse merges parts: of equal keys the one with the largest
// `precedence` stays, which is the one that was written first. Until then whoever reads takes that one.

namespace nexus::history {

inline constexpr unsigned kClickHouseSchemaVersion = 1;

inline constexpr const char* kSchemaTable =
    "CREATE TABLE IF NOT EXISTS nexus_schema (version UInt32, made DateTime DEFAULT now())"
    " ENGINE = MergeTree() PARTITION BY tuple() ORDER BY version";

inline constexpr const char* kTables[] = {
    "CREATE TABLE IF NOT EXISTS tasks ("
    "finished_us Int64, task String,"
    " state Enum8('succeeded' = 4, 'dead' = 5, 'cancelled' = 6, 'expired' = 7),"
    " type String, tenant String, queue String, worker String, priority UInt8,"
    " submitted_us Int64, started_us Int64, run_us Int64, attempts UInt32, failures UInt32, crashes UInt32,"
    " payload_bytes UInt64, result_bytes UInt64, predicted_p50_us Int64, predicted_p90_us Int64,"
    " eta_finish_p50_us Int64, eta_finish_p90_us Int64, error String, redrive_of String, shard UInt32,"
    " precedence UInt64,"
    " finished DateTime('UTC') DEFAULT toDateTime(intDiv(finished_us, 1000000)),"
    " submitted DateTime('UTC') DEFAULT toDateTime(intDiv(submitted_us, 1000000))"
    ") ENGINE = ReplacingMergeTree(precedence) PARTITION BY toYYYYMMDD(finished) ORDER BY (finished, task)",

    "CREATE TABLE IF NOT EXISTS task_place (task String, finished_us Int64, finished DateTime('UTC'))"
    " ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMMDD(finished) ORDER BY task",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS task_place_fill TO task_place AS"
    " SELECT task, finished_us, toDateTime(intDiv(finished_us, 1000000)) AS finished FROM tasks",

    "CREATE TABLE IF NOT EXISTS attempts ("
    "ended_us Int64, task String, number UInt32, shard UInt32, attempt String, worker String,"
    " outcome Enum8('succeeded' = 1, 'failed' = 2, 'timed_out' = 3, 'cancelled' = 4, 'out_of_memory' = 5,"
    " 'rejected' = 6, 'worker_lost' = 7, 'preempted' = 8, 'superseded' = 9, 'recalled' = 10),"
    " assigned_us Int64, started_us Int64, run_us Int64, predicted_p50_us Int64, predicted_p90_us Int64,"
    " source String, peak_memory_bytes UInt64, error String, precedence UInt64,"
    " ended DateTime('UTC') DEFAULT toDateTime(intDiv(ended_us, 1000000))"
    ") ENGINE = ReplacingMergeTree(precedence) PARTITION BY toYYYYMMDD(ended) ORDER BY (task, number)",

    "CREATE TABLE IF NOT EXISTS audit ("
    "at_us Int64, shard UInt32, number UInt64, part UInt32, caller String, author String, action String,"
    " reason String, before String, after String, hash String, precedence UInt64,"
    " at DateTime('UTC') DEFAULT toDateTime(intDiv(at_us, 1000000))"
    ") ENGINE = ReplacingMergeTree(precedence) PARTITION BY toYYYYMM(at) ORDER BY (at_us, shard, number, part)",

    "CREATE TABLE IF NOT EXISTS rollups ("
    "minute DateTime('UTC'), type String, finished UInt64, succeeded UInt64, within_25 UInt64, within_p90 UInt64,"
    " told UInt64, by_p90_told UInt64, run_us Int64, wait_us Int64, made UInt64"
    ") ENGINE = ReplacingMergeTree(made) PARTITION BY toYYYYMMDD(minute) ORDER BY (minute, type)",

    "CREATE TABLE IF NOT EXISTS worker_rollups ("
    "minute DateTime('UTC'), worker String, attempts UInt64, succeeded UInt64, lost UInt64, run_us Int64,"
    " predicted_us Int64, peak_memory_bytes UInt64, made UInt64"
    ") ENGINE = ReplacingMergeTree(made) PARTITION BY toYYYYMMDD(minute) ORDER BY (minute, worker)",
};

// The columns of the old Nexus, but for `timestamp`, whose type and default the server's release decides.
inline constexpr const char* kOldDecisionColumns =
    "task_id String, task_type String, worker_id String, predicted_duration_ms UInt32, predicted_wait_ms UInt32,"
    " score Float32, reasoning String, fallback_used UInt8";
struct ClickHouseColumn {
    const char *name, *type;
};
inline constexpr ClickHouseColumn kNewDecisionColumns[] = {
    {"at_us", "Int64"},          {"shard", "UInt32"},   {"number", "UInt64"},
    {"part", "UInt32"},          {"policy", "String"},  {"reason", "String"},
    {"eligible_free", "UInt32"}, {"waiting", "UInt64"}, {"record", "String"},
};
inline constexpr const char* kDecisionsEngine =
    " ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMMDD(timestamp)"
    " ORDER BY (timestamp, task_id, shard, number, part)";

// The columns as they are written and read, in this order.
inline constexpr const char* kTaskColumns =
    "finished_us, task, state, type, tenant, queue, worker, priority, submitted_us, started_us, run_us, attempts,"
    " failures, crashes, payload_bytes, result_bytes, predicted_p50_us, predicted_p90_us, eta_finish_p50_us,"
    " eta_finish_p90_us, error, redrive_of, shard";
inline constexpr const char* kAttemptColumns =
    "ended_us, task, number, shard, attempt, worker, outcome, assigned_us, started_us, run_us, predicted_p50_us,"
    " predicted_p90_us, source, peak_memory_bytes, error";
inline constexpr const char* kDecisionColumns =
    "at_us, shard, number, part, task_id, task_type, worker_id, policy, fallback_used, record";
inline constexpr const char* kDecisionExtraColumns =  // written only: what the record says, for people
    "predicted_duration_ms, predicted_wait_ms, score, reasoning, reason, eligible_free, waiting";
inline constexpr const char* kAuditColumns =
    "at_us, shard, number, part, caller, author, action, reason, before, after, hash";

}  // namespace nexus::history
