// What the history port promises, for every adapter.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "base/rng.h"
#include "conformance/scratch_directory.h"
#include "doubles/clickhouse_server.h"
#include "doubles/remote_history.h"
#include "engine/history_writer.h"
#include "history/clickhouse/clickhouse_history.h"
#include "history/memory/memory_history.h"
#include "history/spool/spooled_history.h"
#include "history/sqlite/sqlite_history.h"
#include "history/whole_history.h"
#include "sqlite/database.h"

using namespace nexus;
using namespace nexus::test;
using namespace nexus::history;

namespace {

constexpr std::int64_t kStartUs = 1'763'890'000'000'000;  // a whole minute is not needed: minutes are checked by number

// The adapter, and the same opened again where that means something.
class HistoryRig {
public:
    virtual ~HistoryRig() = default;
    virtual HistoryStore& store() = 0;
    virtual void reopen() {}
    virtual void settle() {}  // what was written is where it belongs
};

class MemoryRig final : public HistoryRig {
public:
    HistoryStore& store() override { return history_; }

private:
    MemoryHistory history_;
};

class SqliteRig final : public HistoryRig {
public:
    SqliteRig() { reopen(); }
    HistoryStore& store() override { return *history_; }
    void reopen() override {
        history_.reset();
        auto opened = SqliteHistory::open({.path = directory_.file("history.db")});
        MUST(opened.has_value());
        history_ = *std::move(opened);
        MUST(history_->put_aside().empty());
    }

private:
    ScratchDirectory directory_;
    std::unique_ptr<SqliteHistory> history_;
};

// A store behind a socket that loses requests, answers and time; every call is sent again until it is answered.
class RemoteRig final : public HistoryRig {
public:
    HistoryStore& store() override { return history_; }

private:
    MemoryHistory inner_;
    HistoryServer server_{inner_,
                          {.seed = 7, .lost_request_one_in = 5, .lost_reply_one_in = 4, .late_reply_one_in = 6}};
    RemoteHistory history_{server_, 1000};
};

// A real server of Debian 12, a database for each rig.
class ClickHouseRig final : public HistoryRig {
public:
    ClickHouseRig() { reopen(); }
    HistoryStore& store() override { return *history_; }
    void reopen() override {
        history_ = std::make_unique<ClickHouseHistory>(ClickHouseOptions{
            .address = {.host = "127.0.0.1", .port = ClickHouseServer::shared().port(), .database = database_},
            .question_time_max = minutes(1),
            .write_time_max = minutes(1)});
    }

private:
    const std::string database_ = ClickHouseServer::new_database();
    std::unique_ptr<ClickHouseHistory> history_;
};

// What it is given arrives, or arrives and is said not to have, or does not; it answers questions all the same.
class SickToWrite final : public HistoryStore {
public:
    explicit SickToWrite(HistoryStore& store) : store_(store) {}
    Result<void> write(std::span<const HistoryBatch* const> batches) override {
        const std::uint64_t fate = rng_.below(3);
        if (fate == 0) return fail(Fault::unreachable, "not written");
        auto done = store_.write(batches);
        if (fate == 1) return fail(Fault::unreachable, "written");
        return done;
    }
    Result<std::optional<TaskRow>> task(TaskId task) override { return store_.task(task); }
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) override { return store_.attempts(tasks); }
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override { return store_.tasks(query); }
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override { return store_.decisions(query); }
    Result<std::vector<AuditRow>> audit(const AuditQuery& query) override { return store_.audit(query); }
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override { return store_.expire(oldest, bytes_max); }

private:
    HistoryStore& store_;
    Rng rng_{11};
};

class SpoolRig final : public HistoryRig {
public:
    SpoolRig() { reopen(); }
    HistoryStore& store() override { return *history_; }
    void reopen() override {
        history_.reset();
        auto opened = SpooledHistory::open(
            {.directory = directory_.file("spool"), .retry_min = milliseconds(2), .retry_max = milliseconds(2)}, sick_);
        MUST(opened.has_value());
        history_ = *std::move(opened);
        settle();
    }
    void settle() override { MUST(history_->flush(minutes(1))); }

private:
    ScratchDirectory directory_;
    MemoryHistory inner_;
    SickToWrite sick_{inner_};
    std::unique_ptr<SpooledHistory> history_;
};

void each_rig(const std::function<void(HistoryRig&)>& run) {
    {
        INFO("memory");
        MemoryRig rig;
        run(rig);
    }
    {
        INFO("sqlite");
        SqliteRig rig;
        run(rig);
    }
    {
        INFO("socket");
        RemoteRig rig;
        run(rig);
    }
    {
        INFO("spool");
        SpoolRig rig;
        run(rig);
    }
    {
        INFO("clickhouse");
        ClickHouseRig rig;
        run(rig);
    }
}

WallTime at_second(std::int64_t second) {
    return {kStartUs + second * 1'000'000};
}

TaskId id_at(std::int64_t second, std::uint64_t n) {
    return make_task_id(at_second(second).us / 1000, 0, n);
}

