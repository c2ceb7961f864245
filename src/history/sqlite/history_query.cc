// Reading history.db.
#include <algorithm>
#include <chrono>

#include "core/task.h"
#include "history/sqlite/decision_block.h"
#include "history/sqlite/history_schema.h"
#include "history/sqlite/sqlite_history.h"

namespace nexus::history {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kStepsPerLook = 4'000;  // of SQLite's machine, between two looks at the clock: below a millisecond
constexpr std::size_t kIdleReadersMax = 4;

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
EventPlace place(const Statement& row) {
    return {.at = time(row, 0),
            .shard = number<std::uint32_t>(row, 1),
            .number = number<std::uint64_t>(row, 2),
            .part = number<std::uint32_t>(row, 3)};
}

TaskRow task_row(const Statement& row) {
    return {.task = id_from<TaskId>(row.bytes(1)),
            .shard = number<std::uint32_t>(row, 22),
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
            .attempt = id_from<AttemptId>(row.bytes(3)),
            .number = number<std::uint32_t>(row, 1),
            .shard = number<std::uint32_t>(row, 2),
            .worker = text(row, 4),
            .outcome = number<std::uint8_t>(row, 5),
            .assigned = time(row, 6),
            .started = time(row, 7),
            .ended = time(row, 8),
            .run = span(row, 9),
            .predicted_p50 = span(row, 10),
            .predicted_p90 = span(row, 11),
            .source = text(row, 12),
            .peak_memory_bytes = number<std::uint64_t>(row, 13),
            .error = text(row, 14)};
}

struct Deadline {
    Clock::time_point at;
    bool passed = false;
};
int look_at_clock(void* deadline) {
    auto& end = *static_cast<Deadline*>(deadline);
    end.passed = end.passed || Clock::now() >= end.at;
    return end.passed ? 1 : 0;
}

}  // namespace

Result<void> SqliteHistory::each(const std::string& sql, const Bind& bind, const Visit& visit) {
    Database db;
    {
        const std::lock_guard lock(readers_mutex_);
        if (!readers_.empty()) {
            db = std::move(readers_.back());
            readers_.pop_back();
        }
    }
    if (!db) {
        auto opened = Database::open(options_.path, Access::read);
        if (!opened) return std::unexpected(std::move(opened).error().during("history"));
        db = *std::move(opened);
    }
    Deadline deadline{.at = Clock::now() + std::chrono::microseconds(options_.question_time_max.us)};
    sqlite3_progress_handler(db.handle(), kStepsPerLook, look_at_clock, &deadline);
    auto rows = db.prepare(sql.c_str());
    if (!rows) return std::unexpected(std::move(rows).error());
    bind(*rows);
    for (;;) {
        const auto row = rows->step();
        if (!row && deadline.passed)
            return fail(Fault::unreachable, "the history took longer than " +
                                                std::to_string(options_.question_time_max.us / 1'000'000) +
                                                " s to answer; ask for less, or again");
        if (!row) return std::unexpected(row.error());
        if (!*row || !visit(*rows)) break;
    }
    *rows = {};
    sqlite3_progress_handler(db.handle(), 0, nullptr, nullptr);
    const std::lock_guard lock(readers_mutex_);
    if (readers_.size() < kIdleReadersMax) readers_.push_back(std::move(db));
    return {};
}

Result<std::vector<TaskRow>> SqliteHistory::task_rows(const std::string& sql, const Bind& bind) {
    std::vector<TaskRow> rows;
    auto ok = each(sql, bind, [&](const Statement& row) {
        rows.push_back(task_row(row));
        return true;
    });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of tasks"));
    return rows;
}

Result<std::optional<TaskRow>> SqliteHistory::task(TaskId task) {
    const IdBytes id = id_bytes(task);
    auto rows = task_rows(std::string(kSelectTasks) + kJoinTaskNames + "WHERE t.task = ?",
                          [&](Statement& s) { s.bind(std::string_view(id)); });
    if (!rows) return std::unexpected(std::move(rows).error());
    if (rows->empty()) return std::nullopt;
    return std::move(rows->front());
}

