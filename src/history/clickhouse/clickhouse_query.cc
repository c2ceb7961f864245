// Reading the history in ClickHouse.
//
// Tables are sorted by time, so a list is asked for in windows of time, from the newest back, each sixteen times as long as
// the one before, until the page is full: the newest tasks of 30 days cost as much as those of ten minutes.
#include <algorithm>
#include <limits>

#include "base/system_clock.h"
#include "core/task.h"
#include "history/clickhouse/clickhouse_history.h"
#include "history/clickhouse/rows.h"
#include "history/clickhouse/schema.h"

namespace nexus::history {
namespace {

constexpr std::size_t kIdleReadersMax = 4;
constexpr std::size_t kIdsPerQuery = 2'000;  // ClickHouse takes 256 KiB of query
constexpr Duration kFirstWindow = minutes(10);
constexpr std::int64_t kWindowGrowth = 16;
constexpr Duration kLongestWindow = hours(24 * 14);  // a longer one is all that is left
// Clocks that differ, or were set: a task may seem to have ended so long before it was submitted.
constexpr Duration kClockSlack = hours(1);
constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::max();

std::int64_t ms_of(TaskId task) {
    return static_cast<std::int64_t>(task.hi >> 16);
}
TaskId first_id_of(std::int64_t us) {
    return {.hi = static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0) / 1000) << 16, .lo = 0};
}
std::string number(std::int64_t n) {
    return std::to_string(n);
}
std::string limit(std::size_t n) {
    return " LIMIT " + std::to_string(n);
}

// `earlier`: the order is by (at_us, shard, number, part), and this row comes before the place; else after it.
std::string beside(const EventPlace& place, const char* sign) {
    const std::string at = number(place.at.us), shard = std::to_string(place.shard), n = std::to_string(place.number),
                      part = std::to_string(place.part), s = sign;
    return "(at_us " + s + " " + at + " OR (at_us = " + at + " AND (shard " + s + " " + shard +
           " OR (shard = " + shard + " AND (number " + s + " " + n + " OR (number = " + n + " AND part " + s + " " +
           part + "))))))";
}

// What a query of tasks wants beside its place and times.
std::string wanted(const TaskQuery& query) {
    std::string sql;
    if (!query.states.empty()) {
        sql += " AND toInt8(state) IN (";
        for (std::size_t i = 0; i < query.states.size(); ++i)
            sql += (i == 0 ? "" : ",") + std::to_string(query.states[i]);
        sql += ")";
    }
    if (query.promise != PromiseKept::any)
        sql += " AND toInt8(state) = " + std::to_string(static_cast<int>(core::TaskState::succeeded)) +
               " AND eta_finish_p90_us > 0 AND finished_us " + (query.promise == PromiseKept::kept ? "<=" : ">") +
               " eta_finish_p90_us";
    const std::pair<const char*, const std::string*> names[] = {
        {"type", &query.type}, {"tenant", &query.tenant}, {"queue", &query.queue}, {"worker", &query.worker}};
    for (const auto& [column, name] : names)
        if (!name->empty()) sql += std::string(" AND ") + column + " = " + quoted_text(*name);
    if (query.submitted_from.us != 0) sql += " AND submitted_us >= " + number(query.submitted_from.us);
    if (query.submitted_to.us != 0) sql += " AND submitted_us < " + number(query.submitted_to.us);
    if (!query.search.empty()) {
        const auto begins = ids_beginning_with(query.search);
        sql += begins ? " AND ((task >= " + id_text(begins->first) + " AND task <= " + id_text(begins->last) + ")"
                      : std::string(" AND (0");
        for (const char* column : {"type", "tenant", "queue", "worker"})
            sql += std::string(" OR position(lower(") + column + "), " + quoted_text(query.search) + ") > 0";
        sql += ")";
    }
    return sql;
}

// Calls ask(from, to, left) for one window of time after the other, both in microseconds, `to` not belonging to it, until
// so many rows are there.
template <class Row, class Ask>
Result<std::vector<Row>> in_windows(std::int64_t newest, std::int64_t oldest, std::size_t wanted, Ask ask) {
    std::vector<Row> rows;
    std::int64_t to = kEver, from = newest;
    for (std::int64_t length = kFirstWindow.us; rows.size() < wanted && to > oldest; length *= kWindowGrowth) {
        from = length > kLongestWindow.us ? oldest : std::max(oldest, saturating_sub(from, length));
        auto more = ask(from, to, wanted - rows.size());
        if (!more) return more;
        rows.insert(rows.end(), std::make_move_iterator(more->begin()), std::make_move_iterator(more->end()));
        to = from;
    }
    return rows;
}

}  // namespace

