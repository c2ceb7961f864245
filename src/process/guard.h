#pragma once
// A small process beside the worker that outlives it by one step: when the worker is gone, however it went, the guard
// kills the process groups and the control group the worker left behind, grandchildren included, and removes its
// temporary files.
//
// It learns of groups through a pipe; the end of that pipe is the death of the worker. Make it before any thread
// exists. watch() and forget() may be called from any thread.

#include <sys/types.h>

#include <string>

namespace nexus::process {

class Guard {
public:
    // `cgroup`, `scratch`: paths; empty = none.
    Guard(const std::string& cgroup, const std::string& scratch);
    ~Guard();  // dismisses it: every group it still knows is killed
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    // `mark`: NAME=value in the environment of what belongs to the group, to find what left it; at most 100 bytes.
    void watch(pid_t group, const std::string& mark);
    void forget(pid_t group);
    bool is(pid_t process) const { return process == process_; }

private:
    void tell(pid_t group, const std::string& mark);

    int pipe_ = -1;
    pid_t process_ = -1;
};

}  // namespace nexus::process
