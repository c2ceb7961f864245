#include "history/memory/memory_history.h"

#include <algorithm>

#include "history/rollup.h"

namespace nexus::history {
namespace {

// About what a row takes, with its place in the maps: for the limit by bytes only.
std::uint64_t bytes_of(const TaskRow& row) {
    return sizeof row + 96 + row.error.size();
}
std::uint64_t bytes_of(const AttemptRow& row) {
    return sizeof row + 64 + row.error.size();
}
std::uint64_t bytes_of(const DecisionRow& row) {
    return sizeof row + 64 + row.record.size();
}

bool wanted(const std::string& filter, const std::string& value) {
    return filter.empty() || filter == value;
}

}  // namespace

Result<void> MemoryHistory::write(const HistoryBatch& batch) {
    const std::lock_guard lock(mutex_);
    for (const TaskRow& row : batch.tasks) {
        const auto known = finished_.find(row.task);
        if (known == finished_.end()) {
            Rollup& sum = rollups_[{minute_of(row.finished), row.type}];
            sum.minute = minute_of(row.finished);
            sum.type = row.type;
            add_to_rollup(sum, row);
        } else {
            const auto old = tasks_.find({known->second, row.task});
            bytes_ -= bytes_of(old->second);
            tasks_.erase(old);
        }
        finished_[row.task] = row.finished;
        bytes_ += bytes_of(row);
        tasks_[{row.finished, row.task}] = row;
    }
    for (const AttemptRow& row : batch.attempts) {
        const auto [at, fresh] = attempts_.try_emplace({row.task, row.number});
        if (!fresh) bytes_ -= bytes_of(at->second);
        bytes_ += bytes_of(row);
        at->second = row;
    }
    for (const DecisionRow& row : batch.decisions) {
        const auto [at, fresh] = decisions_.try_emplace({row.number, row.task});
        if (!fresh) bytes_ -= bytes_of(at->second);
        bytes_ += bytes_of(row);
        at->second = row;
    }
    for (const AuditRow& row : batch.audit)
        if (row.hash.empty() || std::ranges::none_of(audit_, [&](const AuditRow& a) { return a.hash == row.hash; }))
            audit_.push_back(row);
    return {};
}

Result<std::optional<TaskRow>> MemoryHistory::task(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto known = finished_.find(task);
    if (known == finished_.end()) return std::nullopt;
    return tasks_.at({known->second, task});
}

Result<std::vector<AttemptRow>> MemoryHistory::attempts(TaskId task) {
    const std::lock_guard lock(mutex_);
    std::vector<AttemptRow> rows;
    for (auto at = attempts_.lower_bound({task, 0}); at != attempts_.end() && at->first.first == task; ++at)
        rows.push_back(at->second);
    return rows;
}

Result<std::vector<TaskRow>> MemoryHistory::tasks(const TaskQuery& query) {
    const std::lock_guard lock(mutex_);
    std::vector<TaskRow> rows;
    auto at = query.finished_before.us == 0 ? tasks_.end() : tasks_.lower_bound({query.finished_before, query.before});
    while (at != tasks_.begin() && rows.size() < query.limit) {
        const TaskRow& row = (--at)->second;
        if ((!query.state || *query.state == row.state) && wanted(query.type, row.type) &&
            wanted(query.tenant, row.tenant) && wanted(query.queue, row.queue) && wanted(query.worker, row.worker))
            rows.push_back(row);
    }
    return rows;
}

Result<std::vector<DecisionRow>> MemoryHistory::decisions(const DecisionQuery& query) {
    const std::lock_guard lock(mutex_);
    std::vector<DecisionRow> rows;
    auto at = query.before == 0 ? decisions_.end() : decisions_.lower_bound({query.before, TaskId{}});
    while (at != decisions_.begin()) {
        const DecisionRow& row = (--at)->second;
        if (rows.size() >= query.limit && (rows.empty() || rows.back().number != row.number)) break;
        if ((!query.task || *query.task == row.task) && wanted(query.worker, row.worker)) rows.push_back(row);
    }
    return rows;
}

Result<std::vector<AuditRow>> MemoryHistory::audit(std::size_t limit, std::int64_t before_us) {
    const std::lock_guard lock(mutex_);
    std::vector<AuditRow> rows;
    for (auto at = audit_.rbegin(); at != audit_.rend() && rows.size() < limit; ++at)
        if (before_us == 0 || at->at.us < before_us) rows.push_back(*at);
    return rows;
}

Result<std::vector<Rollup>> MemoryHistory::rollups(std::int64_t from_minute, std::int64_t to_minute) {
    const std::lock_guard lock(mutex_);
    std::vector<Rollup> rows;
    for (auto at = rollups_.lower_bound({from_minute, {}}); at != rollups_.end() && at->first.first < to_minute; ++at)
        rows.push_back(at->second);
    return rows;
}

void MemoryHistory::drop_task(ByFinish::iterator at) {
    const TaskId task = at->first.second;
    auto attempt = attempts_.lower_bound({task, 0});
    while (attempt != attempts_.end() && attempt->first.first == task) {
        bytes_ -= bytes_of(attempt->second);
        attempt = attempts_.erase(attempt);
    }
    bytes_ -= bytes_of(at->second);
    finished_.erase(task);
    tasks_.erase(at);
}

Result<void> MemoryHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    const std::lock_guard lock(mutex_);
    const auto drop_decision = [&] {
        bytes_ -= bytes_of(decisions_.begin()->second);
        decisions_.erase(decisions_.begin());
    };
    while (!tasks_.empty() && tasks_.begin()->first.first < oldest) drop_task(tasks_.begin());
    while (!decisions_.empty() && decisions_.begin()->second.at < oldest) drop_decision();
    while (bytes_max != 0 && bytes_ > bytes_max && !(tasks_.empty() && decisions_.empty())) {
        const bool decision_is_older =
            tasks_.empty() || (!decisions_.empty() && decisions_.begin()->second.at < tasks_.begin()->first.first);
        if (decision_is_older)
            drop_decision();
        else
            drop_task(tasks_.begin());
    }
    while (!rollups_.empty() && rollups_.begin()->first.first < minute_of(oldest)) rollups_.erase(rollups_.begin());
    return {};
}

}  // namespace nexus::history
