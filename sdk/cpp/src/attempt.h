#pragma once
// One attempt while it runs: what the server sent, and the two-way talk between its handler and the worker's loop.
// Owned together by the loop and by the pool thread that runs the handler; the last owner ends it. Thread-safe.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "nexus/worker.h"

namespace nexus::sdk {

// What to do with tasks of a type.
struct Work {
    Handler one;
    BatchHandler many;  // set instead, for up to batch_max attempts at once
    std::size_t batch_max = 1;
};

struct Assignment {
    std::string task_id, attempt_id, type, tenant, queue, payload, traceparent, tracestate;
    std::uint32_t number = 0;
    std::uint64_t fence = 0;
    Micros timeout{0};
    Micros deadline_in{0};
    Micros predicted{0};
    bool exclusive = false;
    std::map<std::string, std::string> metadata;
    ResourceRequest resources;
};

class Attempt {
public:
    using ProgressSink = std::function<void(const std::string& attempt_id, double fraction, std::string note)>;

    // Not to be begun at `start_by` or later.
    Attempt(Assignment assignment, std::shared_ptr<const Work> work, Micros start_by,
            std::shared_ptr<const ProgressSink> on_progress)
        : assignment_(std::move(assignment)),
          work_(std::move(work)),
          start_by_(start_by),
          on_progress_(std::move(on_progress)) {}

    const Assignment& assignment() const { return assignment_; }
    const Work& work() const { return *work_; }
    Micros start_by() const { return start_by_; }

    // The loop's side. cancel() runs the handler's callbacks on the caller's thread; only the first one counts.
    void cancel(CancelReason reason);
    // Pauses or continues the handler, by its callback. Returns whether it is paused now.
    bool set_paused(bool pause);
    // What the handler has written, by its callback; nothing when it has none, or has returned.
    std::optional<Written> look(std::uint64_t out_from, std::uint64_t err_from);
    bool returned() const;

    // The handler's side.
    CancelReason cancel_reason() const;
    bool wait_cancelled(Micros timeout) const;
    void on_cancel(std::function<void(CancelReason)> callback);
    void on_pause(std::function<bool(bool)> callback);
    void on_look(std::function<Written(std::uint64_t, std::uint64_t)> callback);
    void progress(double fraction, std::string note) {
        (*on_progress_)(assignment_.attempt_id, fraction, std::move(note));
    }
    std::optional<Context::Steady> deadline() const;

    // The pool's side, around the handler. After ended() returned no callback runs any more. True: it stood still.
    void began(Context::Steady now);
    bool ended();

private:
    // Runs the handler's callbacks without the lock; ended() waits for them.
    template <class Call>
    auto call_out(std::unique_lock<std::mutex>& lock, Call call);

    const Assignment assignment_;
    const std::shared_ptr<const Work> work_;
    const Micros start_by_;
    const std::shared_ptr<const ProgressSink> on_progress_;

    mutable std::mutex mutex_;  // guards what follows
    mutable std::condition_variable changed_;
    CancelReason reason_ = CancelReason::none;
    std::vector<std::function<void(CancelReason)>> callbacks_;
    std::function<bool(bool)> pause_callback_;
    std::function<Written(std::uint64_t, std::uint64_t)> look_callback_;
    bool calling_ = false;
    bool returned_ = false;
    bool paused_ = false;
    std::optional<Context::Steady> began_at_;  // later by the time it was paused
    Context::Steady paused_at_;
};

}  // namespace nexus::sdk
