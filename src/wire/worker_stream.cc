#include "wire/worker_stream.h"

#include <utility>

#include "api/error.h"
#include "api/worker.h"
#include "base/system_clock.h"
#include "wire/answer.h"

namespace nexus::wire {
namespace {

constexpr std::size_t kMessageBytes = 1 << 20;
constexpr std::size_t kAssignBytes = 256;  // of an assignment without its payload and metadata; measured 150 to 250
constexpr std::size_t kAnswerBytes = 48;
constexpr std::size_t kLookBytes = 96;
constexpr std::chrono::seconds kSlowWrite{1};

std::size_t bytes_of(const engine::Assignment& assignment) {
    std::size_t bytes = kAssignBytes;
    if (assignment.body == nullptr) return bytes;
    bytes += assignment.body->payload.size();
    for (const auto& [name, value] : assignment.body->metadata) bytes += name.size() + value.size() + 8;
    return bytes;
}

}  // namespace

WorkerStream* WorkerStream::begin(Context& context, const api::Method& method, grpc::CallbackServerContext* call) {
    auto caller = enter(context, method, *call);
    const auto stream = std::make_shared<WorkerStream>(context, method, call, caller ? *caller : Caller{});
    stream->self_ = stream;
    context.counters.worker_streams_open.fetch_add(1);
    const bool open = context.streams.add(stream);
    const std::lock_guard lock(stream->mutex_);
    if (!caller)
        stream->close(to_grpc(caller.error()));
    else if (open)
        stream->read_on();
    else
        stream->close(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
    return stream.get();
}

// ---- from the worker

void WorkerStream::OnReadDone(bool ok) {
    if (!ok) {  // the worker closed its side, or the call is over
        leave();
        const std::lock_guard lock(mutex_);
        return close(grpc::Status::OK);
    }
    if (!greeted_) return greet();
    report();
}

void WorkerStream::greet() {
    if (!in_.has_hello()) return refuse({.fault = Fault::invalid, .what = "hello: must be in the first message"});
    const bool more = in_.started_size() + in_.progress_size() + in_.finished_size() > 0 || in_.has_capacity() ||
                      in_.has_heartbeat() || in_.goodbye();
    if (more) return refuse({.fault = Fault::invalid, .what = "hello: must be alone in its message"});
    const Limits& limits = context_.options.limits;
    auto hello =
        api::to_hello(*in_.mutable_hello(), {.result_bytes_max = limits.result_bytes_max, .held_max = limits.held_max});
    if (!hello) return refuse(hello.error());
    name_ = hello->joined.name;
    {
        const std::lock_guard lock(mutex_);
        greeted_ = true;
        if (closing_) return;
    }
    context_.door.engine.connect(caller_, std::move(*hello), shared_from_this(),
                                 [self = shared_from_this()](auto session) { self->connected(std::move(session)); });
}

void WorkerStream::connected(Result<SessionId> session) {
    if (!session)
        return refuse(session.error(), session.error().fault == Fault::failed_state ? api::kNameInUse : nullptr);
    bool over = false;
    {
        const std::lock_guard lock(mutex_);
        session_ = *session;
        over = left_;
    }
    if (over) return context_.door.engine.disconnected(*session);  // the stream died while it was being welcomed
    context_.workers.set(name_, *session, caller_.name);
    const std::lock_guard lock(mutex_);
    read_on();
}

void WorkerStream::report() {
    if (in_.has_hello()) return refuse({.fault = Fault::invalid, .what = "hello: only in the first message"});
    if (const std::size_t most = context_.options.limits.message_bytes_max; in_.ByteSizeLong() > most)
        return refuse(
            {.fault = Fault::invalid,
             .what = "message: longer than " + std::to_string(most) + " bytes; merge fewer reports into one"});
    auto report = api::to_report(in_, {.result_bytes_max = context_.options.limits.result_bytes_max});
    if (!report) return refuse(report.error());
    if (in_.has_heartbeat()) {
        const std::lock_guard lock(mutex_);
        if (!lost_ && context_.door.engine.sure()) {
            room_for(kAnswerBytes).mutable_heartbeat_ack()->set_sequence(in_.heartbeat().sequence());
            write_on();
        }
    }
    context_.door.engine.report(session_, std::move(*report));
    const std::lock_guard lock(mutex_);
    read_on();
}

// ---- to the worker

void WorkerStream::send(engine::WorkerOrders orders) {
    const std::vector<engine::Assignment> assign = std::exchange(orders.assign, {});
    const std::lock_guard lock(mutex_);
    if (ended_ || cut_ || closing_) return;
    const std::size_t rest_bytes = (orders.answers.size() + orders.revoke.size() + 1) * kAnswerBytes +
                                   orders.looks.size() * kLookBytes + orders.reconnect.size();
    const bool first = orders.welcome.has_value();
    const WallTime now = system_wall();
    if (first) api::add_orders(orders, context_.options.version, now, room_for(rest_bytes));
    for (const auto& assignment : assign)
        api::to_message(assignment, now, *room_for(bytes_of(assignment)).add_assign());
    if (!first) api::add_orders(orders, context_.options.version, now, room_for(rest_bytes));
    if (orders.close) return close(grpc::Status::OK);
    write_on();
}

void WorkerStream::lost() {
    const std::lock_guard lock(mutex_);
    lost_ = true;
}

v1::ServerMessage& WorkerStream::room_for(std::size_t bytes) {
    if (queue_.empty() || queue_.back().bytes + bytes > kMessageBytes) {
        Outgoing& next = queue_.emplace_back();
        next.message = spare_ ? std::move(spare_) : std::make_unique<v1::ServerMessage>();
    }
    queue_.back().bytes += bytes;
    queued_bytes_ += bytes;
    return *queue_.back().message;
}

void WorkerStream::write_on() {
    if (ended_ || writing_.message) return;
    if (!queue_.empty()) {
        writing_ = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= writing_.bytes;
        write_began_ = Clock::now();
        return StartWrite(writing_.message.get());
    }
    if (!closing_) return;
    ended_ = true;
    context_.door.counts->add(method_, status_.error_code());
    Finish(status_);
}

void WorkerStream::OnWriteDone(bool ok) {
    const std::lock_guard lock(mutex_);
    spare_ = std::move(writing_.message);
    spare_->Clear();
    if (!ok) {
        queue_.clear();
        return close({grpc::StatusCode::CANCELLED, "the worker is gone"});
    }
    write_on();
}

// ---- the end

void WorkerStream::read_on() {
    if (!closing_ && !ended_) StartRead(&in_);
}

void WorkerStream::close(const grpc::Status& status) {
    if (!closing_) {
        closing_ = true;
        status_ = status;
    }
    write_on();
}

void WorkerStream::refuse(const Error& error, const char* reason) {
    if (error.fault == Fault::invalid) context_.malformed();
    leave();
    const std::lock_guard lock(mutex_);
    close(to_grpc(error, reason));
}

void WorkerStream::leave() {
    SessionId session;
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(left_, true)) return;
        session = session_;
    }
    if (!session) return;
    context_.workers.erase(name_, session);
    context_.door.engine.disconnected(session);
}

