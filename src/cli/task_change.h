#pragma once
// task cancel and task retry: of tasks that are named, or of all that a filter finds.

#include <CLI/CLI.hpp>

namespace nexus::cli {

void add_task_changes(CLI::App& task, int& exit_code);

}  // namespace nexus::cli
