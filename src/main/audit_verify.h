#pragma once
// The verb `nexus audit verify`: asks a running server, or follows the chain in a data directory by itself.

#include <CLI/CLI.hpp>

namespace nexus::serve {

void add_audit_verify(CLI::App& root, int& exit_code);

}  // namespace nexus::serve
