#pragma once
// The engine's face to the transports (wire, http).
//
// Calls are thread-safe and never block. A `done` callback runs exactly once, on an engine thread or, when the answer is
// at hand, on the caller's before call() returns; it must not block and must not call back synchronously into anything
// that waits for the engine. A callback of a change (submit, cancel, control) runs only after the change is durable at
// the store's level.
//
// The engine of another process is a second Service: for everything that is asked it implements one method, call(),
// which sends the request (all requests are plain values) and keeps `done` until the answer comes. A router over
// several engines is a third; with one engine it would only pass on, so there is none yet.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/caller.h"
#include "engine/messages.h"
#include "engine/requests.h"

namespace nexus::engine {

struct TaskWatcher {
    // Called with each change of a watched task, in order per task, from the release thread. Must not block. Returning
    // false ends the watch.
    std::function<bool(WallTime at, const TaskInfo& task)> changed;
    // A task that was named is not known, or the history cannot tell. From any thread; the watch goes on.
    std::function<void(TaskId task, const Error& error)> failed{};
};
using WatchId = std::uint64_t;

// One thing that must be in order for the engine to accept work.
struct Check {
    std::string name;  // "store", "space", …
    bool good = true;
    std::string text;  // one sentence
};

class Service {
public:
    virtual ~Service() = default;

    // The one way in. Faults of a request are told beside it in requests.h; unavailable: the engine has stopped.
    virtual void call(Caller caller, Call call) = 0;
    template <class Request>
    void ask(Caller caller, Request request, Done<typename Request::Answer> done) {
        call(std::move(caller), Asked<Request>{std::move(request), std::move(done)});
    }

    // Whether it may still act for its journal: asked before heartbeats are acknowledged. Thread-safe, cheap.
    virtual bool sure() const { return true; }

    // Watches tasks by id, or (no ids) all that match the filter. The first call per id tells the present state.
    virtual WatchId watch(Caller caller, std::vector<TaskId> tasks, TaskFilter filter, TaskWatcher watcher) = 0;
    virtual void unwatch(WatchId watch) = 0;

    // Workers. connect() validates, and answers by link->send(welcome) or by an Error in `done`. The link is kept until
    // disconnected().
    virtual void connect(Caller caller, WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) = 0;
    virtual void report(SessionId session, WorkerReport report) = 0;
    virtual void disconnected(SessionId session) = 0;

    // Whether it accepts work, check by check. Never waits.
    virtual std::vector<Check> checks() const = 0;
};

}  // namespace nexus::engine
