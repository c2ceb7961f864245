#include "attempt.h"

namespace nexus {
namespace sdk {

template <class Call>
auto Attempt::call_out(std::unique_lock<std::mutex>& lock, Call call) {
    calling_ = true;
    lock.unlock();
    auto answer = call();
    lock.lock();
    calling_ = false;
    changed_.notify_all();
    return answer;
}

void Attempt::cancel(CancelReason reason) {
    std::unique_lock lock(mutex_);
    if (reason_ != CancelReason::none) return;
    reason_ = reason;
    const auto callbacks = std::exchange(callbacks_, {});
    changed_.notify_all();
    call_out(lock, [&] {
        for (const auto& callback : callbacks) callback(reason);
        return true;
    });
}

bool Attempt::set_paused(bool pause) {
    std::unique_lock lock(mutex_);
    const auto callback = pause_callback_;
    if (!callback || paused_ == pause) return paused_;
    if (!call_out(lock, [&] { return callback(pause); })) return paused_;
    paused_ = pause;
    const auto now = std::chrono::steady_clock::now();
    if (pause)
        paused_at_ = now;
    else if (began_at_)
        *began_at_ += now - paused_at_;
    return paused_;
}

std::optional<Written> Attempt::look(std::uint64_t out_from, std::uint64_t err_from) {
    std::unique_lock lock(mutex_);
    const auto callback = look_callback_;
    if (!callback) return std::nullopt;
    return call_out(lock, [&] { return callback(out_from, err_from); });
}

bool Attempt::returned() const {
    const std::lock_guard lock(mutex_);
    return returned_;
}

CancelReason Attempt::cancel_reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
}

bool Attempt::wait_cancelled(Micros timeout) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return reason_ != CancelReason::none; });
}

void Attempt::on_cancel(std::function<void(CancelReason)> callback) {
    std::unique_lock lock(mutex_);
    if (reason_ == CancelReason::none) {
        callbacks_.push_back(std::move(callback));
        return;
    }
    const CancelReason reason = reason_;
    lock.unlock();
    callback(reason);
}

void Attempt::on_pause(std::function<bool(bool)> callback) {
    if (work_->many) return;  // the rest of its batch would stand still, too
    const std::lock_guard lock(mutex_);
    pause_callback_ = std::move(callback);
}

void Attempt::on_look(std::function<Written(std::uint64_t, std::uint64_t)> callback) {
    const std::lock_guard lock(mutex_);
    look_callback_ = std::move(callback);
}

std::optional<Context::Steady> Attempt::deadline() const {
    const std::lock_guard lock(mutex_);
    if (assignment_.timeout <= Micros(0) || !began_at_) return std::nullopt;
    return *began_at_ + assignment_.timeout;
}

void Attempt::began(Context::Steady now) {
    const std::lock_guard lock(mutex_);
    began_at_ = now;
}

bool Attempt::ended() {
    std::unique_lock lock(mutex_);
    returned_ = true;
    callbacks_.clear();
    pause_callback_ = nullptr;
    look_callback_ = nullptr;
    changed_.wait(lock, [&] { return !calling_; });
    return paused_;
}

}  // namespace sdk

std::string_view name_of(CancelReason reason) {
    switch (reason) {
        case CancelReason::none: return "none";
        case CancelReason::cancelled: return "cancelled";
        case CancelReason::superseded: return "superseded";
        case CancelReason::timed_out: return "timed_out";
        case CancelReason::preempted: return "preempted";
        case CancelReason::fenced: return "fenced";
        case CancelReason::stopping: return "stopping";
    }
    return "unknown";
}

const std::string& Context::payload() const {
    return attempt_.assignment().payload;
}
const std::string& Context::task_id() const {
    return attempt_.assignment().task_id;
}
const std::string& Context::attempt_id() const {
    return attempt_.assignment().attempt_id;
}
const std::string& Context::type() const {
    return attempt_.assignment().type;
}
const std::string& Context::tenant() const {
    return attempt_.assignment().tenant;
}
const std::string& Context::queue() const {
    return attempt_.assignment().queue;
}
std::uint32_t Context::attempt() const {
    return attempt_.assignment().number;
}
std::uint64_t Context::fence() const {
    return attempt_.assignment().fence;
}
Micros Context::timeout() const {
    return attempt_.assignment().timeout;
}
std::optional<Context::Steady> Context::deadline() const {
    return attempt_.deadline();
}
Micros Context::predicted() const {
    return attempt_.assignment().predicted;
}
const std::map<std::string, std::string>& Context::metadata() const {
    return attempt_.assignment().metadata;
}
const std::string& Context::traceparent() const {
    return attempt_.assignment().traceparent;
}
const std::string& Context::tracestate() const {
    return attempt_.assignment().tracestate;
}
bool Context::exclusive() const {
    return attempt_.assignment().exclusive;
}

const ResourceRequest& Context::resources() const {
    return attempt_.assignment().resources;
}

std::string_view Context::metadata(std::string_view key) const {
    const auto& all = metadata();
    const auto at = all.find(std::string(key));
    return at == all.end() ? std::string_view{} : std::string_view(at->second);
}

bool Context::cancelled() const {
    return attempt_.cancel_reason() != CancelReason::none;
}
CancelReason Context::cancel_reason() const {
    return attempt_.cancel_reason();
}
bool Context::wait_cancelled(Micros timeout) const {
    return attempt_.wait_cancelled(timeout);
}
void Context::on_cancel(std::function<void(CancelReason)> callback) {
    attempt_.on_cancel(std::move(callback));
}
void Context::on_pause(std::function<bool(bool)> callback) {
    attempt_.on_pause(std::move(callback));
}
void Context::on_look(std::function<Written(std::uint64_t, std::uint64_t)> callback) {
    attempt_.on_look(std::move(callback));
}
void Context::progress(double fraction, std::string note) {
    attempt_.progress(fraction, std::move(note));
}

}  // namespace nexus
