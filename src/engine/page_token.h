#pragma once
// Where a page of a list ends, as the opaque text that a client sends back to get the next one. Any text that is not one
// of ours is refused: "invalid page token".

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "history/history_store.h"

namespace nexus::engine {

// The last task of a page. Lists are newest first: by submission, so that a task keeps its place when it ends; those of
// ended states only by their end.
struct TaskPlace {
    history::TaskOrder order = history::TaskOrder::submitted;
    TaskId task;        // zero = the list begins
    WallTime finished;  // with TaskOrder::finished
};

std::string page_token(const TaskPlace& place);
std::string page_token(const history::EventPlace& place);
// An empty token is the begin of the list, of the given order.
Result<TaskPlace> task_place_of(std::string_view token, history::TaskOrder order);
Result<history::EventPlace> event_place_of(std::string_view token);

}  // namespace nexus::engine
