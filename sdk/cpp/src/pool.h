#pragma once
// The threads handlers run on: made on demand, at most `threads_max`, ended together. Thread-safe.
//
// A handler that never returns must not keep the process from ending: stop() joins the idle threads and lets the busy
// ones go. Those still share ownership of the pool's state, which therefore ends with the last of them.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace nexus::sdk {

class Pool {
public:
    using Job = std::move_only_function<void()>;

    explicit Pool(std::size_t threads_max) : shared_(std::make_shared<Shared>()) { shared_->threads_max = threads_max; }
    ~Pool() { stop(); }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    void run(Job job);
    // Waits for threads without a job; jobs not begun are dropped. Nothing runs after it but jobs already begun.
    void stop();

private:
    struct Shared {        // owned by the pool and each of its threads; the last of them ends it
        std::mutex mutex;  // guards all
        std::condition_variable changed;
        std::deque<Job> jobs;
        std::size_t threads_max = 1;
        std::size_t threads = 0;
        std::size_t idle = 0;
        bool stopping = false;
    };
    static void work(const std::shared_ptr<Shared>& shared);

    std::shared_ptr<Shared> shared_;
};

}  // namespace nexus::sdk
