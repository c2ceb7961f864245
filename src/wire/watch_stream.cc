#include "wire/watch_stream.h"

#include <utility>
#include <vector>

#include "api/submit.h"
#include "api/view.h"
#include "wire/answer.h"

namespace nexus::wire {
namespace {

constexpr int kIdsMax = 10'000;  // of one watch; chosen

bool is_final(core::TaskState state) {
    return state >= core::TaskState::succeeded;
}

}  // namespace

WatchStream* WatchStream::begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                                const v1::WatchTasksRequest& request) {
    const auto stream = std::make_shared<WatchStream>(context, method, call);
    stream->self_ = stream;
    stream->start(request);
    return stream.get();
}

void WatchStream::start(const v1::WatchTasksRequest& request) {
    const auto refuse_with = [this](const Error& error) {
        const std::lock_guard lock(mutex_);
        end(to_grpc(error));
    };
    if (request.ids_size() > kIdsMax)
        return refuse_with({.fault = Fault::invalid, .what = "ids: more than " + std::to_string(kIdsMax)});
    std::vector<TaskId> ids;
    for (int i = 0; i < request.ids_size(); ++i) {
        const Result<TaskId> id = api::to_task_id(request.ids(i), "ids[" + std::to_string(i) + "]");
        if (!id) return refuse_with(id.error());
        if (unfinished_.insert(*id).second) ids.push_back(*id);
    }
    by_id_ = !ids.empty();
    counted_ = true;
    if (context_.counters.watches_open.fetch_add(1) >= context_.options.limits.watches_max)
        return refuse_with({.fault = Fault::exhausted, .what = "too many watches are open"});
    if (!context_.streams.add(shared_from_this()))
        return refuse_with({.fault = Fault::unavailable, .what = "the server is stopping"});
    engine::TaskFilter filter{.type = request.type(), .tenant = request.tenant()};
    watch_ = context_.door.engine.watch(
        caller_of(*call_), std::move(ids), std::move(filter),
        [self = shared_from_this()](WallTime at, const engine::TaskInfo& task) { return self->tell(at, task); });
}

bool WatchStream::tell(WallTime at, const engine::TaskInfo& task) {
    const std::lock_guard lock(mutex_);
    if (ended_ || stopping_) return false;
    if (events_.size() >= context_.options.limits.watch_events_max) {
        context_.counters.watches_cut.fetch_add(1, std::memory_order_relaxed);
        stopping_ = true;
        events_.clear();
        call_->TryCancel();
        return false;
    }
    v1::TaskEvent& event = events_.emplace_back();
    event.set_at_unix_us(at.us);
    api::to_message(task, *event.mutable_task());
    if (by_id_ && is_final(task.state)) unfinished_.erase(task.task);
    go_on();
    return !by_id_ || !unfinished_.empty();
}

void WatchStream::go_on() {
    if (ended_ || writing_) return;
    if (!events_.empty()) {
        out_ = std::move(events_.front());
        events_.pop_front();
        writing_ = true;
        return StartWrite(&out_);
    }
    if (stopping_) return end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
    if (by_id_ && unfinished_.empty()) end(grpc::Status::OK);
}

void WatchStream::OnWriteDone(bool ok) {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return end({grpc::StatusCode::CANCELLED, "the client is gone"});
    go_on();
}

void WatchStream::OnCancel() {
    const std::lock_guard lock(mutex_);
    if (!writing_) end({grpc::StatusCode::CANCELLED, "the client is gone"});
}

void WatchStream::end(const grpc::Status& status) {
    if (ended_) return;
    ended_ = true;
    context_.door.counts->add(method_, status.error_code());
    Finish(status);
}

void WatchStream::wind_up() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    go_on();
}

// gRPC runs OnDone only after the handler returned, so watch_ is set by now.
void WatchStream::OnDone() {
    if (watch_ != 0) context_.door.engine.unwatch(watch_);
    if (counted_) context_.counters.watches_open.fetch_sub(1);
    context_.streams.remove(this);
    self_.reset();
}

}  // namespace nexus::wire
