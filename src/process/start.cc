#include "process/start.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nexus::process {
namespace {

enum class Stage : int { none, directory, program };

// Everything the child needs between vfork and exec, laid out beforehand: it shares our memory and may only make system
// calls.
struct Plan {
    const char* program;
    char* const* argv;
    char* const* environment;
    const char* directory;  // null = ours
    int input, output, error;
    pid_t parent;
    // Written by the child when it fails.
    volatile Stage failed_at = Stage::none;
    volatile int fault = 0;
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

[[noreturn]] void fail_in_child(Plan& plan, Stage stage) {
    plan.fault = errno;
    plan.failed_at = stage;
    _exit(127);
}

[[noreturn]] void become(Plan& plan) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent) _exit(127);  // the parent died before it could be noticed
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action{};
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, nullptr);  // fails for those that cannot be changed
    }
    dup2(plan.input, STDIN_FILENO);
    dup2(plan.output, STDOUT_FILENO);
    dup2(plan.error, STDERR_FILENO);
    syscall(SYS_close_range, 3U, ~0U, 0U);  // whatever some library opened without O_CLOEXEC
    if (plan.directory != nullptr && chdir(plan.directory) != 0) fail_in_child(plan, Stage::directory);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve(plan.program, plan.argv, plan.environment);
    fail_in_child(plan, Stage::program);
}

// The process number, or -1 with errno when no process could be made. A failure of the child itself is in `plan`.
pid_t split(Plan& plan) {
    // No signal handler of ours may run in the child: it would do so in our memory.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = vfork();
    if (pid == 0) become(plan);
    const int fault = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = fault;
    return pid;
}

std::unexpected<Error> explain(const Launch& launch, Stage stage, int fault) {
    const std::string what = stage == Stage::directory ? "directory " + launch.directory : launch.program;
    switch (fault) {
        case ENOENT:
        case ENOTDIR: return fail(Fault::not_found, what + ": not found");
        case EACCES:
        case EPERM: return fail(Fault::denied, what + ": no permission to use it");
        case ENOEXEC: return fail(Fault::invalid, what + ": not a program (a script needs a #! line)");
        case E2BIG: return fail(Fault::invalid, what + ": the arguments and environment are too long");
        case ENOMEM:
        case EMFILE:
        case ENFILE: return fail(Fault::exhausted, what + ": " + std::strerror(fault));
        default: return fail(Fault::invalid, what + ": " + std::strerror(fault));
    }
}

}  // namespace

Result<pid_t> start(const Launch& launch) {
    const std::vector<char*> argv = pointers_to(launch.argv);
    const std::vector<char*> environment = pointers_to(launch.environment);
    Plan plan{.program = launch.program.c_str(),
              .argv = argv.data(),
              .environment = environment.data(),
              .directory = launch.directory.empty() ? nullptr : launch.directory.c_str(),
              .input = launch.input,
              .output = launch.output,
              .error = launch.error,
              .parent = getpid()};
    const pid_t pid = split(plan);
    if (pid < 0) return fail(Fault::exhausted, std::string("no process: ") + std::strerror(errno));
    if (plan.failed_at != Stage::none) {
        while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
        return explain(launch, plan.failed_at, plan.fault);
    }
    setpgid(pid, pid);  // also from here, so that the group exists whoever runs first
    return pid;
}

std::vector<std::string> own_environment() {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
    return all;
}

}  // namespace nexus::process
