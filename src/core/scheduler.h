#pragma once
// The scheduler: a deterministic state machine that decides which task runs where, and when.
//
//     Event (a fact) --> Scheduler::apply --> Commands (orders for the engine)
//
//   Pure           no clock, randomness, I/O, logging or threads; time arrives inside the event
//   Deterministic  equal event sequences give equal commands, in equal order, and equal digest(), on every build
//   Total          every event is legal in every state; a late or repeated one changes nothing
//   Bounded        at most Config::tasks_max live tasks; a slot event costs O(classes + log waiting)
//   One owner      not thread-safe; the engine's loop (or a test) is the only caller

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/command.h"
#include "core/config.h"
#include "core/event.h"

namespace nexus::core {

// Releases whose cores decide differently, or save themselves differently, have different numbers: replay never crosses
// them silently.
inline constexpr std::uint32_t kCoreVersion = 12;
// Snapshots of cores from this one on are read.
inline constexpr std::uint32_t kOldestSnapshot = 6;
constexpr bool reads_snapshot(std::uint64_t core_version) {
    return core_version >= kOldestSnapshot && core_version <= kCoreVersion;
}

// What operators may have in force; more is ignored by the core, so the engine refuses it before it becomes an event.
inline constexpr std::size_t kOverridesMax = 4096;
inline constexpr std::size_t kForcedMax = 1024;

enum class Admission : std::uint8_t {
    accepted,       // journal it
    duplicate,      // this idempotency key made `existing`
    key_conflict,   // the key is taken by another body: `existing`
    tasks_full,     // Config::tasks_max
    tenant_full,    // TenantLimits::waiting_max
    unknown_after,  // an `after` id was never accepted (finished ones are remembered for a bounded time)
};
struct AdmissionAnswer {
    Admission admission = Admission::accepted;
    TaskId existing;
};

// A demand that keeps workers from a task, and what they offer instead. The words are api's.
struct Unmet {
    enum class What : std::uint8_t { type = 1, pin, label, forbidden_label, cpu, memory, gpu, resource, excluded };
    What what = What::label;
    std::string name;                                           // of the label, resource, type or worker
    std::string wanted;                                         // the label's value
    std::int64_t asked = 0, most = 0;                           // of a resource: asked, and the most that is offered
    std::uint32_t workers = 0;                                  // that do not meet it, of those that are connected
    std::vector<std::pair<std::string, std::uint32_t>> others;  // values of the label there are, most first; at most 3
    bool operator==(const Unmet&) const = default;
};

struct WaitingWhy {
    WaitReason reason = WaitReason::none;
    WaitCause cause = WaitCause::none;
    std::string name;          // of the queue, tenant, type or (the only) worker that the cause is about
    std::uint64_t count = 0;   // where the cause counts something; of `demands`: connected workers
    std::vector<Unmet> unmet;  // of `demands`: what most workers lack first
    Instant since;
    Instant until = kNever;  // predicted end of this reason; kNever = unknown
};

struct EtaView {
    Instant start_p50, start_p90;
    Instant finish_p50, finish_p90;
    Instant finish_p10;
    ToldAs as = ToldAs::placed;  // how it stands now
};

struct TaskView {
    TaskId task;
    const TaskSpec* spec = nullptr;  // valid until the next apply(); type, tenant, queue, priority, flags are exact
    TaskState state = TaskState::waiting;
    Estimate estimate;
    Instant submitted_at;
    std::uint32_t attempts = 0;
    std::uint32_t failures = 0;
    std::uint32_t crashes = 0;
    // The current attempt, when assigned or running.
    AttemptId attempt;
    std::uint64_t fence = 0;
    WorkerNo worker;
    Instant assigned_at;
    Instant started_at = kNever;
    Duration predicted_run;
    bool prefetched = false;     // assigned, and ready on its worker until a slot becomes free
    Instant paused_at = kNever;  // since when it stands still
    Duration paused_for;         // how long it stood still before that
    Promise promise;             // told at its submission

