#pragma once
// The verbs that talk to a running server: task, worker, type, queue, policy, decision, override, config, audit,
// status, top, doctor, completion and version. docs/cli.md is their manual.

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace nexus::cli {

// Adds the verbs to `root`. When one was called, `exit_code` is its answer; failure.h lists the codes. `program` is what
// follows `--` of `task submit`; it is read when that verb runs.
void add_command(CLI::App& root, int& exit_code, const std::vector<std::string>& program);

}  // namespace nexus::cli
