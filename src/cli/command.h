#pragma once
// The verbs that talk to a running server: task, worker, type, queue, policy, decision, override, config, audit,
// status, top, doctor, completion and version. docs/cli.md is their manual.

namespace CLI {
class App;
}

namespace nexus::cli {

// Adds the verbs to `root`. When one was called, `exit_code` is its answer; failure.h lists the codes.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::cli
