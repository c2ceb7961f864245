#include "nexus/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "random.h"
#include "worker_runtime.h"

namespace nexus {
namespace {

// Written by the signal handler, which may do little else. -1 while no worker listens.
std::atomic<int> signal_pipe{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int) {
    const int saved = errno;
    if (const int pipe = signal_pipe; pipe >= 0) [[maybe_unused]]
        const auto written = write(pipe, "s", 1);
    errno = saved;
}

}  // namespace

struct Worker::Inner {
    explicit Inner(WorkerOptions options)
        : runtime(std::move(options), std::make_shared<sdk::SteadyClock>(), sdk::random_bits()) {}
    ~Inner() {
        if (pipe_ends[1] < 0) return;
        signal_pipe = -1;
        [[maybe_unused]] const auto written = write(pipe_ends[1], "q", 1);
        listener.join();
        close(pipe_ends[0]);
        close(pipe_ends[1]);
    }

    sdk::WorkerRuntime runtime;
    int pipe_ends[2] = {-1, -1};
    std::thread listener;
};

Worker::Worker(WorkerOptions options) : inner_(std::make_unique<Inner>(std::move(options))) {}
Worker::~Worker() = default;

void Worker::handle(std::string type, Handler handler) {
    inner_->runtime.handle(std::move(type), std::move(handler));
}
void Worker::handle_batch(std::string type, BatchOptions options, BatchHandler handler) {
    inner_->runtime.handle_batch(std::move(type), options, std::move(handler));
}
void Worker::handle_any(Handler handler) {
    inner_->runtime.handle_any(std::move(handler));
}
int Worker::run() {
    return inner_->runtime.run();
}
void Worker::stop() {
    inner_->runtime.stop();
}
std::string Worker::refusal() const {
    return inner_->runtime.refusal();
}

void Worker::stop_on_signals() {
    if (inner_->pipe_ends[1] >= 0 || pipe2(inner_->pipe_ends, O_CLOEXEC) != 0) return;
    inner_->listener = std::thread([inner = inner_.get()] {
        char what = 0;
        while (read(inner->pipe_ends[0], &what, 1) == 1 && what == 's') inner->runtime.stop();
    });
    signal_pipe = inner_->pipe_ends[1];
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
}

}  // namespace nexus
