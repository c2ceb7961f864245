#pragma once
// The worker of a Nexus Scheduler: runs handlers for the tasks the server assigns.
//
//     nexus::Worker worker({.name = "resize-1", .target = "127.0.0.1:7070", .slots = 4});
//     worker.handle("resize", [](nexus::Context& task) {
//         return nexus::Outcome::success(resize(task.payload()));
//     });
//     worker.stop_on_signals();
//     return worker.run();
//
//   Promise      a task runs at least once; it runs again only after this worker was lost, silent beyond its lease,
//                or reported a failure. Use Context::fence() or the task id at outside resources that must not see both
//   Connection   one stream; reconnects with exponential backoff and full jitter, keeps running what it holds, and
//                sends results again until the server acknowledged them
//   Self-fence   without an acknowledged heartbeat for lease - 1 s the worker starts and reports nothing, and cancels
//                `exclusive` attempts, since the server may give them away when the lease ends
//   Threads      handlers run on `slots` threads of the worker's own, several at once; an exception that leaves a
//                handler is a failure of the task. A handler that ignores cancellation keeps its slot until it returns
//   Ready work   of short tasks the server sends a few beyond the slots (prefetch_max), so that the next handler begins
//                the moment one ends, on its thread. They have not begun: the server may take them back
//   Includes     no gRPC and no protobuf header

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nexus/client.h"

namespace nexus {

// How an attempt ended.
class Outcome {
public:
    enum class Kind : std::uint8_t { succeeded, failed, cancelled, out_of_memory, rejected };

    // `result` is opaque bytes, at most 256 KiB; a longer one fails the attempt.
    static Outcome success(std::string result = {}) { return {Kind::succeeded, std::move(result), {}, true}; }
    // Tried again while the task has attempts left. `error` is shown to people; 4 KiB of it are kept.
    static Outcome failure(std::string error) { return {Kind::failed, {}, std::move(error), true}; }
    // Trying again cannot help: the task is dead at once.
    static Outcome fatal(std::string error) { return {Kind::failed, {}, std::move(error), false}; }
    // The handler stopped because it was asked to.
    static Outcome cancelled(std::string note = {}) { return {Kind::cancelled, {}, std::move(note), true}; }
    // Counts as a failure. The next attempt asks for half more memory than this one asked for or used (with_peak_memory),
    // whichever is more, up to what a connected worker offers; for none when neither is known.
    static Outcome out_of_memory(std::string error) { return {Kind::out_of_memory, {}, std::move(error), true}; }
    // Nothing was done: another worker should have it.
    static Outcome rejected(std::string error) { return {Kind::rejected, {}, std::move(error), true}; }

    // A failure may carry a result too, e.g. the output of a program that exited with an error.
    Outcome&& with_result(std::string result) && { return result_ = std::move(result), std::move(*this); }
    // The most memory the attempt used. Unset (0) = not measured.
    Outcome&& with_peak_memory(std::int64_t bytes) && { return peak_memory_bytes_ = bytes, std::move(*this); }

    Kind kind() const { return kind_; }
    const std::string& result() const { return result_; }
    const std::string& error() const { return error_; }
    bool retryable() const { return retryable_; }
    std::int64_t peak_memory_bytes() const { return peak_memory_bytes_; }

private:
    Outcome(Kind kind, std::string result, std::string error, bool retryable)
        : kind_(kind), result_(std::move(result)), error_(std::move(error)), retryable_(retryable) {}

    Kind kind_;
    std::string result_, error_;
    bool retryable_ = true;
    std::int64_t peak_memory_bytes_ = 0;
};

// Why a handler is asked to stop.
enum class CancelReason : std::uint8_t {
    none,
    cancelled,   // by the user
    superseded,  // another attempt is current; whatever this one returns is dropped
    timed_out,
    preempted,  // a more important task needs the slot; this one will run again
    fenced,     // `exclusive`, and contact to the server was lost for too long
    stopping,   // the worker ends
};
std::string_view name_of(CancelReason reason);

// What an attempt has written, from these places on: bytes from the beginning of each stream. Where bytes are not kept
// any more a stream begins later than was asked.
struct Written {
    std::string out, err;  // at most 64 KiB of each are sent
    std::uint64_t out_from = 0, err_from = 0;
};

namespace sdk {
class Attempt;
}

// What a handler knows of its attempt. All calls may be made from any thread while the handler runs.
class Context {
public:
    using Steady = std::chrono::steady_clock::time_point;

    explicit Context(sdk::Attempt& attempt) : attempt_(attempt) {}

    const std::string& payload() const;
    const std::string& task_id() const;
    const std::string& attempt_id() const;
    const std::string& type() const;
    const std::string& tenant() const;
    const std::string& queue() const;
    std::uint32_t attempt() const;           // 1, 2, ...
    std::uint64_t fence() const;             // grows with each attempt of the task, unique in the cluster
    Micros timeout() const;                  // of this attempt; 0 = none
    std::optional<Steady> deadline() const;  // when the timeout will cancel it
    Micros predicted() const;                // run time predicted at dispatch; 0 = unknown
    const std::map<std::string, std::string>& metadata() const;
    std::string_view metadata(std::string_view key) const;  // empty when absent
    const std::string& traceparent() const;
    const std::string& tracestate() const;
    bool exclusive() const;
    const ResourceRequest& resources() const;  // what the task asked for, and was given; 0 = it did not ask

