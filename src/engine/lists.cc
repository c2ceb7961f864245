// Lists of tasks, live and ended, and the queues.

#include <algorithm>

#include "base/ascii.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::int64_t kQueuesShare = 100;  // of the loop's time at most a hundredth goes into counting queues

bool is_running(core::TaskState state) {
    return state == core::TaskState::assigned || state == core::TaskState::running || state == core::TaskState::paused;
}

// Live tasks and ended ones, each newest first, as one page: whoever ended meanwhile stands in both and is told once.
void join_page(TaskPage& page, std::vector<TaskInfo> live, std::vector<EndedTask> ended, std::size_t limit) {
    std::size_t i = 0, j = 0;
    while (page.tasks.size() < limit && (i < live.size() || j < ended.size())) {
        if (j == ended.size() || (i < live.size() && live[i].task > ended[j].row.task)) {
            page.tasks.push_back(std::move(live[i++]));
        } else {
            if (i < live.size() && live[i].task == ended[j].row.task) ++i;
            page.tasks.push_back(info_of_ended(std::move(ended[j++])));
        }
    }
    if (i < live.size() || j < ended.size())
        page.next =
            page_token({.order = history::TaskOrder::submitted, .task = page.tasks.back().task, .finished = {}});
}

// Of two bounds that a task must lie before; zero = no bound.
TaskId earlier(TaskId a, TaskId b) {
    return !a || (b && b < a) ? b : a;
}

TaskId after(TaskId id) {  // zero after the last of all
    if (++id.lo == 0) ++id.hi;
    return id;
}

// A text that is looked for in the names of the live tasks, and at the begin of their ids.
struct Searched {
    std::string text;
    std::vector<bool> names;  // by number: it is in there
    std::optional<history::IdRange> ids;

    Searched(std::string_view wanted, const std::vector<std::string>& all)
        : text(lower_case(wanted)), ids(history::ids_beginning_with(text)) {
        if (text.empty()) return;
        names.resize(all.size());
        for (std::size_t i = 0; i < all.size(); ++i) names[i] = in(all[i]);
    }
    bool in(std::string_view name) const { return lower_case(name).find(text) != std::string::npos; }
    bool begins(TaskId id) const { return ids && ids->first <= id && id <= ids->last; }
};

}  // namespace

history::TaskQuery history_query(const TaskFilter& filter, const TaskPlace& place, std::size_t limit) {
    history::TaskQuery query{.states = {},
                             .promise = filter.promise,
                             .type = filter.type,
                             .tenant = filter.tenant,
                             .queue = filter.queue,
                             .worker = filter.worker,
                             .search = lower_case(filter.search),
                             .submitted_from = filter.submitted_from,
                             .submitted_to = filter.submitted_to,
                             .order = place.order,
                             .before = place.task,
                             .before_finished = place.finished,
                             .limit = limit};
    for (const core::TaskState state : filter.states)
        if (core::is_terminal(state)) query.states.push_back(static_cast<std::uint8_t>(state));
    return query;
}

bool Engine::matches(const TaskFilter& filter, const Live& live, const core::TaskView& view) const {
    if (filter.promise != history::PromiseKept::any) return false;  // those have ended
    if (!filter.states.empty() &&
        std::find(filter.states.begin(), filter.states.end(), view.state) == filter.states.end())
        return false;
    if (live.submitted_us < filter.submitted_from.us) return false;
    if (filter.submitted_to.us != 0 && live.submitted_us >= filter.submitted_to.us) return false;
    if (!filter.type.empty() && filter.type != type_of(live)) return false;
    if (!filter.tenant.empty() && filter.tenant != tenant_of(live)) return false;
    if (!filter.queue.empty() && filter.queue != queue_of(live)) return false;
    return filter.worker.empty() || (view.worker && core_.worker(view.worker).name == filter.worker);
}

LineFilter Engine::line_filter(const TaskFilter& filter, bool* none) const {
    LineFilter lines;
    const auto number = [&](const std::string& name, std::optional<std::uint32_t>& out) {
        if (name.empty()) return;
        const auto found = name_numbers_.find(name);
        if (found == name_numbers_.end())
            *none = true;  // no live task ever had it
        else
            out = found->second;
    };
    number(filter.type, lines.type);
    number(filter.tenant, lines.tenant);
    number(filter.queue, lines.queue);
    return lines;
}

