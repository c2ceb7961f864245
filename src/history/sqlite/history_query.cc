// Reading history.db.
#include <algorithm>

#include "history/sqlite/history_schema.h"
#include "history/sqlite/sqlite_history.h"

namespace nexus::history {
namespace {

template <class T>
T number(const Statement& row, int column) {
    return static_cast<T>(row.integer(column));
}
WallTime time(const Statement& row, int column) {
    return {row.integer(column)};
}
Duration span(const Statement& row, int column) {
    return {row.integer(column)};
}
std::string text(const Statement& row, int column) {
    return std::string(row.bytes(column));
}

}  // namespace

TaskRow task_row(const Statement& row) {
    return {.task = id_from<TaskId>(row.bytes(1)),
            .type = text(row, 3),
            .tenant = text(row, 4),
            .queue = text(row, 5),
            .priority = number<std::uint8_t>(row, 7),
            .state = number<std::uint8_t>(row, 2),
            .submitted = time(row, 8),
            .started = time(row, 9),
            .finished = time(row, 0),
            .run = span(row, 10),
            .worker = text(row, 6),
            .attempts = number<std::uint32_t>(row, 11),
            .failures = number<std::uint32_t>(row, 12),
            .crashes = number<std::uint32_t>(row, 13),
            .payload_bytes = number<std::uint64_t>(row, 14),
            .result_bytes = number<std::uint64_t>(row, 15),
            .predicted_p50 = span(row, 16),
            .predicted_p90 = span(row, 17),
            .eta_finish_p50 = time(row, 18),
            .eta_finish_p90 = time(row, 19),
            .error = text(row, 20),
            .redrive_of = id_from<TaskId>(row.bytes(21))};
}

AttemptRow attempt_row(const Statement& row) {
    return {.task = id_from<TaskId>(row.bytes(0)),
            .attempt = id_from<AttemptId>(row.bytes(2)),
            .number = number<std::uint32_t>(row, 1),
            .type = text(row, 3),
            .tenant = text(row, 4),
            .worker = text(row, 5),
            .outcome = number<std::uint8_t>(row, 6),
            .assigned = time(row, 7),
            .started = time(row, 8),
            .ended = time(row, 9),
            .run = span(row, 10),
            .predicted_p50 = span(row, 11),
            .predicted_p90 = span(row, 12),
            .source = text(row, 13),
            .payload_bytes = number<std::uint64_t>(row, 14),
            .peak_memory_bytes = number<std::uint64_t>(row, 15),
            .error = text(row, 16)};
}

DecisionRow decision_row(const Statement& row) {
    return {.number = number<std::uint64_t>(row, 0),
            .task = id_from<TaskId>(row.bytes(1)),
            .at = time(row, 2),
            .type = text(row, 3),
            .worker = text(row, 4),
            .policy = text(row, 5),
            .fallback = row.integer(6) != 0,
            .predicted = span(row, 7),
            .record = text(row, 8)};
}

// A connection for one query. Queries may be slow; each has its own, so that none waits for another.
class SqliteHistory::Reader {
public:
    Reader(SqliteHistory& history, Database db) : history_(&history), db_(std::move(db)) {}
    Reader(Reader&&) = default;
    Reader& operator=(Reader&&) = delete;
    ~Reader() {
        if (!db_) return;
        const std::lock_guard lock(history_->readers_mutex_);
        constexpr std::size_t kIdleMax = 4;
        if (history_->readers_.size() < kIdleMax) history_->readers_.push_back(std::move(db_));
    }

