#include "process/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include "base/must.h"
#include "process/descriptor.h"
#include "process/household.h"
#include "process/start.h"

namespace nexus::process {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint64_t kAsked = 1;
constexpr int kMemoryLook = 200;           // milliseconds
constexpr std::uint64_t kKill = 1U << 20;  // far above any number of kAsked that could gather

void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Reads what is there, at most a mebibyte (sixteen times what a pipe holds), so that a child which never stops writing
// cannot keep us from anything else. False when the stream ended.
bool drain(int fd, Output& output) {
    char buffer[16 * 1024];
    for (int round = 0; round < 64; ++round) {
        const ssize_t got = read(fd, buffer, sizeof(buffer));
        if (got == 0) return false;
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        output.add({buffer, static_cast<std::size_t>(got)});
    }
    return true;
}

// Follows one child from its start to its end.
class Follower {
public:
    Follower(const ChildSpec& spec, ChildOutput& output, Family& family, pid_t pid, std::int64_t own_peak_kib,
             Descriptor process, Descriptor in, Descriptor out, Descriptor err)
        : spec_(spec),
          output_(output),
          family_(family),
          watches_memory_(spec.limits.memory_bytes > 0 && !family.limits_memory()),
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
        stop.ended();
        // The leader is dead but not reaped, so its group's number cannot belong to anyone else yet.
        family_.end();
        // What those who were killed wrote before is in the pipes. Who got away may hold them open: it is not waited for.
        drain(out_.get(), output_.out);
        drain(err_.get(), output_.err);
        reap();
        return end_;
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
        if (fds[0].revents != 0) return true;  // before it is told to stop: it ended by itself
        if (fds[1].revents != 0) take_stop(stop);
        if (fds[2].revents != 0) feed();
        if (fds[3].revents != 0 && !drain(out_.get(), output_.out)) out_.close();
        if (fds[4].revents != 0 && !drain(err_.get(), output_.err)) err_.close();
        if (SteadyClock::now() >= kill_at_) {
            kill_at_ = SteadyClock::time_point::max();
            family_.signal(SIGKILL);
        }
        if (watches_memory_) watch_memory();
        return false;
    }

    // Where no control group does.
    void watch_memory() {
        const auto used = static_cast<std::int64_t>(family_.memory_now());
        end_.peak_memory_bytes = std::max(end_.peak_memory_bytes, used);
        if (used <= spec_.limits.memory_bytes || end_.stopped) return;
        end_.over_memory = true;
        family_.signal(SIGKILL);
    }

    bool ended_already() const {
        pollfd ended{process_.get(), POLLIN, 0};
        return poll(&ended, 1, 0) == 1;
    }

    int timeout() const {
        const int look = watches_memory_ ? kMemoryLook : -1;
        if (kill_at_ == SteadyClock::time_point::max()) return look;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(kill_at_ - SteadyClock::now());
        return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, watches_memory_ ? kMemoryLook : 3'600'000));
    }

    void take_stop(int stop) {
        std::uint64_t value = 0;
        if (read(stop, &value, sizeof(value)) != sizeof(value) || ended_already()) return;
        const bool first = !end_.stopped;
        end_.stopped = true;
        if (value >= kKill) {
            kill_at_ = SteadyClock::time_point::max();
            family_.signal(SIGKILL);
        } else if (first) {
            kill_at_ = SteadyClock::now() + spec_.stop_grace;
            family_.signal(SIGTERM);
            family_.signal(SIGCONT);  // a stopped process could not obey
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
        const std::int64_t largest = usage.ru_maxrss > own_peak_kib_ ? usage.ru_maxrss * 1024 : 0;
        const std::int64_t counted = family_.memory_peak();
        end_.peak_memory_bytes = counted > 0 ? counted : std::max(end_.peak_memory_bytes, largest);
        end_.oom_kills = family_.oom_kills();
    }

    const ChildSpec& spec_;
    ChildOutput& output_;
    Family& family_;
    const bool watches_memory_;
    const pid_t pid_;
    const std::int64_t own_peak_kib_;
    Descriptor process_, in_, out_, err_;
    ChildEnd end_;
    std::size_t fed_ = 0;
    SteadyClock::time_point kill_at_ = SteadyClock::time_point::max();
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
    if (over_) return false;
    still_ = still;
    return family_ == nullptr || family_->pause(still);
}
void ChildStop::began(Family& family) {
    const std::lock_guard lock(mutex_);
    family_ = &family;
    if (still_) family.pause(true);
}
void ChildStop::ended() {
    const std::lock_guard lock(mutex_);
    family_ = nullptr;
    over_ = true;
}
void ChildStop::write(std::uint64_t value) {
    [[maybe_unused]] const auto written = ::write(event_, &value, sizeof(value));
}

Result<ChildEnd> run_child(const ChildSpec& spec, ChildOutput& output, ChildStop& stop, Household* household) {
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

    rusage own{};
    getrusage(RUSAGE_SELF, &own);
    const std::int64_t own_peak_kib = own.ru_maxrss;
    Family family(household, spec.mark, spec.limits);
    std::shared_lock<std::shared_mutex> starting;
    if (household != nullptr) starting = std::shared_lock(household->starting());
    const Result<pid_t> started = start({.program = spec.program,
                                         .argv = spec.argv,
                                         .environment = spec.environment,
                                         .directory = spec.directory,
                                         .input = in ? in->read.get() : nothing.get(),
                                         .output = out->write.get(),
                                         .error = err->write.get(),
                                         .group_file = family.group_file(),
                                         .descriptors_max = spec.limits.descriptors});
    if (!started) return std::unexpected(started.error());
    const pid_t pid = *started;
    family.started(pid);
    if (starting.owns_lock()) starting.unlock();
    Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!process.open()) {
        const auto failure = no_descriptors();
        family.end();
        while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
        return failure;
    }
    out->write.close();
    err->write.close();
    if (in) in->read.close();
    Follower follower(spec, output, family, pid, own_peak_kib, std::move(process),
                      in ? std::move(in->write) : Descriptor(), std::move(out->read), std::move(err->read));
    stop.began(family);
    return follower.follow(stop);
}

}  // namespace nexus::process
