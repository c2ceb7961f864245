#pragma once
// One child process: started from an argument vector (never through a shell), fed, listened to, and gone with
// everything it started when run_child() returns.
//
//   Group      the child leads a process group of its own. Stopping it, or its own end, takes the whole group and, with
//              a Household, everything else that came of it, whatever group or session it went into
//   Orphans    the child dies with this process (PR_SET_PDEATHSIG); with a Household all that came of it does
//   Output     both streams are always read to their end; what is kept of them is the caller's to choose (output.h)
//   Threads    run_child() blocks its caller; ChildStop may be used from any thread. Children of several threads do not
//              know of each other: no descriptor leaks from one to another
//   Memory     vfork: starting a child costs the same however large this process is

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "process/cgroup.h"
#include "process/output.h"

namespace nexus::process {

class Family;
class Household;

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

    // For run_child(): the family is there, and is gone. In between pause() reaches it.
    void began(Family& family);
    void ended();
    int descriptor() const { return event_; }

private:
    void write(std::uint64_t value);
    int event_ = -1;
    std::mutex mutex_;  // guards what follows
    Family* family_ = nullptr;
    bool over_ = false;
    bool still_ = false;
};

struct ChildSpec {
    std::string program;                                             // a path; not searched for
    std::vector<std::string> argv;                                   // argv[0] included
    std::vector<std::string> environment;                            // NAME=value, all of it
    std::string directory;                                           // empty = ours
    std::string input;                                               // its standard input; empty = /dev/null
    std::chrono::milliseconds stop_grace = std::chrono::seconds(2);  // from SIGTERM to SIGKILL
    std::string mark;  // of its environment: tells its processes from others
    Limits limits;
};

// Where its output goes. Others may look meanwhile.
struct ChildOutput {
    explicit ChildOutput(std::size_t bytes_max) : out(bytes_max), err(bytes_max) {}
    Output out, err;
};
struct ChildEnd {
    int exit_code = -1;  // -1 when a signal ended it
    int signal = 0;
    bool stopped = false;                    // ChildStop was used before it ended by itself: how it ended says nothing
    bool over_memory = false;                // killed here, for using more memory than its limit
    std::optional<std::uint64_t> oom_kills;  // by the kernel, in its own control group; nothing when it does not count
    std::int64_t user_us = 0, system_us = 0;
    // The largest of the child and its waited-for descendants; 0 = less than this process ever used itself. The kernel
    // counts our memory as the child's, from before it became another program, so smaller amounts cannot be seen.
    std::int64_t peak_memory_bytes = 0;
};

// Faults: not_found (no such program or directory), denied (may not be executed or entered), exhausted (no process or
// descriptor to be had), invalid (an argument list too long, a file that is no program). Then nothing ran.
// Without a household nothing but the leader's process group is looked after.
Result<ChildEnd> run_child(const ChildSpec& spec, ChildOutput& output, ChildStop& stop, Household* household);

}  // namespace nexus::process
