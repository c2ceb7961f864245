#pragma once
// The verbs `nexus journal verify|export|backup`: looking into a data directory, also while its server runs.

#include <CLI/CLI.hpp>

namespace nexus::journal_verbs {

// Adds the noun journal. The callbacks set `exit_code`: 0; 1 when verify found a problem; else as serve's.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::journal_verbs
