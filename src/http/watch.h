#pragma once
// TaskService.Watch over HTTP: GET /v1/tasks/watch?id=…,…&type=…&tenant=… and GET /v1/tasks/{id}/watch as
// text/event-stream.
//
//   task    a TaskEvent: the newest state of a task that changed. With ids the present state of each comes first
//   end     all that were named have ended; nothing follows
//   error   a problem document: an id is not known, or more changes than were read; nothing follows
//   gap     of a resumed watch: more has changed meanwhile than it tells; list the tasks
//
// Each task event has an id. A client that comes again with it as Last-Event-ID is told again the present state of
// every task that changed since then, and perhaps of some that changed in the seconds before; never less, unless it is
// told of a gap. States between two that it saw may be left out: the newest one never is.
//
// A slow reader gets the newest state of each task. Bounded: beyond 10,000 tasks or 8 MiB that wait to be read, or
// `bytes_max` of all feeds together, the watch ends with an error.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "http/rest.h"

namespace nexus::http {

class WatchFeed : public std::enable_shared_from_this<WatchFeed> {
public:
    // All feeds of a server share these.
    struct Shared {
        std::atomic<std::uint64_t> bytes{0};
        std::uint64_t bytes_max = 64ULL << 20;
    };
    // `wake` is called on any thread when there is something to take; it must not block. Faults: invalid, not_found (an
    // id that is none, in the path).
    static Result<std::shared_ptr<WatchFeed>> start(api::Door& door, const Route& route, const Request& request,
                                                    std::shared_ptr<Shared> shared, std::function<void()> wake);
    WatchFeed(api::Door& door, Caller caller, std::shared_ptr<Shared> shared, std::function<void()> wake);
    ~WatchFeed();

    // The next events, at most about `bytes_max`; empty when nothing waits. After it gave with `over` true nothing comes.
    std::string take(std::size_t bytes_max, bool& over);
    // Nobody reads any more.
    void close();

private:
    struct Change {
        std::string data;        // of the event
        std::int64_t since = 0;  // when the task changed first, of what is not taken yet
        std::int64_t at = 0;
    };
    void begin(std::vector<TaskId> ids, engine::TaskFilter filter);
    void catch_up(const engine::TaskFilter& filter);
    void caught_up(const Result<engine::TaskPage>& page);
    bool tell(WallTime at, const engine::TaskInfo& task);  // false: the watch is over
    void fail_task(TaskId task, const Error& error);
    void put(WallTime at, const engine::TaskInfo& task);  // with mutex_ held, as those below
    void stop(const Error& error);
    void forget();

    api::Door& door_;
    const Caller caller_;
    const std::shared_ptr<Shared> shared_;
    engine::WatchId watch_ = 0;
    std::int64_t resumed_ = 0;  // changes before it were seen; 0 = none
    bool by_id_ = false;

    std::mutex mutex_;  // guards all below
    std::function<void()> wake_;
    std::deque<TaskId> order_;  // of what is not taken yet, by when it changed first
    std::unordered_map<TaskId, Change, IdHash> newest_;
    std::uint64_t bytes_ = 0;                                 // of newest_
    std::unordered_set<TaskId, IdHash> unfinished_, unseen_;  // of the named ones: not ended, not told of at all
    std::string last_;                                        // events behind the changes: end, error, gap
    bool over_ = false;                                       // nothing is to be put any more
};

}  // namespace nexus::http