    Duration ran(Instant now) const {
        return started_at == kNever ? Duration{} : (paused_at != kNever ? paused_at : now) - started_at - paused_for;
    }
};

struct WorkerView {
    WorkerNo worker;
    std::string_view name;  // empty: it is forgotten, and its number vacant
    bool connected = false;
    bool suspect = false;
    bool cordoned = false;
    bool draining = false;
    SessionId session;
    std::uint32_t slots = 0;
    std::uint32_t running = 0;
    std::uint32_t paused = 0;      // held, but in no slot
    std::uint32_t prefetched = 0;  // the same: they wait for one
    Duration turnaround;           // from a decision to the start that it asks for, as lately seen; 0 = unknown
    const Labels* labels = nullptr;
    const Resources* offered = nullptr;
    const std::vector<std::string>* types = nullptr;
    std::uint32_t speed_ppm = 1'000'000;
    std::uint32_t utilization_ppm = 0;  // of its slot time lately, see usage.h
    std::uint8_t breaker = 0;           // 0 closed, 1 open, 2 probing
    std::string breaker_reason;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    Instant gone = kNever;        // since when it is not connected
    Instant next_trial = kNever;  // of an open breaker
};

struct Counters {
    std::uint64_t submitted = 0, succeeded = 0, dead = 0, cancelled = 0, expired = 0;
    std::uint64_t waiting = 0, assigned = 0, running = 0, paused = 0;
    std::uint64_t decisions = 0, fallback_decisions = 0;
    std::uint64_t stale_reports = 0, requeues = 0, workers_lost = 0, speculations = 0, preemptions = 0, pauses = 0;
    std::uint64_t prefetched = 0;               // now, of those assigned
    std::uint64_t prefetches = 0, recalls = 0;  // so far
    Duration backlog;                           // predicted work waiting, at average speed
    Duration idle_while_waiting;  // summed slot time, logged holds and open breakers excepted; must stay 0
};

// When all that waits and runs will be done, as far as anything can start.
struct Backlog {
    Duration left;                // 0 when nothing waits or runs, or nobody is there
    Duration left_p10, left_p90;  // one in ten, and nine in ten chances of being done by then
    std::uint64_t no_worker = 0;  // waiting tasks that no connected worker may run,
    std::uint64_t paused = 0;     // in paused queues,
    std::uint64_t held = 0;       // or held: nothing will start them
};

// Waiting tasks of one reason, and what holds most of them. Only `why.cause`, `name`, `count` and `unmet` are told; of a
// key its name, and how many it lets run.
struct WaitingBy {
    WaitReason reason = WaitReason::none;
    std::uint64_t count = 0;
    WaitingWhy why;
};

struct TenantView {
    std::string_view name;
    std::uint32_t share = 1;
    std::uint64_t waiting = 0, running = 0, running_max = 0;  // running_max 0 = no limit
};

// A limit that is set by name, or by a key that tasks carry.
struct LimitView {
    enum class Kind : std::uint8_t { queue = 1, tenant, type, concurrency, rate, ordering };
    Kind kind = Kind::queue;
    std::string_view name;  // of a key: tenant, line break, key
    std::uint64_t most = 0, used = 0, waiting = 0;
    Instant next = kNever;  // of a rate for which tasks wait: the earliest next start
};

struct ExplainView {
    std::uint64_t tasks_ahead = 0;  // that can start
    Duration work_ahead;
    std::uint32_t workers_eligible = 0;
    std::uint32_t workers_total = 0;
    std::vector<std::pair<WaitCause, std::uint32_t>> excluded;  // what keeps how many workers from it, most first
    std::uint32_t behind_breakers = 0;  // workers that have a free slot for it, and an open breaker
    std::vector<Unmet> unmet;           // as in WaitingWhy; only when no worker is eligible
};

class Scheduler {
public:
    explicit Scheduler(Config config = {});
    ~Scheduler();
    Scheduler(Scheduler&&) noexcept;
    Scheduler& operator=(Scheduler&&) noexcept;

    // Applies one event and appends the resulting commands to `out`. `at` earlier than now() counts as now().
    void apply(const Event& event, std::vector<Command>& out);

    // May this submission be journaled, after so many new ones of the same call, so many of them of its tenant? Pure
    // query; the engine asks before it makes the event. O(after).
    AdmissionAnswer admit(const TaskSpec& spec, std::uint64_t before = 0, std::uint64_t before_of_tenant = 0) const;

    // A 64-bit fingerprint of the whole way here: every event and command is mixed in. O(1).
    std::uint64_t digest() const;

    // Aborts if any invariant is broken. O(state): for simulations and tests.
    void check_invariants() const;

    // Queries. Views point into the scheduler and are valid until the next apply().
    Instant now() const;
    Duration wall_offset() const;
    const Config& config() const;
    const Counters& counters() const;
    std::optional<TaskView> task(TaskId task) const;
    // What is said of the future and of lately is said as of `at`, or of the last event when that is later: time passes
    // without events, too.
    WaitingWhy why_waiting(TaskId task, Instant at = {}) const;      // reason none when it does not wait
    std::optional<EtaView> eta(TaskId task, Instant at = {}) const;  // of a live task; O(log) by work-ahead sums
    Backlog backlog(Instant at = {}) const;                          // O(runs + stuck classes + limits)
    std::vector<WaitingBy> waiting_by(Instant at = {}) const;        // most first; O(workers + stuck classes + heads)
    std::vector<TenantView> tenants(std::size_t most) const;         // those that it remembers, in no order
    std::vector<LimitView> limits(std::size_t most,
                                  Instant at = {}) const;      // most waiting first; of 10,000 keys a kind
    Instant empty_at(WorkerNo worker, Instant at = {}) const;  // kNever: it holds nothing
    Duration queue_work(std::string_view queue) const;         // predicted, of what could start now
    ExplainView explain(TaskId task) const;                    // O(workers)
    // Of a waiting task: of its tenant and of its priority or a lower one, what becomes ready later comes after it, by
    // the estimates of now. kNever: it is not in the order yet, or arrival is the order. O(1).
    Instant overtaken_until(TaskId task) const;
    std::uint32_t worker_count() const;  // WorkerNo are 0 .. this - 1, some of them vacant
    WorkerView worker(WorkerNo worker, Instant at = {}) const;
    WorkerNo find_worker(std::string_view name) const;  // none when unknown
    WorkerNo worker_of(SessionId session) const;        // none when the session is over
    // The session of the worker that has this attempt, and has not ended it; none when there is none.
    SessionId holder_of(TaskId task, AttemptId attempt) const;
    // What operators have in force, by number and by type: what has expired, been cleared or lost its task is gone.
    std::vector<OverrideSet> overrides() const;
    std::size_t override_count() const;
    std::vector<EstimateForced> forced_estimates() const;
    // Of the last EngineStarted; 0 before the first.
    std::uint32_t epoch() const;
    std::uint32_t shard() const;
    // Live task ids after `after` in id order, at most `limit`.
    std::vector<TaskId> tasks_after(TaskId after, std::size_t limit) const;
    // Those of them that are assigned or running, all: costs what runs, not what waits.
    std::vector<TaskId> running_after(TaskId after) const;
    // Up to `limit` waiting tasks that would be dispatched soonest, for re-estimation.
    std::vector<TaskId> next_waiting(std::size_t limit) const;

    // Snapshot: everything, byte for byte equal for equal states. load() replaces the state or changes nothing.
    void save(std::string& out) const;
    Result<void> load(std::string_view bytes);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace nexus::core
