// Writing and expiring history.db. Reading is in history_query.cc.
#include "history/sqlite/sqlite_history.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "history/sqlite/decision_block.h"
#include "history/sqlite/history_schema.h"

namespace nexus::history {
namespace {

constexpr std::size_t kNameIdsMax = 100'000;
// Rows deleted per transaction: about 30 ms, so that writers and readers get their turn.
constexpr std::int64_t kRowsPerSlice = 10'000;
// The newest block is written again with more decisions until it has so many: with one task a second, too, there are few
// blocks.
constexpr std::size_t kBlockRowsFew = 64;
// Of new files. Rows are added at the end, so larger pages than SQLite's 4 KiB halve the calls that write them.
constexpr int kPageBytes = 8192;

// The attempt with which the task ended, when the task's row tells all that is not in the columns for it.
bool tells(const TaskRow& task, const AttemptRow& attempt) {
    return attempt.task == task.task && attempt.number == task.attempts && attempt.attempt &&
           attempt.shard == task.shard && attempt.worker == task.worker && attempt.started == task.started &&
           attempt.ended == task.finished && attempt.run == task.run && attempt.error == task.error;
}

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
                              "PRAGMA cache_size=-16000; PRAGMA wal_autocheckpoint=2000");
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
    } else if (*version < kHistorySchemaVersion) {
        if (auto ok = upgrade(*version); !ok) return std::unexpected(std::move(ok).error().during("upgrading"));
    }
    return prepare_statements();
}

