#include "engine/inbox.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <type_traits>

#include "engine/engine.h"

namespace nexus::engine {

std::uint64_t bytes_of(const Submission& item) {
    std::uint64_t bytes = 1024 + item.body.payload.size() + item.body.traceparent.size() + item.body.tracestate.size();
    for (const auto& [name, value] : item.body.metadata) bytes += name.size() + value.size() + 16;
    for (const auto& [name, value] : item.body.features) bytes += name.size() + 16;
    for (const auto* labels : {&item.spec.labels_required, &item.spec.labels_preferred, &item.spec.labels_forbidden})
        for (const auto& [name, value] : *labels) bytes += 2 * (name.size() + value.size() + 16);
    return bytes + 40 * item.spec.after.size();
}

std::uint64_t bytes_of(const Call& call) {
    std::uint64_t bytes = 512;
    if (const auto* submit = std::get_if<Asked<SubmitTasks>>(&call))
        for (const Submission& item : submit->request.items) bytes += bytes_of(item);
    if (const auto* configure = std::get_if<Asked<Configure>>(&call)) bytes += configure->request.toml.size();
    return bytes;
}

std::uint64_t bytes_of(const WorkerReport& report) {
    std::uint64_t bytes = 256 + 64 * (report.started.size() + report.progress.size() + report.paused.size());
    for (const AttemptReport& finished : report.finished) bytes += 128 + finished.result.size() + finished.error.size();
    for (const OutputPart& part : report.written) bytes += 128 + part.out.size() + part.err.size();
    return bytes;
}

bool only_alive(const WorkerReport& report) {
    return report.started.empty() && report.paused.empty() && report.progress.empty() && report.finished.empty() &&
           report.written.empty() && !report.capacity && !report.goodbye;
}

bool only_looks(const Call& call) {
    return std::visit([]<class Request>(const Asked<Request>&) { return kLooks<Request>; }, call);
}

void Inbox::Item::run(Engine& engine) {
    if (dropped()) return;
    if (call)
        engine.call(call->first, std::move(call->second));
    else
        work(engine);
}

bool Inbox::Item::dropped() {
    if (!call || !call->first.gone || !*call->first.gone) return false;
    refuse({Fault::unavailable, "nobody waits for the answer any more"});
    return true;
}

void Inbox::Item::refuse(const Error& why) {
    if (call) nexus::engine::refuse(call->second, why);
}

bool Inbox::put_item(Item item, bool urgent) {
    items_.push_back(std::move(item));
    return urgent && !std::exchange(urgent_, true);
}

void Inbox::put_call(Caller caller, Call call) {
    const std::uint64_t bytes = bytes_of(call);
    auto asked = std::make_shared<std::pair<Caller, Call>>(std::move(caller), std::move(call));
    bool wakes = false;
    Error why;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) {
            why = {Fault::unavailable, "the server has stopped"};
        } else if (calls_ + looks_.size() >= bounds_.calls_max || call_bytes_ + bytes > bounds_.call_bytes_max) {
            why = {Fault::exhausted, "too many calls wait for the engine; retry later"};
        } else {
            if (only_looks(asked->second)) {
                wakes = looks_.empty() && !urgent_;
                looks_.push_back({.work = {}, .call = asked});
            } else {
                ++calls_;
                call_bytes_ += bytes;
                wakes = put_item({.work = {}, .call = asked}, true);
            }
            asked = nullptr;
        }
    }
    if (asked) return refuse(asked->second, why);
    if (wakes) wake_.notify_one();  // after the lock: the woken thread would only wait for it
}

Inbox::Put Inbox::put(Work work) {
    bool wakes = false;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return Put::closed;
        wakes = put_item({.work = std::move(work), .call = nullptr}, true);
    }
    if (wakes) wake_.notify_one();
    return Put::taken;
}

Inbox::Put Inbox::put_report(SessionId session, std::uint64_t bytes, bool alive_only, Work work) {
    bool wakes = false;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return Put::closed;
        Reports& reports = reports_[session.n];
        if (reports.cut) return Put::taken;
        if (alive_only && std::exchange(reports.alive, true)) return Put::taken;
        if (!alive_only &&
            (++reports.waiting > bounds_.reports_per_session_max || report_bytes_ + bytes > bounds_.report_bytes_max)) {
            reports.cut = true;
            return Put::full;
        }
        report_bytes_ += bytes;
        // A sign of life may wait for the next turn, at most 200 ms away while workers are connected: a thousand idle
        // workers do not wake the loop a thousand times a second.
        wakes = put_item({.work = std::move(work), .call = nullptr}, !alive_only);
    }
    if (wakes) wake_.notify_one();
    return Put::taken;
}

bool Inbox::take(std::vector<Item>& items, const std::function<std::int64_t()>& until_us) {
    std::unique_lock lock(mutex_);
    while (!urgent_ && looks_.empty() && !closed_) {
        const std::int64_t us = until_us();
        if (us == 0) break;
        if (us < 0)
            wake_.wait(lock);
        else
            wake_.wait_for(lock, std::chrono::microseconds(us));
    }
    items.swap(items_);
    urgent_ = false;
    calls_ = 0;
    call_bytes_ = report_bytes_ = 0;
    reports_.clear();
    return !closed_ || !items.empty() || !looks_.empty();
}

bool Inbox::take_look(Item& item) {
    const std::lock_guard lock(mutex_);
    if (looks_.empty()) return false;
    item = std::move(looks_.front());
    looks_.pop_front();
    return true;
}

void Inbox::refuse_calls(const Error& why, std::int64_t us) {
    std::vector<Item> calls;
    {
        std::unique_lock lock(mutex_);
        const auto waiting = [this] { return closed_ || calls_ > 0 || !looks_.empty(); };
        if (!waiting()) wake_.wait_for(lock, std::chrono::microseconds(us), waiting);
        const auto rest =
            std::stable_partition(items_.begin(), items_.end(), [](const Item& item) { return !item.call; });
        calls.assign(std::make_move_iterator(rest), std::make_move_iterator(items_.end()));
        items_.erase(rest, items_.end());
        std::ranges::move(looks_, std::back_inserter(calls));
        looks_.clear();
        calls_ = 0;
        call_bytes_ = 0;
    }
    for (Item& item : calls) item.refuse(why);
}

void Inbox::wake() {
    {
        const std::lock_guard lock(mutex_);
        urgent_ = true;
    }
    wake_.notify_one();
}

void Inbox::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    wake_.notify_one();
}

bool Inbox::closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
}

std::size_t Inbox::calls_waiting() {
    const std::lock_guard lock(mutex_);
    return calls_ + looks_.size();
}

}  // namespace nexus::engine
