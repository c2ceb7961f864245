#include "worker/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/must.h"
#include "worker/guard.h"

namespace nexus::worker {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint64_t kAsked = 1;
constexpr std::uint64_t kKill = 1U << 20;  // far above any number of kAsked that could gather

class Descriptor {
public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() { close(); }
    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    int get() const { return fd_; }
    bool open() const { return fd_ >= 0; }

private:
    int fd_;
};

struct Pipe {
    Descriptor read, write;
};

std::optional<Pipe> make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
    return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

enum class Stage : int { none, directory, program };

// Everything the child needs between vfork and exec, laid out beforehand: it shares our memory and may only make system
// calls.
struct Launch {
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

[[noreturn]] void fail_in_child(Launch& launch, Stage stage) {
    launch.fault = errno;
    launch.failed_at = stage;
    _exit(127);
}

[[noreturn]] void become(Launch& launch) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch.parent) _exit(127);  // the parent died before it could be noticed
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action{};
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, nullptr);  // fails for those that cannot be changed
    }
    dup2(launch.input, STDIN_FILENO);
    dup2(launch.output, STDOUT_FILENO);
    dup2(launch.error, STDERR_FILENO);
    syscall(SYS_close_range, 3U, ~0U, 0U);  // whatever some library opened without O_CLOEXEC
    if (launch.directory != nullptr && chdir(launch.directory) != 0) fail_in_child(launch, Stage::directory);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve(launch.program, launch.argv, launch.environment);
    fail_in_child(launch, Stage::program);
}

// The pid, or -1 with errno when no process could be made. A failure of the child itself stands in `launch`.
pid_t start(Launch& launch) {
    // No signal handler of ours may run in the child: it would do so in our memory.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = vfork();
    if (pid == 0) become(launch);
    const int fault = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = fault;
    return pid;
}

std::unexpected<Error> explain(const ChildSpec& spec, const Launch& launch) {
    const std::string what = launch.failed_at == Stage::directory ? "directory " + spec.directory : spec.program;
    switch (launch.fault) {
        case ENOENT:
        case ENOTDIR: return fail(Fault::not_found, what + ": not found on this worker");
        case EACCES:
        case EPERM: return fail(Fault::denied, what + ": this worker has no permission to use it");
        case ENOEXEC: return fail(Fault::invalid, what + ": is no program (a script needs a #! line)");
        case E2BIG: return fail(Fault::invalid, what + ": the arguments and environment are too long");
        case ENOMEM:
        case EMFILE:
        case ENFILE: return fail(Fault::exhausted, what + ": " + std::strerror(launch.fault));
        default: return fail(Fault::invalid, what + ": " + std::strerror(launch.fault));
    }
}

// Reads what is there, at most a mebibyte (sixteen times what a pipe holds), so that a child which never stops writing
// cannot keep us from anything else. False when the stream ended.
bool drain(int fd, ChildOutput& output, std::size_t bytes_max) {
    char buffer[16 * 1024];
    for (int round = 0; round < 64; ++round) {
        const ssize_t got = read(fd, buffer, sizeof(buffer));
        if (got == 0) return false;
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        output.bytes += static_cast<std::uint64_t>(got);
        output.kept.append(buffer, std::min(static_cast<std::size_t>(got), bytes_max - output.kept.size()));
    }
    return true;
}

// Follows one child from its start to its end.
class Follower {
public:
    Follower(const ChildSpec& spec, pid_t pid, std::int64_t own_peak_kib, Descriptor process, Descriptor in,
             Descriptor out, Descriptor err)
        : spec_(spec),
          pid_(pid),
          own_peak_kib_(own_peak_kib),
          process_(std::move(process)),
          in_(std::move(in)),
          out_(std::move(out)),
          err_(std::move(err)) {
        for (const int fd : {in_.get(), out_.get(), err_.get()})
            if (fd >= 0) set_nonblocking(fd);
    }

    ChildEnd follow(ChildStop& stop) {
        while (!wait_for_something(stop.descriptor())) continue;
        stop.group_ended();
        // The leader is dead but not reaped, so its group's number cannot belong to anyone else yet.
        ::kill(-pid_, SIGKILL);
        // What the killed group wrote before is in the pipes. A process that left the group may hold them open: it is
        // not waited for.
        drain(out_.get(), end_.out, spec_.output_bytes_max);
        drain(err_.get(), end_.err, spec_.output_bytes_max);
        reap();
        return std::move(end_);
    }

private:
    // One round of poll. True once the child has ended.
    bool wait_for_something(int stop) {
        pollfd fds[] = {{process_.get(), POLLIN, 0},
                        {stop, POLLIN, 0},
                        {in_.get(), POLLOUT, 0},
                        {out_.get(), POLLIN, 0},
                        {err_.get(), POLLIN, 0}};
        if (poll(fds, std::size(fds), timeout()) < 0) return false;
        if (fds[1].revents != 0) take_stop(stop);
        if (fds[2].revents != 0) feed();
        if (fds[3].revents != 0 && !drain(out_.get(), end_.out, spec_.output_bytes_max)) out_.close();
        if (fds[4].revents != 0 && !drain(err_.get(), end_.err, spec_.output_bytes_max)) err_.close();
        if (kill_at_ && SteadyClock::now() >= *kill_at_) {
            kill_at_.reset();
            ::kill(-pid_, SIGKILL);
        }
        return fds[0].revents != 0;
    }