    // Runs the query and gives each row to `visit`; false ends it.
    template <class Bind, class Visit>
    Result<void> each(const std::string& sql, Bind&& bind, Visit&& visit) {
        auto rows = db_.prepare(sql.c_str());
        if (!rows) return std::unexpected(std::move(rows).error());
        bind(*rows);
        for (;;) {
            const auto row = rows->step();
            if (!row) return std::unexpected(row.error());
            if (!*row || !visit(*rows)) return {};
        }
    }

private:
    SqliteHistory* history_;
    Database db_;
};

Result<SqliteHistory::Reader> SqliteHistory::reader() {
    {
        const std::lock_guard lock(readers_mutex_);
        if (!readers_.empty()) {
            Database db = std::move(readers_.back());
            readers_.pop_back();
            return Reader(*this, std::move(db));
        }
    }
    auto db = Database::open(options_.path, Access::read);
    if (!db) return std::unexpected(std::move(db).error().during("history"));
    return Reader(*this, *std::move(db));
}

Result<std::vector<TaskRow>> SqliteHistory::task_rows(const std::string& where,
                                                      const std::function<void(Statement&)>& bind) {
    auto db = reader();
    if (!db) return std::unexpected(std::move(db).error());
    std::vector<TaskRow> rows;
    auto ok = db->each(kSelectTasks + where, bind, [&](const Statement& row) {
        rows.push_back(task_row(row));
        return true;
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of tasks"));
    return rows;
}

Result<std::optional<TaskRow>> SqliteHistory::task(TaskId task) {
    const IdBytes id = id_bytes(task);
    auto rows = task_rows("WHERE t.task = ?", [&](Statement& s) { s.bind(std::string_view(id)); });
    if (!rows) return std::unexpected(std::move(rows).error());
    if (rows->empty()) return std::nullopt;
    return std::move(rows->front());
}

Result<std::vector<TaskRow>> SqliteHistory::tasks(const TaskQuery& query) {
    const IdBytes before = id_bytes(query.before);
    // Unary plus keeps the planner on the primary key: rows must come by time, whatever the filter.
    std::string where = query.finished_before.us == 0 ? "WHERE 1" : "WHERE (t.finished_us, t.task) < (?1, ?2)";
    if (query.state) where += " AND t.state = ?3";
    const std::pair<const char*, const std::string*> names[] = {
        {"type", &query.type}, {"tenant", &query.tenant}, {"queue", &query.queue}, {"worker", &query.worker}};
    int at = 4;
    for (const auto& [column, name] : names) {
        if (!name->empty())
            where +=
                std::string(" AND +t.") + column + " = (SELECT id FROM name WHERE text = ?" + std::to_string(at) + ")";
        ++at;
    }
    where += " ORDER BY t.finished_us DESC, t.task DESC LIMIT " + std::to_string(query.limit);
    return task_rows(where, [&](Statement& s) {
        s.bind_one(1, query.finished_before);
        s.bind_one(2, std::string_view(before));
        s.bind_one(3, query.state.value_or(0));
        for (int i = 0; i < 4; ++i) s.bind_one(4 + i, Text{*names[i].second});
    });
}

Result<std::vector<AttemptRow>> SqliteHistory::attempts(TaskId task) {
    auto db = reader();
    if (!db) return std::unexpected(std::move(db).error());
    const IdBytes id = id_bytes(task);
    std::vector<AttemptRow> rows;
    auto ok = db->each(
        std::string(kSelectAttempts) + "WHERE a.task = ? ORDER BY a.number",
        [&](Statement& s) { s.bind(std::string_view(id)); },
        [&](const Statement& row) {
            rows.push_back(attempt_row(row));
            return true;
        });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of attempts"));
    return rows;
}

Result<std::vector<DecisionRow>> SqliteHistory::decisions(const DecisionQuery& query) {
    auto db = reader();
    if (!db) return std::unexpected(std::move(db).error());
    const IdBytes id = id_bytes(query.task.value_or(TaskId{}));
    std::string where = query.before == 0 ? "WHERE 1" : "WHERE d.number < ?1";
    if (query.task) where += " AND d.task = ?2";
    if (!query.worker.empty()) where += " AND +d.worker = (SELECT id FROM name WHERE text = ?3)";
    std::vector<DecisionRow> rows;
    auto ok = db->each(
        kSelectDecisions + where + " ORDER BY d.number DESC, d.task DESC",
        [&](Statement& s) {
            s.bind_one(1, query.before);
            s.bind_one(2, std::string_view(id));
            s.bind_one(3, Text{query.worker});
        },
        [&](const Statement& row) {
            DecisionRow decision = decision_row(row);
            if (rows.size() >= query.limit && (rows.empty() || rows.back().number != decision.number)) return false;
            rows.push_back(std::move(decision));
            return true;
        });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of decisions"));
    return rows;
}

Result<std::vector<AuditRow>> SqliteHistory::audit(std::size_t limit, std::int64_t before_us) {
    auto db = reader();
    if (!db) return std::unexpected(std::move(db).error());
    std::vector<AuditRow> rows;
    auto ok = db->each(
        "SELECT at_us, author, action, reason, before, after, hash FROM audit WHERE ?1 = 0 OR at_us < ?1"
        " ORDER BY id DESC LIMIT ?2",
        [&](Statement& s) { s.bind(before_us, static_cast<std::uint64_t>(limit)); },
        [&](const Statement& row) {
            rows.push_back({.at = time(row, 0),
                            .author = text(row, 1),
                            .action = text(row, 2),
                            .reason = text(row, 3),
                            .before = text(row, 4),
                            .after = text(row, 5),
                            .hash = text(row, 6)});
            return true;
        });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the audit"));
    return rows;
}

Result<std::vector<Rollup>> SqliteHistory::rollups(std::int64_t from_minute, std::int64_t to_minute) {
    auto db = reader();
    if (!db) return std::unexpected(std::move(db).error());
    std::vector<Rollup> rows;
    auto ok = db->each(
        "SELECT r.minute, n.text, r.finished, r.succeeded, r.within_25, r.within_p90, r.run_us, r.wait_us FROM rollup r"
        " JOIN name n ON n.id = r.type WHERE r.minute >= ? AND r.minute < ? ORDER BY r.minute, n.text",
        [&](Statement& s) { s.bind(from_minute, to_minute); },
        [&](const Statement& row) {
            rows.push_back({.minute = row.integer(0),
                            .type = text(row, 1),
                            .finished = number<std::uint64_t>(row, 2),
                            .succeeded = number<std::uint64_t>(row, 3),
                            .within_25 = number<std::uint64_t>(row, 4),
                            .within_p90 = number<std::uint64_t>(row, 5),
                            .run_sum = span(row, 6),
                            .wait_sum = span(row, 7)});
            return true;
        });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the rollups"));
    return rows;
}

}  // namespace nexus::history
