#pragma once
// `nexus digest FILE`: the work of the demonstration job. Hashes and compresses one file.

#include <CLI/CLI.hpp>

namespace nexus::worker {

void add_digest(CLI::App& root, int& exit_code);

}  // namespace nexus::worker
