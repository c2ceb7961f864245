#pragma once
// The verbs of `nexus config` that read files: validate, show, diff, keys. Those that only talk to a server are in cli.

#include <CLI/CLI.hpp>

namespace nexus::serve {

void add_config_verbs(CLI::App& root, int& exit_code);

}  // namespace nexus::serve
