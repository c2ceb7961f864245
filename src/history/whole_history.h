#pragma once
// The history as those who ask see it: what the store has, and what is still on its way to it. So what has just ended is
// found at once, however long the store takes.
//
// A look-up goes through the rows on their way one by one: there are at most as many as the writer's buffer holds,
// 100,000 or so, and in good times those of a quarter of a second. It costs whoever asks, not whoever adds.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "history/decision.h"
#include "history/history_store.h"

namespace nexus::history {

// What one batch of the journal gave; unchanged from the moment it is shared.
struct UnwrittenRows {
    HistoryBatch rows;
    std::vector<DecisionNote> decisions;
    std::uint64_t last = 0;   // journal position that the history has come to when these are written
    std::uint64_t bytes = 0;  // about
};
using Unwritten = std::vector<std::shared_ptr<const UnwrittenRows>>;  // oldest first

class WholeHistory {
public:
    // `unwritten` is to be taken before the first question: what is written meanwhile is found twice, and told once.
    WholeHistory(HistoryStore& store, Unwritten unwritten) : store_(store), unwritten_(std::move(unwritten)) {}

    Result<std::optional<TaskRow>> task(TaskId task);
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks);  // by task and number
    // Those of one task: without the store when all of them are on their way.
    Result<std::vector<AttemptRow>> attempts_of(const TaskRow& row);
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query);
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query);
    Result<std::vector<AuditRow>> audit(const AuditQuery& query);
    HistoryStore& store() { return store_; }

private:
    std::vector<AttemptRow> fresh_attempts(std::span<const TaskId> tasks) const;

    HistoryStore& store_;
    Unwritten unwritten_;
};

}  // namespace nexus::history
