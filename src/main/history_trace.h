#pragma once
// What the history holds as a workload for `nexus evaluate --from-history`: one row for each task that succeeded.

#include "evaluate/command.h"

namespace nexus::serve {

// The history that the settings name: history.db of a data directory, also beside the server that writes it, or
// ClickHouse.
evaluate::HistorySource history_source();

}  // namespace nexus::serve
