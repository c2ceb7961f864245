#include "wire/watch_stream.h"

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>
#include <vector>

#include "api/submit.h"
#include "api/view.h"

namespace nexus::wire {
namespace {

constexpr int kIdsMax = 10'000;  // of one watch; chosen

bool is_final(core::TaskState state) {
    return state >= core::TaskState::succeeded;
}

}  // namespace

WatchStream* WatchStream::begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call,
                                const grpc::ByteBuffer& bytes) {
    auto caller = enter(context, method, *call);
    auto place = caller ? context.door.guard->limits.open_stream(*caller) : std::unexpected(caller.error());
    const auto stream = std::make_shared<WatchStream>(context, method, call, caller ? *caller : Caller{});
    stream->self_ = stream;
    const auto refuse_with = [&](const Error& error) {
        const std::lock_guard lock(stream->mutex_);
        stream->end(to_grpc(error));
        return stream.get();
    };
    if (!place) return refuse_with(place.error());
    stream->place_ = std::move(*place);
    v1::WatchTasksRequest request;
    // gRPC made the buffer for this call alone.
    auto* own = const_cast<grpc::ByteBuffer*>(&bytes);
    if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(own, &request).ok())
        return refuse_with({Fault::invalid, "the request is not a " + request.GetTypeName()});
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
    if (!request.tenant().empty())
        if (const auto ok = engine::check_tenant(caller_, request.tenant()); !ok) return refuse_with(ok.error());
    by_id_ = !ids.empty();
    counted_ = true;
    if (context_.counters.watches_open.fetch_add(1) >= context_.options.limits.watches_max)
        return refuse_with({.fault = Fault::exhausted, .what = "too many watches are open"});
    if (!context_.streams.add(shared_from_this()))
        return refuse_with({.fault = Fault::unavailable, .what = "the server is stopping"});
    engine::TaskFilter filter{.type = request.type(), .tenant = request.tenant()};
    watch_ = context_.door.engine.watch(
        caller_, std::move(ids), std::move(filter),
        {.changed = [self = shared_from_this()](WallTime at,
                                                const engine::TaskInfo& task) { return self->tell(at, task); },
         .failed = [self = shared_from_this()](TaskId task, const Error& error) { self->fail(task, error); }});
}

bool WatchStream::tell(WallTime at, const engine::TaskInfo& task) {
    const std::lock_guard lock(mutex_);
    if (ended_ || stopping_) return false;
    const auto [place, fresh] = newest_.try_emplace(task.task);
    v1::TaskEvent& event = place->second;
    const std::uint64_t before = fresh ? 0 : event.ByteSizeLong();
    if (fresh) order_.push_back(task.task);
    event.Clear();
    event.set_at_unix_us(at.us);
    api::to_message(task, *event.mutable_task());
    if (!has_role(caller_.roles, Role::payload)) api::hide_what_programs_wrote(*event.mutable_task());
    const std::uint64_t after = event.ByteSizeLong();
    bytes_ += after - before;
    const std::uint64_t all = context_.watch_bytes += after - before;
    const Limits& limits = context_.options.limits;
    if (newest_.size() > limits.watch_tasks_max || bytes_ > limits.watch_bytes_max || all > limits.watches_bytes_max) {
        context_.cut(context_.counters.watches_cut);
        forget_changes();
        stop(to_grpc(
            {.fault = Fault::exhausted, .what = "more changes than were read; list the tasks, then watch again"}));
        return false;
    }
    if (by_id_ && is_final(task.state)) unfinished_.erase(task.task);
    go_on();
    return !by_id_ || !unfinished_.empty();
}

void WatchStream::fail(TaskId task, const Error& error) {
    const std::lock_guard lock(mutex_);
    const std::string what = "ids: task " + to_text(task) + ": " + error.what;
    stop(to_grpc({error.fault == Fault::not_found ? Fault::not_found : Fault::unavailable, what}));
}

void WatchStream::stop(const grpc::Status& status) {
    if (ended_ || stopping_) return;
    stopping_ = true;
    status_ = status;
    go_on();
}

void WatchStream::forget_changes() {
    context_.watch_bytes -= std::exchange(bytes_, 0);
    order_.clear();
    newest_.clear();
}

void WatchStream::go_on() {
    if (ended_ || writing_) return;
    if (!order_.empty()) {
        const auto next = newest_.find(order_.front());
        order_.pop_front();
        const std::uint64_t size = next->second.ByteSizeLong();
        bytes_ -= size;
        context_.watch_bytes -= size;
        out_ = std::move(next->second);
        newest_.erase(next);
        writing_ = true;
        write_began_ = Clock::now();
        return StartWrite(&out_);
    }
    if (stopping_) return end(status_);
    if (by_id_ && unfinished_.empty()) end(grpc::Status::OK);
}

void WatchStream::look_after(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    const auto stall_max = std::chrono::microseconds(context_.options.limits.watch_stall_max.us);
    if (ended_ || cut_ || !writing_ || now - write_began_ < stall_max) return;
    cut_ = true;
    context_.cut(context_.counters.watches_cut);
    forget_changes();
    call_->TryCancel();
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

void WatchStream::turn_out(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    forget_changes();
    stop(to_grpc(error));
}

void WatchStream::wind_up() {
    const std::lock_guard lock(mutex_);
    stop(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
}

// gRPC runs OnDone only after the handler returned, so watch_ is set by now.
void WatchStream::OnDone() {
    if (watch_ != 0) context_.door.engine.unwatch(watch_);
    {
        const std::lock_guard lock(mutex_);
        forget_changes();
    }
    if (counted_) context_.counters.watches_open.fetch_sub(1);
    context_.streams.remove(this);
    self_.reset();
}

}  // namespace nexus::wire
