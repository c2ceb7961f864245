#pragma once
// The handler behind `nexus worker --allow exec`: one child process per attempt, as exec_request.h describes it.
//
// The result is JSON: {"exit_code": 0, "signal": 0, "stdout": "...", "stderr": "...", "stdout_bytes": 12,
// "stderr_bytes": 0, "truncated": false, "user_us": 900, "sys_us": 400, "max_rss_bytes": 1234944}. exit_code is null
// when a signal ended the program; max_rss_bytes is 0 when it used less than the worker itself. Bytes that are not
// UTF-8 become U+FFFD.
//
//   exit code 0        success
//   64 to 78 but 75    failed for good: by sysexits.h a retry cannot help (75 is "temporary failure")
//   any other          failed, tried again while the task has attempts left
//   a signal           failed, tried again
//   killed for memory  the same, and the next attempt asks for more: SIGKILL (or exit code 137, as shells tell of one)
//                      while the kernel counted such a kill in this control group; where it does not count them, any
//                      SIGKILL that nobody here sent
//   could not start    failed for good, with the reason; for lack of processes or descriptors: rejected
//   not for us         another `handler`, or none and no request in the payload: rejected, for another worker to take
//   asked to stop      SIGTERM to the process group, SIGKILL after the grace; at once when fenced. Cancelled, unless
//                      the program still ended with 0

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nexus/worker.h"
#include "worker/exec_request.h"
#include "worker/oom.h"

namespace nexus::process {
class ChildStop;
class Guard;
}  // namespace nexus::process

namespace nexus::worker {

using process::ChildStop;
using process::Guard;

struct ExecOptions {
    std::chrono::milliseconds stop_grace = std::chrono::seconds(2);
    std::size_t output_bytes_max = 64 * 1024;                                     // of each stream
    std::function<std::optional<std::uint64_t>()> oom_kills = worker::oom_kills;  // asked before and after each run
};

// The part of a task that matters here.
struct ExecTask {
    std::string_view payload;
    std::string_view handler;            // metadata "handler"
    std::vector<std::string> variables;  // NAME=value, in the program's environment whatever the rules say
};
// Runs it to its end, or until `stop` is used. `guard` may be null.
Outcome run_exec(const ExecTask& task, const ExecRules& rules, const ExecOptions& options, ChildStop& stop,
                 Guard* guard);

// The same as a handler. `guard` may be null; it must outlive the handler.
Handler exec_handler(ExecRules rules, ExecOptions options, Guard* guard);

}  // namespace nexus::worker