// Task n: submitted at second n, started 1 s later, ran 2 s; every field filled.
TaskRow task_row_of(std::int64_t n) {
    return {.task = id_at(n, static_cast<std::uint64_t>(n)),
            .shard = static_cast<std::uint32_t>(n % 3),
            .type = n % 2 == 0 ? "even" : "odd",
            .tenant = "tenant-" + std::to_string(n % 3),
            .queue = "queue",
            .priority = static_cast<std::uint8_t>(n % 10),
            .state = static_cast<std::uint8_t>(4 + n % 4),
            .submitted = at_second(n),
            .started = at_second(n + 1),
            .finished = at_second(n + 3),
            .run = seconds(2),
            .worker = "worker-" + std::to_string(n % 5),
            .attempts = 3,
            .failures = 1,
            .crashes = 1,
            .payload_bytes = 100,
            .result_bytes = 7,
            .predicted_p50 = milliseconds(1'600),
            .predicted_p90 = milliseconds(1'900),
            .eta_finish_p50 = at_second(n + 2),
            .eta_finish_p90 = at_second(n + 4),
            .error = n % 4 == 0 ? "" : "exit 1: \"quoted\" \xF0\x9F\x98\x80",
            .redrive_of = n % 7 == 0 ? id_at(n - 1, 5) : TaskId{}};
}

AttemptRow attempt_row_of(std::int64_t n, std::uint32_t number) {
    return {.task = id_at(n, static_cast<std::uint64_t>(n)),
            .attempt = {static_cast<std::uint64_t>(n) << 40 | 0x8000'0000'0000'0000ULL, number},
            .number = number,
            .shard = 2,
            .worker = "worker-1",
            .outcome = 2,
            .assigned = at_second(n),
            .started = at_second(n + 1),
            .ended = at_second(n + 2),
            .run = seconds(1),
            .predicted_p50 = seconds(2),
            .predicted_p90 = seconds(3),
            .source = "type_mode",
            .peak_memory_bytes = 1ULL << 40,
            .error = "boom"};
}

DecisionRow decision_row_of(std::uint64_t number, std::int64_t task, std::uint32_t part = 0) {
    return {.place = {.at = at_second(static_cast<std::int64_t>(number)), .shard = 1, .number = number, .part = part},
            .task = id_at(task, static_cast<std::uint64_t>(task)),
            .type = number % 2 == 0 ? "even" : "odd",
            .worker = "worker-" + std::to_string(number % 5),
            .policy = "predictive",
            .fallback = number % 2 == 0,
            .record = R"({"why":"fastest"})"};
}

std::vector<DecisionRow> decisions_of(HistoryStore& store, const DecisionQuery& query) {
    auto rows = store.decisions(query);
    MUST(rows.has_value());
    return *std::move(rows);
}

std::vector<AttemptRow> attempts_of(HistoryStore& store, TaskId task) {
    auto rows = store.attempts(std::span(&task, 1));
    MUST(rows.has_value());
    return *std::move(rows);
}

std::vector<AuditRow> audit_of(HistoryStore& store, std::size_t limit, EventPlace before = {}) {
    auto rows = store.audit({.before = before, .limit = limit});
    MUST(rows.has_value());
    return *std::move(rows);
}

// Everything that can be read of it.
struct Contents {
    std::vector<TaskRow> tasks;
    std::size_t attempts = 0, decisions = 0, audit = 0;
};
Contents contents_of(HistoryStore& store) {
    TaskQuery all;
    all.limit = 100'000;
    DecisionQuery decisions;
    decisions.limit = 100'000;
    Contents contents{.tasks = *store.tasks(all),
                      .attempts = 0,
                      .decisions = store.decisions(decisions)->size(),
                      .audit = audit_of(store, 100'000).size()};
    std::vector<TaskId> ids;
    for (const TaskRow& row : contents.tasks) ids.push_back(row.task);
    contents.attempts = store.attempts(ids)->size();
    return contents;
}

void check_equal(const TaskRow& got, const TaskRow& want) {
    CHECK(got.task == want.task);
    CHECK_EQ(got.shard, want.shard);
    CHECK_EQ(got.type, want.type);
    CHECK_EQ(got.tenant, want.tenant);
    CHECK_EQ(got.queue, want.queue);
    CHECK_EQ(got.priority, want.priority);
    CHECK_EQ(got.state, want.state);
    CHECK_EQ(got.submitted.us, want.submitted.us);
    CHECK_EQ(got.started.us, want.started.us);
    CHECK_EQ(got.finished.us, want.finished.us);
    CHECK_EQ(got.run.us, want.run.us);
    CHECK_EQ(got.worker, want.worker);
    CHECK_EQ(got.attempts, want.attempts);
    CHECK_EQ(got.failures, want.failures);
    CHECK_EQ(got.crashes, want.crashes);
    CHECK_EQ(got.payload_bytes, want.payload_bytes);
    CHECK_EQ(got.result_bytes, want.result_bytes);
    CHECK_EQ(got.predicted_p50.us, want.predicted_p50.us);
    CHECK_EQ(got.predicted_p90.us, want.predicted_p90.us);
    CHECK_EQ(got.eta_finish_p50.us, want.eta_finish_p50.us);
    CHECK_EQ(got.eta_finish_p90.us, want.eta_finish_p90.us);
    CHECK_EQ(got.error, want.error);
    CHECK(got.redrive_of == want.redrive_of);
}

HistoryBatch tasks_batch(std::int64_t from, std::int64_t to) {
    HistoryBatch batch;
    for (std::int64_t n = from; n < to; ++n) batch.tasks.push_back(task_row_of(n));
    return batch;
}

}  // namespace

TEST_SUITE_BEGIN("history");

TEST_CASE("a finished task comes back with every field") {
    each_rig([](HistoryRig& rig) {
        REQUIRE(rig.store().write(tasks_batch(0, 30)));
        rig.reopen();
        for (std::int64_t n = 0; n < 30; ++n) {
            const auto row = rig.store().task(task_row_of(n).task);
            REQUIRE(row);
            REQUIRE(*row);
            check_equal(**row, task_row_of(n));
        }
        const auto none = rig.store().task(id_at(999, 9));
        REQUIRE(none);
        CHECK_FALSE(*none);
    });
}

TEST_CASE("writing a batch again changes nothing") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 50);
        for (std::int64_t n = 0; n < 50; ++n) {
            batch.attempts.push_back(attempt_row_of(n, 1));
            batch.attempts.push_back(attempt_row_of(n, 2));
            batch.decisions.push_back(decision_row_of(static_cast<std::uint64_t>(n) + 1, n));
            batch.audit.push_back({.place = {.at = at_second(n), .number = static_cast<std::uint64_t>(n) + 1},
                                   .author = "ann",
                                   .action = "config"});
        }
        REQUIRE(rig.store().write(batch));
        // As after an answer that was lost, and as a replay tells it: with fewer words.
        HistoryBatch again = batch;
        for (TaskRow& row : again.tasks) row.error = "less is known now";
        for (AttemptRow& row : again.attempts) row.error = "less is known now";
        const HistoryBatch* const both[] = {&batch, &again};
        REQUIRE(rig.store().write(both));
        rig.reopen();
        const Contents contents = contents_of(rig.store());
        REQUIRE_EQ(contents.tasks.size(), 50);
        for (const TaskRow& row : contents.tasks)
            check_equal(row, task_row_of(row.submitted.us / 1'000'000 - kStartUs / 1'000'000));
        CHECK_EQ(contents.attempts, 100);
        CHECK_EQ(attempts_of(rig.store(), id_at(8, 8)).front().error, "boom");
        CHECK_EQ(contents.decisions, 50);
        CHECK_EQ(contents.audit, 50);
    });
}

