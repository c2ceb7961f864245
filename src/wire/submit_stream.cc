#include "wire/submit_stream.h"

#include <utility>

#include "api/submit.h"
#include "api/view.h"
#include "wire/answer.h"

namespace nexus::wire {

SubmitStream* SubmitStream::begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call) {
    auto caller = enter(context, method, *call);
    auto place = caller ? context.door.guard->limits.open_stream(*caller) : std::unexpected(caller.error());
    const auto stream = std::make_shared<SubmitStream>(context, method, call, caller ? *caller : Caller{});
    stream->self_ = stream;
    const bool room = context.counters.submit_streams_open.fetch_add(1) < context.options.limits.submit_streams_max;
    const bool open = context.streams.add(stream);
    const std::lock_guard lock(stream->mutex_);
    if (place) stream->place_ = std::move(*place);
    if (!place)
        stream->end(to_grpc(place.error()));
    else if (!room)
        stream->end(to_grpc({.fault = Fault::exhausted, .what = "too many submit streams are open"}));
    else if (!open)
        stream->end(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
    else
        stream->go_on();
    return stream.get();
}

void SubmitStream::OnReadDone(bool ok) {
    {
        const std::lock_guard lock(mutex_);
        if (!ok) input_over_ = true;
        if (input_over_ || ended_) {  // also a batch behind a refused one
            reading_ = false;
            return go_on();
        }
    }
    const auto tasks = static_cast<std::size_t>(in_.tasks_size());
    api::name_tenant(caller_, in_);
    const auto room = context_.door.guard->limits.take_tasks(caller_, tasks);
    auto items = !room ? std::unexpected(room.error())
                       : api::to_submissions(in_, context_.door.tasks_max, context_.door.payload_bytes_max);
    std::uint64_t number = 0;
    {
        const std::lock_guard lock(mutex_);
        number = first_ + slots_.size();
        slots_.emplace_back();
    }
    if (items) {
        context_.door.engine.ask(caller_, engine::SubmitTasks{std::move(*items)},
                                 [self = shared_from_this(), number, tasks](auto result) {
                                     if (!result)
                                         result = std::unexpected(api::in_batch(std::move(result).error(), tasks));
                                     self->settle(number, std::move(result));
                                 });
    } else {
        if (items.error().fault == Fault::invalid) context_.malformed();
        settle(number, std::unexpected(std::move(items).error()));
    }
    const std::lock_guard lock(mutex_);
    reading_ = false;
    go_on();
}

void SubmitStream::settle(std::uint64_t number, Result<std::vector<engine::Submitted>> result) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    Slot& slot = slots_[static_cast<std::size_t>(number - first_)];
    if (!result) input_over_ = true;
    slot.result.emplace(std::move(result));
    go_on();
}

void SubmitStream::OnWriteDone(bool ok) {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return end({grpc::StatusCode::CANCELLED, "the client is gone"});
    go_on();
}

void SubmitStream::go_on() {
    if (ended_) return;
    if (!writing_ && !slots_.empty() && slots_.front().result) {
        const auto result = std::move(*slots_.front().result);
        if (!result) return end(to_grpc(result.error()));
        slots_.pop_front();
        ++first_;
        out_.Clear();
        for (const auto& submitted : *result) api::to_message(submitted, context_.door.durability, *out_.add_results());
        writing_ = true;
        write_began_ = Clock::now();
        StartWrite(&out_);
    }
    const bool over = input_over_ || stopping_;
    if (!over && !reading_ && slots_.size() < context_.options.limits.stream_batches_max) {
        reading_ = true;
        StartRead(&in_);
    }
    if (!over || writing_ || !slots_.empty()) return;
    end(stopping_ && !input_over_ ? to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"})
                                  : grpc::Status::OK);
}

void SubmitStream::end(const grpc::Status& status) {
    if (ended_) return;
    ended_ = true;
    context_.door.counts->add(method_, status.error_code());
    Finish(status);
}

void SubmitStream::OnCancel() {
    const std::lock_guard lock(mutex_);
    if (!writing_) end({grpc::StatusCode::CANCELLED, "the client is gone"});
}

void SubmitStream::look_after(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (ended_ || cut_ || !writing_) return;
    if (now - write_began_ <= std::chrono::microseconds(context_.options.limits.submit_stall_max.us)) return;
    cut_ = true;
    context_.cut(context_.counters.submit_streams_cut);
    call_->TryCancel();  // a stream that nobody reads carries no status either
}

void SubmitStream::turn_out(const Error& error) {
    const std::lock_guard lock(mutex_);
    end(to_grpc(error));
}

void SubmitStream::wind_up() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    go_on();
}

void SubmitStream::OnDone() {
    context_.counters.submit_streams_open.fetch_sub(1);
    context_.streams.remove(this);
    self_.reset();
}

}  // namespace nexus::wire
