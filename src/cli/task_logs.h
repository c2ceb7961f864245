#pragma once
// `nexus task logs`: what an attempt of a task wrote, while it runs and afterwards.

#include "cli/shell.h"

namespace nexus::cli {

void add_logs(CLI::App& task, int& exit_code);

}  // namespace nexus::cli
