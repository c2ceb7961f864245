#include "process/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

namespace nexus::process {
namespace {

// The guard's whole life. A positive number is a group to watch, a negative one a group to forget.
[[noreturn]] void guard_until_the_end(int pipe) {
    setsid();  // a Ctrl-C in the worker's terminal is not for us
    prctl(PR_SET_NAME, "nexus-guard");
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
    for (int fd = 0; fd < 3; ++fd) close(fd);  // so that nobody waits for output that never comes
    std::set<pid_t> groups;
    for (pid_t group = 0;;) {
        const ssize_t got = read(pipe, &group, sizeof(group));
        if (got < 0 && errno == EINTR) continue;
        if (got != sizeof(group)) break;  // writes this small are never torn
        if (group > 0)
            groups.insert(group);
        else
            groups.erase(-group);
    }
    for (const pid_t group : groups) kill(-group, SIGKILL);
    _exit(0);
}

}  // namespace

Guard::Guard() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    process_ = fork();
    if (process_ == 0) {
        close(ends[1]);
        guard_until_the_end(ends[0]);
    }
    close(ends[0]);
    pipe_ = ends[1];
}

Guard::~Guard() {
    if (pipe_ >= 0) close(pipe_);
    while (process_ > 0 && waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Guard::watch(pid_t group) {
    [[maybe_unused]] const auto written = write(pipe_, &group, sizeof(group));
}

void Guard::forget(pid_t group) {
    watch(-group);
}

}  // namespace nexus::process