TEST_CASE("attempts come by number") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (const std::uint32_t number : {3u, 1u, 2u}) batch.attempts.push_back(attempt_row_of(8, number));
        batch.attempts.push_back(attempt_row_of(9, 1));
        REQUIRE(rig.store().write(batch));
        const TaskId asked[] = {id_at(9, 9), id_at(7, 7), id_at(8, 8)};
        auto rows = rig.store().attempts(asked);
        REQUIRE(rows);
        REQUIRE_EQ(rows->size(), 4);
        CHECK(rows->back().task == id_at(9, 9));
        for (std::uint32_t i = 0; i < 3; ++i) {
            const AttemptRow &got = (*rows)[i], want = attempt_row_of(8, i + 1);
            CHECK(got.task == want.task);
            CHECK(got.attempt == want.attempt);
            CHECK_EQ(got.number, want.number);
            CHECK_EQ(got.shard, want.shard);
            CHECK_EQ(got.worker, want.worker);
            CHECK_EQ(got.outcome, want.outcome);
            CHECK_EQ(got.assigned.us, want.assigned.us);
            CHECK_EQ(got.started.us, want.started.us);
            CHECK_EQ(got.ended.us, want.ended.us);
            CHECK_EQ(got.run.us, want.run.us);
            CHECK_EQ(got.predicted_p50.us, want.predicted_p50.us);
            CHECK_EQ(got.predicted_p90.us, want.predicted_p90.us);
            CHECK_EQ(got.source, want.source);
            CHECK_EQ(got.peak_memory_bytes, want.peak_memory_bytes);
            CHECK_EQ(got.error, want.error);
        }
        CHECK(attempts_of(rig.store(), id_at(7, 7)).empty());
    });
}

TEST_CASE("an attempt that ended its task comes back with every field, as does one that tells something else") {
    each_rig([](HistoryRig& rig) {
        // Tasks 1 to 6: the last attempt tells the same as the task but for what is altered.
        const auto last_of = [](const TaskRow& task) {
            return AttemptRow{.task = task.task,
                              .attempt = {7, task.task.lo},
                              .number = task.attempts,
                              .shard = task.shard,
                              .worker = task.worker,
                              .outcome = 1,
                              .assigned = task.submitted,
                              .started = task.started,
                              .ended = task.finished,
                              .run = task.run,
                              .predicted_p50 = seconds(5),
                              .predicted_p90 = seconds(6),
                              .source = "hint",
                              .peak_memory_bytes = 1ULL << 33,
                              .error = task.error};
        };
        HistoryBatch batch = tasks_batch(1, 7);
        for (const TaskRow& task : batch.tasks) {
            if (task.task == task_row_of(2).task) batch.attempts.push_back(attempt_row_of(2, 1));
            if (task.task != task_row_of(5).task) batch.attempts.push_back(last_of(task));
        }
        batch.attempts[3].worker = "elsewhere";  // of task 3
        batch.attempts[4].run = seconds(1);      // of task 4
        std::swap(batch.tasks[4], batch.tasks[5]);
        REQUIRE(rig.store().write(batch));
        REQUIRE(rig.store().write(batch));
        HistoryBatch alone;
        alone.attempts.push_back(last_of(task_row_of(1)));
        REQUIRE(rig.store().write(alone));
        rig.reopen();
        for (const std::int64_t n : {1, 2, 3, 4, 6}) {
            const auto got = attempts_of(rig.store(), task_row_of(n).task);
            REQUIRE_EQ(got.size(), n == 2 ? 2 : 1);
            AttemptRow want = last_of(task_row_of(n));
            if (n == 3) want.worker = "elsewhere";
            if (n == 4) want.run = seconds(1);
            CHECK(got.back().task == want.task);
            CHECK(got.back().attempt == want.attempt);
            CHECK_EQ(got.back().number, want.number);
            CHECK_EQ(got.back().shard, want.shard);
            CHECK_EQ(got.back().worker, want.worker);
            CHECK_EQ(got.back().outcome, want.outcome);
            CHECK(got.back().assigned == want.assigned);
            CHECK(got.back().started == want.started);
            CHECK(got.back().ended == want.ended);
            CHECK(got.back().run == want.run);
            CHECK(got.back().predicted_p50 == want.predicted_p50);
            CHECK(got.back().predicted_p90 == want.predicted_p90);
            CHECK_EQ(got.back().source, want.source);
            CHECK_EQ(got.back().peak_memory_bytes, want.peak_memory_bytes);
            CHECK_EQ(got.back().error, want.error);
        }
        CHECK(attempts_of(rig.store(), task_row_of(5).task).empty());
    });
}

