#pragma once
// The verbs of the worker room:
//
//     nexus worker   connects to a server and runs the programs its --allow names, one child process per task
//     nexus digest   hashes and compresses one file: the work of the demonstration job, as a program of its own

#include <CLI/CLI.hpp>

namespace nexus::worker {

// Adds both verbs to `root`. Their callbacks set `exit_code`.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::worker