Result<std::vector<TaskRow>> SqliteHistory::tasks(const TaskQuery& query) {
    const IdBytes before = id_bytes(query.before);
    const bool by_id = query.order == TaskOrder::submitted;
    // The index and the unary plus keep the planner on the wanted order, whatever the filter.
    std::string sql = std::string(kSelectTasks) + (by_id ? " INDEXED BY task_by_id" : "") + kJoinTaskNames + "WHERE 1";
    if (query.before) sql += by_id ? " AND t.task < ?2" : " AND (t.finished_us, t.task) < (?1, ?2)";
    if (!query.states.empty()) {
        sql += " AND +t.state IN (";
        for (std::size_t i = 0; i < query.states.size(); ++i)
            sql += (i == 0 ? "" : ",") + std::to_string(query.states[i]);
        sql += ")";
    }
    if (query.promise != PromiseKept::any)
        sql += " AND +t.state = " + std::to_string(static_cast<int>(core::TaskState::succeeded)) +
               " AND t.eta_finish_p90_us > 0 AND +t.finished_us " + (query.promise == PromiseKept::kept ? "<=" : ">") +
               " t.eta_finish_p90_us";
    const std::pair<const char*, const std::string*> names[] = {
        {"type", &query.type}, {"tenant", &query.tenant}, {"queue", &query.queue}, {"worker", &query.worker}};
    for (int i = 0; i < 4; ++i)
        if (!names[i].second->empty())
            sql += std::string(" AND +t.") + names[i].first + " = (SELECT id FROM name WHERE text = ?" +
                   std::to_string(3 + i) + ")";
    const IdRange times = ids_submitted(query.submitted_from, query.submitted_to);
    const auto begins = ids_beginning_with(query.search);
    if (query.submitted_from.us != 0)
        sql += std::string(" AND t.submitted_us >= ?7") + (by_id ? " AND t.task >= ?9" : "");
    if (query.submitted_to.us != 0)
        sql += std::string(" AND t.submitted_us < ?8") + (by_id ? " AND t.task <= ?10" : "");
    if (!query.search.empty())
        sql += std::string(" AND (") + (begins ? "+t.task BETWEEN ?12 AND ?13" : "0") +
               " OR instr(lower(ty.text), ?11) OR instr(lower(te.text), ?11) OR instr(lower(q.text), ?11)"
               " OR instr(lower(w.text), ?11))";
    // They must live until the rows are read: what is bound is not copied.
    const IdBytes ids[] = {id_bytes(times.first), id_bytes(times.last), id_bytes(begins ? begins->first : TaskId{}),
                           id_bytes(begins ? begins->last : TaskId{})};
    sql += by_id ? " ORDER BY t.task DESC" : " ORDER BY t.finished_us DESC, t.task DESC";
    sql += " LIMIT " + std::to_string(query.limit);
    return task_rows(sql, [&](Statement& s) {
        s.bind_one(1, query.before_finished);
        s.bind_one(2, std::string_view(before));
        for (int i = 0; i < 4; ++i) s.bind_one(3 + i, Text{*names[i].second});
        s.bind_one(7, query.submitted_from);
        s.bind_one(8, query.submitted_to);
        s.bind_one(9, std::string_view(ids[0]));
        s.bind_one(10, std::string_view(ids[1]));
        s.bind_one(11, Text{query.search});
        s.bind_one(12, std::string_view(ids[2]));
        s.bind_one(13, std::string_view(ids[3]));
    });
}