TEST_CASE("thousands of decisions, written twice and in overlapping parts, are found once each") {
    each_rig([](HistoryRig& rig) {
        constexpr std::uint64_t kAll = 3'000;
        const auto write = [&](std::uint64_t from, std::uint64_t to) {
            HistoryBatch batch;
            for (std::uint64_t number = from; number < to; ++number)
                batch.decisions.push_back(decision_row_of(number, static_cast<std::int64_t>(number * 7919 % kAll)));
            REQUIRE(rig.store().write(batch));
        };
        for (std::uint64_t n = 1; n <= 100; ++n) write(n, n + 1);
        write(101, 1'500);
        write(50, 1'600);
        write(2'000, 3'001);
        write(1'400, 2'200);
        rig.reopen();
        DecisionQuery query;
        query.limit = 700;
        std::uint64_t next = kAll;
        for (auto page = decisions_of(rig.store(), query); !page.empty(); page = decisions_of(rig.store(), query)) {
            for (const DecisionRow& row : page) REQUIRE_EQ(row.place.number, next--);
            query.before = page.back().place;
        }
        CHECK_EQ(next, 0);
        for (const std::uint64_t number : {1U, 64U, 100U, 512U, 1'499U, 1'999U, 3'000U}) {
            DecisionQuery one;
            one.number = number;
            REQUIRE_EQ(decisions_of(rig.store(), one).size(), 1);
            DecisionQuery about;
            about.task = decisions_of(rig.store(), one).front().task;
            REQUIRE_EQ(decisions_of(rig.store(), about).size(), 1);
            CHECK_EQ(decisions_of(rig.store(), about).front().place.number, number);
        }
        DecisionQuery unknown;
        unknown.task = id_at(1'000, 1);
        CHECK(decisions_of(rig.store(), unknown).empty());
    });
}

TEST_CASE("a decision is read as it was noted") {
    const DecisionNote note{
        .place = {.at = at_second(9), .shard = 2, .number = 77, .part = 1},
        .task = id_at(1, 1),
        .decision = {.reason = core::DecisionReason::slot_freed,
                     .fallback = true,
                     .policy = 1,
                     .estimate = {.p50 = seconds(3),
                                  .p90 = seconds(9),
                                  .mean = seconds(4),
                                  .confidence_permille = 650,
                                  .source = EstimateSource::type_mode},
                     .eligible_free = 12,
                     .waiting = 1'000'000,
                     .candidates_count = 2,
                     .candidates = {{.score = -5, .band = 1, .utilization = -2, .speed = 3, .preference = 4},
                                    {.score = 70'000}},
                     .others_count = 1,
                     .others = {{.task = id_at(2, 2), .behind_us = -8}},
                     .rival = id_at(3, 3),
                     .remaining = seconds(2),
                     .ratio_permille = 2'500,
                     .lost = seconds(1),
                     .saved = seconds(7)},
        .type = "resize",
        .worker = "w1",
        .baseline = "w9",
        .others = {"w2", ""}};
    const DecisionRow row = row_of(note);
    CHECK_EQ(row.type, "resize");
    CHECK_EQ(row.policy, "predictive");
    const auto info = decision_of(row);
    REQUIRE(info);
    CHECK(info->place == note.place);
    CHECK(info->task == note.task);
    CHECK_EQ(info->worker, "w1");
    CHECK(info->fallback);
    CHECK_EQ(info->reason, "slot_freed");
    CHECK_EQ(info->model, "default");
    CHECK_EQ(info->baseline_worker, "w9");
    CHECK(info->estimate == note.decision.estimate);
    CHECK_EQ(info->eligible_free, 12);
    CHECK_EQ(info->waiting, 1'000'000);
    REQUIRE_EQ(info->candidates.size(), 2);
    CHECK_EQ(info->candidates[0].worker, "w1");
    CHECK_EQ(info->candidates[0].score, -5.0);
    CHECK(info->candidates[0].factors == std::vector<std::pair<std::string, double>>{
                                             {"band", 1}, {"utilization", -2}, {"speed", 3}, {"preference", 4}});
    CHECK_EQ(info->candidates[1].worker, "w2");
    CHECK(info->rival == id_at(3, 3));
    CHECK(info->remaining == seconds(2));
    CHECK_EQ(info->ratio, 2.5);
    CHECK(info->lost == seconds(1));
    CHECK(info->saved == seconds(7));
    CHECK(info->runner_ups == std::vector<core::RunnerUp>{{.task = id_at(2, 2), .behind_us = -8}});

    for (std::size_t size = 0; size < row.record.size(); ++size) {
        DecisionRow cut = row;
        cut.record.resize(size);
        CHECK(decision_of(cut).error().fault == Fault::corrupt);
    }
    DecisionRow before = row;  // as earlier releases wrote it
    before.record =
        R"({"reason":"pause","model":"default","baseline_worker":"b","p50_us":1,"p90_us":2,"mean_us":3,"source":2,)"
        R"("confidence":4,"eligible_free":5,"waiting":6,"candidates":[{"worker":"w","score":7,"factors":{"band":8}}],)"
        R"("remaining_us":9,"ratio_permille":1500,"runner_ups":[]})";
    const auto old = decision_of(before);
    REQUIRE(old);
    CHECK_EQ(old->reason, "pause");
    CHECK_EQ(old->candidates[0].factors[0].second, 8.0);
    CHECK_EQ(old->ratio, 1.5);
}

TEST_CASE("lists are newest first, filtered, and pages meet without gap or overlap, in either order") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 200);
        for (TaskRow& row : batch.tasks) {
            const std::int64_t n = row.submitted.us / 1'000'000;
            row.finished = at_second(n % 10);  // many ties
            row.eta_finish_p90 = n % 7 == 0 ? WallTime{} : at_second(n * 3 % 10);
        }
        REQUIRE(rig.store().write(batch));
        const auto query_of = [](std::vector<std::uint8_t> states, std::string type, std::string tenant,
                                 std::string worker) {
            TaskQuery query;
            query.states = std::move(states);
            query.type = std::move(type);
            query.tenant = std::move(tenant);
            query.worker = std::move(worker);
            return query;
        };
        const TaskQuery queries[] = {
            query_of({}, "", "", ""),           query_of({5}, "", "", ""),        query_of({5, 6}, "", "", ""),
            query_of({}, "odd", "", ""),        query_of({}, "", "tenant-1", ""), query_of({4}, "even", "", "worker-2"),
            query_of({}, "unheard of", "", ""),
        };
        std::vector<TaskQuery> all(std::begin(queries), std::end(queries));
        const std::string id = to_text(batch.tasks[77].task);
        for (const std::string& text : {std::string("odd"), std::string("ant-1"), std::string("worker-3"), id,
                                        id.substr(0, 13), std::string("%"), std::string("nowhere")})
            all.emplace_back().search = text;
        for (const auto& [from, to] : {std::pair{30, 60}, std::pair{190, 0}, std::pair{0, 5}, std::pair{70, 70}}) {
            TaskQuery& between = all.emplace_back();
            if (from != 0) between.submitted_from = at_second(from);
            if (to != 0) between.submitted_to = at_second(to);
            between.search = from == 30 ? "even" : "";
        }
        for (const PromiseKept promise : {PromiseKept::kept, PromiseKept::missed}) {
            all.emplace_back().promise = promise;
            TaskQuery& even = all.emplace_back();
            even.states = {4, 5};
            even.promise = promise;
            even.type = "even";
            std::size_t found = 0;
            for (const TaskRow& row : batch.tasks)
                if (even.wants(row)) {
                    ++found;
                    CHECK_EQ(row.state, 4);
                    CHECK_EQ(row.finished <= row.eta_finish_p90, promise == PromiseKept::kept);
                }
            CHECK_GT(found, 5);
        }
        for (const TaskQuery& filter : all)
            for (const TaskOrder order : {TaskOrder::finished, TaskOrder::submitted}) {
                TaskQuery query = filter;
                query.order = order;
                query.limit = 7;
                std::vector<TaskRow> want;
                std::ranges::copy_if(batch.tasks, std::back_inserter(want),
                                     [&](const TaskRow& row) { return query.wants(row); });
                std::ranges::sort(want, [&](const TaskRow& a, const TaskRow& b) { return query.in_order(a, b); });
                std::vector<TaskRow> got;
                for (;;) {
                    const auto page = rig.store().tasks(query);
                    REQUIRE(page);
                    if (page->empty()) break;
                    CHECK_LE(page->size(), 7);
                    got.insert(got.end(), page->begin(), page->end());
                    query.before_finished = got.back().finished;
                    query.before = got.back().task;
                }
                REQUIRE_EQ(got.size(), want.size());
                for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i].task == want[i].task);
            }
    });
}