Result<std::string> ClickHouseHistory::question(std::string_view query, TimeLeft time) {
    if (auto ok = connect(); !ok) return std::unexpected(std::move(ok).error());
    std::unique_ptr<ClickHouseClient> reader;
    {
        const std::lock_guard lock(readers_mutex_);
        if (!readers_.empty()) {
            reader = std::move(readers_.back());
            readers_.pop_back();
        }
    }
    if (!reader) reader = std::make_unique<ClickHouseClient>(options_.address, stop_);
    auto answer = reader->ask({.query = query, .again = true, .limit = time.left()});
    if (!answer) {
        // Somebody has dropped the tables, or there is another server now: the next call makes them.
        if (answer.error().fault == Fault::not_found) {
            ready_ = false;
            answer.error().fault = Fault::unreachable;
        }
        return answer;
    }
    const std::lock_guard lock(readers_mutex_);
    if (readers_.size() < kIdleReadersMax) readers_.push_back(std::move(reader));
    return answer;
}

Result<void> ClickHouseHistory::probe() {
    auto answer = question("SELECT 1", TimeLeft(options_.question_time_max));
    if (!answer) return std::unexpected(std::move(answer).error());
    return {};
}

template <class Row>
Result<std::vector<Row>> ClickHouseHistory::rows(const std::string& query, Row (*read)(Reader&), TimeLeft time) {
    const auto bytes = question(query + " FORMAT RowBinary", time);
    if (!bytes) return std::unexpected(Error(bytes.error()).during("reading the history"));
    std::vector<Row> rows;
    Reader r(*bytes);
    while (!r.at_end() && !r.failed()) rows.push_back(read(r));
    if (r.failed()) return fail(Fault::unreachable, "reading the history: half of a row arrived; ask again");
    return rows;
}

Result<std::optional<TaskRow>> ClickHouseHistory::task(TaskId task) {
    return find_task(task, TimeLeft(options_.question_time_max));
}

Result<std::optional<TaskRow>> ClickHouseHistory::find_task(TaskId task, TimeLeft time) {
    // Where it lies, then what lies there: tasks are sorted by their end.
    const auto place = question(
        "SELECT finished_us FROM task_place WHERE task = " + id_text(task) + limit(1) + " FORMAT RowBinary", time);
    if (!place) return std::unexpected(Error(place.error()).during("reading the history"));
    if (place->empty()) return std::nullopt;
    Reader r(*place);
    const auto finished = static_cast<std::int64_t>(r.u64());
    if (finished < oldest_us_) return std::nullopt;
    auto found = rows(std::string("SELECT ") + kTaskColumns + " FROM tasks WHERE finished = " + date_time(finished) +
                          " AND task = " + id_text(task) + " ORDER BY precedence DESC" + limit(1),
                      task_row, time);
    if (!found) return std::unexpected(std::move(found).error());
    if (found->empty()) return std::nullopt;
    return std::move(found->front());
}

Result<std::vector<TaskRow>> ClickHouseHistory::tasks(const TaskQuery& query) {
    const std::string select = std::string("SELECT ") + kTaskColumns + " FROM tasks WHERE ", filters = wanted(query);
    const std::string hides = " AND finished_us >= " + number(oldest_us_);
    const std::int64_t now = system_wall().us;
    const TimeLeft time(options_.question_time_max);
    if (query.order == TaskOrder::finished) {
        const std::string id = id_text(query.before), at = number(query.before_finished.us);
        const std::string before =
            query.before ? " AND (finished_us < " + at + " OR (finished_us = " + at + " AND task < " + id + "))" : "";
        return in_windows<TaskRow>(
            query.before ? query.before_finished.us : now, oldest_us_, query.limit,
            [&](std::int64_t from, std::int64_t to, std::size_t left) {
                return rows(select + "finished >= " + date_time(from) + " AND finished <= " +
                                date_time(query.before && to == kEver ? query.before_finished.us : to) +
                                " AND finished_us >= " + number(from) + " AND finished_us < " + number(to) + hides +
                                before + filters + " ORDER BY finished_us DESC, task DESC, precedence DESC" +
                                " LIMIT 1 BY task" + limit(left),
                            task_row, time);
            });
    }
    // By id, which is by time of submission: what was submitted then ended later.
    const IdRange times = ids_submitted(query.submitted_from, query.submitted_to);
    const std::string among = " AND task >= " + id_text(times.first) + " AND task <= " + id_text(times.last) +
                              (query.before ? " AND task < " + id_text(query.before) : "");
    std::int64_t newest = now;
    if (query.submitted_to.us != 0) newest = std::min(newest, ms_of(times.last) * 1000);
    if (query.before) newest = std::min(newest, ms_of(query.before) * 1000);
    const std::int64_t oldest = std::max<std::int64_t>(0, ms_of(times.first) * 1000);
    return in_windows<TaskRow>(newest, oldest, query.limit, [&](std::int64_t from, std::int64_t to, std::size_t left) {
        return rows(select + "finished >= " + date_time(from - kClockSlack.us) +
                        " AND task >= " + id_text(first_id_of(from)) +
                        (to == kEver ? std::string() : " AND task < " + id_text(first_id_of(to))) + hides + among +
                        filters + " ORDER BY task DESC, precedence DESC LIMIT 1 BY task" + limit(left),
                    task_row, time);
    });
}

