#pragma once
// `nexus store migrate` and `nexus store reopen`: a journal moved between a data directory and Redis while no server runs.

#include <CLI/CLI.hpp>

namespace nexus::journal_verbs {

void add_store_verbs(CLI::App& root, int& exit_code);

}  // namespace nexus::journal_verbs
