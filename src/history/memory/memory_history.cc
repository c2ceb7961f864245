#include "history/memory/memory_history.h"

#include <algorithm>

namespace nexus::history {
namespace {

// About what a row takes, with its place in the maps: for the limit by bytes only.
std::uint64_t bytes_of(const TaskRow& row) {
    return sizeof row + 160 + row.error.size();
}
std::uint64_t bytes_of(const AttemptRow& row) {
    return sizeof row + 64 + row.error.size();
}
std::uint64_t bytes_of(const DecisionRow& row) {
    return sizeof row + 64 + row.record.size();
}

}  // namespace

Result<void> MemoryHistory::write(std::span<const HistoryBatch* const> batches) {
    const std::lock_guard lock(mutex_);
    for (const HistoryBatch* batch : batches) write_one(*batch);
    return {};
}

void MemoryHistory::write_one(const HistoryBatch& batch) {
    for (const TaskRow& row : batch.tasks) {
        const auto [at, fresh] = tasks_.try_emplace(row.task, row);
        if (!fresh) continue;
        by_finish_[{row.finished, row.task}] = &at->second;
        bytes_ += bytes_of(row);
    }
    for (const AttemptRow& row : batch.attempts)
        if (attempts_.try_emplace({row.task, row.number}, row).second) bytes_ += bytes_of(row);
    for (const DecisionRow& row : batch.decisions)
        if (decisions_.try_emplace(row.place, row).second) bytes_ += bytes_of(row);
    for (const AuditRow& row : batch.audit) audit_.try_emplace(row.place, row);
}

Result<std::optional<TaskRow>> MemoryHistory::task(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto known = tasks_.find(task);
    if (known == tasks_.end()) return std::nullopt;
    return known->second;
}

Result<std::vector<AttemptRow>> MemoryHistory::attempts(std::span<const TaskId> tasks) {
    const std::lock_guard lock(mutex_);
    std::vector<TaskId> ids(tasks.begin(), tasks.end());
    std::ranges::sort(ids);
    std::vector<AttemptRow> rows;
    for (const TaskId task : ids)
        for (auto at = attempts_.lower_bound({task, 0}); at != attempts_.end() && at->first.first == task; ++at)
            rows.push_back(at->second);
    return rows;
}

Result<std::vector<TaskRow>> MemoryHistory::tasks(const TaskQuery& query) {
    const std::lock_guard lock(mutex_);
    std::vector<TaskRow> rows;
    const auto take = [&](const TaskRow& row) {
        if (query.wants(row)) rows.push_back(row);
        return rows.size() < query.limit;
    };
    if (query.limit == 0) return rows;
    if (query.order == TaskOrder::submitted) {
        auto at = query.before ? tasks_.lower_bound(query.before) : tasks_.end();
        while (at != tasks_.begin() && take((--at)->second)) {
        }
        return rows;
    }
    auto at = query.before ? by_finish_.lower_bound({query.before_finished, query.before}) : by_finish_.end();
    while (at != by_finish_.begin() && take(*(--at)->second)) {
    }
    return rows;
}

Result<std::vector<DecisionRow>> MemoryHistory::decisions(const DecisionQuery& query) {
    const std::lock_guard lock(mutex_);
    std::vector<DecisionRow> rows;
    auto at = query.before.at.us == 0 ? decisions_.end() : decisions_.lower_bound(query.before);
    while (at != decisions_.begin() && rows.size() < query.limit)
        if (const DecisionRow& row = (--at)->second; query.wants(row)) rows.push_back(row);
    return rows;
}

Result<std::vector<AuditRow>> MemoryHistory::audit(const AuditQuery& query) {
    const std::lock_guard lock(mutex_);
    std::vector<AuditRow> rows;
    for (const auto& [place, row] : audit_)
        if (query.wants(row) && query.continues_with(row)) rows.push_back(row);
    std::ranges::sort(rows, [&](const AuditRow& a, const AuditRow& b) { return query.in_order(a, b); });
    if (rows.size() > query.limit) rows.resize(query.limit);
    return rows;
}

void MemoryHistory::drop_task(ByFinish::iterator at) {
    const TaskId task = at->first.second;
    auto attempt = attempts_.lower_bound({task, 0});
    while (attempt != attempts_.end() && attempt->first.first == task) {
        bytes_ -= bytes_of(attempt->second);
        attempt = attempts_.erase(attempt);
    }
    bytes_ -= bytes_of(*at->second);
    by_finish_.erase(at);
    tasks_.erase(task);
}

Result<void> MemoryHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    const std::lock_guard lock(mutex_);
    const auto drop_decision = [&] {
        bytes_ -= bytes_of(decisions_.begin()->second);
        decisions_.erase(decisions_.begin());
    };
    while (!by_finish_.empty() && by_finish_.begin()->first.first < oldest) drop_task(by_finish_.begin());
    while (!decisions_.empty() && decisions_.begin()->first.at < oldest) drop_decision();
    while (bytes_max != 0 && bytes_ > bytes_max && !(by_finish_.empty() && decisions_.empty())) {
        const bool decision_is_older =
            by_finish_.empty() ||
            (!decisions_.empty() && decisions_.begin()->first.at < by_finish_.begin()->first.first);
        if (decision_is_older)
            drop_decision();
        else
            drop_task(by_finish_.begin());
    }
    return {};
}

}  // namespace nexus::history
