#pragma once
// The client of a Nexus Scheduler: submit tasks, follow them, cancel them, ask why.
//
//     nexus::Client client("127.0.0.1:7070");
//     auto made = client.submit({.type = "resize", .payload = bytes});
//     if (!made) return complain(made.error().text());
//     auto done = client.wait(made->id, std::chrono::minutes(1));
//
//   Answers    every call returns std::expected<T, Failure>; nothing is thrown
//   Retries    a failure of unknown outcome (server away, connection lost, internal error) is tried again with
//              exponential backoff and full jitter until Options::call_timeout. Definite refusals are returned at once,
//              except a full server (`exhausted`), which is tried again after the time the server asked for
//   Once       submit always sends an idempotency key, kept over its retries: a lost answer cannot make a second task
//   Threads    all calls may be made from any thread at the same time. Calls block; callbacks run on the caller's thread
//   Includes   no gRPC and no protobuf header

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nexus {

using Micros = std::chrono::microseconds;
// Calendar time, to the microsecond. The zero value means "unset" or "unknown".
using Calendar = std::chrono::time_point<std::chrono::system_clock, Micros>;

enum class FailureKind : std::uint8_t {
    invalid,       // the request can never work as it is; nothing was stored
    not_found,     // no such task, worker, type
    conflict,      // the idempotency key belongs to a different task body
    failed_state,  // the thing exists but its state forbids this (cancelling a finished task)
    exhausted,     // a limit of the server is met; nothing was stored; see retry_after
    denied,        // not allowed, or not signed in
    unsupported,   // the server does not know this call
    unknown,       // no answer of the server itself came in time: it may or may not have happened. For a submit, call
                   // again with Failure::idempotency_key to learn which
};
std::string_view name_of(FailureKind kind);

struct Failure {
    FailureKind kind = FailureKind::unknown;
    std::string reason{};   // the server's stable word for it, e.g. "EXHAUSTED"; may be empty
    std::string message{};  // a sentence for people
    std::optional<Micros> retry_after{};
    std::string idempotency_key{};  // of a failed submit: the key that was sent

    // True when the same call may succeed later without any change.
    bool retryable() const { return kind == FailureKind::unknown || kind == FailureKind::exhausted; }
    std::string text() const;  // "exhausted (EXHAUSTED): ..."
};

template <class T>
using Answer = std::expected<T, Failure>;

struct ResourceRequest {
    std::int64_t cpu_milli = 0;  // 1000 = one core
    std::int64_t memory_bytes = 0;
    std::int64_t gpu_milli = 0;
    std::map<std::string, std::int64_t> custom{};
};

struct RetryRules {
    std::uint32_t attempts_max = 0;  // 0 = the server's default (3)
    Micros backoff_first{0};         // 0 = the server's default (1 s)
    Micros backoff_max{0};           // 0 = the server's default (5 min)
};

// What to run. Only `type` is required; every other field has a sensible zero.
struct Task {
    std::string type{};
    std::string payload{};                    // opaque bytes, at most 256 KiB
    std::string tenant{};                     // empty = "default"
    std::string queue{};                      // empty = "default"
    std::optional<std::uint32_t> priority{};  // 0 (lowest) .. 9; unset = 5
    Calendar run_at{};                        // not before
    Calendar deadline{};                      // not started after
    Micros timeout{0};                        // of one attempt; 0 = none
    Micros ttl{0};  // expires when not finished so long after submission, or run_at; 0 = the server's default (7 days)
    RetryRules retry{};
    std::map<std::string, std::string> labels_required{};
    std::map<std::string, std::string> labels_preferred{};
    std::map<std::string, std::string> labels_forbidden{};
    std::string worker{};  // pinned to the worker of this name
    ResourceRequest resources = ResourceRequest();
    std::vector<std::string> after{};  // ids of tasks that must succeed first
    std::string concurrency_key{};
    std::uint32_t concurrency_max = 0;
    std::string ordering_key{};
    std::string rate_key{};
    double rate_per_s = 0;
    std::string idempotency_key{};             // empty = a random one is made
    Micros duration_hint{0};                   // your own guess of the run time
    std::map<std::string, double> features{};  // numbers a model may learn from, e.g. pixels; at most 16
    bool idempotent = false;                   // safe to run twice: may be speculated
    bool exclusive = false;                    // two attempts must never overlap
    bool preemptible = false;
    std::string traceparent{};
    std::string tracestate{};
    std::map<std::string, std::string> metadata{};
};

// The predicted run time of one attempt.
struct Prediction {
    Micros p50{0};
    Micros p90{0};
    Micros mean{0};
    double confidence = 0;  // 0..1
    std::string source{};   // what made it
};

// The predicted start and end: of ten tasks nine end by finish_p90, and nine no earlier than finish_p10. Zero values mean
// unknown.
struct Eta {
    Calendar start_p50{}, start_p90{}, finish_p50{}, finish_p90{}, finish_p10{};
};

struct Submitted {
    std::string id{};
    bool duplicate = false;  // an earlier submit with this key made it
    Prediction estimate{};
    Eta eta{};
    std::string durability{};  // process | disk | replicated(k)
};

enum class TaskState : std::uint8_t {
    unspecified,
    waiting,
    assigned,
    running,
    succeeded,
    dead,
    cancelled,
    expired,
    paused
};
std::string_view name_of(TaskState state);
constexpr bool is_finished(TaskState state) {
    return state >= TaskState::succeeded && state != TaskState::paused;
}

struct AttemptView {
    std::uint32_t number = 0;
    std::string id{};
    std::uint64_t fence = 0;
    std::string worker{};
    Calendar assigned{}, started{}, ended{};
    Micros run{0};
    std::string outcome{};  // succeeded, failed, timed_out, worker_lost, ...; empty while it runs
    std::string error{};
    std::int64_t peak_memory_bytes = 0;
    Micros predicted{0};
    double progress = 0;
    std::string progress_note{};
};

// Why a waiting task waits.
struct WaitingView {
    std::string reason{};  // not_before, dependency, capacity, no_eligible_worker, ...; empty when it does not wait
    std::string culprit{};
    std::string remedy{};
    Calendar since{}, until{};
};

struct TaskView {
    std::string id{}, type{}, tenant{}, queue{};
    std::uint32_t priority = 0;
    TaskState state = TaskState::unspecified;
    Calendar submitted{}, finished{};
    std::int64_t payload_bytes = 0;
    Prediction estimate{};
    Eta eta{};      // of a task that is not finished
    Eta promise{};  // its end as told at submission; of a finished task without finish_p10
    WaitingView waiting{};
    std::vector<AttemptView> attempts{};
    std::uint32_t failures = 0, crashes = 0;
    std::string result{};  // filled by get and wait
    std::string error{};   // why it is dead, cancelled or expired
    std::map<std::string, std::string> metadata{};
    std::string redrive_of{};
    Micros run{0}, wait{0};

    bool finished_well() const { return state == TaskState::succeeded; }
};

struct TaskQuery {
    std::vector<TaskState> states{};  // empty = all
    std::string type{}, tenant{}, queue{}, worker{};
    std::string promise{};        // kept or missed: succeeded by the finish_p90 promised, or after it; empty = any
    std::uint32_t page_size = 0;  // 1..1000; 0 = 100
    std::string page_token{};     // empty = first page
};
struct TaskPage {
    std::vector<TaskView> tasks{};
    std::string next_page_token{};  // empty = last page
};

// Which tasks to watch: the ids, or (no ids) all of a type and tenant.
struct WatchQuery {
    std::vector<std::string> ids{};
    std::string type{}, tenant{};
};

struct TlsFiles {
    std::string ca{};           // PEM of the authority that signed the server
    std::string certificate{};  // PEM of ours, for mutual TLS; may be empty
    std::string key{};
};

struct ClientOptions {
    Micros call_timeout = std::chrono::seconds(10);  // of one call with all its retries
    Micros retry_first = std::chrono::milliseconds(50);
    Micros retry_max = std::chrono::seconds(2);
    std::optional<TlsFiles> tls{};  // unset = plain text, for a server on this machine
    std::string token{};            // sent as "authorization: Bearer ..." when not empty
};

struct BulkOptions {
    std::size_t batch = 500;                   // tasks in one message, 1..1000; a batch is stored whole or not at all
    std::size_t in_flight = 4;                 // batches sent and not yet answered
    Micros timeout = std::chrono::minutes(1);  // without any progress
    // Called after each answered batch with the number of tasks answered so far.
    std::function<void(std::size_t answered)> progress{};
};

class Client {
public:
    // Does not wait for the server; the first call does.
    explicit Client(std::string target, ClientOptions options = {});
    ~Client();
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;

    // True once the server answers, within `timeout`.
    bool ready(Micros timeout);

    Answer<Submitted> submit(const Task& task);
    // The same through one stream of batches. The answer has one entry per task, in order.
    std::vector<Answer<Submitted>> submit_many(std::span<const Task> tasks, const BulkOptions& options = {});

    Answer<TaskView> get(std::string_view id);
    // Blocks until the task is finished. `unknown` when it is not by then.
    Answer<TaskView> wait(std::string_view id, Micros timeout);
    // Calls `on_change` with each change, beginning with the present state, until it returns false, every named task is
    // finished, or `timeout` has passed (then `unknown`). Reconnects by itself, telling the present state again.
    Answer<void> watch(const WatchQuery& query, Micros timeout, const std::function<bool(const TaskView&)>& on_change);
    Answer<TaskPage> list(const TaskQuery& query);
    Answer<TaskView> cancel(std::string_view id, std::string_view reason);
    // Makes a new task from a finished, not succeeded one.
    Answer<Submitted> retry(std::string_view id);
    // Why the task is where it is, in words.
    Answer<std::string> explain(std::string_view id);

private:
    struct Inner;
    std::unique_ptr<Inner> inner_;
};

// 36 characters of random UUID, as sent for tasks without an idempotency key.
std::string random_key();

}  // namespace nexus
