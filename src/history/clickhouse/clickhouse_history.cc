// Schema, writing and expiry. Reading is in clickhouse_query.cc.
#include "history/clickhouse/clickhouse_history.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/system_clock.h"
#include "history/clickhouse/rows.h"
#include "history/clickhouse/schema.h"

namespace nexus::history {
namespace {

constexpr std::int64_t kDayUs = hours(24).us;
constexpr Duration kSchemaMax = seconds(30);  // of one step of it: a busy server takes its time
constexpr unsigned kFirstWithDateTime64 = 20;
constexpr const char* kOfRuns =
    "('tasks', 'task_place', 'attempts', 'scheduler_decisions', 'rollups', 'worker_rollups')";

// Lines of columns, as TabSeparated gives them; names and numbers only, nothing that would be escaped.
std::vector<std::vector<std::string>> lines_of(std::string_view text) {
    std::vector<std::vector<std::string>> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        auto& columns = lines.emplace_back();
        for (;;) {
            const auto tab = line.find('\t');
            columns.emplace_back(line.substr(0, tab));
            if (tab == std::string_view::npos) break;
            line.remove_prefix(tab + 1);
        }
    }
    return lines;
}

std::int64_t number_in(std::string_view text) {
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// 20261120 of a moment, in UTC.
std::int64_t day_number(std::int64_t us) {
    const std::chrono::sys_days day{std::chrono::days(us / kDayUs - (us % kDayUs < 0 ? 1 : 0))};
    const std::chrono::year_month_day date(day);
    return static_cast<int>(date.year()) * 10'000 +
           static_cast<std::int64_t>(static_cast<unsigned>(date.month())) * 100 + static_cast<unsigned>(date.day());
}

std::int64_t day_of(std::int64_t us) {
    return us / kDayUs;
}

}  // namespace

ClickHouseHistory::ClickHouseHistory(ClickHouseOptions options)
    : options_(std::move(options)), writer_(options_.address, stop_) {}
ClickHouseHistory::~ClickHouseHistory() = default;

Result<void> ClickHouseHistory::connect() {
    if (ready_) return {};
    const std::lock_guard lock(schema_mutex_);
    if (ready_) return {};
    ClickHouseClient client(options_.address, stop_);
    auto ok = make_schema(client);
    if (!ok) return std::unexpected(std::move(ok).error().during("the tables of the history"));
    ready_ = true;
    return {};
}

Result<void> ClickHouseHistory::make_schema(ClickHouseClient& client) {
    // Whoever may not make tables can still use those that are there: what is there is looked at first.
    const auto ask = [&](const std::string& query) {
        return client.ask({.query = query, .again = true, .limit = options_.question_time_max});
    };
    auto version = ask("SELECT max(version) FROM nexus_schema");
    if (!version && version.error().fault == Fault::not_found && options_.makes_tables) {
        auto made = client.ask({.query = "CREATE DATABASE IF NOT EXISTS " + options_.address.database,
                                .in_database = false,
                                .limit = kSchemaMax});
        if (made) made = client.ask({.query = kSchemaTable, .limit = kSchemaMax});
        if (!made) return std::unexpected(std::move(made).error());
        version = "0\n";
    }
    if (!version) return std::unexpected(std::move(version).error());
    const std::int64_t found = number_in(*version);
    if (found > kClickHouseSchemaVersion)
        return fail(Fault::unsupported, options_.address.text() + " has tables of a newer release (version " +
                                            std::to_string(found) + ", this one knows " +
                                            std::to_string(kClickHouseSchemaVersion) +
                                            "): run that release, or use another database");
    if (found == kClickHouseSchemaVersion) return {};
    if (!options_.makes_tables)
        return fail(Fault::unsupported,
                    options_.address.text() + " has tables of an older release: a server upgrades them");
    for (const char* const table : kTables)
        if (auto made = client.ask({.query = table, .limit = kSchemaMax}); !made)
            return std::unexpected(std::move(made).error());
    if (auto made = make_decisions(client); !made) return made;
    const std::string note =
        "INSERT INTO nexus_schema (version) VALUES (" + std::to_string(kClickHouseSchemaVersion) + ")";
    if (auto noted = client.ask({.query = note, .limit = kSchemaMax}); !noted)
        return std::unexpected(std::move(noted).error());
    return {};
}

// Made here, or given the columns that it lacks where the old Nexus has made it.
Result<void> ClickHouseHistory::make_decisions(ClickHouseClient& client) {
    const auto release = client.ask({.query = "SELECT version()", .again = true, .limit = kSchemaMax});
    if (!release) return std::unexpected(release.error());
    const auto columns = client.ask({.query = "SELECT name, type FROM system.columns WHERE database = '" +
                                              options_.address.database + "' AND table = 'scheduler_decisions'",
                                     .again = true,
                                     .limit = kSchemaMax});
    if (!columns) return std::unexpected(columns.error());
    const bool exact = number_in(*release) >= kFirstWithDateTime64;
    const auto time_of = [](bool with_ms) {
        return with_ms ? std::string(" DEFAULT fromUnixTimestamp64Micro(at_us)")
                       : std::string(" DEFAULT toDateTime(intDiv(at_us, 1000000))");
    };
    std::vector<std::string> steps;
    if (columns->empty()) {
        std::string& table = steps.emplace_back("CREATE TABLE IF NOT EXISTS scheduler_decisions (timestamp ");
        table += (exact ? "DateTime64(3)" : "DateTime") + time_of(exact) + ", " + kOldDecisionColumns;
        for (const auto& [name, type] : kNewDecisionColumns) table += std::string(", ") + name + " " + type;
        table += std::string(")") + kDecisionsEngine;
    } else {
        std::map<std::string, std::string> has;
        for (const auto& line : lines_of(*columns))
            if (line.size() == 2) has[line[0]] = line[1];
        for (const auto& [name, type] : kNewDecisionColumns)
            if (!has.contains(name))
                steps.push_back(std::string("ALTER TABLE scheduler_decisions ADD COLUMN ") + name + " " + type);
        std::string type = has["timestamp"];
        for (auto at = type.find("\\'"); at != std::string::npos; at = type.find("\\'")) type.erase(at, 1);
        steps.push_back("ALTER TABLE scheduler_decisions MODIFY COLUMN timestamp " + type +
                        time_of(type.starts_with("DateTime64")));
    }
    for (const std::string& step : steps)
        if (auto made = client.ask({.query = step, .limit = kSchemaMax}); !made)
            return std::unexpected(std::move(made).error());
    return {};
}

Result<std::string> ClickHouseHistory::command(std::string_view query, std::string_view data) {
    auto answer = writer_.ask({.query = query, .data = data, .limit = options_.write_time_max});
    if (!answer && answer.error().fault == Fault::not_found) ready_ = false;  // somebody has dropped the tables
    return answer;
}

// After an unclear answer: takes out what the table has. Elsewhere a row that is written again does no harm, but this
// table is counted by queries that know nothing of that.
Result<void> ClickHouseHistory::drop_known(HistoryBatch& batch) {
    auto& rows = batch.decisions;
    if (rows.empty()) return {};
    const auto [least, most] = std::ranges::minmax(rows, {}, [](const DecisionRow& row) { return row.place.at; });
    const auto known = writer_.ask(
        {.query = "SELECT at_us, shard, number, part FROM scheduler_decisions WHERE timestamp >= " +
                  date_time(least.place.at.us) + " AND timestamp <= " + date_time(most.place.at.us + 1'000'000) +
                  " AND at_us >= " + std::to_string(least.place.at.us) +
                  " AND at_us <= " + std::to_string(most.place.at.us) + " FORMAT RowBinary",
         .again = true,
         .limit = options_.write_time_max});
    if (!known) return std::unexpected(known.error());
    std::set<EventPlace> places;
    for (Reader r(*known); !r.at_end() && !r.failed();) {
        std::uint64_t at = 0;
        EventPlace place;
        r.take(at, place.shard, place.number, place.part);
        place.at.us = static_cast<std::int64_t>(at);
        places.insert(place);
    }
    std::erase_if(rows, [&](const DecisionRow& row) { return places.contains(row.place); });
    return {};
}

// One insert is one table and one day, so one part: it is there as a whole or not at all.
Result<void> ClickHouseHistory::write(std::span<const HistoryBatch* const> batches) {
    if (auto ok = connect(); !ok) return ok;
    last_written_us_ = std::max(last_written_us_, system_wall().us);
    const auto precedence = [&] { return ~static_cast<std::uint64_t>(++last_written_us_); };
    using Days = std::map<std::int64_t, std::string>;
    Days tasks, attempts, decisions, audit;
    HistoryBatch all;
    for (const HistoryBatch* const batch : batches) {
        for (const AttemptRow& row : batch->attempts) {
            Writer w(attempts[day_of(row.ended.us)]);
            put_row(w, row, precedence());
        }
        for (const TaskRow& row : batch->tasks) {
            Writer w(tasks[day_of(row.finished.us)]);
            put_row(w, row, precedence());
        }
        for (const AuditRow& row : batch->audit) {
            Writer w(audit[day_of(row.place.at.us)]);
            put_row(w, row, precedence());
        }
        if (unclear_) all.decisions.insert(all.decisions.end(), batch->decisions.begin(), batch->decisions.end());
    }
    const auto put_decisions = [&](const std::vector<DecisionRow>& rows) {
        for (const DecisionRow& row : rows) {
            Writer w(decisions[day_of(row.place.at.us)]);
            put_row(w, row);
        }
    };
    if (unclear_) {
        if (auto ok = drop_known(all); !ok) return std::unexpected(std::move(ok).error().during("writing the history"));
        put_decisions(all.decisions);
    } else {
        for (const HistoryBatch* const batch : batches) put_decisions(batch->decisions);
    }
    unclear_ = true;
    const auto insert = [&](const char* table, const std::string& columns, const Days& days) -> Result<void> {
        for (const auto& [day, rows] : days) {
            const std::string query = std::string("INSERT INTO ") + table + " (" + columns + ") FORMAT RowBinary";
            if (auto done = command(query, rows); !done)
                return std::unexpected(std::move(done).error().during("writing the history"));
        }
        return {};
    };
    // A task that is there has its attempts.
    const std::string also = ", precedence";
    auto done = insert("audit", kAuditColumns + also, audit);
    if (done) done = insert("attempts", kAttemptColumns + also, attempts);
    if (done) done = insert("tasks", kTaskColumns + also, tasks);
    if (done)
        done = insert("scheduler_decisions", std::string(kDecisionColumns) + ", " + kDecisionExtraColumns, decisions);
    if (done) unclear_ = false;
    return done;
}

Result<void> ClickHouseHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    if (auto ok = connect(); !ok) return ok;
    oldest_us_ = std::max(oldest_us_.load(), oldest.us);
    auto done = drop_days(oldest, bytes_max);
    if (done) done = roll_up();
    if (!done) return std::unexpected(std::move(done).error().during("expiring the history"));
    return {};
}