// Newest first; those that run are found by what runs.
void Engine::running_before(TaskId before, const std::function<bool(TaskId)>& take) const {
    const std::vector<TaskId> running = core_.running_after(TaskId{});
    auto at = before ? std::ranges::lower_bound(running, before) : running.end();
    while (at != running.begin() && take(*--at)) {
    }
}

// What runs is found by what runs, all else through the lines: never by looking at all that waits.
std::vector<TaskId> Engine::live_ids(const TaskFilter& filter, TaskId before, std::size_t limit) const {
    const history::IdRange times = history::ids_submitted(filter.submitted_from, filter.submitted_to);
    if (filter.submitted_to.us != 0) before = earlier(before, times.last);
    bool none = false;
    LineFilter lines = line_filter(filter, &none);
    if (none) return {};
    std::vector<TaskId> found;
    std::size_t most = limit;  // of what is found
    const auto take = [&](TaskId id, TaskId first, const auto& wants) {
        if (id < first || id < times.first) return false;
        const Live* const live = live_.find(id);
        const auto view = core_.task(id);
        if (live != nullptr && view && matches(filter, *live, *view) && wants(id, *live, *view)) found.push_back(id);
        return found.size() < most;
    };
    const auto walk_lines = [&](TaskId bound, TaskId first) {
        lines_.newest(
            lines, bound, [this](std::uint32_t slot) { return live_.task_at(slot); },
            [&](std::uint32_t slot) { return take(live_.task_at(slot), first, [](auto&&...) { return true; }); });
    };
    const bool runs =
        !filter.worker.empty() || (!filter.states.empty() && std::ranges::all_of(filter.states, [](core::TaskState s) {
            return is_running(s) || core::is_terminal(s);
        }));
    if (filter.search.empty() && !runs) {
        walk_lines(before, {});
        return found;
    }
    const Searched text(filter.search, names_);
    const auto among_workers = [&](const core::TaskView& view) {
        return view.worker && text.in(core_.worker(view.worker).name);
    };
    if (runs) {
        running_before(before, [&](TaskId id) {
            return take(id, {}, [&](TaskId task, const Live& live, const core::TaskView& view) {
                return filter.search.empty() || text.names[key_of(live).type] || text.names[key_of(live).tenant] ||
                       text.names[key_of(live).queue] || among_workers(view) || text.begins(task);
            });
        });
        return found;
    }
    // A text is found in three ways: as the begin of ids, which are a range, in the names of lines, and among the
    // workers of what runs. Each gives its newest tasks; whoever is found twice is told once.
    if (text.ids) walk_lines(earlier(before, after(text.ids->last)), text.ids->first);
    lines.any_of = &text.names;
    most = found.size() + limit;
    walk_lines(before, {});
    most = found.size() + limit;
    running_before(before, [&](TaskId id) {
        return take(id, {}, [&](TaskId, const Live&, const core::TaskView& view) { return among_workers(view); });
    });
    std::ranges::sort(found, std::greater{});
    const auto again = std::ranges::unique(found);
    found.erase(again.begin(), again.end());
    if (found.size() > limit) found.resize(limit);
    return found;
}

// The live tasks of a page, newest first: at most `limit`.
std::vector<TaskInfo> Engine::live_page(const TaskFilter& filter, TaskId before, std::size_t limit) const {
    std::vector<TaskInfo> page;
    for (const TaskId id : live_ids(filter, before, limit)) page.push_back(info_of(id, true));
    return page;
}