TEST_CASE("decisions by task, worker, type and event, in pages that may end between two of one event") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (std::uint64_t number = 1; number <= 40; ++number)
            for (std::uint32_t part = 0; part < (number % 10 == 0 ? 4 : 1); ++part)
                batch.decisions.push_back(decision_row_of(number, part, part));
        REQUIRE(rig.store().write(batch));
        const auto with = [](const std::function<void(DecisionQuery&)>& set) {
            DecisionQuery query;
            query.limit = 1000;
            set(query);
            return query;
        };
        CHECK_EQ(decisions_of(rig.store(), with([](auto&) {})).size(), 52);
        const auto of_task = decisions_of(rig.store(), with([](auto& q) { q.task = id_at(3, 3); }));
        REQUIRE_EQ(of_task.size(), 4);
        CHECK(of_task[0].place == decision_row_of(40, 3, 3).place);
        CHECK_EQ(of_task[0].record, R"({"why":"fastest"})");
        CHECK(of_task[0].fallback);
        CHECK_EQ(of_task[0].policy, "predictive");
        CHECK_EQ(of_task[0].type, "even");
        CHECK_EQ(decisions_of(rig.store(), with([](auto& q) { q.number = 30; })).size(), 4);
        CHECK_EQ(decisions_of(rig.store(), with([](auto& q) { q.type = "odd"; })).size(), 20);
        for (const auto& row : decisions_of(rig.store(), with([](auto& q) {
                                                q.worker = "worker-3";
                                                q.before = decision_row_of(30, 0).place;
                                            }))) {
            CHECK_EQ(row.worker, "worker-3");
            CHECK_LT(row.place.number, 30);
        }
        std::vector<DecisionRow> seen;
        DecisionQuery page;
        page.limit = 3;
        for (;;) {
            const auto rows = decisions_of(rig.store(), page);
            if (rows.empty()) break;
            seen.insert(seen.end(), rows.begin(), rows.end());
            page.before = seen.back().place;
        }
        REQUIRE_EQ(seen.size(), 52);
        CHECK(std::ranges::is_sorted(seen, std::greater{}, &DecisionRow::place));
        CHECK(std::ranges::adjacent_find(seen, {}, &DecisionRow::place) == seen.end());
    });
}

TEST_CASE("the audit is newest first, and pages meet between two entries of one moment") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (int i = 0; i < 10; ++i)
            batch.audit.push_back(
                {.place = {.at = at_second(i / 4), .shard = 0, .number = 7, .part = static_cast<std::uint32_t>(i)},
                 .author = "ann",
                 .action = "config",
                 .reason = "because",
                 .before = "a",
                 .after = "b",
                 .hash = "hash-" + std::to_string(i)});
        REQUIRE(rig.store().write(batch));
        rig.reopen();
        std::vector<std::string> hashes;
        EventPlace before;
        for (;;) {
            const auto rows = audit_of(rig.store(), 3, before);
            if (rows.empty()) break;
            CHECK_EQ(rows[0].author, "ann");
            CHECK_EQ(rows[0].reason, "because");
            CHECK_EQ(rows[0].after, "b");
            for (const AuditRow& row : rows) hashes.push_back(row.hash);
            before = rows.back().place;
        }
        REQUIRE_EQ(hashes.size(), 10);
        for (int i = 0; i < 10; ++i) CHECK_EQ(hashes[static_cast<std::size_t>(i)], "hash-" + std::to_string(9 - i));
    });
}

