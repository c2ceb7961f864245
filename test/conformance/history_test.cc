// What the history port promises, for every adapter.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "base/rng.h"
#include "conformance/scratch_directory.h"
#include "history/memory/memory_history.h"
#include "history/sqlite/sqlite_history.h"

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
            .type = "even",
            .tenant = "tenant-0",
            .worker = "worker-1",
            .outcome = 2,
            .assigned = at_second(n),
            .started = at_second(n + 1),
            .ended = at_second(n + 2),
            .run = seconds(1),
            .predicted_p50 = seconds(2),
            .predicted_p90 = seconds(3),
            .source = "type_mode",
            .payload_bytes = 10,
            .peak_memory_bytes = 1ULL << 40,
            .error = "boom"};
}

DecisionRow decision_row_of(std::uint64_t number, std::int64_t task) {
    return {.number = number,
            .task = id_at(task, static_cast<std::uint64_t>(task)),
            .at = at_second(static_cast<std::int64_t>(number)),
            .type = "even",
            .worker = "worker-" + std::to_string(number % 5),
            .policy = "predictive",
            .fallback = number % 2 == 0,
            .predicted = seconds(1),
            .record = R"({"why":"fastest"})"};
}

std::vector<Rollup> rollups_of(HistoryStore& store, std::int64_t from, std::int64_t to) {
    auto rows = store.rollups(from, to);
    MUST(rows.has_value());
    return *std::move(rows);
}

std::vector<DecisionRow> decisions_of(HistoryStore& store, const DecisionQuery& query) {
    auto rows = store.decisions(query);
    MUST(rows.has_value());
    return *std::move(rows);
}

void check_equal(const TaskRow& got, const TaskRow& want) {
    CHECK(got.task == want.task);
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

TEST_CASE("a repeated row replaces the older one and counts once") {
    each_rig([](HistoryRig& rig) {
        REQUIRE(rig.store().write(tasks_batch(0, 5)));
        HistoryBatch again = tasks_batch(0, 5);
        again.tasks[0].finished = at_second(50);
        again.tasks[0].worker = "elsewhere";
        REQUIRE(rig.store().write(again));
        check_equal(**rig.store().task(again.tasks[0].task), again.tasks[0]);
        CHECK_EQ(rig.store().tasks({.limit = 100})->size(), 5);
        std::uint64_t finished = 0;
        for (const Rollup& sum : rollups_of(rig.store(), 0, 1LL << 40)) finished += sum.finished;
        CHECK_EQ(finished, 5);
    });
}

TEST_CASE("attempts come by number") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (const std::uint32_t number : {3u, 1u, 2u}) batch.attempts.push_back(attempt_row_of(8, number));
        batch.attempts.push_back(attempt_row_of(9, 1));
        REQUIRE(rig.store().write(batch));
        const auto rows = rig.store().attempts(id_at(8, 8));
        REQUIRE(rows);
        REQUIRE_EQ(rows->size(), 3);
        for (std::uint32_t i = 0; i < 3; ++i) {
            const AttemptRow &got = (*rows)[i], want = attempt_row_of(8, i + 1);
            CHECK(got.task == want.task);
            CHECK(got.attempt == want.attempt);
            CHECK_EQ(got.number, want.number);
            CHECK_EQ(got.type, want.type);
            CHECK_EQ(got.tenant, want.tenant);
            CHECK_EQ(got.worker, want.worker);
            CHECK_EQ(got.outcome, want.outcome);
            CHECK_EQ(got.assigned.us, want.assigned.us);
            CHECK_EQ(got.started.us, want.started.us);
            CHECK_EQ(got.ended.us, want.ended.us);
            CHECK_EQ(got.run.us, want.run.us);
            CHECK_EQ(got.predicted_p50.us, want.predicted_p50.us);
            CHECK_EQ(got.predicted_p90.us, want.predicted_p90.us);
            CHECK_EQ(got.source, want.source);
            CHECK_EQ(got.payload_bytes, want.payload_bytes);
            CHECK_EQ(got.peak_memory_bytes, want.peak_memory_bytes);
            CHECK_EQ(got.error, want.error);
        }
        CHECK(rig.store().attempts(id_at(7, 7))->empty());
    });
}