Result<void> ClickHouseHistory::drop_days(WallTime oldest, std::uint64_t bytes_max) {
    const auto parts = command(std::string("SELECT partition, table, sum(bytes_on_disk) FROM system.parts"
                                           " WHERE active AND database = '") +
                               options_.address.database + "' AND table IN " + kOfRuns +
                               " GROUP BY partition, table ORDER BY partition, table");
    if (!parts) return std::unexpected(parts.error());
    struct Day {
        std::vector<std::string> tables;
        std::uint64_t bytes = 0;
    };
    std::map<std::int64_t, Day> days;
    std::uint64_t bytes = 0;
    bool whole = false;  // decisions in one partition: the old Nexus has made that table
    for (const auto& line : lines_of(*parts)) {
        if (line.size() != 3) continue;
        const std::int64_t day = number_in(line[0]);
        const auto size = static_cast<std::uint64_t>(number_in(line[2]));
        bytes += size;
        if (day == 0) {
            whole = true;
            continue;
        }
        days[day].tables.push_back(line[1]);
        days[day].bytes += size;
    }
    const auto drop = [&](std::int64_t day, const std::string& table) {
        return command("ALTER TABLE " + table + " DROP PARTITION " + std::to_string(day));
    };
    const std::int64_t first = oldest.us <= 0 ? 0 : day_number(oldest.us);
    const std::int64_t first_anywhere = oldest.us <= kDayUs ? 0 : day_number(oldest.us - kDayUs);
    const std::int64_t newest = days.empty() ? 0 : days.rbegin()->first;
    for (const auto& [day, about] : days) {
        const bool too_much = bytes_max != 0 && bytes > bytes_max && day != newest;
        for (const std::string& table : about.tables) {
            // The days of decisions begin at the server's midnight, wherever that is.
            if (!too_much && day >= (table == "scheduler_decisions" ? first_anywhere : first)) continue;
            if (auto done = drop(day, table); !done) return std::unexpected(std::move(done).error());
        }
        if (too_much) bytes -= std::min(bytes, about.bytes);
    }
    if (!whole || oldest.us <= 0) return {};
    // Rows of such a table go by a rewrite of its parts, so only once a day.
    if (const std::int64_t day = day_of(oldest.us); day > last_mutation_day_) {
        auto done = command("ALTER TABLE scheduler_decisions DELETE WHERE timestamp < " + date_time(oldest.us));
        if (!done) return std::unexpected(std::move(done).error());
        last_mutation_day_ = day;
    }
    return {};
}

