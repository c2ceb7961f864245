#include "history/history_store.h"

#include <algorithm>
#include <tuple>

namespace nexus::history {
namespace {

bool wanted(const std::string& filter, const std::string& value) {
    return filter.empty() || filter == value;
}

}  // namespace

bool TaskQuery::wants(const TaskRow& row) const {
    return (states.empty() || std::ranges::find(states, row.state) != states.end()) && wanted(type, row.type) &&
           wanted(tenant, row.tenant) && wanted(queue, row.queue) && wanted(worker, row.worker);
}

bool TaskQuery::continues_with(const TaskRow& row) const {
    if (!before) return true;
    return order == TaskOrder::submitted ? row.task < before
                                         : std::tie(row.finished, row.task) < std::tie(before_finished, before);
}

bool TaskQuery::in_order(const TaskRow& a, const TaskRow& b) const {
    return order == TaskOrder::submitted ? a.task > b.task
                                         : std::tie(a.finished, a.task) > std::tie(b.finished, b.task);
}

}  // namespace nexus::history
