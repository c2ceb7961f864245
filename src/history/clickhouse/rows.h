#pragma once
// History rows as ClickHouse's RowBinary, in the order of the lists of columns in schema.h, and how values stand in queries.

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "history/history_store.h"

namespace nexus::history {

// A text as a value in a query: hex digits, whatever it holds.
std::string quoted_text(std::string_view text);
// The moment as a value that is compared with a DateTime; whole seconds, rounded down.
std::string date_time(std::int64_t us);
std::string id_text(TaskId task);  // quoted

void put_row(Writer& w, const TaskRow& row, std::uint64_t precedence);
void put_row(Writer& w, const AttemptRow& row, std::uint64_t precedence);
void put_row(Writer& w, const DecisionRow& row);
void put_row(Writer& w, const AuditRow& row, std::uint64_t precedence);

TaskRow task_row(Reader& r);
AttemptRow attempt_row(Reader& r);
DecisionRow decision_row(Reader& r);
AuditRow audit_row(Reader& r);

}  // namespace nexus::history
