#pragma once
// One Watch call: the changes of tasks, as the engine tells them. With ids it ends by itself when all of them ended.
//
// A watcher that reads slowly gets the newest state of each task, in the order in which they changed first. Bounded:
// beyond Limits::watch_tasks_max, watch_bytes_max, or watches_bytes_max of all together, what it has not read is dropped
// and the watch ends with RESOURCE_EXHAUSTED; one that reads nothing for Limits::watch_stall_max is cut with the call
// cancelled, because a stream that is not read cannot carry a status either. An id that nobody knows ends the watch with
// NOT_FOUND after what is known of the others.
//
// Owned by gRPC until OnDone and by the engine's watcher; whoever is last frees it.

#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <nexus/v1/nexus.pb.h>

#include "wire/answer.h"
#include "wire/context.h"

namespace nexus::wire {

class WatchStream final : public grpc::ServerWriteReactor<v1::TaskEvent>,
                          public Stream,
                          public std::enable_shared_from_this<WatchStream> {
public:
    static WatchStream* begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                              const grpc::ByteBuffer& bytes);
    WatchStream(Context& context, const api::Method& method, grpc::CallbackServerContext* call, Caller caller)
        : context_(context), method_(method), call_(call), caller_(std::move(caller)) {}

    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;
    void look_after(Clock::time_point now) override;
    void wind_up() override;
    const Caller* caller() const override { return &caller_; }
    void turn_out(const Error& error) override;

private:
    void start(const v1::WatchTasksRequest& request);
    bool tell(WallTime at, const engine::TaskInfo& task);  // false: the watch is over
    void fail(TaskId task, const Error& error);
    // Those below are called with mutex_ held.
    void stop(const grpc::Status& status);  // after what is queued
    void forget_changes();
    void go_on();
    void end(const grpc::Status& status);

    Context& context_;
    const api::Method& method_;
    grpc::CallbackServerContext* const call_;  // valid until OnDone
    const Caller caller_;
    identity::Limits::Place place_;      // among its caller's streams
    std::shared_ptr<WatchStream> self_;  // until OnDone
    engine::WatchId watch_ = 0;          // set before any reaction needs it, see start()
    v1::TaskEvent out_;                  // touched by the write under way only

    std::mutex mutex_;                                          // guards all below
    std::deque<TaskId> order_;                                  // of the changes that are not written yet
    std::unordered_map<TaskId, v1::TaskEvent, IdHash> newest_;  // the same
    std::uint64_t bytes_ = 0;                                   // of newest_
    std::unordered_set<TaskId, IdHash> unfinished_;             // of the ids asked for
    Clock::time_point write_began_;
    grpc::Status status_;  // of the end, when stopping_
    bool by_id_ = false;
    bool writing_ = false, ended_ = false, stopping_ = false, counted_ = false, cut_ = false;
};

}  // namespace nexus::wire