void Engine::answer(const Caller& caller, ListTasks request, Done<TaskPage> done) {
    TaskFilter& filter = request.filter;
    if (auto ok = keep_to_tenant(caller, filter); !ok)
        return reply<TaskPage>(std::move(done), std::unexpected(std::move(ok).error()));
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, 1000);
    const bool wants_live =
        filter.promise == history::PromiseKept::any &&
        (filter.states.empty() || !std::ranges::all_of(filter.states, [](auto s) { return core::is_terminal(s); }));
    const bool wants_ended =
        filter.states.empty() || std::ranges::any_of(filter.states, [](auto s) { return core::is_terminal(s); });
    const auto order = wants_live ? history::TaskOrder::submitted : history::TaskOrder::finished;
    const auto place = task_place_of(request.page, order);
    if (!place) return reply<TaskPage>(std::move(done), std::unexpected(place.error()));
    // One more than the page holds: whether there is a next one.
    std::vector<TaskInfo> live;
    if (wants_live) live = live_page(filter, place->task, limit + 1);
    if (!wants_ended) {
        TaskPage page;
        join_page(page, std::move(live), {}, limit);
        return reply<TaskPage>(std::move(done), std::move(page));
    }
    ask(AskTasks{history_query(filter, *place, limit + 1)},
        [order, limit, live = std::move(live), done = std::move(done)](Result<std::vector<EndedTask>> ended) mutable {
            if (!ended) return done(std::unexpected(std::move(ended).error()));
            TaskPage page;
            if (order == history::TaskOrder::submitted) {
                join_page(page, std::move(live), *std::move(ended), limit);
                return done(std::move(page));
            }
            const bool more = ended->size() > limit;
            if (more) ended->resize(limit);
            for (EndedTask& one : *ended) page.tasks.push_back(info_of_ended(std::move(one)));
            if (more)
                page.next = page_token(
                    {.order = order, .task = page.tasks.back().task, .finished = page.tasks.back().finished});
            done(std::move(page));
        });
}

// ---- queues

// Those that the configuration names and those that have tasks, by name.
std::shared_ptr<const std::vector<QueueInfo>> Engine::count_queues() const {
    std::map<std::string, QueueInfo> queues;
    queues["default"];
    for (const core::QueueLimits& limits : core_.config().queues) {
        queues[limits.name].paused = limits.paused;
        queues[limits.name].running_max = limits.running_max;
    }
    std::vector<TaskId> running = core_.running_after(TaskId{});
    for (const TaskId id : running)
        if (const Live* live = live_.find(id)) ++queues[queue_of(*live)].running;
    lines_.each_line([&](std::uint32_t line, const LineKey& key, std::uint32_t tasks) {
        QueueInfo& queue = queues[names_[key.queue]];
        queue.waiting += tasks;
        lines_.oldest(line, [&](std::uint32_t slot) {
            const TaskId id = live_.task_at(slot);
            if (std::ranges::binary_search(running, id)) return true;
            const WallTime submitted{live_.find(id)->submitted_us};
            if (queue.oldest.us == 0 || submitted < queue.oldest) queue.oldest = submitted;
            return false;
        });
    });
    auto list = std::make_shared<std::vector<QueueInfo>>();
    for (auto& [name, queue] : queues) {
        queue.name = name;
        queue.waiting -= std::min(queue.waiting, queue.running);
        queue.work = core_.queue_work(name);
        list->push_back(std::move(queue));
    }
    return list;
}

const std::vector<QueueInfo>& Engine::queues_now() {
    if (!queues_ || now_.at >= queues_until_ || queues_config_ != core_.config().version) {
        const auto clock = [this] { return options_.nanoseconds ? options_.nanoseconds() : 0; };
        const std::int64_t begin = clock();
        queues_ = count_queues();
        queues_config_ = core_.config().version;
        queues_until_ = now_.at + std::min(seconds(1), Duration{(clock() - begin) / 1000 * kQueuesShare});
    }
    return *queues_;
}

void Engine::answer(const Caller&, ListQueues, Done<std::vector<QueueInfo>> done) {
    reply<std::vector<QueueInfo>>(std::move(done), queues_now());
}

void Engine::answer(const Caller&, GetQueue request, Done<QueueInfo> done) {
    const std::vector<QueueInfo>& all = queues_now();
    const auto found = std::ranges::lower_bound(all, request.queue, {}, &QueueInfo::name);
    if (found == all.end() || found->name != request.queue)
        return reply<QueueInfo>(std::move(done),
                                fail(Fault::not_found, "no queue '" + request.queue +
                                                           "': no task waits or runs in it, and no setting names it"));
    reply<QueueInfo>(std::move(done), *found);
}

}  // namespace nexus::engine