TEST_CASE("what is on its way to the store is read with what it has, each once") {
    each_rig([](HistoryRig& rig) {
        const HistoryBatch all = tasks_batch(0, 60);
        HistoryBatch stored;
        Unwritten unwritten;
        for (std::int64_t n = 0; n < 60; ++n) {
            const bool is_stored = n % 2 == 0 || n % 5 == 0, waits = n % 2 == 1 || n % 10 == 0;
            if (is_stored) stored.tasks.push_back(task_row_of(n));
            if (is_stored) stored.attempts.push_back(attempt_row_of(n, 1));
            if (!waits) continue;
            auto group = std::make_shared<UnwrittenRows>();
            group->rows.tasks.push_back(task_row_of(n));
            group->rows.attempts.push_back(attempt_row_of(n, 1));
            group->decisions.push_back({.place = decision_row_of(static_cast<std::uint64_t>(n) + 1, n).place,
                                        .task = task_row_of(n).task,
                                        .decision = {},
                                        .type = "even",
                                        .worker = "w"});
            unwritten.push_back(std::move(group));
        }
        REQUIRE(rig.store().write(stored));
        WholeHistory whole(rig.store(), std::move(unwritten));
        for (const TaskRow& row : all.tasks) {
            const auto found = whole.task(row.task);
            REQUIRE(found);
            REQUIRE(*found);
            check_equal(**found, row);
            CHECK_EQ(whole.attempts(std::span(&row.task, 1))->size(), 1);
        }
        for (const TaskOrder order : {TaskOrder::finished, TaskOrder::submitted}) {
            TaskQuery query;
            query.order = order;
            query.limit = 7;
            std::vector<TaskId> got;
            for (;;) {
                const auto page = whole.tasks(query);
                REQUIRE(page);
                if (page->empty()) break;
                for (const TaskRow& row : *page) got.push_back(row.task);
                query.before = page->back().task;
                query.before_finished = page->back().finished;
            }
            REQUIRE_EQ(got.size(), 60);
            for (std::int64_t n = 0; n < 60; ++n) CHECK(got[static_cast<std::size_t>(n)] == task_row_of(59 - n).task);
        }
        DecisionQuery one;
        one.task = task_row_of(11).task;
        const auto decisions = whole.decisions(one);
        REQUIRE(decisions);
        REQUIRE_EQ(decisions->size(), 1);
        CHECK(decision_of(decisions->front()));
    });
}

