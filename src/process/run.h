#pragma once
// One child process: started from an argument vector (never through a shell), fed, listened to, and gone with
// everything it started when run_child() returns.
//
//   Group      the child leads a process group of its own. Stopping it, or its own end, takes the whole group: no task
//              leaves processes behind, unless they left the group on purpose (setsid)
//   Orphans    the child dies with this process (PR_SET_PDEATHSIG); its group does too where a Guard watches it
//   Output     both streams are always read to their end, kept up to output_bytes_max each, and counted beyond
//   Threads    run_child() blocks its caller; ChildStop may be used from any thread. Children of several threads do not
//              know of each other: no descriptor leaks from one to another
//   Memory     vfork: starting a child costs the same however large this process is

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace nexus::process {

class Guard;

// Ends a running child from outside, or stops and continues it. It may be used before the child starts: then the child
// ends at once, or is stopped from its start.
class ChildStop {
public:
    ChildStop();
    ~ChildStop();
    ChildStop(const ChildStop&) = delete;
    ChildStop& operator=(const ChildStop&) = delete;

    void ask();   // SIGTERM to the group, SIGKILL after the grace
    void kill();  // SIGKILL to the group
    // SIGSTOP or SIGCONT to the group. False when the child has ended.
    bool pause(bool still);

    // For run_child(): the group is there, and is gone. In between pause() reaches it.
    void group_started(int group);
    void group_ended();
    int descriptor() const { return event_; }

private:
    void write(std::uint64_t value);
    int event_ = -1;
    std::mutex mutex_;  // guards what follows
    int group_ = 0;     // 0 = not yet, -1 = no more
    bool still_ = false;
};

struct ChildSpec {
    std::string program;                   // a path; not searched for
    std::vector<std::string> argv;         // argv[0] included
    std::vector<std::string> environment;  // NAME=value, all of it
    std::string directory;                 // empty = ours
    std::string input;                     // its standard input; empty = /dev/null
    std::size_t output_bytes_max = 64 * 1024;
    std::chrono::milliseconds stop_grace = std::chrono::seconds(2);  // from SIGTERM to SIGKILL
};

struct ChildOutput {
    std::string kept;
    std::uint64_t bytes = 0;  // all that was written
    bool cut() const { return bytes > kept.size(); }
};
struct ChildEnd {
    int exit_code = -1;  // -1 when a signal ended it
    int signal = 0;
    bool stopped = false;  // ChildStop was used before it ended by itself
    ChildOutput out, err;
    std::int64_t user_us = 0, system_us = 0;
    // The largest of the child and its waited-for descendants; 0 = less than this process ever used itself. The kernel
    // counts our memory as the child's, from before it became another program, so smaller amounts cannot be seen.
    std::int64_t peak_memory_bytes = 0;
};

// Faults: not_found (no such program or directory), denied (may not be executed or entered), exhausted (no process or
// descriptor to be had), invalid (an argument list too long, a file that is no program). Then nothing ran.
Result<ChildEnd> run_child(const ChildSpec& spec, ChildStop& stop, Guard* guard);

}  // namespace nexus::process