    int timeout() const {
        if (!kill_at_) return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*kill_at_ - SteadyClock::now());
        return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
    }

    void take_stop(int stop) {
        std::uint64_t value = 0;
        if (read(stop, &value, sizeof(value)) != sizeof(value)) return;
        const bool first = !end_.stopped;
        end_.stopped = true;
        if (value >= kKill) {
            kill_at_.reset();
            ::kill(-pid_, SIGKILL);
        } else if (first) {
            kill_at_ = SteadyClock::now() + spec_.stop_grace;
            ::kill(-pid_, SIGTERM);
            ::kill(-pid_, SIGCONT);  // a stopped process could not obey
        }
    }

    void feed() {
        const std::size_t left = spec_.input.size() - fed_;
        const ssize_t put = write(in_.get(), spec_.input.data() + fed_, left);
        if (put >= 0) fed_ += static_cast<std::size_t>(put);
        const bool closed = put < 0 && errno != EAGAIN && errno != EINTR;
        if (closed || fed_ == spec_.input.size()) in_.close();
    }

    void reap() {
        int status = 0;
        rusage usage{};
        while (wait4(pid_, &status, 0, &usage) < 0) MUST(errno == EINTR);
        if (WIFEXITED(status)) end_.exit_code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
        end_.user_us = usage.ru_utime.tv_sec * 1'000'000 + usage.ru_utime.tv_usec;
        end_.system_us = usage.ru_stime.tv_sec * 1'000'000 + usage.ru_stime.tv_usec;
        if (usage.ru_maxrss > own_peak_kib_) end_.peak_memory_bytes = usage.ru_maxrss * 1024;
    }

    const ChildSpec& spec_;
    const pid_t pid_;
    const std::int64_t own_peak_kib_;
    Descriptor process_, in_, out_, err_;
    ChildEnd end_;
    std::size_t fed_ = 0;
    std::optional<SteadyClock::time_point> kill_at_;
};

}  // namespace

ChildStop::ChildStop() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
ChildStop::~ChildStop() {
    if (event_ >= 0) close(event_);
}
void ChildStop::ask() {
    write(kAsked);
}
void ChildStop::kill() {
    write(kKill);
}
bool ChildStop::pause(bool still) {
    const std::lock_guard lock(mutex_);
    if (group_ < 0) return false;
    still_ = still;
    return group_ == 0 || ::kill(-group_, still ? SIGSTOP : SIGCONT) == 0;
}
void ChildStop::group_started(int group) {
    const std::lock_guard lock(mutex_);
    group_ = group;
    if (still_) ::kill(-group_, SIGSTOP);
}
void ChildStop::group_ended() {
    const std::lock_guard lock(mutex_);
    group_ = -1;
}
void ChildStop::write(std::uint64_t value) {
    [[maybe_unused]] const auto written = ::write(event_, &value, sizeof(value));
}

Result<ChildEnd> run_child(const ChildSpec& spec, ChildStop& stop, Guard* guard) {
    const auto no_descriptors = [] {
        return fail(Fault::exhausted, std::string("no file descriptor: ") + std::strerror(errno));
    };
    if (stop.descriptor() < 0) return no_descriptors();
    std::optional<Pipe> in;
    if (!spec.input.empty() && !(in = make_pipe())) return no_descriptors();
    std::optional<Pipe> out = make_pipe();
    std::optional<Pipe> err = make_pipe();
    Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!out || !err || !nothing.open()) return no_descriptors();

    const std::vector<char*> argv = pointers_to(spec.argv);
    const std::vector<char*> environment = pointers_to(spec.environment);
    Launch launch{.program = spec.program.c_str(),
                  .argv = argv.data(),
                  .environment = environment.data(),
                  .directory = spec.directory.empty() ? nullptr : spec.directory.c_str(),
                  .input = in ? in->read.get() : nothing.get(),
                  .output = out->write.get(),
                  .error = err->write.get(),
                  .parent = getpid()};
    rusage own{};
    getrusage(RUSAGE_SELF, &own);
    const std::int64_t own_peak_kib = own.ru_maxrss;
    const pid_t pid = start(launch);
    if (pid < 0) return fail(Fault::exhausted, std::string("no process: ") + std::strerror(errno));
    if (launch.failed_at != Stage::none) {
        while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
        return explain(spec, launch);
    }
    setpgid(pid, pid);  // also from here, so that the group exists whoever runs first
    if (guard != nullptr) guard->watch(pid);
    Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!process.open()) {
        const auto failure = no_descriptors();
        ::kill(-pid, SIGKILL);
        while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
        if (guard != nullptr) guard->forget(pid);
        return failure;
    }
    out->write.close();
    err->write.close();
    if (in) in->read.close();
    Follower follower(spec, pid, own_peak_kib, std::move(process), in ? std::move(in->write) : Descriptor(),
                      std::move(out->read), std::move(err->read));
    stop.group_started(pid);
    ChildEnd end = follower.follow(stop);
    if (guard != nullptr) guard->forget(pid);
    return end;
}

}  // namespace nexus::worker