TEST_CASE("lists are newest first, filtered, and pages meet without gap or overlap") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 200);
        for (TaskRow& row : batch.tasks) row.finished = at_second(row.submitted.us / 1'000'000 % 10);  // many ties
        REQUIRE(rig.store().write(batch));
        static const TaskQuery queries[] = {
            {},
            {.state = 5, .type = {}, .tenant = {}, .queue = {}, .worker = {}},
            {.state = {}, .type = "odd", .tenant = {}, .queue = {}, .worker = {}},
            {.state = {}, .type = {}, .tenant = "tenant-1", .queue = "queue", .worker = {}},
            {.state = 4, .type = "even", .tenant = {}, .queue = {}, .worker = "worker-2"},
            {.state = {}, .type = "unheard of", .tenant = {}, .queue = {}, .worker = {}},
        };
        for (const TaskQuery& filter : queries) {
            std::vector<TaskRow> want;
            for (const TaskRow& row : batch.tasks)
                if ((!filter.state || *filter.state == row.state) && (filter.type.empty() || filter.type == row.type) &&
                    (filter.tenant.empty() || filter.tenant == row.tenant) &&
                    (filter.worker.empty() || filter.worker == row.worker))
                    want.push_back(row);
            std::ranges::sort(want, [](const TaskRow& a, const TaskRow& b) {
                return std::pair(a.finished, a.task) > std::pair(b.finished, b.task);
            });
            std::vector<TaskRow> got;
            TaskQuery query = filter;
            query.limit = 7;
            for (;;) {
                const auto page = rig.store().tasks(query);
                REQUIRE(page);
                if (page->empty()) break;
                CHECK_LE(page->size(), 7);
                got.insert(got.end(), page->begin(), page->end());
                query.finished_before = got.back().finished;
                query.before = got.back().task;
            }
            REQUIRE_EQ(got.size(), want.size());
            for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i].task == want[i].task);
        }
    });
}

TEST_CASE("decisions by task, by worker, and in pages that never split one event") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (std::uint64_t number = 1; number <= 40; ++number)
            for (std::int64_t task = 0; task < (number % 10 == 0 ? 4 : 1); ++task)
                batch.decisions.push_back(decision_row_of(number, task));
        REQUIRE(rig.store().write(batch));
        REQUIRE(rig.store().write(batch));
        CHECK_EQ(rig.store().decisions({.task = {}, .worker = {}, .before = 0, .limit = 1000})->size(), 52);
        const auto of_task = rig.store().decisions({.task = id_at(3, 3), .worker = {}, .before = 0, .limit = 1000});
        REQUIRE(of_task);
        REQUIRE_EQ(of_task->size(), 4);
        CHECK_EQ((*of_task)[0].number, 40);
        CHECK_EQ((*of_task)[0].record, R"({"why":"fastest"})");
        CHECK((*of_task)[0].fallback);
        CHECK_EQ((*of_task)[0].policy, "predictive");
        CHECK_EQ((*of_task)[0].predicted.us, 1'000'000);
        for (const auto& row :
             decisions_of(rig.store(), {.task = {}, .worker = "worker-3", .before = 30, .limit = 3})) {
            CHECK_EQ(row.worker, "worker-3");
            CHECK_LT(row.number, 30);
        }
        std::size_t seen = 0;
        std::uint64_t before = 0;
        for (;;) {
            const auto page = rig.store().decisions({.task = {}, .worker = {}, .before = before, .limit = 2});
            REQUIRE(page);
            if (page->empty()) break;
            seen += page->size();
            before = page->back().number;
        }
        CHECK_EQ(seen, 52);
    });
}

