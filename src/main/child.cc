#include "main/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

namespace nexus::dev {
namespace {

// Between fork and exec: nothing here may allocate or lock.
[[noreturn]] void become(const char* path, char* const* argv, int out, int err, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(path, argv);
    _exit(127);
}

std::string end_text(int status) {
    return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                               : "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Result<Child> Child::start(const std::vector<std::string>& argv, const std::string& log_path, bool read_stdout) {
    const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return fail(Fault::unavailable, "cannot write " + log_path + ": " + std::strerror(errno));
    std::array<int, 2> pipe_fds{-1, -1};
    if (read_stdout && pipe2(pipe_fds.data(), O_CLOEXEC) != 0) {
        close(log);
        return fail(Fault::exhausted, std::string("cannot make a pipe: ") + std::strerror(errno));
    }
    std::vector<char*> arguments;
    for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) become(argv.front().c_str(), arguments.data(), read_stdout ? pipe_fds[1] : log, log, parent);
    const int fault = errno;
    close(log);
    if (read_stdout) close(pipe_fds[1]);
    if (pid < 0) {
        if (read_stdout) close(pipe_fds[0]);
        return fail(Fault::exhausted, std::string("cannot start a process: ") + std::strerror(fault));
    }
    return Child(pid, pipe_fds[0]);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), stdout_fd_(std::exchange(other.stdout_fd_, -1)) {}

Child& Child::operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(stdout_fd_, other.stdout_fd_);
    return *this;
}

Child::~Child() {
    reap({});
    if (stdout_fd_ >= 0) close(stdout_fd_);
}

Result<std::string> Child::read_line(Duration limit) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(limit.us);
    std::string line;
    while (true) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        pollfd waiting{.fd = stdout_fd_, .events = POLLIN, .revents = 0};
        if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) == 0)
            return fail(Fault::unavailable, "it said nothing in time");
        char c = 0;
        const ssize_t got = read(stdout_fd_, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return fail(Fault::unavailable, "it ended");
        if (c == '\n') return line;
        line.push_back(c);
    }
}

std::optional<std::string> Child::ended() {
    int status = 0;
    if (pid_ < 0 || waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    pid_ = -1;
    return end_text(status);
}

void Child::terminate() const {
    if (pid_ > 0) kill(pid_, SIGTERM);
}

void Child::reap(Duration limit) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(limit.us);
    while (pid_ > 0 && std::chrono::steady_clock::now() < end) {
        if (ended()) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

}  // namespace nexus::dev
