#pragma once
// The history in ClickHouse, from 18.16 (Debian 12) to current releases. The schema is documented in docs/history.md and
// meant for any ClickHouse client; `scheduler_decisions` begins with the columns of the old Nexus.
//
// Every call goes to the server at once and takes as long as it takes, up to its limit: who may not wait puts a
// SpooledHistory before it. The server may be away at the start; the schema is made or upgraded when it is first reached.
// Texts reach the server as rows of binary data or as hex digits, never as part of a query.
//
// Rows that expire() has dropped are not shown any more at once; their room is given back when their day is over.
//
// Threads: write() and expire() by one thread at a time; everything else by any, each question on a connection of its own.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/system_clock.h"
#include "history/clickhouse/client.h"
#include "history/history_store.h"

namespace nexus::history {

struct ClickHouseOptions {
    ClickHouseAddress address;
    Duration question_time_max = seconds(5);  // a question that takes longer ends with `unreachable`
    bool makes_tables = true;                 // false: to ask only; what is not there is `not_found`
    Duration write_time_max = seconds(10);    // of one table and day
};

class ClickHouseHistory final : public HistoryStore {
public:
    explicit ClickHouseHistory(ClickHouseOptions options);
    ~ClickHouseHistory() override;

    // Reaches the server and makes or upgrades the schema. Faults: unreachable, denied, unsupported (the tables are of a
    // newer release), not_found (no tables, and none are to be made).
    Result<void> connect();
    Result<void> probe();  // whether it answers
    const ClickHouseAddress& address() const { return options_.address; }
    // Whatever is being asked ends as unreachable within 0.1 s, and so does all that follows. From any thread.
    void interrupt() { stop_ = true; }

    using HistoryStore::write;
    Result<void> write(std::span<const HistoryBatch* const> batches) override;
    Result<std::optional<TaskRow>> task(TaskId task) override;
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) override;
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override;
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override;
    Result<std::vector<AuditRow>> audit(const AuditQuery& query) override;
    // `bytes_max` is met in whole days, and the newest stays.
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

    // Any query, as somebody at a terminal would ask it. For tests.
    Result<std::string> ask(std::string_view query) { return question(query, TimeLeft(options_.question_time_max)); }

private:
    Result<void> make_schema(ClickHouseClient& client);
    Result<void> make_decisions(ClickHouseClient& client);
    // What is left of the time for one question, which may take several queries.
    class TimeLeft {
    public:
        explicit TimeLeft(Duration limit) : end_us_(system_steady_us() + limit.us) {}
        Duration left() const { return {std::max<std::int64_t>(1000, end_us_ - system_steady_us())}; }

    private:
        std::int64_t end_us_;
    };
    Result<std::string> question(std::string_view query, TimeLeft time);
    Result<std::optional<TaskRow>> find_task(TaskId task, TimeLeft time);
    Result<std::string> command(std::string_view query, std::string_view data = {});
    Result<void> drop_known(HistoryBatch& decisions);
    Result<void> drop_days(WallTime oldest, std::uint64_t bytes_max);
    Result<void> roll_up();
    // The rows of a query in RowBinary.
    template <class Row>
    Result<std::vector<Row>> rows(const std::string& query, Row (*read)(Reader&), TimeLeft time);

    const ClickHouseOptions options_;
    std::atomic<bool> stop_ = false;
    std::atomic<bool> ready_ = false;          // the schema is there
    std::atomic<std::int64_t> oldest_us_ = 0;  // rows that ended before are dropped
    std::mutex schema_mutex_;                  // one thread makes it
    ClickHouseClient writer_;                  // of the writing thread
    bool unclear_ = true;                      // the last write may have been done in part
    std::int64_t last_written_us_ = 0;         // tells rows apart by when they were written
    std::int64_t last_mutation_day_ = 0, rolled_from_ = 0, rolled_to_ = 0;
    std::mutex readers_mutex_;  // guards the idle readers
    std::vector<std::unique_ptr<ClickHouseClient>> readers_;
};

}  // namespace nexus::history