Result<std::unique_ptr<SqliteHistory>> SqliteHistory::open_to_read(SqliteHistoryOptions options) {
    auto db = Database::open(options.path, Access::read);
    if (!db) return std::unexpected(std::move(db).error().during("history"));
    const auto application = db->integer("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    const auto version = db->integer("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    if (*application != kHistoryApplicationId || *version != kHistorySchemaVersion)
        return fail(Fault::unsupported, options.path + ": not a history of this release");
    return std::unique_ptr<SqliteHistory>(new SqliteHistory(std::move(options)));
}

Result<void> SqliteHistory::prepare_statements() {
    const std::pair<Statement*, std::string> statements[] = {
        {&insert_task_,
         "INSERT OR IGNORE INTO task VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
         "?, ?, ?, ?, ?)"},
        {&insert_attempt_, "INSERT OR IGNORE INTO attempt_apart VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&put_block_, "INSERT OR REPLACE INTO decision_block VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&select_blocks_, "SELECT bytes FROM decision_block WHERE last_at_us >= ?1 AND first_at_us <= ?2"},
        {&newest_block_, "SELECT id, count, bytes FROM decision_block ORDER BY id DESC LIMIT 1"},
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
    const std::string shape =
        "PRAGMA page_size=" + std::to_string(kPageBytes) + "; PRAGMA auto_vacuum=INCREMENTAL; VACUUM";
    if (auto ok = writer_.run(shape.c_str()); !ok) return ok;
    return in_transaction([&]() -> Result<void> {
        for (const char* sql : {kOtherTables, kAttemptTable, kAttemptView, kDecisionTable, kAuditTable})
            if (auto ok = writer_.run(sql); !ok) return ok;
        const std::string stamp = "PRAGMA application_id=" + std::to_string(kHistoryApplicationId) +
                                  ";PRAGMA user_version=" + std::to_string(kHistorySchemaVersion);
        return writer_.run(stamp.c_str());
    });
}

Result<void> SqliteHistory::upgrade(std::int64_t from) {
    return in_transaction([&]() -> Result<void> {
        const auto first = from == 1 ? std::span<const char* const>(kUpgradeFrom1) : kUpgradeFrom2;
        for (const auto steps : {first, std::span<const char* const>(kUpgradeToBlocks)})
            for (const char* sql : steps)
                if (auto ok = writer_.run(sql); !ok) return ok;
        if (auto ok = prepare_statements(); !ok) return ok;
        if (auto ok = copy_decisions(); !ok) return ok;
        return writer_.run(kUpgradeEnd);
    });
}

Result<void> SqliteHistory::copy_decisions() {
    auto before = writer_.prepare(kSelectDecisionsBefore);
    if (!before) return std::unexpected(std::move(before).error());
    std::vector<DecisionRow> rows;
    for (std::int64_t id = 1;; ++id) {
        rows.clear();
        while (rows.size() < kBlockRowsMax) {
            const auto row = before->step();
            if (!row) return std::unexpected(row.error());
            if (!*row) break;
            rows.push_back({.place = {.at = {before->integer(0)},
                                      .shard = static_cast<std::uint32_t>(before->integer(1)),
                                      .number = static_cast<std::uint64_t>(before->integer(2)),
                                      .part = static_cast<std::uint32_t>(before->integer(3))},
                            .task = id_from<TaskId>(before->bytes(4)),
                            .type = std::string(before->bytes(5)),
                            .worker = std::string(before->bytes(6)),
                            .policy = std::string(before->bytes(7)),
                            .fallback = before->integer(8) != 0,
                            .record = std::string(before->bytes(9))});
        }
        if (rows.empty()) return {};
        std::vector<const DecisionRow*> some;
        for (const DecisionRow& row : rows) some.push_back(&row);
        if (auto ok = put_block(id, some); !ok) return ok;
        if (rows.size() < kBlockRowsMax) return {};
    }
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

Result<std::int64_t> SqliteHistory::name_id(LastName& last, std::string_view name) {
    if (last.id != 0 && last.name == name) return last.id;
    const auto id = name_id(name);
    if (id) last = {.name = std::string(name), .id = *id};
    return id;
}

Result<void> SqliteHistory::write(std::span<const HistoryBatch* const> batches) {
    const std::lock_guard lock(writer_mutex_);
    auto ok = in_transaction([&]() -> Result<void> {
        std::vector<const DecisionRow*> decisions;
        for (const HistoryBatch* batch : batches) {
            if (auto done = write_tasks(*batch); !done) return done;
            for (const AuditRow& row : batch->audit)
                if (auto done = write_audit(row); !done) return done;
            for (const DecisionRow& row : batch->decisions) decisions.push_back(&row);
        }
        return write_decisions(std::move(decisions));
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("writing history"));
    return ok;
}

// Tasks and attempts come in the order in which they ended, so an attempt that ended its task is the next one.
Result<void> SqliteHistory::write_tasks(const HistoryBatch& batch) {
    auto next = batch.attempts.begin();
    for (const TaskRow& row : batch.tasks) {
        for (; next != batch.attempts.end() && next->task != row.task && next->ended <= row.finished; ++next)
            if (auto ok = write_attempt(*next); !ok) return ok;
        const bool told = next != batch.attempts.end() && tells(row, *next);
        const auto type = name_id(last_type_, row.type), tenant = name_id(last_tenant_, row.tenant),
                   queue = name_id(last_queue_, row.queue), worker = name_id(last_worker_, row.worker);
        for (const auto* id : {&type, &tenant, &queue, &worker})
            if (!*id) return std::unexpected(id->error());
        const IdBytes task = id_bytes(row.task), redrive_of = id_bytes(row.redrive_of);
        insert_task_.bind(row.finished, std::string_view(task), row.state, *type, *tenant, *queue, *worker,
                          row.priority, row.submitted, row.started, row.run, row.attempts, row.failures, row.crashes,
                          row.payload_bytes, row.result_bytes, row.predicted_p50, row.predicted_p90, row.eta_finish_p50,
                          row.eta_finish_p90, Text{row.error},
                          row.redrive_of ? std::string_view(redrive_of) : std::string_view(), row.shard);
        constexpr int kOfAttempt = 24;
        IdBytes attempt{};
        if (told) {
            const auto source = name_id(last_source_, next->source);
            if (!source) return std::unexpected(source.error());
            attempt = id_bytes(next->attempt);
            insert_task_.bind_from(kOfAttempt, std::string_view(attempt), next->outcome, next->assigned,
                                   next->predicted_p50, next->predicted_p90, *source, next->peak_memory_bytes);
            ++next;
        } else {
            insert_task_.bind_from(kOfAttempt, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
        }
        if (auto ok = insert_task_.run_bound(); !ok) return ok;
    }
    for (; next != batch.attempts.end(); ++next)
        if (auto ok = write_attempt(*next); !ok) return ok;
    return {};
}

Result<void> SqliteHistory::write_attempt(const AttemptRow& row) {
    const auto worker = name_id(last_worker_, row.worker), source = name_id(last_source_, row.source);
    for (const auto* id : {&worker, &source})
        if (!*id) return std::unexpected(id->error());
    const IdBytes task = id_bytes(row.task), attempt = id_bytes(row.attempt);
    return insert_attempt_.run(std::string_view(task), row.number, row.shard, std::string_view(attempt), *worker,
                               row.outcome, row.assigned, row.started, row.ended, row.run, row.predicted_p50,
                               row.predicted_p90, *source, row.peak_memory_bytes, Text{row.error});
}

Result<void> SqliteHistory::write_audit(const AuditRow& row) {
    const EventPlace& at = row.place;
    return insert_audit_.run(at.at, at.shard, at.number, at.part, Text{row.caller}, Text{row.author}, Text{row.action},
                             Text{row.reason}, Text{row.before}, Text{row.after}, Text{row.hash});
}

Result<void> SqliteHistory::write_decisions(std::vector<const DecisionRow*> rows) {
    if (rows.empty()) return {};
    const auto by_place = [](const DecisionRow* row) { return row->place; };
    std::ranges::stable_sort(rows, {}, by_place);
    const auto same = std::ranges::unique(rows, {}, by_place);
    rows.erase(same.begin(), same.end());
    // Those that are there already, in whichever blocks.
    std::vector<EventPlace> known;
    select_blocks_.bind(rows.front()->place.at, rows.back()->place.at);
    for (;;) {
        const auto row = select_blocks_.step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        auto stored = rows_of_block(select_blocks_.bytes(0));
        if (!stored) return std::unexpected(std::move(stored).error());
        for (const DecisionRow& decision : *stored) known.push_back(decision.place);
    }
    select_blocks_.reset();
    std::ranges::sort(known);
    std::erase_if(rows, [&](const DecisionRow* row) { return std::ranges::binary_search(known, row->place); });
    if (rows.empty()) return {};

    // The newest block is filled up first.
    std::int64_t id = 1;
    std::vector<DecisionRow> newest;
    const auto found = newest_block_.step();
    if (!found) return std::unexpected(found.error());
    if (*found) {
        id = newest_block_.integer(0) + 1;
        if (newest_block_.integer(1) < static_cast<std::int64_t>(kBlockRowsFew)) {
            auto stored = rows_of_block(newest_block_.bytes(2));
            if (!stored) return std::unexpected(std::move(stored).error());
            newest = *std::move(stored);
            --id;
        }
    }
    newest_block_.reset();
    std::vector<const DecisionRow*> all;
    for (const DecisionRow& row : newest) all.push_back(&row);
    all.insert(all.end(), rows.begin(), rows.end());
    std::ranges::stable_sort(all, {}, by_place);
    for (std::span<const DecisionRow* const> left(all); !left.empty(); ++id) {
        const auto some = left.first(std::min(left.size(), kBlockRowsMax));
        if (auto ok = put_block(id, some); !ok) return ok;
        left = left.subspan(some.size());
    }
    return {};
}

Result<void> SqliteHistory::put_block(std::int64_t id, std::span<const DecisionRow* const> rows) {
    const DecisionBlock block = make_block(rows);
    const IdBytes task_min = id_bytes(block.task_min), task_max = id_bytes(block.task_max);
    return put_block_.run(id, block.first_at, block.last_at, block.number_min, block.number_max,
                          std::string_view(task_min), std::string_view(task_max),
                          static_cast<std::uint64_t>(block.rows), block.tasks, block.bytes);
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
        "DELETE FROM attempt_apart WHERE task IN"
        " (SELECT task FROM task WHERE finished_us < ?1 ORDER BY finished_us, task LIMIT ?2)",
        "DELETE FROM task WHERE (finished_us, task) IN"
        " (SELECT finished_us, task FROM task WHERE finished_us < ?1 ORDER BY finished_us, task LIMIT ?2)",
    };
    auto dropped = drop_rows(kSteps, oldest.us, kRowsPerSlice);
    if (!dropped || *dropped != 0) return dropped;
    dropped = drop_decisions(oldest.us, kRowsPerSlice);
    if (!dropped || *dropped != 0) return dropped;
    // Attempts whose task's row never came (history may drop rows): judged by the time in the task's id.
    static constexpr const char* kOrphans[] = {
        "DELETE FROM attempt_apart WHERE (task, number) IN (SELECT a.task, a.number FROM attempt_apart a"
        " WHERE a.task < ?3"
        " AND NOT EXISTS (SELECT 1 FROM task t WHERE t.task = a.task) ORDER BY a.task LIMIT ?2)",
    };
    return drop_rows(kOrphans, oldest.us, kRowsPerSlice);
}

// Those that were made before, at most about so many: whole blocks, and a part of the block that the moment falls into.
Result<std::int64_t> SqliteHistory::drop_decisions(std::int64_t before_us, std::int64_t rows_max) {
    const std::lock_guard lock(writer_mutex_);
    std::int64_t dropped = 0;
    auto ok = in_transaction([&]() -> Result<void> {
        auto oldest = writer_.prepare(
            "SELECT id, last_at_us, count, bytes FROM decision_block WHERE first_at_us < ?1 ORDER BY last_at_us");
        if (!oldest) return std::unexpected(std::move(oldest).error());
        auto drop = writer_.prepare("DELETE FROM decision_block WHERE id = ?1");
        if (!drop) return std::unexpected(std::move(drop).error());
        std::vector<std::int64_t> whole;
        std::vector<std::pair<std::int64_t, std::vector<DecisionRow>>> partly;
        oldest->bind(before_us);
        while (dropped < rows_max) {
            const auto row = oldest->step();
            if (!row) return std::unexpected(row.error());
            if (!*row) break;
            const std::int64_t id = oldest->integer(0);
            if (oldest->integer(1) < before_us) {
                whole.push_back(id);
                dropped += oldest->integer(2);
                continue;
            }
            auto rows = rows_of_block(oldest->bytes(3));
            if (!rows) return std::unexpected(std::move(rows).error());
            dropped += static_cast<std::int64_t>(
                std::erase_if(*rows, [&](const DecisionRow& decision) { return decision.place.at.us < before_us; }));
            partly.emplace_back(id, *std::move(rows));
        }
        oldest->reset();
        for (const std::int64_t id : whole)
            if (auto done = drop->run(id); !done) return done;
        for (const auto& [id, rows] : partly) {
            std::vector<const DecisionRow*> left;
            for (const DecisionRow& row : rows) left.push_back(&row);
            if (auto done = put_block(id, left); !done) return done;
        }
        return {};
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("expiring decisions"));
    return dropped;
}

Result<std::int64_t> SqliteHistory::drop_oldest() {
    static constexpr const char* kTasks[] = {
        "DELETE FROM attempt_apart WHERE ?1 = 0 AND task IN (SELECT task FROM task ORDER BY finished_us, task LIMIT "
        "?2)",
        "DELETE FROM task WHERE (finished_us, task) IN"
        " (SELECT finished_us, task FROM task WHERE ?1 = 0 ORDER BY finished_us, task LIMIT ?2)",
    };
    std::int64_t decision_is_older = 0;
    {
        const std::lock_guard lock(writer_mutex_);
        const auto older = writer_.integer(
            "SELECT coalesce((SELECT min(last_at_us) FROM decision_block), 9e18) <"
            " coalesce((SELECT min(finished_us) FROM task), 9e18)");
        if (!older) return std::unexpected(older.error());
        decision_is_older = *older;
    }
    const std::int64_t rows_max = kRowsPerSlice / 10;  // finer, so as not to drop much more than is asked for
    if (decision_is_older != 0) return drop_decisions(INT64_MAX, rows_max);
    return drop_rows(kTasks, 0, rows_max);
}

}  // namespace nexus::history