TEST_CASE("the audit is newest first and a repeated row stays one") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch;
        for (int i = 0; i < 10; ++i)
            batch.audit.push_back({.at = at_second(i),
                                   .author = "ann",
                                   .action = "config",
                                   .reason = "because",
                                   .before = "a",
                                   .after = "b",
                                   .hash = "hash-" + std::to_string(i)});
        REQUIRE(rig.store().write(batch));
        REQUIRE(rig.store().write(batch));
        rig.reopen();
        const auto rows = rig.store().audit(4, 0);
        REQUIRE(rows);
        REQUIRE_EQ(rows->size(), 4);
        CHECK_EQ((*rows)[0].hash, "hash-9");
        CHECK_EQ((*rows)[0].author, "ann");
        CHECK_EQ((*rows)[0].reason, "because");
        CHECK_EQ(rig.store().audit(100, at_second(3).us)->size(), 3);
        CHECK_EQ(rig.store().audit(100, 0)->size(), 10);
    });
}

TEST_CASE("rollups count each minute of each type") {
    each_rig([](HistoryRig& rig) {
        REQUIRE(rig.store().write(tasks_batch(0, 100)));
        REQUIRE(rig.store().write(tasks_batch(100, 300)));
        Rollup sum;
        std::int64_t last_minute = 0;
        for (const Rollup& row : rollups_of(rig.store(), 0, 1LL << 40)) {
            CHECK_GE(row.minute, last_minute);
            last_minute = row.minute;
            sum.finished += row.finished;
            sum.succeeded += row.succeeded;
            sum.within_25 += row.within_25;
            sum.within_p90 += row.within_p90;
            sum.run_sum = sum.run_sum + row.run_sum;
            sum.wait_sum = sum.wait_sum + row.wait_sum;
        }
        CHECK_EQ(sum.finished, 300);
        CHECK_EQ(sum.succeeded, 75);
        CHECK_EQ(sum.within_25, 75);  // 1.6 s predicted, 2 s run
        CHECK_EQ(sum.within_p90, 0);  // 1.9 s
        CHECK_EQ(sum.run_sum.us, 600'000'000);
        CHECK_EQ(sum.wait_sum.us, 300'000'000);
        const std::int64_t minute = at_second(3).us / 60'000'000;
        for (const Rollup& row : rollups_of(rig.store(), minute, minute + 1)) CHECK_EQ(row.minute, minute);
        CHECK(rig.store().rollups(0, minute)->empty());
    });
}

TEST_CASE("expiry by age takes tasks with their attempts, decisions and rollups, and leaves the audit") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 3'000);
        for (std::int64_t n = 0; n < 3'000; ++n) {
            batch.attempts.push_back(attempt_row_of(n, 1));
            batch.decisions.push_back(decision_row_of(static_cast<std::uint64_t>(n) + 1, n));
        }
        batch.audit.push_back(
            {.at = at_second(0), .author = "a", .action = "b", .reason = "", .before = "", .after = "", .hash = "h"});
        REQUIRE(rig.store().write(batch));
        REQUIRE(rig.store().expire(at_second(2'000), 0));
        const auto left = rig.store().tasks({.limit = 10'000});
        REQUIRE(left);
        CHECK_EQ(left->size(), 1'003);  // finished at n + 3
        CHECK(rig.store().attempts(id_at(1'996, 1'996))->empty());
        CHECK_EQ(rig.store().attempts(id_at(1'997, 1'997))->size(), 1);
        CHECK_EQ(rig.store().decisions({.task = {}, .worker = {}, .before = 0, .limit = 10'000})->size(), 1'001);
        CHECK_GE(rig.store().rollups(0, 1LL << 40)->front().minute, at_second(2'000).us / 60'000'000);
        CHECK_EQ(rig.store().audit(10, 0)->size(), 1);
    });
}

TEST_CASE("expiry by bytes keeps the newest") {
    each_rig([](HistoryRig& rig) {
        HistoryBatch batch = tasks_batch(0, 20'000);
        for (TaskRow& row : batch.tasks) row.error = std::string(100, 'e');
        REQUIRE(rig.store().write(batch));
        REQUIRE(rig.store().expire({0}, 3'000'000));
        const auto left = rig.store().tasks({.limit = 100'000});
        REQUIRE(left);
        CHECK_GT(left->size(), 1'000);
        CHECK_LT(left->size(), 16'000);
        CHECK(left->front().task == task_row_of(19'999).task);
        CHECK(left->back().task == task_row_of(20'000 - static_cast<std::int64_t>(left->size())).task);
    });
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

TEST_SUITE_END();
