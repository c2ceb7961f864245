#pragma once
// The verb `nexus serve`: the server with its embedded store.

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace nexus::serve {

inline constexpr int kExitStoreFailed = 74;  // EX_IOERR: the store failed, nothing more is acknowledged

// What a verb that works on the stores itself ends with.
int exit_code_of(Fault fault);
// Adds the verb; its callback sets `exit_code`.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::serve
