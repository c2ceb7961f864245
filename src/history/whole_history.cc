#include "history/whole_history.h"

#include <algorithm>
#include <functional>
#include <tuple>
#include <unordered_set>

namespace nexus::history {
namespace {

// Both in order; what stands in both is taken once.
template <class Row, class Before>
std::vector<Row> merged(std::vector<Row> a, std::vector<Row> b, std::size_t limit, Before before) {
    std::vector<Row> rows;
    std::size_t i = 0, j = 0;
    while (rows.size() < limit && (i < a.size() || j < b.size())) {
        if (j == b.size() || (i < a.size() && before(a[i], b[j]))) {
            rows.push_back(std::move(a[i++]));
        } else {
            if (i < a.size() && !before(b[j], a[i])) ++i;
            rows.push_back(std::move(b[j++]));
        }
    }
    return rows;
}

bool by_number(const AttemptRow& a, const AttemptRow& b) {
    return std::tie(a.task, a.number) < std::tie(b.task, b.number);
}

}  // namespace

Result<std::optional<TaskRow>> WholeHistory::task(TaskId task) {
    for (auto group = unwritten_.rbegin(); group != unwritten_.rend(); ++group)
        for (const TaskRow& row : (*group)->rows.tasks)
            if (row.task == task) return row;
    return store_.task(task);
}

std::vector<AttemptRow> WholeHistory::fresh_attempts(std::span<const TaskId> tasks) const {
    const std::unordered_set<TaskId, IdHash> wanted(tasks.begin(), tasks.end());
    std::vector<AttemptRow> fresh;
    for (const auto& group : unwritten_)
        for (const AttemptRow& row : group->rows.attempts)
            if (wanted.contains(row.task)) fresh.push_back(row);
    std::ranges::sort(fresh, by_number);
    return fresh;
}

Result<std::vector<AttemptRow>> WholeHistory::attempts(std::span<const TaskId> tasks) {
    auto stored = store_.attempts(tasks);
    if (!stored) return stored;
    return merged(fresh_attempts(tasks), *std::move(stored), SIZE_MAX, by_number);
}

Result<std::vector<AttemptRow>> WholeHistory::attempts_of(const TaskRow& row) {
    std::vector<AttemptRow> fresh = fresh_attempts(std::span(&row.task, 1));
    if (fresh.size() >= row.attempts) return fresh;
    return attempts(std::span(&row.task, 1));
}

Result<std::vector<TaskRow>> WholeHistory::tasks(const TaskQuery& query) {
    std::vector<const TaskRow*> found;
    for (const auto& group : unwritten_)
        for (const TaskRow& row : group->rows.tasks)
            if (query.wants(row) && query.continues_with(row)) found.push_back(&row);
    const auto before = [&](const TaskRow& a, const TaskRow& b) { return query.in_order(a, b); };
    const std::size_t most = std::min(query.limit, found.size());
    std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(most),
                              [&](const TaskRow* a, const TaskRow* b) { return before(*a, *b); });
    std::vector<TaskRow> fresh;
    for (std::size_t i = 0; i < most; ++i) fresh.push_back(*found[i]);
    auto stored = store_.tasks(query);
    if (!stored) return stored;
    return merged(std::move(fresh), *std::move(stored), query.limit, before);
}

Result<std::vector<DecisionRow>> WholeHistory::decisions(const DecisionQuery& query) {
    std::vector<const DecisionNote*> found;
    for (const auto& group : unwritten_)
        for (const DecisionNote& note : group->decisions)
            if (query.wants(note)) found.push_back(&note);
    const std::size_t most = std::min(query.limit, found.size());
    std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(most),
                              [](const DecisionNote* a, const DecisionNote* b) { return a->place > b->place; });
    std::vector<DecisionRow> fresh;
    for (std::size_t i = 0; i < most; ++i) fresh.push_back(row_of(*found[i]));
    // What was noted, or what has been made a row of: no group has both.
    for (const auto& group : unwritten_)
        for (const DecisionRow& row : group->rows.decisions)
            if (query.wants(row)) fresh.push_back(row);
    std::ranges::sort(fresh, std::greater{}, &DecisionRow::place);
    if (fresh.size() > query.limit) fresh.resize(query.limit);
    auto stored = store_.decisions(query);
    if (!stored) return stored;
    return merged(std::move(fresh), *std::move(stored), query.limit,
                  [](const DecisionRow& a, const DecisionRow& b) { return a.place > b.place; });
}

Result<std::vector<AuditRow>> WholeHistory::audit(const AuditQuery& query) {
    const auto before = [&](const AuditRow& a, const AuditRow& b) { return query.in_order(a, b); };
    std::vector<AuditRow> fresh;
    for (const auto& group : unwritten_)
        for (const AuditRow& row : group->rows.audit)
            if (query.wants(row) && query.continues_with(row)) fresh.push_back(row);
    std::ranges::sort(fresh, before);
    auto stored = store_.audit(query);
    if (!stored) return stored;
    return merged(std::move(fresh), *std::move(stored), query.limit, before);
}

}  // namespace nexus::history
