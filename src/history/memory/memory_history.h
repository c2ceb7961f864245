#pragma once
// A history that lives in memory: for simulations, tests, and servers started without a data directory.
//
// Threads: all methods may be called by any thread.

#include <map>
#include <mutex>
#include <unordered_map>

#include "history/history_store.h"

namespace nexus::history {

class MemoryHistory final : public HistoryStore {
public:
    Result<void> write(const HistoryBatch& batch) override;
    Result<std::optional<TaskRow>> task(TaskId task) override;
    Result<std::vector<AttemptRow>> attempts(TaskId task) override;
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override;
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override;
    Result<std::vector<AuditRow>> audit(std::size_t limit, std::int64_t before_us) override;
    Result<std::vector<Rollup>> rollups(std::int64_t from_minute, std::int64_t to_minute) override;
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

private:
    using ByFinish = std::map<std::pair<WallTime, TaskId>, TaskRow>;
    void drop_task(ByFinish::iterator at);

    std::mutex mutex_;  // guards everything below
    ByFinish tasks_;
    std::unordered_map<TaskId, WallTime, IdHash> finished_;
    std::map<std::pair<TaskId, std::uint32_t>, AttemptRow> attempts_;
    std::map<std::pair<std::uint64_t, TaskId>, DecisionRow> decisions_;
    std::vector<AuditRow> audit_;
    std::map<std::pair<std::int64_t, std::string>, Rollup> rollups_;
    std::uint64_t bytes_ = 0;  // of task rows, attempts and decisions, about
};

}  // namespace nexus::history