Result<std::vector<AttemptRow>> ClickHouseHistory::attempts(std::span<const TaskId> tasks) {
    std::vector<TaskId> ids(tasks.begin(), tasks.end());
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    std::vector<AttemptRow> all;
    const TimeLeft time(options_.question_time_max);
    for (std::size_t first = 0; first < ids.size(); first += kIdsPerQuery) {
        const auto some = std::span(ids).subspan(first, std::min(kIdsPerQuery, ids.size() - first));
        std::string list;
        for (const TaskId task : some) list += (list.empty() ? "" : ",") + id_text(task);
        auto found = rows(std::string("SELECT ") + kAttemptColumns + " FROM attempts WHERE ended >= " +
                              date_time(ms_of(some.front()) * 1000 - kClockSlack.us) + " AND task IN (" + list +
                              ") ORDER BY task, number, precedence DESC LIMIT 1 BY task, number",
                          attempt_row, time);
        if (!found) return found;
        // What has expired with its task: an attempt ends before its task does, and goes with it.
        std::vector<TaskId> old;
        for (const AttemptRow& row : *found)
            if (row.ended.us < oldest_us_ && (old.empty() || old.back() != row.task)) old.push_back(row.task);
        for (const TaskId task : old) {
            const auto kept = find_task(task, time);
            if (!kept) return std::unexpected(kept.error());
            if (!*kept) std::erase_if(*found, [&](const AttemptRow& row) { return row.task == task; });
        }
        all.insert(all.end(), std::make_move_iterator(found->begin()), std::make_move_iterator(found->end()));
    }
    return all;
}

Result<std::vector<DecisionRow>> ClickHouseHistory::decisions(const DecisionQuery& query) {
    std::string wants;
    if (query.task) wants += " AND task_id = " + id_text(*query.task);
    if (!query.worker.empty()) wants += " AND worker_id = " + quoted_text(query.worker);
    if (!query.type.empty()) wants += " AND task_type = " + quoted_text(query.type);
    if (query.number != 0) wants += " AND number = " + std::to_string(query.number);
    if (query.before.at.us != 0) wants += " AND " + beside(query.before, "<");
    if (!query.kind.empty()) wants += " AND reason = " + quoted_text(query.kind);
    if (query.fallback) wants += " AND fallback_used = 1";
    // Rows of the old Nexus have no place.
    const std::int64_t oldest = std::max<std::int64_t>({1, query.from.us, oldest_us_});
    const TimeLeft time(options_.question_time_max);
    const auto ask = [&](std::int64_t from, std::int64_t to, std::size_t left) {
        return rows(std::string("SELECT ") + kDecisionColumns + " FROM scheduler_decisions WHERE timestamp >= " +
                        date_time(from) + (to == kEver ? std::string() : " AND timestamp <= " + date_time(to)) +
                        " AND at_us >= " + number(from) + " AND at_us < " + number(to) + wants +
                        " ORDER BY at_us DESC, shard DESC, number DESC, part DESC"
                        " LIMIT 1 BY at_us, shard, number, part" +
                        limit(left),
                    decision_row, time);
    };
    if (query.limit == 0) return std::vector<DecisionRow>();
    // Those of one task are not older than it is.
    if (query.task) return ask(std::max(oldest, ms_of(*query.task) * 1000 - kClockSlack.us), kEver, query.limit);
    const std::int64_t newest = query.before.at.us != 0 ? query.before.at.us : system_wall().us;
    return in_windows<DecisionRow>(newest, oldest, query.limit, ask);
}

Result<std::vector<AuditRow>> ClickHouseHistory::audit(const AuditQuery& query) {
    if (query.limit == 0) return std::vector<AuditRow>();
    std::string sql = std::string("SELECT ") + kAuditColumns + " FROM audit WHERE at_us >= " + number(query.from.us);
    if (query.to.us != 0) sql += " AND at_us < " + number(query.to.us);
    if (query.versions) sql += " AND position(after, 'version = ') = 1";
    if (!query.search.empty()) {
        sql += " AND (0";
        for (const char* column : {"caller", "author", "action", "reason", "before", "after"})
            sql += std::string(" OR position(") + column + ", " + quoted_text(query.search) + ") > 0";
        sql += ")";
    }
    const EventPlace& place = query.before;
    if (query.chain) {
        const std::string at = number(place.at.us), shard = std::to_string(place.shard),
                          n = std::to_string(place.number), part = std::to_string(place.part);
        if (place.at.us != 0)
            sql += " AND (number > " + n + " OR (number = " + n + " AND (part > " + part + " OR (part = " + part +
                   " AND (shard > " + shard + " OR (shard = " + shard + " AND at_us > " + at + "))))))";
        sql += " ORDER BY number, part, shard, at_us, precedence DESC";
    } else {
        if (place.at.us != 0) sql += " AND " + beside(place, "<");
        sql += " ORDER BY at_us DESC, shard DESC, number DESC, part DESC, precedence DESC";
    }
    return rows(sql + " LIMIT 1 BY at_us, shard, number, part" + limit(query.limit), audit_row,
                TimeLeft(options_.question_time_max));
}

}  // namespace nexus::history
