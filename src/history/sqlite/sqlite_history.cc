// Writing and expiring history.db. Reading is in history_query.cc.
#include "history/sqlite/sqlite_history.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "history/sqlite/history_schema.h"

namespace nexus::history {
namespace {

constexpr std::size_t kNameIdsMax = 100'000;
// Rows deleted per transaction: about 30 ms, so that writers and readers get their turn.
constexpr std::int64_t kRowsPerSlice = 10'000;

}  // namespace

SqliteHistory::~SqliteHistory() = default;

Result<std::unique_ptr<SqliteHistory>> SqliteHistory::open(SqliteHistoryOptions options) {
    std::unique_ptr<SqliteHistory> history(new SqliteHistory(std::move(options)));
    if (auto ok = history->start(); !ok)
        return std::unexpected(std::move(ok).error().during("history " + history->options_.path));
    return history;
}

Result<void> SqliteHistory::start() {
    auto ok = open_writer();
    if (ok || ok.error().fault != Fault::corrupt) return ok;
    writer_ = {};
    put_aside_ = options_.path + ".unreadable-" +
                 std::to_string(std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1));
    for (const char* suffix : {"", "-wal", "-shm"}) {
        const std::string from = options_.path + suffix;
        if (::access(from.c_str(), F_OK) == 0) std::rename(from.c_str(), (put_aside_ + suffix).c_str());
    }
    return open_writer();
}

Result<void> SqliteHistory::open_writer() {
    if (auto ok = sqlite::make_private_file(options_.path); !ok) return ok;
    auto db = Database::open(options_.path, Access::write);
    if (!db) return std::unexpected(std::move(db).error());
    writer_ = *std::move(db);
    if (auto ok = writer_.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864;"
                              "PRAGMA cache_size=-16000");
        !ok)
        return ok;
    const auto application = writer_.integer("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    const auto version = writer_.integer("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    const auto tables = writer_.integer("SELECT count(*) FROM sqlite_schema");
    if (!tables) return std::unexpected(tables.error());
    if (*application == 0 && *version == 0 && *tables == 0) {
        if (auto ok = create(); !ok) return ok;
    } else if (*application != kHistoryApplicationId) {
        return fail(Fault::invalid,
                    "this database is not a history (application id " + std::to_string(*application) + ")");
    } else if (*version > kHistorySchemaVersion) {
        return fail(Fault::unsupported, "schema version " + std::to_string(*version) + ", this release knows up to " +
                                            std::to_string(kHistorySchemaVersion));
    } else if (*version == 1) {
        if (auto ok = upgrade_from_1(); !ok) return std::unexpected(std::move(ok).error().during("upgrading"));
    }
    const std::pair<Statement*, std::string> statements[] = {
        {&insert_task_,
         "INSERT OR IGNORE INTO task VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&insert_attempt_, "INSERT OR IGNORE INTO attempt VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&insert_decision_, "INSERT OR IGNORE INTO decision VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&insert_audit_, "INSERT OR IGNORE INTO audit VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&insert_name_, "INSERT OR IGNORE INTO name(text) VALUES(?)"},
        {&select_name_, "SELECT id FROM name WHERE text = ?"},
    };
    for (const auto& [statement, sql] : statements) {
        auto prepared = writer_.prepare(sql.c_str());
        if (!prepared) return std::unexpected(std::move(prepared).error());
        *statement = *std::move(prepared);
    }
    return {};
}

Result<void> SqliteHistory::create() {
    // Takes effect before the first table only: expire() can make the file smaller.
    if (auto ok = writer_.run("PRAGMA auto_vacuum=INCREMENTAL; VACUUM"); !ok) return ok;
    return in_transaction([&]() -> Result<void> {
        for (const char* sql : {kOtherTables, kAttemptTable, kDecisionTable, kDecisionIndexes, kAuditTable})
            if (auto ok = writer_.run(sql); !ok) return ok;
        const std::string stamp = "PRAGMA application_id=" + std::to_string(kHistoryApplicationId) +
                                  ";PRAGMA user_version=" + std::to_string(kHistorySchemaVersion);
        return writer_.run(stamp.c_str());
    });
}

Result<void> SqliteHistory::upgrade_from_1() {
    return in_transaction([&]() -> Result<void> {
        for (const char* sql : kUpgradeFrom1)
            if (auto ok = writer_.run(sql); !ok) return ok;
        return writer_.run("PRAGMA user_version=2");
    });
}

