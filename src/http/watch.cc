#include "http/watch.h"

#include <nexus/v1/nexus.pb.h>

#include <algorithm>
#include <charconv>

#include "api/submit.h"
#include "api/view.h"
#include "http/json.h"

namespace nexus::http {
namespace {

constexpr std::size_t kTasksMax = 10'000;
constexpr std::uint64_t kBytesMax = 8 << 20;
constexpr std::size_t kCatchUp = 1000;  // tasks of each of two lists
// What the engine's clock and that of its events may differ.
constexpr std::int64_t kSlackUs = 3'000'000;

// When something of it changed last, as far as it is known.
std::int64_t changed_at(const engine::TaskInfo& task) {
    std::int64_t at = std::max({task.submitted.us, task.finished.us, task.waiting_since.us});
    for (const engine::AttemptInfo& attempt : task.attempts)
        at = std::max({at, attempt.assigned.us, attempt.started.us, attempt.ended.us});
    return at;
}

std::string event(std::string_view name, std::string_view data) {
    return "event: " + std::string(name) + "\ndata: " + std::string(data) + "\n\n";
}

Result<std::vector<TaskId>> ids_of(std::string_view list) {
    std::vector<TaskId> ids;
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        const Result<TaskId> id = api::to_task_id(list.substr(0, comma), "id");
        if (!id) return std::unexpected(id.error());
        if (std::ranges::find(ids, *id) == ids.end()) ids.push_back(*id);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    }
    return ids;
}

}  // namespace

WatchFeed::WatchFeed(api::Door& door, Caller caller, std::shared_ptr<Shared> shared, std::function<void()> wake)
    : door_(door), caller_(std::move(caller)), shared_(std::move(shared)), wake_(std::move(wake)) {}

WatchFeed::~WatchFeed() {
    forget();
}

Result<std::shared_ptr<WatchFeed>> WatchFeed::start(api::Door& door, const Route& route, const Request& request,
                                                    std::shared_ptr<Shared> shared, std::function<void()> wake) {
    auto feed = std::make_shared<WatchFeed>(door, caller_of(request), std::move(shared), std::move(wake));
    std::vector<TaskId> ids;
    engine::TaskFilter filter;
    for (const auto& [name, text] : route.variables) {
        auto id = ids_of(text);
        if (!id) return fail(Fault::not_found, id.error().what);
        ids = *std::move(id);
    }
    for (const auto& [name, text] : request.query) {
        if (name == "id" && route.variables.empty()) {
            auto list = ids_of(text);
            if (!list) return std::unexpected(list.error());
            ids = *std::move(list);
        } else if (name == "type") {
            filter.type = text;
        } else if (name == "tenant") {
            filter.tenant = text;
        } else {
            return fail(Fault::invalid, name + ": no such parameter here");
        }
    }
    if (!ids.empty() && !(filter.type.empty() && filter.tenant.empty()))
        return fail(Fault::invalid, "id: give either ids or type and tenant");
    const std::string& last = request.last_event_id;
    const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), feed->resumed_);
    if (!last.empty() && (error != std::errc{} || end != last.data() + last.size() || feed->resumed_ <= 0))
        return fail(Fault::invalid, "Last-Event-ID: not an id of this stream; leave it out to begin anew");
    feed->begin(std::move(ids), std::move(filter));
    return feed;
}

void WatchFeed::begin(std::vector<TaskId> ids, engine::TaskFilter filter) {
    by_id_ = !ids.empty();
    unfinished_.insert(ids.begin(), ids.end());
    unseen_ = unfinished_;
    // A watch that has ended tells nobody any more; it does not keep the feed.
    const std::weak_ptr<WatchFeed> weak = weak_from_this();
    watch_ = door_.engine.watch(caller_, std::move(ids), filter,
                                {.changed =
                                     [weak](WallTime at, const engine::TaskInfo& task) {
                                         const auto self = weak.lock();
                                         return self && self->tell(at, task);
                                     },
                                 .failed =
                                     [weak](TaskId task, const Error& error) {
                                         if (const auto self = weak.lock()) self->fail_task(task, error);
                                     }});
    if (resumed_ > 0 && !by_id_) catch_up(filter);
}

