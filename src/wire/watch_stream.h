#pragma once
// One Watch call: the changes of tasks, as the engine tells them. With ids it ends by itself when all of them ended.
//
// Bounded: a watcher that lets Limits::watch_events_max events pile up is cut with the call cancelled, because a stream
// that it does not read cannot carry a status either.
//
// Owned by gRPC until OnDone and by the engine's watcher; whoever is last frees it.

#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>

#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include "wire/context.h"

namespace nexus::wire {

class WatchStream final : public grpc::ServerWriteReactor<v1::TaskEvent>,
                          public Stream,
                          public std::enable_shared_from_this<WatchStream> {
public:
    static WatchStream* begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                              const v1::WatchTasksRequest& request);
    WatchStream(Context& context, const api::Method& method, grpc::CallbackServerContext* call)
        : context_(context), method_(method), call_(call) {}

    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;
    void look_after(Clock::time_point) override {}
    void wind_up() override;

private:
    void start(const v1::WatchTasksRequest& request);
    bool tell(WallTime at, const engine::TaskInfo& task);  // false: the watch is over
    // The two below are called with mutex_ held.
    void go_on();
    void end(const grpc::Status& status);

    Context& context_;
    const api::Method& method_;
    grpc::CallbackServerContext* const call_;  // valid until OnDone
    std::shared_ptr<WatchStream> self_;        // until OnDone
    engine::WatchId watch_ = 0;                // set before any reaction needs it, see start()
    v1::TaskEvent out_;                        // touched by the write under way only

    std::mutex mutex_;  // guards all below
    std::deque<v1::TaskEvent> events_;
    std::unordered_set<TaskId, IdHash> unfinished_;  // of the ids asked for
    bool by_id_ = false;
    bool writing_ = false, ended_ = false, stopping_ = false, counted_ = false;
};

}  // namespace nexus::wire
