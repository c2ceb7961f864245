// The history in ClickHouse beyond what the port promises: sick servers, what is on disk meanwhile, the old Nexus' table,
// who may reach it, and the queries of docs/history.md. On a real server.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/rng.h"
#include "base/system_clock.h"
#include "conformance/scratch_directory.h"
#include "doubles/clickhouse_server.h"
#include "history/clickhouse/clickhouse_history.h"
#include "history/decision.h"
#include "history/memory/memory_history.h"
#include "history/spool/spooled_history.h"

using namespace nexus;
using namespace nexus::test;
using namespace nexus::history;

namespace {

using Mode = HttpProxy::Mode;
constexpr std::int64_t kStartUs = 1'763'890'000'000'000;  // 2025-11-23 09:26:40 UTC

WallTime at(std::int64_t second) {
    return {kStartUs + second * 1'000'000};
}
TaskId id_of(std::int64_t n) {
    return make_task_id(at(n).us / 1000, 0, static_cast<std::uint64_t>(n));
}

// Tasks from..to-1, each with an attempt and a decision.
HistoryBatch some(std::int64_t from, std::int64_t to) {
    HistoryBatch batch;
    for (std::int64_t n = from; n < to; ++n) {
        batch.tasks.push_back({.task = id_of(n),
                               .type = n % 2 == 0 ? "even" : "odd",
                               .tenant = "default",
                               .queue = "default",
                               .state = 4,
                               .submitted = at(n),
                               .started = at(n + 1),
                               .finished = at(n + 3),
                               .run = seconds(2),
                               .worker = "w" + std::to_string(n % 3),
                               .attempts = 1,
                               .predicted_p50 = milliseconds(n % 4 == 0 ? 1'000 : 1'900),
                               .predicted_p90 = seconds(3)});
        batch.attempts.push_back({.task = id_of(n),
                                  .attempt = {1, static_cast<std::uint64_t>(n) + 1},
                                  .number = 1,
                                  .worker = "w" + std::to_string(n % 3),
                                  .outcome = 1,
                                  .assigned = at(n + 1),
                                  .started = at(n + 1),
                                  .ended = at(n + 3),
                                  .run = seconds(2)});
        DecisionNote note{.place = {.at = {at(n + 1).us + 123'456}, .number = static_cast<std::uint64_t>(n) + 1},
                          .task = id_of(n),
                          .decision = {},
                          .type = n % 2 == 0 ? "even" : "odd",
                          .worker = "w" + std::to_string(n % 3)};
        note.decision.reason = core::DecisionReason::slot_freed;
        note.decision.estimate.p50 = milliseconds(1'900);
        note.decision.estimate.confidence_permille = 750;
        batch.decisions.push_back(row_of(note));
    }
    return batch;
}

struct Place {
    std::string database = ClickHouseServer::new_database();
    ClickHouseAddress address(std::uint16_t port = ClickHouseServer::shared().port()) const {
        return {.host = "127.0.0.1", .port = port, .database = database};
    }
    std::unique_ptr<ClickHouseHistory> open(std::uint16_t port = ClickHouseServer::shared().port(),
                                            Duration limit = seconds(30)) const {
        return std::make_unique<ClickHouseHistory>(
            ClickHouseOptions{.address = address(port), .question_time_max = limit, .write_time_max = limit});
    }
};

std::string answer(ClickHouseHistory& history, std::string_view query) {
    auto text = history.ask(query);
    INFO(query);
    if (!text) FAIL(text.error().what);
    return *text;
}

std::int64_t count(ClickHouseHistory& history, const std::string& table) {
    return std::stoll(answer(history, "SELECT count() FROM " + table));
}

}  // namespace

TEST_SUITE_BEGIN("clickhouse");

TEST_CASE("an address is read, and a bad one is refused with what was expected") {
    const auto good = parse_clickhouse("clickhouse://Ch.example:9123/metrics_2");
    REQUIRE(good);
    CHECK_EQ(good->text(), "clickhouse://ch.example:9123/metrics_2");
    CHECK_EQ(parse_clickhouse("clickhouse://h")->text(), "clickhouse://h:8123/nexus");
    CHECK_EQ(parse_clickhouse("clickhouses://[::1]/x")->host, "::1");
    CHECK_EQ(parse_clickhouse("clickhouses://[::1]/x")->port, 8443);
    for (const char* bad : {"", "http://h", "clickhouse://", "clickhouse://h:0", "clickhouse://h:70000",
                            "clickhouse://h:12x", "clickhouse://h/a b", "clickhouse://h/a`b", "clickhouse://h/1a",
                            "clickhouse://h/a/b", "clickhouse://a'b/c"}) {
        INFO(bad);
        const auto refused = parse_clickhouse(bad);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().fault == Fault::invalid);
        CHECK(refused.error().what.find("clickhouse://HOST:PORT/DATABASE") != std::string::npos);
    }
    const auto secret = parse_clickhouse("clickhouse://me:secret@h/x");
    REQUIRE_FALSE(secret);
    CHECK(secret.error().what.find("secret") == std::string::npos);
}

TEST_CASE("a sick server is unreachable within the limit, and what is sent again afterwards is there once") {
    HttpProxy proxy(ClickHouseServer::shared().port());
    const Place place;
    const auto direct = place.open();
    REQUIRE(direct->write(some(0, 10)));
    std::int64_t n = 10;
    for (const Mode mode : {Mode::silent, Mode::refuse, Mode::error, Mode::half, Mode::lost_reply}) {
        INFO(static_cast<int>(mode));
        const auto history = place.open(proxy.port(), seconds(3));
        REQUIRE(history->task(id_of(0)));  // over a connection that is open when the trouble begins
        proxy.set(mode);
        const HistoryBatch batch = some(n, n + 10);
        n += 10;
        const auto begun = std::chrono::steady_clock::now();
        const auto written = history->write(batch);
        REQUIRE_FALSE(written);
        CHECK(written.error().fault == Fault::unreachable);
        const auto asked = history->task(id_of(0));
        REQUIRE_FALSE(asked);
        CHECK(asked.error().fault == Fault::unreachable);
        CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(15));  // a limit for each of the two
        proxy.set(Mode::pass);
        REQUIRE(history->write(batch));
        CHECK(*history->task(batch.tasks.front().task));
    }
    // Of the table that others count, too.
    CHECK_EQ(count(*direct, "scheduler_decisions"), n);
    CHECK_EQ(count(*direct, "tasks FINAL"), n);
    CHECK_EQ(count(*direct, "attempts FINAL"), n);
}

TEST_CASE("texts are data: whatever names hold, they are found as they were written and nothing else happens") {
    const Place place;
    const auto history = place.open();
    HistoryBatch batch = some(0, 8);
    const std::string names[] = {"a' OR 1=1 --",
                                 "\\",
                                 "'; DROP TABLE tasks; --",
                                 std::string("nul\0l", 5),
                                 "tab\tnew\nline",
                                 "\xF0\x9F\x98\x80",
                                 "\xFF\xFE",
                                 "{x:String}"};
    for (std::size_t i = 0; i < 8; ++i) {
        batch.tasks[i].type = batch.tasks[i].tenant = batch.tasks[i].error = names[i];
        batch.decisions[i].type = batch.decisions[i].worker = names[i];
        batch.audit.push_back({.place = {.at = at(0), .number = i + 1}, .author = names[i], .reason = names[i]});
    }
    REQUIRE(history->write(batch));
    for (std::size_t i = 0; i < 8; ++i) {
        INFO(names[i]);
        TaskQuery tasks;
        tasks.type = tasks.tenant = names[i];
        const auto found = history->tasks(tasks);
        REQUIRE(found);
        REQUIRE_EQ(found->size(), 1);
        CHECK_EQ(found->front().error, names[i]);
        TaskQuery search;
        search.search = names[i].substr(0, 3);
        search.order = TaskOrder::submitted;
        CHECK(history->tasks(search));
        DecisionQuery decisions;
        decisions.type = decisions.worker = names[i];
        CHECK_EQ(history->decisions(decisions)->size(), 1);
        AuditQuery audit;
        audit.search = names[i];
        REQUIRE(history->audit(audit));
        CHECK_GE(history->audit(audit)->size(), 1);
        CHECK_EQ(history->audit(audit)->back().reason, names[i]);
    }
    CHECK_EQ(count(*history, "tasks"), 8);
}

TEST_CASE("the table of the old Nexus is taken over: its rows stay, its queries see ours as well") {
    const Place place;
    const auto plain = std::make_unique<ClickHouseHistory>(
        ClickHouseOptions{.address = {.host = "127.0.0.1",
                                      .port = ClickHouseServer::shared().port(),
                                      .database = ClickHouseServer::new_database()}});
    answer(*plain, "CREATE DATABASE " + place.database);
    answer(*plain, "CREATE TABLE " + place.database +
                       ".scheduler_decisions (timestamp DateTime, task_id String, task_type String, worker_id String,"
                       " predicted_duration_ms UInt32, predicted_wait_ms UInt32, score Float32, reasoning String,"
                       " fallback_used UInt8) ENGINE = MergeTree() ORDER BY (timestamp, task_id)");
    answer(*plain,
           "INSERT INTO " + place.database +
               ".scheduler_decisions VALUES (1763800000, 'old-1', 'resize', 'w9', 5, 6, 0.5, 'load_balance', 0)");
    const auto history = place.open();
    REQUIRE(history->write(some(0, 5)));
    const std::string dashboard =
        "SELECT task_id, worker_id, predicted_duration_ms, score, reasoning, fallback_used, toUInt32(timestamp)"
        " FROM scheduler_decisions WHERE timestamp >= toDateTime(1763000000) ORDER BY timestamp, task_id";
    const std::string rows = answer(*history, dashboard);
    CHECK(rows.starts_with("old-1\tw9\t5\t0.5\tload_balance\t0\t1763800000\n"));
    CHECK(rows.find(to_text(id_of(0)) + "\tw0\t1900\t0.75\tprediction\t0\t1763890001\n") != std::string::npos);
    DecisionQuery all;
    CHECK_EQ(history->decisions(all)->size(), 5);  // a row of the old Nexus is no decision of ours
    // A table without days is not dropped by days.
    REQUIRE(history->expire(at(2), 0));
    CHECK_EQ(history->decisions(all)->size(), 4);
    const auto again = place.open();
    REQUIRE(again->connect());
}

TEST_CASE("expiry drops whole days and rolls up whole hours") {
    const Place place;
    const auto history = place.open();
    HistoryBatch batch;
    for (std::int64_t day = 0; day < 4; ++day) {
        const HistoryBatch more = some(day * 86'400, day * 86'400 + 50);
        batch.tasks.insert(batch.tasks.end(), more.tasks.begin(), more.tasks.end());
        batch.attempts.insert(batch.attempts.end(), more.attempts.begin(), more.attempts.end());
        batch.decisions.insert(batch.decisions.end(), more.decisions.begin(), more.decisions.end());
    }
    REQUIRE(history->write(batch));
    REQUIRE(history->expire({0}, 0));
    const std::string sums =
        "SELECT sum(finished), sum(succeeded), sum(within_25), sum(run_us), sum(wait_us) FROM rollups FINAL";
    CHECK_EQ(answer(*history, sums), "200\t200\t" + std::to_string(200 - 4 * 13) + "\t400000000\t200000000\n");
    REQUIRE(history->expire({0}, 0));  // once more changes nothing
    CHECK_EQ(answer(*history, sums), "200\t200\t" + std::to_string(200 - 4 * 13) + "\t400000000\t200000000\n");
    REQUIRE(history->expire(at(2 * 86'400), 0));
    CHECK_EQ(count(*history, "tasks"), 100);
    CHECK_EQ(count(*history, "task_place"), 100);
    CHECK_EQ(count(*history, "attempts"), 100);
    // Its days are those of the server's own time, so one more day stays.
    CHECK_EQ(count(*history, "scheduler_decisions"), 150);
    CHECK_EQ(history->decisions({})->size(), 100);
}

TEST_CASE("a password is asked for, and never told") {
    const Place place;
    ClickHouseAddress address = place.address();
    address.user = "nexus";
    address.password = "wrong secret";
    ClickHouseHistory wrong({.address = address});
    const auto refused = wrong.connect();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().fault == Fault::denied);
    CHECK(refused.error().what.find("secret") == std::string::npos);
    address.password = "open sesame";
    ClickHouseHistory right({.address = address});
    CHECK(right.write(some(0, 1)));
}

TEST_CASE("tables of a newer release are left alone; tables that somebody dropped are made again") {
    const Place place;
    {
        const auto history = place.open();
        REQUIRE(history->write(some(0, 3)));
        answer(*history, "DROP DATABASE " + place.database);
        CHECK_FALSE(history->write(some(3, 6)));
        REQUIRE(history->write(some(3, 6)));
        CHECK_EQ(history->tasks({})->size(), 3);
        answer(*history, "INSERT INTO nexus_schema (version) VALUES (99)");
    }
    const auto refused = place.open()->connect();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().fault == Fault::unsupported);
    CHECK(refused.error().what.find("newer release") != std::string::npos);
}

TEST_CASE("T27: while the server is away, silent or slow every write is taken at once, and all arrives afterwards") {
    ClickHouseServer server;
    HttpProxy proxy(server.port());
    ScratchDirectory directory;
    const std::string database = ClickHouseServer::new_database();
    const auto options_at = [&](std::uint16_t port) {
        return ClickHouseOptions{.address = {.host = "127.0.0.1", .port = port, .database = database},
                                 .question_time_max = seconds(2),
                                 .write_time_max = seconds(3)};
    };
    ClickHouseHistory far(options_at(proxy.port()));
    const SpoolOptions options{.directory = directory.file("spool"),
                               .patience = milliseconds(200),
                               .retry_min = milliseconds(10),
                               .retry_max = milliseconds(50)};
    auto opened = SpooledHistory::open(options, far);
    REQUIRE(opened);
    std::unique_ptr<SpooledHistory> history = *std::move(opened);
    std::int64_t n = 0;
    const auto write_some = [&](int times) {
        auto longest = std::chrono::steady_clock::duration::zero();
        for (int i = 0; i < times; ++i, n += 20) {
            const HistoryBatch batch = some(n, n + 20);
            const auto begun = std::chrono::steady_clock::now();
            REQUIRE(history->write(batch));
            longest = std::max(longest, std::chrono::steady_clock::now() - begun);
        }
        return longest;
    };
    write_some(5);
    REQUIRE(history->flush(seconds(30)));
    for (const Mode mode : {Mode::silent, Mode::slow, Mode::lost_reply, Mode::half, Mode::error}) {
        INFO(static_cast<int>(mode));
        proxy.set(mode);
        CHECK(write_some(20) < std::chrono::seconds(2));  // what it waits for the server itself
        // What waits is found, whatever the server does; what does not wait is not said not to be.
        const auto fresh = history->task(id_of(n - 1));
        REQUIRE(fresh);
        CHECK(*fresh);
        if (mode == Mode::silent) {
            CHECK(history->health().waiting > 0);
            const auto unknown = history->task(id_of(1'000'000));
            REQUIRE_FALSE(unknown);
            CHECK(unknown.error().fault == Fault::unreachable);
        }
        proxy.set(Mode::pass);
        REQUIRE(history->flush(minutes(1)));
        CHECK_EQ(history->health().waiting, 0);
    }
    server.kill();
    write_some(20);
    CHECK_FALSE(history->flush(milliseconds(100)));
    CHECK_FALSE(history->health().good);
    CHECK_FALSE(history->health().why.empty());
    // This process ends, another takes what it left.
    history.reset();
    opened = SpooledHistory::open(options, far);
    REQUIRE(opened);
    history = *std::move(opened);
    CHECK_EQ(history->health().waiting, 20 * 20 * 3);
    write_some(5);
    server.start();
    REQUIRE(history->flush(minutes(1)));
    CHECK(history->health().good);
    CHECK_EQ(history->dropped(), 0);
    ClickHouseHistory direct(options_at(server.port()));
    CHECK_EQ(count(direct, "tasks FINAL"), n);
    CHECK_EQ(count(direct, "attempts FINAL"), n);
    CHECK_EQ(count(direct, "scheduler_decisions FINAL"), n);
}

TEST_CASE("a full spool drops the oldest decisions first, then the oldest rows, and counts them") {
    ClickHouseHistory nowhere({.address = {.host = "127.0.0.1", .port = 1}});
    ScratchDirectory directory;
    const SpoolOptions options{.directory = directory.file("spool"),
                               .bytes_max = 30'000'000,
                               .memory_bytes_max = 0,
                               .patience = milliseconds(50)};
    auto opened = SpooledHistory::open(options, nowhere);
    REQUIRE(opened);
    SpooledHistory& history = **opened;
    Rng rng(3);
    std::uint64_t given = 0;
    for (std::int64_t n = 0; n < 200; ++n) {
        HistoryBatch batch = some(n * 100, n * 100 + 100);
        for (TaskRow& row : batch.tasks)
            for (int i = 0; i < 1'500; ++i) row.error += static_cast<char>('!' + rng.below(90));
        for (DecisionRow& row : batch.decisions)
            for (int i = 0; i < 1'000; ++i) row.record += static_cast<char>(rng.below(256));
        given += batch.size();
        REQUIRE(history.write(batch));
        CHECK_LE(history.health().spool_bytes, 30'000'000 + 1'000'000);
    }
    const HistoryHealth health = history.health();
    CHECK_GT(health.dropped, 0);
    CHECK_EQ(health.dropped + health.waiting, given);
    std::size_t decisions = 0, rows = 0;
    for (const auto& file : std::filesystem::directory_iterator(directory.file("spool")))
        (file.path().extension() == ".decisions" ? decisions : rows) += file.file_size();
    CHECK_LE(decisions + rows, 31'000'000);
    CHECK_GT(rows, 4 * decisions);
}

// The blocks of ```sql in the manual.
std::vector<std::string> queries_of_manual() {
    std::ifstream file(NEXUS_DOCS_DIR "/history.md");
    std::vector<std::string> queries;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("```")) {
            if (line == "```sql") queries.emplace_back();
            inside = line == "```sql";
        } else if (inside) {
            queries.back() += line + "\n";
        }
    }
    return queries;
}

TEST_CASE("every query of the manual runs, and tells something") {
    const Place place;
    const auto history = place.open();
    // Of the last hours, as the queries ask; two hours that are over, and now.
    const std::int64_t now = (system_wall().us - kStartUs) / 1'000'000;
    for (const std::int64_t hours_ago : {4, 3, 0}) {
        const std::int64_t first = now - hours_ago * 3600 - 100;
        HistoryBatch batch = some(first, first + 90);
        for (std::size_t i = 0; i < 90; ++i) {
            TaskRow& row = batch.tasks[i];
            row.eta_finish_p90 = {row.finished.us + (i % 10 == 0 ? -1 : 1)};
            if (i % 9 == 0) row.state = 5;
            if (i % 9 == 0) row.error = "exit 1";
            batch.attempts[i].predicted_p50 = seconds(2);
        }
        batch.tasks[0].task = *parse_id<TaskId>("01980c2e-0000-7000-8000-000000000000");
        batch.audit.push_back({.place = {.at = at(first), .number = 1}, .author = "ann", .action = "config"});
        REQUIRE(history->write(batch));
    }
    REQUIRE(history->expire({0}, 0));
    const std::vector<std::string> queries = queries_of_manual();
    CHECK_GE(queries.size(), 9);
    for (const std::string& query : queries) {
        INFO(query);
        const std::string text = answer(*history, query);
        CHECK_FALSE(text.empty());
        CHECK(text.find("nan") == std::string::npos);
    }
    const std::string accuracy = answer(*history, queries[0]);
    CHECK(accuracy.find("\teven\t") != std::string::npos);
    const std::string waits = answer(*history, queries[2]);
    CHECK_EQ(waits, "default\t270\t1\t1\n");
}

TEST_SUITE_END();
