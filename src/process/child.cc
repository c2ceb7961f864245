#include "process/child.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "process/start.h"

namespace nexus::process {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::string end_text(int status) {
    return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                               : "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Result<Child> Child::start(const std::vector<std::string>& argv, const std::string& log_path, bool read_stdout) {
    const Descriptor log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!log.open()) return fail(Fault::unavailable, "cannot write " + log_path + ": " + std::strerror(errno));
    const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::optional<Pipe> out;
    if (!nothing.open() || (read_stdout && !(out = make_pipe())))
        return fail(Fault::exhausted, std::string("no file descriptor: ") + std::strerror(errno));
    const Result<pid_t> pid = process::start({.program = argv.front(),
                                              .argv = argv,
                                              .environment = own_environment(),
                                              .directory = {},
                                              .input = nothing.get(),
                                              .output = out ? out->write.get() : log.get(),
                                              .error = log.get()});
    if (!pid) return std::unexpected(pid.error());
    return Child(*pid, out ? std::move(out->read) : Descriptor());
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), output_(std::move(other.output_)) {}

Child& Child::operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(output_, other.output_);
    return *this;
}

Child::~Child() {
    reap({});
}

Result<std::string> Child::read_line(Duration limit) {
    const auto end = SteadyClock::now() + std::chrono::microseconds(limit.us);
    std::string line;
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - SteadyClock::now()).count();
        pollfd waiting{.fd = output_.get(), .events = POLLIN, .revents = 0};
        const int ready = left <= 0 ? 0 : poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 3'600'000)));
        if (ready == 0) return fail(Fault::unavailable, "it said nothing in time");
        if (ready < 0 && errno == EINTR) continue;
        char c = 0;
        const ssize_t got = read(output_.get(), &c, 1);
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
    const auto end = SteadyClock::now() + std::chrono::microseconds(limit.us);
    while (pid_ > 0 && SteadyClock::now() < end) {
        if (ended()) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
}

std::string own_program() {
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

}  // namespace nexus::process
