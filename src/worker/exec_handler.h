#pragma once
// The handler behind `nexus worker --allow exec`: one child process per attempt, as exec_request.h describes it.
//
// The result is JSON: {"exit_code": 0, "signal": 0, "stopped": false, "stdout": "...", "stderr": "...",
// "stdout_bytes": 12, "stderr_bytes": 0, "truncated": false, "user_us": 900, "sys_us": 400, "max_rss_bytes": 1234944}.
//
//   exit_code  null when a signal ended the program; 127 when it was not found and 126 when it could not be executed,
//              as shells tell it
//   stopped    we told it to stop before it ended by itself: then exit_code and signal say nothing
//   stdout     beginning and end of what it wrote; where bytes are missing a line between them says how many, and so
//              does stdout_left_out. Bytes that are no text are in stdout_base64, and stdout is null. The same for stderr
//   max_rss    0 when it used less than the worker itself
//
//   exit code 0        success
//   64 to 78 but 75    failed for good: by sysexits.h a retry cannot help (75 is "temporary failure")
//   any other          failed, tried again while the task has attempts left
//   a signal           failed, tried again
//   killed for memory  the same, and the next attempt asks for more: SIGKILL (or exit code 137, as shells tell of one)
//                      while the kernel counted such a kill in this control group; where it does not count them, any
//                      SIGKILL that nobody here sent
//   could not start    failed for good, with the reason; for lack of processes or descriptors: rejected
//   not for us         no `handler` exec in the task's metadata: rejected, for another worker to take
//   resources          what the task asked for is what the program gets: a control group holds it to its memory and cores
//                      where this worker may make some (process/cgroup.h); elsewhere its memory is watched, five times a
//                      second, and its cores are its own affair. Beyond its memory it is killed, as above
//   asked to stop      SIGTERM to the process group, SIGKILL after the grace; at once when fenced. Cancelled, however
//                      the program ends: what it says then is no success

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
struct ChildOutput;
class ChildStop;
class Household;
}  // namespace nexus::process

namespace nexus::worker {

using process::ChildOutput;
using process::ChildStop;
using process::Household;

struct ExecOptions {
    std::chrono::milliseconds stop_grace = std::chrono::seconds(2);
    std::size_t output_bytes_max = 64 * 1024;                                     // of each stream
    std::uint64_t descriptors_max = 0;                                            // of each process; 0 = ours
    std::function<std::optional<std::uint64_t>()> oom_kills = worker::oom_kills;  // asked before and after each run
};

// The part of a task that matters here.
struct ExecTask {
    std::string_view payload;
    std::string_view handler;                      // metadata "handler"
    std::vector<std::string> variables;            // NAME=value, in the program's environment whatever the rules say
    std::string mark;                              // the one of them that no other attempt has
    std::int64_t memory_bytes = 0, cpu_milli = 0;  // it gets no more; 0 = no limit
};
// Runs it to its end, or until `stop` is used. `household` may be null.
Outcome run_exec(const ExecTask& task, const ExecRules& rules, const ExecOptions& options, ChildOutput& output,
                 ChildStop& stop, Household* household);

// The same as a handler. `household` may be null; it must outlive the handler.
Handler exec_handler(ExecRules rules, ExecOptions options, Household* household);

}  // namespace nexus::worker
