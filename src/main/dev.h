#pragma once
// The verb `nexus dev`: a server, workers and a real job on this machine, in one command.

#include <CLI/CLI.hpp>

namespace nexus::dev {

// Adds the verb to `root`. When it was called, `exit_code` is its answer.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::dev
