#pragma once
// The verbs of the worker room:
//
//     nexus worker   connects to a server and runs the programs its --allow names, one child process per task
//     nexus digest   hashes and compresses one file: the work of the demonstration job, as a program of its own

namespace CLI {
class App;
}

namespace nexus::worker {

// Adds both verbs to `root`. When one was called, `exit_code` is its answer.
void add_command(CLI::App& root, int& exit_code);

}  // namespace nexus::worker
