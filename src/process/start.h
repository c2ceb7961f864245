#pragma once
// Starts another program as a child process, from an argument vector, never through a shell.
//
//   Group      the child leads a process group of its own
//   Orphans    it is killed when the thread that started it ends (PR_SET_PDEATHSIG)
//   Inherits   its three streams and nothing else: no other descriptor, no signal handler, no blocked signal
//   Memory     vfork: starting a child costs the same however large this process is
//   Threads    any; it blocks until the other program runs or could not be started

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace nexus::process {

struct Launch {
    const std::string& program;                   // a path; not searched for
    const std::vector<std::string>& argv;         // argv[0] included
    const std::vector<std::string>& environment;  // NAME=value, all of it
    const std::string& directory;                 // empty = ours
    int input = -1, output = -1, error = -1;      // open descriptors; they stay open here
    int group_file = -1;                          // cgroup.procs of the control group it shall live in; -1 = ours
    std::uint64_t descriptors_max = 0;            // RLIMIT_NOFILE; 0 = ours
};

// The child's process number. Faults: not_found (no such program or directory), denied (may not be executed or entered),
// exhausted (no process or memory to be had), invalid (an argument list too long, a file that is no program). Then
// nothing ran and nothing is left to be reaped.
Result<pid_t> start(const Launch& launch);

// The environment of this process, as Launch wants it.
std::vector<std::string> own_environment();

}  // namespace nexus::process
