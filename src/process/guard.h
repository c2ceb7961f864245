#pragma once
// A small process beside the worker that outlives it by one step: when the worker is gone, however it went, the guard
// kills the process groups the worker left behind, grandchildren included.
//
// It learns of groups through a pipe; the end of that pipe is the death of the worker. Make it before any thread
// exists. watch() and forget() may be called from any thread.

#include <sys/types.h>

namespace nexus::process {

class Guard {
public:
    Guard();
    ~Guard();  // dismisses it: every group it still knows is killed
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    void watch(pid_t group);
    void forget(pid_t group);

private:
    int pipe_ = -1;
    pid_t process_ = -1;
};

}  // namespace nexus::process
