#include "process/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "process/cgroup.h"
#include "process/proc.h"

namespace nexus::process {
namespace {

constexpr int kRounds = 20;

// A positive number is a group to watch, a negative one a group to forget. Writes this small are never torn.
struct Word {
    pid_t group = 0;
    char mark[100] = {};
};

// What left its group, as far as it did not change its environment. In rounds: what is killed may have made others.
void kill_marked(const std::map<pid_t, std::string>& groups) {
    bool found = true;
    for (int round = 0; found && round < kRounds; ++round) {
        found = false;
        for (const pid_t process : all_processes())
            for (const auto& [group, mark] : groups)
                if (process != getpid() && !mark.empty() && has_variable(process, mark)) {
                    for (const pid_t below : descendants_of(process)) kill(below, SIGKILL);
                    found = kill(process, SIGKILL) == 0 || found;
                }
    }
}

// The guard's whole life.
[[noreturn]] void guard_until_the_end(int pipe, const std::string& cgroup, const std::string& scratch) {
    setsid();  // a Ctrl-C in the worker's terminal is not for us
    prctl(PR_SET_NAME, "nexus-guard");
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
    const int nothing = open("/dev/null", O_RDWR);  // so that nobody waits for output that never comes
    for (int fd = 0; fd < 3; ++fd) dup2(nothing, fd);
    if (nothing > 2) close(nothing);
    std::map<pid_t, std::string> groups;
    for (Word word;;) {
        const ssize_t got = read(pipe, &word, sizeof word);
        if (got < 0 && errno == EINTR) continue;
        if (got != sizeof word) break;
        if (word.group > 0)
            groups[word.group] = word.mark;
        else
            groups.erase(-word.group);
    }
    for (const auto& [group, mark] : groups) kill(-group, SIGKILL);
    if (!cgroup.empty()) remove_cgroup(cgroup);
    kill_marked(groups);
    std::error_code ignored;
    if (!scratch.empty()) std::filesystem::remove_all(scratch, ignored);
    _exit(0);
}

}  // namespace

Guard::Guard(const std::string& cgroup, const std::string& scratch) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    process_ = fork();
    if (process_ == 0) {
        close(ends[1]);
        guard_until_the_end(ends[0], cgroup, scratch);
    }
    close(ends[0]);
    pipe_ = ends[1];
}

Guard::~Guard() {
    if (pipe_ >= 0) close(pipe_);
    while (process_ > 0 && waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Guard::watch(pid_t group, const std::string& mark) {
    tell(group, mark);
}

void Guard::forget(pid_t group) {
    tell(-group, {});
}

void Guard::tell(pid_t group, const std::string& mark) {
    Word word{.group = group};
    mark.copy(word.mark, sizeof word.mark - 1);
    [[maybe_unused]] const auto written = write(pipe_, &word, sizeof word);
}

}  // namespace nexus::process