Result<void> SqliteHistory::in_transaction(const std::function<Result<void>()>& changes) {
    if (auto ok = writer_.run("BEGIN IMMEDIATE"); !ok) return ok;
    auto ok = changes();
    if (ok) ok = writer_.run("COMMIT");
    if (!ok) {
        writer_.rollback();
        name_ids_.clear();  // it may hold names that were rolled back
    }
    return ok;
}

// The number of a name, given to it when it is new.
Result<std::int64_t> SqliteHistory::name_id(std::string_view name) {
    const auto known = name_ids_.find(name);
    if (known != name_ids_.end()) return known->second;
    if (name_ids_.size() >= kNameIdsMax) name_ids_.clear();
    if (auto ok = insert_name_.run(Text{name}); !ok) return std::unexpected(std::move(ok).error());
    select_name_.bind(Text{name});
    const auto row = select_name_.step();
    if (!row) return std::unexpected(row.error());
    const std::int64_t id = select_name_.integer(0);
    select_name_.reset();
    name_ids_.emplace(name, id);
    return id;
}

Result<void> SqliteHistory::write(std::span<const HistoryBatch* const> batches) {
    const std::lock_guard lock(writer_mutex_);
    auto ok = in_transaction([&]() -> Result<void> {
        for (const HistoryBatch* batch : batches)
            if (auto one = write_rows(*batch); !one) return one;
        return {};
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("writing history"));
    return ok;
}

Result<void> SqliteHistory::write_rows(const HistoryBatch& batch) {
    for (const TaskRow& row : batch.tasks) {
        const auto type = name_id(row.type), tenant = name_id(row.tenant), queue = name_id(row.queue),
                   worker = name_id(row.worker);
        for (const auto* id : {&type, &tenant, &queue, &worker})
            if (!*id) return std::unexpected(id->error());
        const IdBytes task = id_bytes(row.task), redrive_of = id_bytes(row.redrive_of);
        if (auto ok = insert_task_.run(row.finished, std::string_view(task), row.state, *type, *tenant, *queue, *worker,
                                       row.priority, row.submitted, row.started, row.run, row.attempts, row.failures,
                                       row.crashes, row.payload_bytes, row.result_bytes, row.predicted_p50,
                                       row.predicted_p90, row.eta_finish_p50, row.eta_finish_p90, Text{row.error},
                                       row.redrive_of ? std::string_view(redrive_of) : std::string_view(), row.shard);
            !ok)
            return ok;
    }
    for (const AttemptRow& row : batch.attempts) {
        const auto worker = name_id(row.worker), source = name_id(row.source);
        for (const auto* id : {&worker, &source})
            if (!*id) return std::unexpected(id->error());
        const IdBytes task = id_bytes(row.task), attempt = id_bytes(row.attempt);
        if (auto ok =
                insert_attempt_.run(std::string_view(task), row.number, row.shard, std::string_view(attempt), *worker,
                                    row.outcome, row.assigned, row.started, row.ended, row.run, row.predicted_p50,
                                    row.predicted_p90, *source, row.peak_memory_bytes, Text{row.error});
            !ok)
            return ok;
    }
    for (const DecisionRow& row : batch.decisions) {
        const auto type = name_id(row.type), worker = name_id(row.worker), policy = name_id(row.policy);
        for (const auto* id : {&type, &worker, &policy})
            if (!*id) return std::unexpected(id->error());
        const IdBytes task = id_bytes(row.task);
        const EventPlace& at = row.place;
        if (auto ok = insert_decision_.run(at.at, at.shard, at.number, at.part, std::string_view(task), *type, *worker,
                                           *policy, row.fallback, Text{row.record});
            !ok)
            return ok;
    }
    for (const AuditRow& row : batch.audit) {
        const EventPlace& at = row.place;
        if (auto ok = insert_audit_.run(at.at, at.shard, at.number, at.part, Text{row.caller}, Text{row.author},
                                        Text{row.action}, Text{row.reason}, Text{row.before}, Text{row.after},
                                        Text{row.hash});
            !ok)
            return ok;
    }
    return {};
}

Result<std::uint64_t> SqliteHistory::used_bytes() {
    const std::lock_guard lock(writer_mutex_);
    const auto pages = writer_.integer(
        "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM"
        " pragma_freelist_count)");
    const auto page_bytes = writer_.integer("PRAGMA page_size");
    if (!pages) return std::unexpected(pages.error());
    if (!page_bytes) return std::unexpected(page_bytes.error());
    return static_cast<std::uint64_t>(*pages * *page_bytes);
}

Result<void> SqliteHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    bool smaller = false;
    for (;;) {
        const auto dropped = drop_older(oldest);
        if (!dropped) return std::unexpected(dropped.error());
        if (*dropped == 0) break;
        smaller = true;
    }
    while (bytes_max != 0) {
        const auto bytes = used_bytes();
        if (!bytes) return std::unexpected(bytes.error());
        if (*bytes <= bytes_max) break;
        const auto dropped = drop_oldest();
        if (!dropped) return std::unexpected(dropped.error());
        if (*dropped == 0) break;
        smaller = true;
    }
    if (!smaller) return {};
    // What is free goes back to the file system, of the log as well.
    const std::lock_guard lock(writer_mutex_);
    return writer_.run("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
}

// Runs the statements in one transaction, each with ?1 = `bound`, ?2 = `rows_max`, ?3 = the smallest task id of the
// time `bound`; answers how many rows went.
Result<std::int64_t> SqliteHistory::drop_rows(std::span<const char* const> statements, std::int64_t bound,
                                              std::int64_t rows_max) {
    const std::lock_guard lock(writer_mutex_);
    const IdBytes id_floor =
        id_bytes(TaskId{.hi = static_cast<std::uint64_t>(std::max<std::int64_t>(bound, 0) / 1000) << 16});
    std::int64_t dropped = 0;
    auto ok = in_transaction([&]() -> Result<void> {
        for (const char* sql : statements) {
            auto statement = writer_.prepare(sql);
            if (!statement) return std::unexpected(std::move(statement).error());
            if (auto done = statement->run(bound, rows_max, std::string_view(id_floor)); !done) return done;
            dropped += writer_.changes();
        }
        return {};
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("expiring history"));
    return dropped;
}

Result<std::int64_t> SqliteHistory::drop_older(WallTime oldest) {
    static constexpr const char* kSteps[] = {
        "DELETE FROM attempt WHERE task IN"
        " (SELECT task FROM task WHERE finished_us < ?1 ORDER BY finished_us, task LIMIT ?2)",
        "DELETE FROM task WHERE (finished_us, task) IN"
        " (SELECT finished_us, task FROM task WHERE finished_us < ?1 ORDER BY finished_us, task LIMIT ?2)",
        "DELETE FROM decision WHERE (at_us, shard, number, part) IN (SELECT at_us, shard, number, part FROM decision"
        " WHERE at_us < ?1 ORDER BY at_us, shard, number, part LIMIT ?2)",
    };
    const auto dropped = drop_rows(kSteps, oldest.us, kRowsPerSlice);
    if (!dropped || *dropped != 0) return dropped;
    // Attempts whose task's row never came (history may drop rows): judged by the time in the task's id.
    static constexpr const char* kOrphans[] = {
        "DELETE FROM attempt WHERE (task, number) IN (SELECT a.task, a.number FROM attempt a"
        " WHERE a.task < ?3"
        " AND NOT EXISTS (SELECT 1 FROM task t WHERE t.task = a.task) ORDER BY a.task LIMIT ?2)",
    };
    return drop_rows(kOrphans, oldest.us, kRowsPerSlice);
}

Result<std::int64_t> SqliteHistory::drop_oldest() {
    static constexpr const char* kTasks[] = {
        "DELETE FROM attempt WHERE ?1 = 0 AND task IN (SELECT task FROM task ORDER BY finished_us, task LIMIT ?2)",
        "DELETE FROM task WHERE (finished_us, task) IN"
        " (SELECT finished_us, task FROM task WHERE ?1 = 0 ORDER BY finished_us, task LIMIT ?2)",
    };
    static constexpr const char* kDecisions[] = {
        "DELETE FROM decision WHERE (at_us, shard, number, part) IN (SELECT at_us, shard, number, part FROM decision"
        " WHERE ?1 = 0 ORDER BY at_us, shard, number, part LIMIT ?2)",
    };
    std::int64_t decision_is_older = 0;
    {
        const std::lock_guard lock(writer_mutex_);
        const auto older = writer_.integer(
            "SELECT coalesce((SELECT min(at_us) FROM decision), 9e18) <"
            " coalesce((SELECT min(finished_us) FROM task), 9e18)");
        if (!older) return std::unexpected(older.error());
        decision_is_older = *older;
    }
    const std::int64_t rows_max = kRowsPerSlice / 10;  // finer, so as not to drop much more than is asked for
    if (decision_is_older != 0) return drop_rows(kDecisions, 0, rows_max);
    return drop_rows(kTasks, 0, rows_max);
}

}  // namespace nexus::history