Result<std::vector<AttemptRow>> SqliteHistory::attempts(std::span<const TaskId> tasks) {
    std::vector<TaskId> ids(tasks.begin(), tasks.end());
    std::ranges::sort(ids);
    std::vector<AttemptRow> rows;
    for (const TaskId task : ids) {
        const IdBytes id = id_bytes(task);
        auto ok = each(
            kSelectAttempts, [&](Statement& s) { s.bind(std::string_view(id)); },
            [&](const Statement& row) {
                AttemptRow attempt = attempt_row(row);
                if (rows.empty() || rows.back().task != task || rows.back().number != attempt.number)
                    rows.push_back(std::move(attempt));
                return true;
            });
        if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of attempts"));
    }
    return rows;
}

Result<std::vector<DecisionRow>> SqliteHistory::decisions(const DecisionQuery& query) {
    const IdBytes id = id_bytes(query.task.value_or(TaskId{}));
    std::string sql = "SELECT last_at_us, tasks, bytes FROM decision_block WHERE 1";
    if (query.before.at.us != 0) sql += " AND first_at_us <= ?1";
    // Whatever finds few blocks is used; the unary plus keeps the planner from the order by time then.
    if (query.task) sql += " AND task_max >= ?2 AND task_min <= ?2";
    if (query.number != 0) sql += " AND number_max >= ?3 AND number_min <= ?3";
    sql += query.task || query.number != 0 ? " ORDER BY +last_at_us DESC" : " ORDER BY last_at_us DESC";
    std::vector<DecisionRow> rows;  // the newest so far
    const auto newer = [](const DecisionRow& a, const DecisionRow& b) { return a.place > b.place; };
    Result<void> whole;
    auto ok = each(
        sql, [&](Statement& s) { s.bind(query.before.at, std::string_view(id), query.number); },
        [&](const Statement& row) {
            if (rows.size() >= query.limit && (rows.empty() || rows.back().place.at.us > row.integer(0))) return false;
            if (row.integer(0) < query.from.us) return false;  // the blocks come by their newest decision
            if (query.task && !may_be_about(row.bytes(1), *query.task)) return true;
            auto block = rows_of_block(row.bytes(2));
            if (!block) {
                whole = std::unexpected(std::move(block).error());
                return false;
            }
            const auto old_rows = static_cast<std::ptrdiff_t>(rows.size());
            for (DecisionRow& decision : *block)
                if (query.wants(decision)) rows.push_back(std::move(decision));
            std::sort(rows.begin() + old_rows, rows.end(), newer);
            std::inplace_merge(rows.begin(), rows.begin() + old_rows, rows.end(), newer);
            if (rows.size() > query.limit) rows.resize(query.limit);
            return true;
        });
    if (ok) ok = std::move(whole);
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the history of decisions"));
    return rows;
}

Result<std::vector<AuditRow>> SqliteHistory::audit(const AuditQuery& query) {
    std::vector<AuditRow> rows;
    if (query.limit == 0) return rows;
    const std::string sql =
        std::string(
            "SELECT at_us, shard, number, part, caller, author, action, reason, before, after, hash FROM audit"
            " WHERE ?1 = 0 OR ") +
        (query.chain ? "(number, part, shard, at_us) > (?3, ?4, ?2, ?1) ORDER BY number, part, shard, at_us"
                     : "(at_us, shard, number, part) < (?1, ?2, ?3, ?4)"
                       " ORDER BY at_us DESC, shard DESC, number DESC, part DESC");
    auto ok = each(
        sql, [&](Statement& s) { s.bind(query.before.at, query.before.shard, query.before.number, query.before.part); },
        [&](const Statement& row) {
            rows.push_back({.place = place(row),
                            .caller = text(row, 4),
                            .author = text(row, 5),
                            .action = text(row, 6),
                            .reason = text(row, 7),
                            .before = text(row, 8),
                            .after = text(row, 9),
                            .hash = text(row, 10)});
            if (!query.wants(rows.back())) rows.pop_back();
            return rows.size() < query.limit;
        });
    if (!ok) return std::unexpected(std::move(ok).error().during("reading the audit"));
    return rows;
}

}  // namespace nexus::history
