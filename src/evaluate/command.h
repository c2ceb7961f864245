#pragma once
// The verb `nexus evaluate`: how well models predict the run times of a recorded workload. docs/prediction.md is its
// manual.

namespace CLI {
class App;
}

namespace nexus::evaluate {

// Adds the verb to `root`. When it was called, `exit_code` is its answer: 0 done, 2 bad arguments, 1 anything else.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::evaluate
