#pragma once
// The engine's face to the transports (wire, http) and to simulations.
//
// Calls are thread-safe and never block. A `done` callback runs exactly once, on an engine thread; it must not block
// and must not call back synchronously into anything that waits for the engine. A callback of a change (submit, cancel,
// control) runs only after the change is durable at the store's level.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/messages.h"

namespace nexus::engine {

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

// Called with each change of a watched task, in order per task, from the release thread. Must not block. Returning
// false ends the watch.
using TaskWatcher = std::function<bool(WallTime at, const TaskInfo& task)>;
using WatchId = std::uint64_t;

class Service {
public:
    virtual ~Service() = default;

    // All or nothing. Faults: invalid (names the field and item), conflict (idempotency key with another body),
    // not_found (an `after` task), exhausted (admission limits; retry later), unavailable (stopping, or store too
    // slow).
    virtual void submit(std::vector<Submission> items, Done<std::vector<Submitted>> done) = 0;
    virtual void cancel(TaskId task, std::string reason,
                        Done<TaskInfo> done) = 0;               // not_found | failed_state (finished)
    virtual void retry(TaskId task, Done<Submitted> done) = 0;  // re-drive of a finished, not succeeded task
    virtual void get(TaskId task, bool with_result, Done<TaskInfo> done) = 0;
    virtual void list(TaskFilter filter, std::size_t limit, std::string page, Done<TaskPage> done) = 0;
    virtual void explain(TaskId task, Done<Explanation> done) = 0;
    // Watches tasks by id, or (no ids) all that match the filter. The first call per id tells the present state.
    virtual WatchId watch(std::vector<TaskId> tasks, TaskFilter filter, TaskWatcher watcher) = 0;
    virtual void unwatch(WatchId watch) = 0;

    // Workers. connect() validates, and answers by link->send(welcome) or by an Error in `done`. The link is kept until
    // disconnected().
    virtual void connect(WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) = 0;
    virtual void report(SessionId session, WorkerReport report) = 0;
    virtual void disconnected(SessionId session) = 0;

    // Operators.
    virtual void status(Done<StatusInfo> done) = 0;
    virtual void workers(Done<std::vector<WorkerInfo>> done) = 0;
    virtual void control_worker(std::string name, core::WorkerOrder order, std::string author, std::string reason,
                                Done<WorkerInfo> done) = 0;
    virtual void types(Done<std::vector<predict::TypeStat>> done) = 0;
    virtual void type(std::string name, Done<predict::TypeStat> done) = 0;
    virtual void reset_type(std::string name, std::string author, std::string reason, Done<predict::TypeStat> done) = 0;
    virtual void force_estimate(std::string type, Duration estimate, WallTime expires, std::string author,
                                std::string reason, Done<predict::TypeStat> done) = 0;
    // Live configuration: `change` edits a copy; the result becomes an event. Audited. conflict when `version` is not
    // the current one (0 = do not care).
    virtual void configure(std::uint32_t version, std::function<Result<void>(core::Config&)> change, std::string author,
                           std::string reason, Done<core::Config> done) = 0;
    virtual void config(Done<core::Config> done) = 0;
    virtual void set_override(core::OverrideSet set, WallTime expires, std::string author, std::string reason,
                              Done<std::uint64_t> done) = 0;
    virtual void clear_override(std::uint64_t number, std::string author, Done<std::uint64_t> done) = 0;
    // Those in force, by number.
    virtual void overrides(Done<std::vector<OverrideInfo>> done) {
        done(fail(Fault::unsupported, "listing overrides is not supported"));
    }
    virtual void decisions(history::DecisionQuery query, Done<std::vector<history::DecisionInfo>> done) = 0;
    virtual void audit(std::size_t limit, std::int64_t before_us, Done<std::vector<history::AuditRow>> done) = 0;

    // Prometheus text of everything the engine counts.
    virtual void metrics(Done<std::string> done) = 0;
};

}  // namespace nexus::engine
