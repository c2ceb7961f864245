#include "process/start.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace nexus::process {
namespace {

enum class Stage : int { none, group, directory, program };

// Everything the child needs between vfork and exec, laid out beforehand: it shares our memory and may only make system
// calls.
struct Plan {
    const char* program;
    char* const* argv;
    char* const* environment;
    const char* directory;  // null = ours
    int input, output, error, group_file;
    std::uint64_t descriptors_max;
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
    if (plan.group_file >= 0 && write(plan.group_file, "0", 1) != 1) fail_in_child(plan, Stage::group);
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
    if (plan.descriptors_max > 0) {
        const rlimit limit{.rlim_cur = plan.descriptors_max, .rlim_max = plan.descriptors_max};
        setrlimit(RLIMIT_NOFILE, &limit);  // only to less, which is always allowed
    }
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

// Of a file that is there and yet "not found": the program that shall run it is not.
std::string missing_interpreter(const std::string& program) {
    std::ifstream file(program, std::ios::binary);
    std::string line(256, '\0');
    file.read(line.data(), static_cast<std::streamsize>(line.size()));
    line.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    if (line.starts_with("\x7f"
                         "ELF"))
        return ": the loader that it was built for is not on this machine";
    if (!line.starts_with("#!")) return {};
    line.resize(std::min(line.find('\n'), line.size()));
    const std::size_t begin = std::min(line.find_first_not_of(" \t", 2), line.size());
    const std::string name = line.substr(begin, line.find_first_of(" \t\r", begin) - begin);
    const std::string words = ": its first line names the interpreter " + name;
    if (line.ends_with('\r'))
        return words + " and ends with CR LF, as on Windows; write it with LF (sed -i 's/\\r$//')";
    return words + ", which is not there";
}

// Of a file that may not be executed: that it never can be, by anybody. Empty: it is a matter of permissions.
std::string no_program(const std::string& path) {
    struct stat about{};
    if (stat(path.c_str(), &about) != 0) return {};
    if (S_ISDIR(about.st_mode)) return ": is a directory";
    if ((about.st_mode & 0111) != 0) return {};
    return ": is not executable: chmod +x it, or name the program that reads it (sh, python3) first";
}

std::unexpected<Error> explain(const Launch& launch, Stage stage, int fault) {
    if (stage == Stage::group)
        return fail(Fault::exhausted, launch.program + ": no room in its control group: " + std::strerror(fault));
    const std::string what = stage == Stage::directory ? "directory " + launch.directory : launch.program;
    if (stage == Stage::program && fault == ENOENT)
        if (const std::string why = missing_interpreter(launch.program); !why.empty())
            return fail(Fault::invalid, what + why);
    if (stage == Stage::program && fault == EACCES)
        if (const std::string why = no_program(launch.program); !why.empty()) return fail(Fault::invalid, what + why);
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
              .group_file = launch.group_file,
              .descriptors_max = launch.descriptors_max,
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