TEST_CASE("expiry by age takes tasks with their attempts and decisions, and leaves the audit") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 3'000);
        for (std::int64_t n = 0; n < 3'000; ++n) {
            batch.attempts.push_back(attempt_row_of(n, 1));
            batch.decisions.push_back(decision_row_of(static_cast<std::uint64_t>(n) + 1, n));
        }
        batch.audit.push_back({.place = {.at = at_second(0), .number = 1}, .author = "a", .action = "b"});
        REQUIRE(rig.store().write(batch));
        rig.settle();
        REQUIRE(rig.store().expire(at_second(2'000), 0));
        rig.settle();
        const Contents left = contents_of(rig.store());
        CHECK_EQ(left.tasks.size(), 1'003);  // finished at n + 3
        CHECK(attempts_of(rig.store(), id_at(1'996, 1'996)).empty());
        CHECK_EQ(attempts_of(rig.store(), id_at(1'997, 1'997)).size(), 1);
        CHECK_EQ(left.decisions, 1'001);
        CHECK_EQ(left.audit, 1);
    });
}

TEST_CASE("expiry by bytes keeps the newest") {
    each_rig([](HistoryRig& rig) {
        // One a minute, for two weeks: a store may drop whole days.
        HistoryBatch batch;
        Rng rng(5);
        for (std::int64_t n = 0; n < 20'000; ++n) {
            TaskRow& row = batch.tasks.emplace_back(task_row_of(n * 60));
            row.error.resize(300);
            for (char& c : row.error) c = static_cast<char>('!' + rng.below(90));
        }
        REQUIRE(rig.store().write(batch));
        rig.settle();
        REQUIRE(rig.store().expire({0}, 3'000'000));
        rig.settle();
        TaskQuery all;
        all.limit = 100'000;
        const std::vector<TaskRow> left = *rig.store().tasks(all);
        CHECK_GT(left.size(), 1'000);
        CHECK_LT(left.size(), 16'000);
        CHECK(left.front().task == task_row_of(19'999 * 60).task);
        CHECK(left.back().task == task_row_of((20'000 - static_cast<std::int64_t>(left.size())) * 60).task);
    });
}

TEST_CASE("field M: what expiry drops is given back to the file system, of the log as well") {
    ScratchDirectory directory;
    const std::string path = directory.file("history.db");
    auto history = SqliteHistory::open({.path = path});
    REQUIRE(history);
    for (std::int64_t n = 0; n < 20; ++n) {
        HistoryBatch batch = tasks_batch(n * 2'000, (n + 1) * 2'000);
        for (TaskRow& row : batch.tasks) row.error = std::string(500, 'e');
        REQUIRE((*history)->write(batch));
    }
    constexpr std::uint64_t kMost = 4'000'000;
    REQUIRE((*history)->expire({0}, kMost));
    std::uintmax_t bytes = 0;
    for (const char* suffix : {"", "-wal"})
        if (std::filesystem::exists(path + suffix)) bytes += std::filesystem::file_size(path + suffix);
    CHECK_LE(bytes, kMost + kMost / 4);
    CHECK_GT((*history)->tasks({})->size(), 0);
}

TEST_CASE("an unreadable history is put aside and a new one begun") {
    ScratchDirectory directory;
    const std::string path = directory.file("history.db");
    {
        auto history = SqliteHistory::open({.path = path});
        REQUIRE(history);
        REQUIRE((*history)->write(tasks_batch(0, 10)));
    }
    std::filesystem::remove(path + "-wal");
    std::filesystem::resize_file(path, 8192);
    auto history = SqliteHistory::open({.path = path});
    REQUIRE(history);
    CHECK_FALSE((*history)->put_aside().empty());
    CHECK(std::filesystem::exists((*history)->put_aside()));
    REQUIRE((*history)->write(tasks_batch(0, 10)));
    CHECK_EQ((*history)->tasks({})->size(), 10);
}

// The schema of release 0.1, word for word.
constexpr const char* kSchemaOf01 =
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
    " wait_us INTEGER NOT NULL, PRIMARY KEY(minute, type)) WITHOUT ROWID;"
    "PRAGMA application_id=1314408516; PRAGMA user_version=1;";

TEST_CASE("a history of the release before is upgraded in place and loses nothing") {
    ScratchDirectory directory;
    const std::string path = directory.file("history.db");
    {
        auto db = sqlite::Database::open(path, sqlite::Access::write);
        REQUIRE(db);
        REQUIRE(db->run(kSchemaOf01));
        // Task 00…01 succeeded at its second attempt; event 9 caused two decisions; two entries of the audit.
        REQUIRE(db->run(
            "INSERT INTO name VALUES(1, 'resize'), (2, 'default'), (3, 'w1'), (4, 'type_mode'), (5, 'predictive');"
            "INSERT INTO task VALUES(5000000, x'00000000000000000000000000000001', 4, 1, 2, 2, 3, 5, 1000000, 2000000,"
            " 3000000, 2, 1, 0, 100, 7, 11, 12, 13, 14, '', x'');"
            "INSERT INTO attempt VALUES"
            "(x'00000000000000000000000000000001', 1, x'0000000000000000000000000000000A', 1, 2, 3, 2, 1, 2, 3, 4, 5, "
            "6,"
            " 4, 100, 77, 'boom'),"
            "(x'00000000000000000000000000000001', 2, x'0000000000000000000000000000000B', 1, 2, 3, 1, 1, 2, 3, 4, 5, "
            "6,"
            " 4, 100, 78, '');"
            "INSERT INTO decision VALUES(9, x'00000000000000000000000000000001', 4000000, 1, 3, 5, 0, 1, '{\"a\":1}'),"
            "(9, x'00000000000000000000000000000002', 4000000, 1, 3, 5, 1, 1, '{\"a\":2}');"
            "INSERT INTO audit VALUES(1, 1000000, 'ann', 'pause queue q', 'why', 'b', 'a', 'h1'),"
            "(2, 2000000, 'bob', 'x', '', '', '', NULL);"
            "INSERT INTO rollup VALUES(1, 1, 1, 1, 1, 1, 1, 1);"));
    }
    for (int opened = 0; opened < 2; ++opened) {
        auto history = SqliteHistory::open({.path = path});
        REQUIRE(history);
        CHECK((*history)->put_aside().empty());
        const TaskId task{0, 1};
        const auto row = (*history)->task(task);
        REQUIRE(row);
        REQUIRE(*row);
        CHECK_EQ((*row)->type, "resize");
        CHECK_EQ((*row)->worker, "w1");
        CHECK_EQ((*row)->eta_finish_p90.us, 14);
        CHECK_EQ((*row)->shard, 0);
        const auto attempts = attempts_of(**history, task);
        REQUIRE_EQ(attempts.size(), 2);
        CHECK_EQ(attempts[0].error, "boom");
        CHECK_EQ(attempts[1].peak_memory_bytes, 78);
        CHECK_EQ(attempts[1].source, "type_mode");
        const auto decisions = decisions_of(**history, {});
        REQUIRE_EQ(decisions.size(), 2);
        CHECK(decisions[0].place == EventPlace{.at = {4'000'000}, .shard = 0, .number = 9, .part = 1});
        CHECK_EQ(decisions[0].record, "{\"a\":2}");
        CHECK(decisions[0].fallback);
        const auto audit = audit_of(**history, 10);
        REQUIRE_EQ(audit.size(), 2);
        CHECK_EQ(audit[0].author, "bob");
        CHECK_EQ(audit[1].hash, "h1");
        REQUIRE((*history)->write(tasks_batch(0, 3)));
        CHECK_EQ(contents_of(**history).tasks.size(), 4);
    }
}

// The tables of version 2 that are others now, word for word.
constexpr const char* kSchemaOf2 =
    "CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE task(finished_us INTEGER NOT NULL, task BLOB NOT NULL, state INTEGER NOT NULL, type INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, queue INTEGER NOT NULL, worker INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " submitted_us INTEGER NOT NULL, started_us INTEGER NOT NULL, run_us INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, crashes INTEGER NOT NULL, payload_bytes INTEGER NOT NULL,"
    " result_bytes INTEGER NOT NULL, predicted_p50_us INTEGER NOT NULL, predicted_p90_us INTEGER NOT NULL,"
    " eta_finish_p50_us INTEGER NOT NULL, eta_finish_p90_us INTEGER NOT NULL, error TEXT, redrive_of BLOB,"
    " shard INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(finished_us, task)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX task_by_id ON task(task);"
    "CREATE TABLE attempt(task BLOB NOT NULL, number INTEGER NOT NULL, shard INTEGER NOT NULL, attempt BLOB NOT NULL,"
    " worker INTEGER NOT NULL, outcome INTEGER NOT NULL, assigned_us INTEGER NOT NULL, started_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, run_us INTEGER NOT NULL, predicted_p50_us INTEGER NOT NULL,"
    " predicted_p90_us INTEGER NOT NULL, source INTEGER NOT NULL, peak_memory_bytes INTEGER NOT NULL, error TEXT,"
    " PRIMARY KEY(task, number)) WITHOUT ROWID;"
    "CREATE TABLE decision(at_us INTEGER NOT NULL, shard INTEGER NOT NULL, number INTEGER NOT NULL,"
    " part INTEGER NOT NULL, task BLOB NOT NULL, type INTEGER NOT NULL, worker INTEGER NOT NULL,"
    " policy INTEGER NOT NULL, fallback INTEGER NOT NULL, record TEXT NOT NULL,"
    " PRIMARY KEY(at_us, shard, number, part)) WITHOUT ROWID;"
    "CREATE INDEX decision_by_task ON decision(task); CREATE INDEX decision_by_number ON decision(number);"
    "CREATE TABLE audit(at_us INTEGER NOT NULL, shard INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,"
    " caller TEXT NOT NULL, author TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL, before TEXT NOT NULL, "
    "after TEXT NOT NULL,"
    " hash TEXT NOT NULL, PRIMARY KEY(at_us, shard, number, part)) WITHOUT ROWID;"
    "PRAGMA application_id=1314408516; PRAGMA user_version=2;";

TEST_CASE("a history of version 2 is upgraded in place and loses nothing") {
    ScratchDirectory directory;
    const std::string path = directory.file("history.db");
    {
        auto db = sqlite::Database::open(path, sqlite::Access::write);
        REQUIRE(db);
        REQUIRE(db->run(kSchemaOf2));
        REQUIRE(db->run(
            "INSERT INTO name VALUES(1, 'resize'), (2, 'default'), (3, 'w1'), (4, 'type_mode'), (5, 'predictive');"
            "INSERT INTO task VALUES(5000000, x'00000000000000000000000000000001', 4, 1, 2, 2, 3, 5, 1000000, 2000000,"
            " 3000000, 1, 0, 0, 100, 7, 11, 12, 13, 14, '', x'', 2);"
            "INSERT INTO attempt VALUES(x'00000000000000000000000000000001', 1, 2,"
            " x'0000000000000000000000000000000A', 3, 1, 1, 2, 5000000, 3000000, 5, 6, 4, 77, '');"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)"
            " INSERT INTO decision SELECT 4000000 + i, 2, i, 0, x'00000000000000000000000000000001', 1, 3, 5, i % 2,"
            " '{\"waiting\":' || i || '}' FROM n;"));
    }
    for (int opened = 0; opened < 2; ++opened) {
        auto history = SqliteHistory::open({.path = path});
        REQUIRE(history);
        CHECK((*history)->put_aside().empty());
        const TaskId task{0, 1};
        const auto row = (*history)->task(task);
        REQUIRE(row);
        REQUIRE(*row);
        CHECK_EQ((*row)->shard, 2);
        const auto attempts = attempts_of(**history, task);
        REQUIRE_EQ(attempts.size(), 1);
        CHECK_EQ(attempts[0].peak_memory_bytes, 77);
        DecisionQuery all;
        all.task = task;
        all.limit = 2'000;
        const auto decisions = decisions_of(**history, all);
        REQUIRE_EQ(decisions.size(), 1'100);
        for (std::size_t i = 0; i < decisions.size(); ++i) REQUIRE_EQ(decisions[i].place.number, 1'100 - i);
        CHECK_EQ(decisions[3].fallback, true);
        CHECK_EQ(decision_of(decisions[3])->waiting, 1'097);
        REQUIRE((*history)->write(tasks_batch(0, 3)));
        CHECK_EQ(contents_of(**history).tasks.size(), 4);
    }
}

TEST_CASE("a question that takes too long ends as unreachable, and the next is answered") {
    ScratchDirectory directory;
    auto history = SqliteHistory::open({.path = directory.file("history.db"), .question_time_max = Duration{0}});
    REQUIRE(history);
    REQUIRE((*history)->write(tasks_batch(0, 20'000)));
    TaskQuery rare;
    rare.type = "unheard of";
    CHECK((*history)->tasks(rare).error().fault == Fault::unreachable);
    CHECK((*history)->task(task_row_of(7).task));  // few steps: done before the first look at the clock
}

TEST_CASE("what a writer is given arrives once, over a connection that loses half of the answers") {
    MemoryHistory inner;
    HistoryServer server(inner, {.seed = 3, .lost_request_one_in = 4, .lost_reply_one_in = 3, .late_reply_one_in = 5});
    RemoteHistory remote(server);
    CHECK(remote.task(id_at(1, 1)).has_value() + server.frames().counts().lost_requests +
              server.frames().counts().lost_replies + server.frames().counts().late_replies ==
          1);
    {
        engine::HistoryWriter writer({.retention = hours(24 * 36'500), .retry = milliseconds(1)}, remote);
        for (std::int64_t n = 0; n < 200; ++n) {
            writer.add(tasks_batch(n * 5, n * 5 + 5), {}, Sequence{static_cast<std::uint64_t>(n) + 1});
            if (n % 40 == 0) CHECK(writer.flush(minutes(1)));
        }
        server.frames().away(true);
        CHECK_FALSE(writer.flush(milliseconds(5)));
        CHECK_FALSE(writer.unwritten().empty());
        server.frames().away(false);
        CHECK(writer.flush(minutes(1)));
        CHECK(writer.upto() == Sequence{200});
        CHECK_EQ(writer.dropped(), 0);
    }
    const std::vector<TaskRow> rows = contents_of(inner).tasks;
    REQUIRE_EQ(rows.size(), 1000);
    CHECK_GT(server.frames().counts().lost_replies + server.frames().counts().late_replies, 1);
}

TEST_SUITE_END();
