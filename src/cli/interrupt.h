#pragma once
// Ctrl-C and SIGTERM as a question that can be asked and an action that can be taken, instead of a process that is
// simply gone: a submission in flight can still say that its outcome is unknown.
//
// Make it before any other thread starts: it blocks the two signals in the calling thread, which later threads inherit,
// and takes them on a thread of its own. The first signal raises the interrupt; the second one ends the process at once
// with 128 + its number. At most one at a time.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/units.h"

namespace nexus::cli {

class Interrupt {
public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    bool raised() const { return signal_.load() != 0; }
    int signal() const { return signal_.load(); }
    // `act` runs on the signal's thread at the first signal, or at once when it has come already. It replaces the
    // action before it; an empty one forgets it. When this returns, the earlier action is not running any more.
    void on_raise(std::function<void()> act);
    // Waits that long, or until the signal: true when it has come.
    bool wait(Duration limit);

private:
    void listen();

    int stop_fd_ = -1;
    std::atomic<int> signal_{0};
    std::mutex mutex_;  // guards act_
    std::condition_variable changed_;
    std::function<void()> act_;
    std::jthread thread_;
};

}  // namespace nexus::cli
