#pragma once
// The verb `nexus simulate`: the production core and predictor on simulated workers and simulated time.
// docs/simulate.md is its manual.

namespace CLI {
class App;
}

namespace nexus::simulate {

// Adds the verb to `root`. When it was called, `exit_code` is its answer: 0 done, 2 bad arguments, 1 anything else.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::simulate
