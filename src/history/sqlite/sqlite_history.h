#pragma once
// The embedded history: history.db (SQLite, WAL, synchronous=NORMAL) in the data directory. The schema is documented in
// docs/journal.md and meant to be read with any SQLite tool.
//
// Never part of the durability promise: a database that cannot be read is put aside under another name and a new one is
// begun; a power loss may lose the last rows.
//
// Threads: write() and expire() by one thread at a time; queries by any thread, each on a connection of its own.

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "history/history_store.h"
#include "sqlite/database.h"

namespace nexus::history {

using sqlite::Access, sqlite::Database, sqlite::Statement, sqlite::Text;

struct SqliteHistoryOptions {
    std::string path;                         // of the database file; its directory must exist
    Duration question_time_max = seconds(5);  // a query that takes longer ends with `unreachable`
};

class SqliteHistory final : public HistoryStore {
public:
    // Faults: unsupported (newer schema), denied, no_space, failed.
    static Result<std::unique_ptr<SqliteHistory>> open(SqliteHistoryOptions options);
    // To ask only, also beside the server that writes it: nothing is made, mended or upgraded. Faults: not_found,
    // unsupported (another schema), corrupt, failed.
    static Result<std::unique_ptr<SqliteHistory>> open_to_read(SqliteHistoryOptions options);
    ~SqliteHistory() override;

    using HistoryStore::write;
    Result<void> write(std::span<const HistoryBatch* const> batches) override;
    Result<std::optional<TaskRow>> task(TaskId task) override;
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) override;
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override;
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override;
    Result<std::vector<AuditRow>> audit(const AuditQuery& query) override;
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

    // Where an unreadable database was put; empty when it was readable or new.
    const std::string& put_aside() const { return put_aside_; }
    // Bytes in use, without the pages that wait to be used again.
    Result<std::uint64_t> used_bytes();

private:
    explicit SqliteHistory(SqliteHistoryOptions options) : options_(std::move(options)) {}
    Result<void> start();
    Result<void> open_writer();
    Result<void> write_tasks(const HistoryBatch& batch);
    Result<void> write_attempt(const AttemptRow& row);
    Result<void> write_decisions(std::vector<const DecisionRow*> rows);
    Result<void> write_audit(const AuditRow& row);
    Result<void> put_block(std::int64_t id, std::span<const DecisionRow* const> rows);
    Result<void> create();
    Result<void> upgrade(std::int64_t from);
    Result<void> copy_decisions();
    Result<void> prepare_statements();
    Result<std::int64_t> name_id(std::string_view name);
    // The same, quickly where the column has the same name again and again.
    struct LastName {
        std::string name;
        std::int64_t id = 0;  // 0 = none yet
    };
    Result<std::int64_t> name_id(LastName& last, std::string_view name);
    Result<void> in_transaction(const std::function<Result<void>()>& changes);
    Result<std::int64_t> drop_rows(std::span<const char* const> statements, std::int64_t bound, std::int64_t rows_max);
    Result<std::int64_t> drop_older(WallTime oldest);  // a slice; answers the rows dropped
    Result<std::int64_t> drop_oldest();                // a slice
    Result<std::int64_t> drop_decisions(std::int64_t before_us, std::int64_t rows_max);

    // Runs the query on a connection of its own and gives each row to `visit`; false ends it.
    using Bind = std::function<void(Statement&)>;
    using Visit = std::function<bool(const Statement&)>;
    Result<void> each(const std::string& sql, const Bind& bind, const Visit& visit);
    Result<std::vector<TaskRow>> task_rows(const std::string& sql, const Bind& bind);

    SqliteHistoryOptions options_;
    std::string put_aside_;

    std::mutex writer_mutex_;  // guards the writer connection and all down to the next mutex
    Database writer_;
    Statement insert_task_, insert_attempt_, put_block_, select_blocks_, newest_block_, insert_audit_, insert_name_,
        select_name_;
    LastName last_type_, last_tenant_, last_queue_, last_worker_, last_source_;
    // Names are stored once. Emptied when it grows beyond what types, tenants, queues and workers can be.
    struct NameHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
    };
    std::unordered_map<std::string, std::int64_t, NameHash, std::equal_to<>> name_ids_;

    std::mutex readers_mutex_;  // guards the idle readers
    std::vector<Database> readers_;
};

}  // namespace nexus::history