// Whole hours, the last one again: what had to wait for the server belongs to it.
Result<void> ClickHouseHistory::roll_up() {
    const auto ends =
        command("SELECT (SELECT toUInt32(max(minute)) FROM rollups), (SELECT toUInt32(min(finished)) FROM tasks)");
    if (!ends) return std::unexpected(ends.error());
    const auto lines = lines_of(*ends);
    if (lines.empty() || lines[0].size() != 2) return {};
    constexpr std::int64_t kHour = 3600;
    const std::int64_t rolled = number_in(lines[0][0]), least = number_in(lines[0][1]);
    const std::int64_t now_us = system_wall().us;
    const std::int64_t from = (rolled != 0 ? rolled : least) / kHour * kHour;
    const std::int64_t to = now_us / 1'000'000 / kHour * kHour;
    if (least == 0 || from >= to || (from == rolled_from_ && to == rolled_to_)) return {};
    const auto between = [&](const char* column) {
        return std::string(column) + " >= " + date_time(from * 1'000'000) + " AND " + column + " < " +
               date_time(to * 1'000'000);
    };
    const std::string made = "toUInt64(" + std::to_string(now_us) + ")";
    auto done = command(
        "INSERT INTO rollups (minute, type, finished, succeeded, within_25, within_p90, told, by_p90_told, run_us,"
        " wait_us, made)"
        " SELECT toStartOfMinute(finished) AS at, type, count(), countIf(good), countIf(good AND run_us > 0 AND"
        " predicted_p50_us * 4 >= run_us * 3 AND predicted_p50_us * 4 <= run_us * 5),"
        " countIf(good AND run_us >= 0 AND run_us <= predicted_p90_us), countIf(good AND eta_finish_p90_us > 0),"
        " countIf(good AND eta_finish_p90_us > 0 AND finished_us <= eta_finish_p90_us), sum(if(run_us > 0, run_us, 0)),"
        " sum(if(started_us > 0, started_us - submitted_us, 0)), " +
        made +
        " FROM (SELECT finished, type, state = 'succeeded' AS good, run_us, predicted_p50_us, predicted_p90_us,"
        " eta_finish_p90_us, finished_us, started_us, submitted_us FROM tasks FINAL WHERE " +
        between("finished") + ") GROUP BY at, type");
    if (done)
        done = command(
            "INSERT INTO worker_rollups (minute, worker, attempts, succeeded, lost, run_us, predicted_us,"
            " peak_memory_bytes, made)"
            " SELECT toStartOfMinute(ended) AS at, worker, count(), countIf(outcome = 'succeeded'),"
            " countIf(outcome = 'worker_lost'), sum(if(run_us > 0, run_us, 0)),"
            " sum(if(run_us > 0, predicted_p50_us, 0)), max(peak_memory_bytes), " +
            made + " FROM attempts FINAL WHERE " + between("ended") + " GROUP BY at, worker");
    if (!done) return std::unexpected(std::move(done).error());
    rolled_from_ = from;
    rolled_to_ = to;
    return {};
}

}  // namespace nexus::history