    // A handler that runs long asks this, or waits on it instead of sleeping, and returns soon after.
    bool cancelled() const;
    CancelReason cancel_reason() const;
    // True as soon as the attempt is cancelled, false after `timeout`.
    bool wait_cancelled(Micros timeout) const;
    // `callback` runs once, on another thread, when the attempt is cancelled; at once, here, when it already is. It
    // must not block. It never runs after the handler returned.
    void on_cancel(std::function<void(CancelReason)> callback);

    // How to pause (true) and continue (false) this attempt, for workers with `can_pause`. `callback` runs on
    // another thread, must not block, and returns whether it did. It never runs after the handler returned. Without it
    // the attempt cannot be paused. A paused attempt that is cancelled is first continued.
    void on_pause(std::function<bool(bool pause)> callback);

    // Tells what the handler has written, from these places on, to whoever looks at the running task. `callback` runs on
    // another thread and must not block. It never runs after the handler returned. Without it nothing can be seen before
    // the result.
    void on_look(std::function<Written(std::uint64_t out_from, std::uint64_t err_from)> callback);

    // Tells how far it is (0..1) and a few words. Cheap: the latest is sent a few times a second.
    void progress(double fraction, std::string note = {});

private:
    sdk::Attempt& attempt_;
};

using Handler = std::function<Outcome(Context&)>;

// One handler for many tasks of a type at once. It returns an outcome for each, in their order; when their number is
// another, or it throws, all of them have failed. The contexts live until it returns.
//
//   Slots     a batch occupies one slot. It holds what waits in this worker at that moment, the oldest first: the handler
//             is never kept waiting for more, and a batch of one is usual when little is to be done. The server sends
//             `slots` + prefetch_max tasks at most: no batch is larger than that
//   Run time  of each of them is that of the batch, for reports, estimates and timeouts: give all tasks of such a type
//             the same timeout, and let it be long enough for `max` tasks
//   Cancel    each task has its own: look at Context::cancelled() of each. Its outcome is then usually cancelled(). One
//             that is told late, when its batch ends, is reported as ended after the grace, like any other
//   End       all of them are reported when the handler returns; a crash of the process counts against each of them
//   Pause     a task in a batch is never paused: Context::on_pause() does nothing
using BatchHandler = std::function<std::vector<Outcome>(std::span<Context> tasks)>;

struct BatchOptions {
    std::size_t max = 100;  // tasks in one batch, 1..1000
};

struct WorkerOptions {
    std::string name{};       // stable over restarts, unique in the cluster; empty = <hostname>-<pid>
    std::string target{};     // host:port of the server
    std::uint32_t slots = 1;  // attempts at once, 1..4096
    // Tasks the server may send beyond the slots, 0..4096; unset = 16 x slots + 64, at most 1024. It sends as many
    // as begin here within two turn-arounds, none of long tasks. 0: none, and each task is followed by a round trip.
    std::optional<std::uint32_t> prefetch_max{};
    // The server may pause attempts, at most four, and give their slots to shorter tasks (scheduler.pause). Say so only
    // when the tasks do not mind, and their handlers call Context::on_pause().
    bool can_pause = false;
    std::map<std::string, std::string> labels{};
    std::optional<ResourceRequest> resources{};     // offered; unset = unlimited. A zero dimension = unlimited
    Micros drain_limit = std::chrono::seconds(30);  // after stop(): how long running attempts may continue
    Micros cancel_grace = std::chrono::seconds(5);  // from a cancel to being forgotten, when the server names none
    Micros reconnect_first = std::chrono::milliseconds(200);
    Micros reconnect_max = std::chrono::seconds(1);
    std::string version{};  // of your program, shown to operators
    std::optional<TlsFiles> tls{};
    std::string token{};
    // Told of connections, losses and drains, one line each. Unset = silent. Called on the worker's own thread.
    std::function<void(std::string_view line)> log{};
    // Called on the worker's own thread every `alive_every`, connected or not, for as long as it turns: for a watchdog.
    std::function<void()> alive{};
    Micros alive_every{0};
};

class Worker {
public:
    explicit Worker(WorkerOptions options);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Before run(). A second handler for a type replaces the first.
    void handle(std::string type, Handler handler);
    void handle_batch(std::string type, BatchOptions options, BatchHandler handler);
    // For every type without a handler of its own. The worker is then offered tasks of any type.
    void handle_any(Handler handler);

    // Blocks until the worker has stopped. Returns the exit code for main: 0 = drained, nothing lost; 1 = the drain
    // limit passed and attempts were cut; 2 = the server refused this worker for good (run() printed why to `log`).
    int run();
    // Begins the drain: take nothing more, finish what runs, report, say goodbye. A second call cancels what still
    // runs. May be called from any thread, at any time, any number of times; not from a signal handler.
    void stop();
    // SIGTERM and SIGINT call stop(). At most one Worker of a process.
    void stop_on_signals();

    // After run() ended with 2: why.
    std::string refusal() const;

private:
    struct Inner;
    std::unique_ptr<Inner> inner_;
};

}  // namespace nexus
