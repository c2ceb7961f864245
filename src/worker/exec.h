#pragma once
// Runs one program for one task: an argument vector, never a shell, in a process group of its own.
//
// The child gets only the environment that is allowed, /dev/null as input, its output is captured up to a bound, and it
// dies with the thread that started it (PR_SET_PDEATHSIG), so that a killed worker leaves no work behind. When stop is
// asked for, the whole process group gets SIGTERM and, after a grace, SIGKILL. run_program() blocks; thread-safe.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace nexus::worker {

// The payload of an exec task, as JSON: {"argv": [...], "cwd": "...", "env": {...}}.
struct ExecRequest {
    std::vector<std::string> argv;
    std::string cwd;  // empty = the worker's
    std::vector<std::pair<std::string, std::string>> env;
};
Result<ExecRequest> parse_exec_request(std::string_view json);

// What this worker may run. Patterns are matched with * and ? against the absolute path of the program.
struct ExecRules {
    std::vector<std::string> programs;  // empty = any
    std::vector<std::string> env = {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"};
    std::size_t output_bytes_max = 64 << 10;  // of each of stdout and stderr; the rest is read and thrown away
    Duration kill_grace = seconds(2);         // from SIGTERM to SIGKILL
};

// The absolute path to run. Faults: not_found (not in PATH, not executable), denied (the rules do not name it).
Result<std::string> find_program(const ExecRequest& request, const ExecRules& rules);

struct ExecResult {
    int exit_code = 0;  // -1 when a signal ended it
    int signal = 0;
    bool stopped = false;  // because stop was asked for
    std::string out, err;
    bool truncated = false;
    std::int64_t user_us = 0, sys_us = 0, max_rss_bytes = 0;
};
std::string to_json(const ExecResult& result);

// `stop_fd` becomes readable when the program must end (an eventfd). `extra_env` is added to the allowed environment.
Result<ExecResult> run_program(const ExecRequest& request, const std::string& path, const ExecRules& rules, int stop_fd,
                               const std::vector<std::string>& extra_env);

}  // namespace nexus::worker