void WorkerStream::cut() {
    if (std::exchange(cut_, true)) return;
    context_.cut(context_.counters.worker_streams_cut);
    call_->TryCancel();
}

void WorkerStream::look_after(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (ended_ || !writing_.message) return;
    const auto took = now - write_began_;
    const auto stall_max = std::chrono::microseconds(context_.options.limits.worker_stall_max.us);
    const bool full = queued_bytes_ > context_.options.limits.worker_buffer_bytes_max;
    if (took > stall_max || (full && took > kSlowWrite)) cut();
}

void WorkerStream::turn_out(const Error& error) {
    leave();
    const std::lock_guard lock(mutex_);
    if (closing_ || ended_) return;
    queue_.clear();  // it is told nothing more, and no orders least of all
    close(to_grpc(error));
}

void WorkerStream::wind_up() {
    const std::lock_guard lock(mutex_);
    if (closing_ || ended_) return;
    room_for(kAnswerBytes).set_reconnect("the server is stopping");
    close(to_grpc({.fault = Fault::unavailable, .what = "the server is stopping"}));
}

void WorkerStream::OnCancel() {
    leave();
    const std::lock_guard lock(mutex_);
    if (writing_.message) return;  // its OnWriteDone comes, with ok = false
    queue_.clear();
    close({grpc::StatusCode::CANCELLED, "the worker is gone"});
}

void WorkerStream::OnDone() {
    leave();
    context_.counters.worker_streams_open.fetch_sub(1);
    context_.streams.remove(this);
    self_.reset();
}

}  // namespace nexus::wire
