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
    using HistoryStore::write;
    Result<void> write(std::span<const HistoryBatch* const> batches) override;
    Result<std::optional<TaskRow>> task(TaskId task) override;
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) override;
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override;
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override;
    Result<std::vector<AuditRow>> audit(const AuditQuery& query) override;
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

private:
    using ByFinish = std::map<std::pair<WallTime, TaskId>, const TaskRow*>;
    void write_one(const HistoryBatch& batch);
    void drop_task(ByFinish::iterator at);

    std::mutex mutex_;  // guards everything below
    std::map<TaskId, TaskRow> tasks_;
    ByFinish by_finish_;
    std::map<std::pair<TaskId, std::uint32_t>, AttemptRow> attempts_;
    std::map<EventPlace, DecisionRow> decisions_;
    std::map<EventPlace, AuditRow> audit_;
    std::uint64_t bytes_ = 0;  // of task rows, attempts and decisions, about
};

}  // namespace nexus::history
