#include "cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>

#include "base/must.h"

namespace nexus::cli {
namespace {

sigset_t taken_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

}  // namespace

Interrupt::Interrupt() : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    MUST(stop_fd_ >= 0);
    const sigset_t set = taken_signals();
    MUST(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    thread_ = std::jthread([this] { listen(); });
}

Interrupt::~Interrupt() {
    MUST(eventfd_write(stop_fd_, 1) == 0);
    thread_.join();
    close(stop_fd_);
    const sigset_t set = taken_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void Interrupt::listen() {
    const sigset_t set = taken_signals();
    const int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    MUST(signal_fd >= 0);
    while (true) {
        std::array<pollfd, 2> fds{
            {{.fd = signal_fd, .events = POLLIN, .revents = 0}, {.fd = stop_fd_, .events = POLLIN, .revents = 0}}};
        if (poll(fds.data(), fds.size(), -1) < 0) continue;
        if (fds[1].revents != 0) break;
        signalfd_siginfo info{};
        if (read(signal_fd, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
        const int number = static_cast<int>(info.ssi_signo);
        if (raised()) _exit(128 + number);
        const std::lock_guard lock(mutex_);
        signal_.store(number);
        changed_.notify_all();
        if (act_) act_();
    }
    close(signal_fd);
}

void Interrupt::on_raise(std::function<void()> act) {
    const std::lock_guard lock(mutex_);
    act_ = std::move(act);
    if (act_ && raised()) act_();
}

bool Interrupt::wait(Duration limit) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::microseconds(limit.us), [this] { return raised(); });
}

}  // namespace nexus::cli
