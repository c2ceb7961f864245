#pragma once
// `nexus task submit`: one task, waited for or not, and whole files of them.

#include <string>
#include <vector>

#include "cli/shell.h"
#include "cli/task_spec.h"

namespace nexus::cli {

void add_submit(CLI::App& task, int& exit_code, const std::vector<std::string>& program);

// Waits until the task has ended and shows its state on standard error as it changes; then what it wrote goes to
// standard output and its program's exit code is the answer (128 + n for signal n), 1 when it ended without one. A
// server that goes away is waited for. `limit` 0 = for ever.
Answer<int> wait_for_task(Shell& shell, const std::string& id, Duration limit);

struct BulkFlags {
    std::string file;        // JSON lines; "-" = standard input
    std::string key_prefix;  // tasks without a key get prefix-<line>; empty = random
    std::uint32_t batch = 500;
    std::uint32_t in_flight = 8;  // batches
};
// Tasks are as `defaults` where their lines say nothing.
Answer<int> submit_file(Shell& shell, const BulkFlags& flags, const pb::TaskSpec& defaults);

}  // namespace nexus::cli