// What changed while nobody watched: of the live tasks, and of those that have ended since.
void WatchFeed::catch_up(const engine::TaskFilter& filter) {
    using enum core::TaskState;
    for (const auto& states :
         {std::vector{waiting, assigned, running, paused}, {succeeded, dead, cancelled, expired}}) {
        engine::ListTasks list{.filter = filter, .limit = kCatchUp, .page = {}};
        list.filter.states = states;
        door_.engine.ask(caller_, std::move(list),
                         [self = shared_from_this()](Result<engine::TaskPage>&& page) { self->caught_up(page); });
    }
}

void WatchFeed::caught_up(const Result<engine::TaskPage>& page) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    const std::int64_t since = resumed_ - kSlackUs;
    if (page)
        for (const engine::TaskInfo& task : page->tasks)
            if (changed_at(task) >= since && !newest_.contains(task.task)) put({changed_at(task)}, task);
    const bool ended = page && !page->tasks.empty() && core::is_terminal(page->tasks.front().state);
    // A list of ended tasks is by their end; of live ones nothing is known beyond the list.
    const bool whole = page && (page->next.empty() || (ended && page->tasks.back().finished.us < since));
    if (!whole)
        last_ += event("gap",
                       problem_of(page ? Error{Fault::exhausted, "more tasks changed than can be told again; list them"}
                                       : page.error())
                           .body);
    if (wake_) wake_();
}

bool WatchFeed::tell(WallTime at, const engine::TaskInfo& task) {
    const std::lock_guard lock(mutex_);
    if (over_) return false;
    const bool first = unseen_.erase(task.task) > 0;  // of a named one: how it stands
    const bool known = first && resumed_ > 0 && changed_at(task) < resumed_ - kSlackUs;
    if (!known) put(at, task);
    if (core::is_terminal(task.state)) unfinished_.erase(task.task);
    if (by_id_ && unfinished_.empty() && !over_) {
        last_ += event("end", "{}");
        over_ = true;
    }
    if (wake_) wake_();
    return !over_;
}

void WatchFeed::put(WallTime at, const engine::TaskInfo& task) {
    v1::TaskEvent message;
    message.set_at_unix_us(at.us);
    api::to_message(task, *message.mutable_task());
    if (!has_role(caller_.roles, Role::payload)) api::hide_what_programs_wrote(*message.mutable_task());
    const auto [place, fresh] = newest_.try_emplace(task.task);
    Change& change = place->second;
    if (fresh) {
        order_.push_back(task.task);
        change.since = at.us;
    }
    const std::uint64_t before = change.data.size();
    change.at = at.us;
    change.data = json_of(message);
    bytes_ += change.data.size() - before;
    const std::uint64_t all = shared_->bytes += change.data.size() - before;
    if (newest_.size() > kTasksMax || bytes_ > kBytesMax || all > shared_->bytes_max) {
        door_.http.cut.fetch_add(1, std::memory_order_relaxed);
        forget();
        stop({Fault::exhausted, "more changes than were read; list the tasks, then watch again"});
    }
}

void WatchFeed::fail_task(TaskId task, const Error& error) {
    const std::lock_guard lock(mutex_);
    const bool unknown = error.fault == Fault::not_found;
    stop({unknown ? Fault::not_found : Fault::unavailable, "task " + to_text(task) + ": " + error.what});
    if (wake_) wake_();
}

void WatchFeed::stop(const Error& error) {
    if (over_) return;
    last_ += event("error", problem_of(error).body);
    over_ = true;
}

void WatchFeed::forget() {
    shared_->bytes -= std::exchange(bytes_, 0);
    order_.clear();
    newest_.clear();
}

std::string WatchFeed::take(std::size_t bytes_max, bool& over) {
    const std::lock_guard lock(mutex_);
    std::string text;
    while (!order_.empty() && text.size() < bytes_max) {
        const auto next = newest_.find(order_.front());
        order_.pop_front();
        const Change change = std::move(next->second);
        newest_.erase(next);
        bytes_ -= change.data.size();
        shared_->bytes -= change.data.size();
        // Whoever comes again with this id has seen everything before it: what still waits may have changed earlier.
        const std::int64_t seen = order_.empty() ? change.at : std::min(change.at, newest_[order_.front()].since);
        text += "id: " + std::to_string(seen) + "\n" + event("task", change.data);
    }
    over = over_ && order_.empty();
    if (order_.empty()) text += std::exchange(last_, {});
    return text;
}

void WatchFeed::close() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
        wake_ = nullptr;
        forget();
    }
    door_.engine.unwatch(watch_);
}

}  // namespace nexus::http
