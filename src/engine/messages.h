#pragma once
// What goes in and out of the engine: plain values, no proto. All text is UTF-8 and already bounded by the caller's
// transport; the engine validates everything else and answers with an Error (see base/result.h for what a Fault means).

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/estimate.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "config/toml.h"
#include "core/scheduler.h"
#include "engine/lately.h"
#include "history/decision.h"
#include "history/history_store.h"
#include "predict/predictor.h"

namespace nexus::engine {

// ---- submitting

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct TaskBody {  // stored beside the journal; opaque to the core
    std::string payload;
    Metadata metadata;
    std::string traceparent, tracestate;
    std::vector<std::pair<std::string, double>> features;
    Duration hint;
    std::string spec;  // the encoded TaskSubmitted, for a re-drive; filled in by the engine
};

struct Submission {
    core::TaskSpec spec;  // idempotency hashes, payload_bytes and body_hash are filled in by the engine
    TaskBody body;
    std::string idempotency_key;
    // Of an entry of a foreign queue: its id there, and the id that the task gets. The entry becomes one task, however
    // often it is submitted, until its mark (store::JournalBatch::taken) is dropped.
    std::string entry{};
    TaskId task{};
};

struct Submitted {
    TaskId task;
    bool duplicate = false;
    Estimate estimate;
    WallTime start_p50, start_p90, finish_p50, finish_p90, finish_p10;  // 0 = unknown
};

// ---- looking

struct AttemptInfo {
    std::uint32_t number = 0;
    AttemptId attempt;
    std::uint64_t fence = 0;
    std::string worker;
    WallTime assigned, started, ended;  // 0 = not yet
    Duration run{-1};
    std::string outcome;  // empty while it runs
    std::string error;
    std::uint64_t peak_memory_bytes = 0;
    Duration predicted;
    double progress = 0;
    std::string progress_note;
    Duration predicted_p90;
    std::string source;  // of the prediction
    WallTime next_from;  // after one that failed: the next was not to start before; 0 = not known
};

// Of tasks that were told when they would be done and succeeded.
struct PromiseCount {
    std::uint64_t told = 0;
    std::uint64_t by_p90 = 0, from_p10 = 0;  // finished by the later bound, not before the earlier one
    std::uint64_t within_25 = 0;             // the response told within a quarter of the actual one
};

struct TaskInfo {
    TaskId task;
    std::string type, tenant, queue;
    std::uint8_t priority = 0;
    core::TaskState state = core::TaskState::waiting;
    WallTime submitted, finished;
    std::uint64_t payload_bytes = 0;
    Estimate estimate;
    WallTime eta_start_p50, eta_start_p90, eta_finish_p50, eta_finish_p90, eta_finish_p10;
    WallTime promise_p10, promise_p50, promise_p90;  // finish as told at submission; 0 = not told, or not kept
    core::WaitReason waiting = core::WaitReason::none;
    core::WaitCause waiting_cause = core::WaitCause::none;
    std::string waiting_name;  // what the cause is about, and how many
    std::uint64_t waiting_count = 0;
    std::vector<core::Unmet> waiting_unmet;
    WallTime waiting_since, waiting_until;
    std::vector<AttemptInfo> attempts;
    std::uint32_t failures = 0, crashes = 0;
    std::string error;
    std::string result;                          // only when asked for
    Metadata metadata;                           // the same; not kept of a task that succeeded
    std::shared_ptr<const core::TaskSpec> spec;  // the same
    bool whole = false;                          // asked for by itself: all that is known of its way here is told
    Duration told_p50, told_p90;                 // estimate at submission
    TaskId redrive_of;
    Duration run{-1}, wait{-1};
};

struct TaskFilter {
    std::vector<core::TaskState> states;  // empty = all
    std::string type, tenant, queue, worker;
    std::string search;  // text that one of these names holds, or that the id begins with; upper and lower case alike
    WallTime submitted_from, submitted_to;                     // from then on, and before then; 0 = no bound
    history::PromiseKept promise = history::PromiseKept::any;  // else of ended tasks only
};
struct DecisionPage {
    std::vector<history::DecisionInfo> decisions;  // newest first
    std::string next;                              // opaque; empty = end
};
struct AuditPage {
    std::vector<history::AuditRow> entries;  // newest first
    std::string next;                        // opaque; empty = end
};
// What came of following the chain of the audit.
struct AuditVerdict {
    bool good = true;
    std::uint64_t entries = 0;
    std::uint64_t unchained = 0;  // of a release before the chain was one of events
    std::string head;             // hash of the newest
    std::string problem;          // one sentence; empty when it is good
    std::uint64_t problem_number = 0;
    WallTime oldest;
};
// A change of the configuration: what it is now, or would be, and what that changed.
struct Reconfigured {
    core::Config config;
    std::vector<config::Change> changes;
};
struct ConfigVersionInfo {
    std::uint32_t version = 0;
    WallTime at;
    std::string author, caller, reason;
    std::vector<config::Change> changes;
};
struct ConfigVersionsPage {
    std::vector<ConfigVersionInfo> versions;  // newest first
    std::optional<core::Config> whole;        // when one was asked for
    std::string next;                         // opaque; empty = end
};
struct TaskPage {
    std::vector<TaskInfo> tasks;
    std::string next;  // opaque; empty = end
};

struct QueueInfo {
    std::string name;
    bool paused = false;
    std::uint64_t waiting = 0, running = 0;
    WallTime oldest;                // when the task that has waited longest was submitted; 0 = none waits
    Duration work;                  // predicted, of what could start
    std::uint32_t running_max = 0;  // 0 = no limit
};

// What became of one of many tasks that were to be changed.
struct Changed {
    TaskId task;
    TaskId again;  // the task that a retry made, or had made before
    std::optional<Error> refused;
};
struct ChangedMany {
    std::vector<Changed> tasks;
    std::string next;  // opaque; empty = no further tasks match
};

struct Explanation {
    TaskInfo task;
    std::optional<history::DecisionInfo> decision;
    std::uint64_t tasks_ahead = 0;
    Duration work_ahead;
    std::uint32_t workers_eligible = 0, workers_total = 0;
    std::vector<std::pair<core::WaitCause, std::uint32_t>> excluded;
    // Speeds of now of the workers of the decision, a faster one's is greater; 0 = it is not here.
    double speed_chosen = 0, speed_baseline = 0, speed_second = 0;
    WallTime overtaken_until;  // see Explanation of the protocol
};

struct FreeSlotsInfo {
    struct Point {
        Duration in;
        double p10 = 0, p50 = 0, p90 = 0;
    };
    std::uint64_t free = 0, taken = 0;
    std::vector<Point> coming;  // how many of those taken are free by then
};

struct WorkerInfo {
    std::string name, version, hostname;
    core::Labels labels;
    core::Resources offered;
    std::vector<std::string> types;
    bool connected = false, suspect = false, cordoned = false, draining = false;
    std::uint32_t slots = 0, running = 0, paused = 0, prefetched = 0;
    Duration turnaround;  // from a decision to the start of what it sends there; 0 = unknown
    double speed = 1, utilization = 0, cpu_usage = 0, memory_usage = 0;  // a faster worker's speed is greater
    std::string breaker, breaker_reason;
    std::uint64_t succeeded = 0, failed = 0;
    WallTime connected_at, last_heard;
    std::uint32_t rivals = 0;  // other processes of this name that were refused
    WallTime rival_at;         // the last of them; 0 = none
    std::string rival_hostname;
    std::uint32_t connects = 0;              // within the last five minutes
    WallTime state_since, breaker_since;     // 0 = from before the start
    std::string state_author, state_reason;  // who cordoned or drained it
    WallTime next_trial;                     // of an open breaker
    std::uint32_t failures_recent = 0;       // of its last runs
    WallTime empty_at;                       // when all that it holds most likely ends; 0 = it holds nothing
};
struct WorkerRunInfo {
    WallTime at;
    TaskId task;
    std::string type;
    Duration run, predicted;
    core::AttemptOutcome outcome = core::AttemptOutcome::succeeded;
};
struct WorkerDetail {
    WorkerInfo worker;
    std::vector<WorkerRunInfo> runs;  // newest first
};

struct TenantInfo {
    std::string name;
    std::uint32_t weight = 1;
    double entitled = 0, got_15m = 0, got_24h = 0;            // shares
    std::uint64_t waiting = 0, running = 0, running_max = 0;  // 0 = no limit
};
struct LimitInfo {
    core::LimitView::Kind kind = core::LimitView::Kind::queue;
    std::string key, tenant;
    std::uint64_t most = 0, used = 0, waiting = 0;
    WallTime next;
};
struct TypeRunInfo {
    WallTime at;
    TaskId task;
    std::string worker;
    Duration run, p50, p90;
    std::uint64_t size = 0;
};

struct StatusInfo {
    std::string version, policy, durability, digest;
    std::string audit_head;  // hash of the newest entry of the audit; empty = there is none
    Duration uptime;
    bool fallback = false;
    core::Counters counters;
    std::uint32_t workers_ready = 0, workers_total = 0, slots = 0;
    double utilization = 0;
    predict::Accuracy accuracy;
    WallTime drain_eta, now;
    std::uint64_t waiting_no_worker = 0, waiting_paused = 0, waiting_held = 0;  // nothing will start these
    std::uint64_t journal_position = 0, history_dropped = 0;
    double decision_p50_us = 0, decision_p99_us = 0, commit_p50_us = 0, commit_p99_us = 0;
    std::array<PromiseCount, core::kToldAs> promises{};       // since the start
    std::map<std::string, PromiseCount> promises_of_tenants;  // the same, of the first 200 that were told anything
    std::vector<core::WaitingBy> waiting_by;                  // most first
    WallTime oldest_waiting;                                  // 0 = none waits
    Duration wait_p50, wait_p99;                              // to the first start, of the last one to two minutes
    WallTime drain_p10, drain_p90;
    Duration idle_lately;     // slot time within the last hour that was idle while work waited for it
    WallTime fallback_since;  // 0 = predictions are made
};

struct TypeInfo : predict::TypeStat {
    PromiseCount promises;  // since the start; of the first 200 types that were told anything
    Duration slot_time;     // of attempts that ended within the last 15 minutes
    WallTime last_ended;    // newest attempt that ran; 0 = none since the last snapshot before the start
};
struct TypesInfo {
    std::vector<TypeInfo> types;
    predict::Accuracy accuracy;  // of all types
};

struct OverrideInfo {
    core::OverrideSet set;  // number filled in
    WallTime expires;       // 0 = never
    std::string author, reason;
};

// ---- workers

struct WorkerHello {
    core::WorkerJoined joined;  // session is filled in by the engine
    std::string version, hostname;
    bool draining = false;       // it wants nothing new
    std::uint64_t instance = 0;  // of the process; 0 = it did not say
    std::string owner{};         // who connects it: Caller::name
};

// One order to a worker's stream. The transport merges whatever is queued into one message.
struct Assignment {
    core::AssignAttempt order;
    std::string type, tenant, queue;
    core::Resources resources;
    std::shared_ptr<const TaskBody> body;
};
// What has a running attempt written from these places on? Answered by OutputPart with the same number.
struct OutputLook {
    TaskId task;
    AttemptId attempt;
    std::uint64_t number = 0;
    std::uint64_t out_from = 0, err_from = 0;
};
struct OutputPart {
    TaskId task;
    AttemptId attempt;
    std::uint64_t number = 0;
    std::string out, err;
    std::uint64_t out_from = 0, err_from = 0;  // where they begin
    bool running = false;
};
struct WorkerOrders {
    std::optional<core::WelcomeWorker> welcome;
    Duration lease, heartbeat;  // with welcome
    std::vector<Assignment> assign;
    std::vector<core::PauseAttempt> pause;  // to be followed before the assignments: they take the places
    std::vector<core::RevokeAttempt> revoke;
    std::vector<core::AnswerReport> answers;
    std::vector<OutputLook> looks;
    bool drain = false;
    std::string reconnect;  // non-empty: the server goes away, or this session was replaced
    bool close = false;     // after this, end the stream
};

// A worker's stream as the engine sees it. send() is called from the release thread, must not block, and may be called
// after the stream died (then it does nothing).
class WorkerLink {
public:
    virtual ~WorkerLink() = default;
    virtual void send(WorkerOrders orders) = 0;
    // The session is given up, told at once though that may be durable only much later: no heartbeat may be
    // acknowledged any more, or the worker would believe in a lease that is over.
    virtual void lost() {}
};

struct AttemptReport {
    TaskId task;
    AttemptId attempt;
    core::AttemptOutcome outcome = core::AttemptOutcome::succeeded;
    bool retryable = true;
    Duration run{-1};
    std::uint64_t peak_memory_bytes = 0;
    std::string result, error;
};
struct AttemptProgress {
    TaskId task;
    AttemptId attempt;
    double fraction = 0;
    std::string note;
};
struct AttemptBegun {
    AttemptBegun() = default;
    AttemptBegun(TaskId of, AttemptId begun, Duration held = {}) : task(of), attempt(begun), waited(held) {}
    TaskId task;
    AttemptId attempt;
    Duration waited;         // how long the worker had held it before
    Duration slot_free{-1};  // how long its slot had been free since the attempt before it; < 0 = unknown
};
// Everything one message of a worker said, except the hello.
struct WorkerReport {
    std::vector<AttemptBegun> started;
    std::vector<core::AttemptPaused> paused;  // session is filled in by the engine
    std::vector<AttemptProgress> progress;
    std::vector<AttemptReport> finished;
    std::vector<OutputPart> written;
    struct Capacity {
        std::uint32_t slots = 1;
        core::Resources offered;
        bool draining = false;
    };
    std::optional<Capacity> capacity;
    struct Load {
        double cpu_usage = 0, memory_usage = 0;
    };
    std::optional<Load> load;  // a heartbeat; the transport acknowledges it at once by itself
    bool goodbye = false;
};

}  // namespace nexus::engine
