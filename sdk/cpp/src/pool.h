#pragma once
// The threads handlers run on: made on demand, at most `threads_max`, ended together. Thread-safe.
//
// Jobs that take long get a thread each, at once. While jobs take a moment one thread at a time is woken or made; it
// takes a job and, while others wait, calls for the next thread before it begins: few threads do them one after the
// other, without a wake for each of them.
//
// A handler that never returns must not keep the process from ending: stop() joins the idle threads and lets the busy
// ones go. Those still share ownership of the pool's state, which therefore ends with the last of them.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
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
    static constexpr std::int64_t kMomentNs = 100'000;  // waking a thread takes a good part of it

    struct Shared {        // owned by the pool and each of its threads; the last of them ends it
        std::mutex mutex;  // guards all
        std::condition_variable changed;
        std::deque<Job> jobs;
        std::size_t threads_max = 1;
        std::size_t threads = 0;
        std::size_t idle = 0;
        std::size_t called = 0;             // threads that were woken or made, and have not looked yet
        std::int64_t usual_ns = kMomentNs;  // that jobs took lately
        bool stopping = false;
    };
    static void call(const std::shared_ptr<Shared>& shared);  // Requires: the lock
    static void work(const std::shared_ptr<Shared>& shared);

    std::shared_ptr<Shared> shared_;
};

}  // namespace nexus::sdk
