#pragma once
// The verbs `nexus bench core|e2e|recover`: what the scheduler costs, measured on this machine.
//
//   core      the core alone: one decision with M tasks waiting, N workers
//   e2e       a real server (a child process), real gRPC, a real store: throughput, submit-to-start, lost, duplicated
//   recover   kill -9 with M tasks waiting: until ready, until the first task is assigned

#include <CLI/CLI.hpp>

namespace nexus::bench {

// Adds the verbs to `root`. Their callbacks set `exit_code`: 0 done, 1 it could not be measured or tasks were lost.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::bench
