#include "history/history_store.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/ascii.h"
#include "core/task.h"

namespace nexus::history {
namespace {

bool wanted(const std::string& filter, const std::string& value) {
    return filter.empty() || filter == value;
}

// The clock of ids and that of submissions may differ by so much.
constexpr std::int64_t kIdSlackMs = 5'000;

TaskId id_of_ms(std::int64_t unix_ms) {
    return {.hi = static_cast<std::uint64_t>(std::max<std::int64_t>(unix_ms, 0)) << 16, .lo = 0};
}

int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

IdRange ids_submitted(WallTime from, WallTime to) {
    IdRange range;
    if (from.us != 0) range.first = id_of_ms(from.us / 1000 - kIdSlackMs);
    if (to.us != 0) range.last = id_of_ms(to.us / 1000 + kIdSlackMs);
    return range;
}

std::optional<IdRange> ids_beginning_with(std::string_view text) {
    constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (text.empty() || text.size() > kForm.size()) return std::nullopt;
    std::string first = "00000000-0000-0000-0000-000000000000", last = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (kForm[i] == '-' ? text[i] != '-' : hex_digit(text[i]) < 0) return std::nullopt;
        first[i] = last[i] = text[i];
    }
    return IdRange{.first = *parse_id<TaskId>(first), .last = *parse_id<TaskId>(last)};
}

bool TaskQuery::wants(const TaskRow& row) const {
    if (promise != PromiseKept::any) {
        if (row.state != static_cast<std::uint8_t>(core::TaskState::succeeded) || row.eta_finish_p90.us == 0)
            return false;
        if ((row.finished <= row.eta_finish_p90) != (promise == PromiseKept::kept)) return false;
    }
    return (states.empty() || std::ranges::find(states, row.state) != states.end()) && wanted(type, row.type) &&
           wanted(tenant, row.tenant) && wanted(queue, row.queue) && wanted(worker, row.worker) &&
           row.submitted >= submitted_from && (submitted_to.us == 0 || row.submitted < submitted_to) &&
           (search.empty() || holds_text(row));
}

bool TaskQuery::holds_text(const TaskRow& row) const {
    for (const std::string* name : {&row.type, &row.tenant, &row.queue, &row.worker})
        if (lower_case(*name).find(search) != std::string::npos) return true;
    return to_text(row.task).starts_with(search);
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

bool AuditQuery::wants(const AuditRow& row) const {
    if (row.place.at < from || (to.us != 0 && row.place.at >= to)) return false;
    if (versions && !row.after.starts_with("version = ")) return false;
    if (search.empty()) return true;
    return std::ranges::any_of(std::array{&row.caller, &row.author, &row.action, &row.reason, &row.before, &row.after},
                               [&](const std::string* text) { return text->find(search) != std::string::npos; });
}

bool AuditQuery::in_order(const AuditRow& a, const AuditRow& b) const {
    if (!chain) return a.place > b.place;
    const auto key = [](const EventPlace& place) {
        return std::tuple(place.number, place.part, place.shard, place.at);
    };
    return key(a.place) < key(b.place);
}

bool AuditQuery::continues_with(const AuditRow& row) const {
    if (before.at.us == 0) return true;
    AuditRow last;
    last.place = before;
    return in_order(last, row);
}

}  // namespace nexus::history
