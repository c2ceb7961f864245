// What the engine shows: tasks, workers, status, explanations.

#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kScanMax = 50'000;  // live tasks looked at for one page

TaskInfo info_of_row(const history::TaskRow& row) {
    TaskInfo info{.task = row.task,
                  .type = row.type,
                  .tenant = row.tenant,
                  .queue = row.queue,
                  .priority = row.priority,
                  .state = static_cast<core::TaskState>(row.state),
                  .submitted = row.submitted,
                  .finished = row.finished,
                  .payload_bytes = row.payload_bytes};
    info.estimate.p50 = row.predicted_p50;
    info.estimate.p90 = row.predicted_p90;
    info.failures = row.failures;
    info.crashes = row.crashes;
    info.error = row.error;
    info.redrive_of = row.redrive_of;
    info.run = row.run;
    if (row.started.us != 0) info.wait = row.started - row.submitted;
    return info;
}

AttemptInfo info_of_row(const history::AttemptRow& row) {
    return {.number = row.number,
            .attempt = row.attempt,
            .worker = row.worker,
            .assigned = row.assigned,
            .started = row.started,
            .ended = row.ended,
            .run = row.run,
            .outcome = core::name_of(static_cast<core::AttemptOutcome>(row.outcome)),
            .error = row.error,
            .peak_memory_bytes = row.peak_memory_bytes,
            .predicted = row.predicted_p50};
}

Result<TaskInfo> ended_task(TaskId task, bool with_result, history::HistoryStore& history,
                            store::JournalStore& journal) {
    auto row = history.task(task);
    if (!row) return std::unexpected(std::move(row).error());
    if (!*row) return fail(Fault::not_found, "no task " + to_text(task));
    TaskInfo info = info_of_row(**row);
    if (auto attempts = history.attempts(task))
        for (const history::AttemptRow& attempt : *attempts) {
            info.attempts.push_back(info_of_row(attempt));
            info.estimate.source = source_from_name(attempt.source);
        }
    if (with_result && info.state == core::TaskState::succeeded && (*row)->result_bytes > 0)
        if (auto result = journal.result(task)) info.result = std::move(*result);
    return info;
}

std::string page_after(const TaskInfo& last) {
    return core::is_terminal(last.state) ? fmt::format("H{}:{}", last.finished.us, to_text(last.task))
                                         : "L" + to_text(last.task);
}

std::string span_text(Duration d) {
    if (d.us < 1'000'000) return fmt::format("{} ms", d.us / 1000);
    if (d.us < 120'000'000) return fmt::format("{:.1f} s", static_cast<double>(d.us) / 1e6);
    return fmt::format("{:.1f} min", static_cast<double>(d.us) / 6e7);
}

std::string summary_of(const Explanation& e) {
    const TaskInfo& t = e.task;
    if (t.state == core::TaskState::paused)
        return fmt::format("It stands still: {}. What would free it: {}.", t.waiting_culprit, t.waiting_remedy);
    if (t.state == core::TaskState::waiting) {
        std::string text =
            "It waits: " + (t.waiting_culprit.empty() ? std::string(core::name_of(t.waiting)) : t.waiting_culprit) +
            ".";
        text += fmt::format(" {} of {} workers may run it; {} tasks ({} of predicted work) stand before it.",
                            e.workers_eligible, e.workers_total, e.tasks_ahead, span_text(e.work_ahead));
        if (!t.waiting_remedy.empty()) text += " What would free it: " + t.waiting_remedy + ".";
        return text;
    }
    std::string text = fmt::format("It is {}", core::name_of(t.state));
    if (e.decision)
        text += fmt::format("; worker {} was chosen ({}) with a predicted run of {}{}", e.decision->worker,
                            e.decision->reason, span_text(e.decision->estimate.p50),
                            e.decision->fallback ? ", by round-robin because prediction failed" : "");
    if (!t.error.empty()) text += "; " + t.error;
    return text + ".";
}

}  // namespace

TaskInfo Engine::info_of(TaskId task, bool with_why) const {
    TaskInfo info{.task = task};
    const Live* const found = live_.find(task);
    if (found == nullptr) return info;
    const Live& live = *found;
    info.type = names_[live.type];
    info.tenant = names_[live.tenant];
    info.queue = names_[live.queue];
    info.priority = live.priority;
    info.submitted = {live.submitted_us};
    info.payload_bytes = live.payload_bytes;
    if (live.rare) {
        info.attempts = live.rare->ended;
        info.redrive_of = live.rare->redrive_of;
        info.error = live.rare->error;
    }
    const auto view = core_.task(task);
    if (!view) return info;
    info.state = view->state;
    info.estimate = view->estimate;
    info.failures = view->failures;
    info.crashes = view->crashes;
    const bool paused = view->state == core::TaskState::paused;
    if (view->state == core::TaskState::waiting && !with_why) return info;
    if (view->state == core::TaskState::waiting || (paused && with_why)) {
        const core::WaitingWhy why = core_.why_waiting(task);
        info.waiting = why.reason;
        info.waiting_culprit = why.culprit;
        info.waiting_remedy = why.remedy;
        info.waiting_since = wall_of(why.since);
        info.waiting_until = wall_of(why.until);
    }
    if (view->state != core::TaskState::waiting) {
        info.estimate = live.predicted();
        AttemptInfo attempt{.number = view->attempts,
                            .attempt = view->attempt,
                            .fence = view->fence,
                            .worker = std::string(core_.worker(view->worker).name),
                            .assigned = wall_of(view->assigned_at),
                            .started = wall_of(view->started_at),
                            .predicted = info.estimate.p50};
        if (paused || view->paused_for.us > 0) attempt.run = view->ran(now_.at);
        if (live.rare) {
            attempt.progress = live.rare->progress;
            attempt.progress_note = live.rare->progress_note;
        }
        info.attempts.push_back(std::move(attempt));
        if (view->started_at != kNever) info.wait = wall_of(view->started_at) - info.submitted;
    }
    if (const auto eta = core_.eta(task)) {
        info.eta_start_p50 = wall_of(eta->start_p50);
        info.eta_start_p90 = wall_of(eta->start_p90);
        info.eta_finish_p50 = wall_of(eta->finish_p50);
        info.eta_finish_p90 = wall_of(eta->finish_p90);
    }
    return info;
}

void Engine::notify(TaskId task) {
    if (watches_.empty() || replaying_) return;
    const Live* const found = live_.find(task);
    if (found == nullptr) return;
    std::optional<TaskInfo> info;
    for (auto& [id, watch] : watches_) {
        if (watch.tasks.empty()) {
            if (!watch.filter.type.empty() && watch.filter.type != names_[found->type]) continue;
            if (!watch.filter.tenant.empty() && watch.filter.tenant != names_[found->tenant]) continue;
        } else if (std::find(watch.tasks.begin(), watch.tasks.end(), task) == watch.tasks.end()) {
            continue;
        }
        if (!info) info = info_of(task, true);
        batch_.notices.push_back({.watcher = watch.watcher, .watch = id, .at = now_.wall, .task = *info});
    }
}

void Engine::answer(const Caller&, GetTask request, Done<TaskInfo> done) {
    const auto [task, with_result] = request;
    if (live_.contains(task)) return reply<TaskInfo>(std::move(done), info_of(task, true));
    ask_history([task = request.task, with_result = request.with_result, done = std::move(done)](
                    history::HistoryStore& history, store::JournalStore& journal) mutable {
        done(ended_task(task, with_result, history, journal));
    });
}

void Engine::watch(WatchId id, std::vector<TaskId> tasks, TaskFilter filter, std::shared_ptr<TaskWatcher> watcher) {
    for (const TaskId task : tasks) {
        if (live_.contains(task)) {
            batch_.notices.push_back({.watcher = watcher, .watch = id, .at = now_.wall, .task = info_of(task, true)});
            continue;
        }
        ask_history(
            [task, watcher, wall = now_.wall](history::HistoryStore& history, store::JournalStore& journal) mutable {
                if (auto info = ended_task(task, false, history, journal)) (*watcher)(wall, *info);
            });
    }
    watches_[id] = {.tasks = std::move(tasks), .filter = std::move(filter), .watcher = std::move(watcher)};
}

void Engine::unwatch(WatchId watch) {
    watches_.erase(watch);
}

bool Engine::matches(const TaskFilter& filter, const Live& live, const core::TaskView& view) const {
    if (!filter.states.empty() &&
        std::find(filter.states.begin(), filter.states.end(), view.state) == filter.states.end())
        return false;
    if (!filter.type.empty() && filter.type != names_[live.type]) return false;
    if (!filter.tenant.empty() && filter.tenant != names_[live.tenant]) return false;
    if (!filter.queue.empty() && filter.queue != names_[live.queue]) return false;
    return filter.worker.empty() || (view.worker && core_.worker(view.worker).name == filter.worker);
}

// Live tasks by age, then ended ones, newest first.
void Engine::answer(const Caller&, ListTasks request, Done<TaskPage> done) {
    const TaskFilter& filter = request.filter;
    const std::string& page = request.page;
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, 1000);
    TaskPage out;
    const bool ended_only = !page.empty() && page.front() == 'H';
    if (!page.empty() && !ended_only && (page.front() != 'L' || !parse_id<TaskId>(std::string_view(page).substr(1))))
        return reply<TaskPage>(std::move(done), fail(Fault::invalid, "page_token: not one that this server gave"));
    if (!ended_only) {
        const TaskId after = page.empty() ? TaskId{} : *parse_id<TaskId>(std::string_view(page).substr(1));
        const bool all = filter.states.empty() && filter.type.empty() && filter.tenant.empty() &&
                         filter.queue.empty() && filter.worker.empty();
        // The page asks for what runs every second; that must not cost a look at all that waits.
        const bool running_only =
            !filter.states.empty() && std::ranges::all_of(filter.states, [](core::TaskState state) {
                return state == core::TaskState::assigned || state == core::TaskState::running ||
                       state == core::TaskState::paused;
            });
        for (const TaskId id :
             running_only ? core_.running_after(after) : core_.tasks_after(after, all ? limit : kScanMax)) {
            const Live* const live = live_.find(id);
            const auto view = core_.task(id);
            if (live == nullptr || !view || !matches(filter, *live, *view)) continue;
            out.tasks.push_back(info_of(id, true));
            if (out.tasks.size() == limit) break;
        }
        const bool wants_ended =
            filter.states.empty() || std::any_of(filter.states.begin(), filter.states.end(), core::is_terminal);
        if (out.tasks.size() == limit || !wants_ended) {
            if (out.tasks.size() == limit) out.next = page_after(out.tasks.back());
            return reply<TaskPage>(std::move(done), std::move(out));
        }
    }
    history::TaskQuery query{.type = filter.type,
                             .tenant = filter.tenant,
                             .queue = filter.queue,
                             .worker = filter.worker,
                             .limit = limit - out.tasks.size()};
    if (ended_only) {
        long long finished = 0;
        char text[37] = {};
        const auto task =
            std::sscanf(page.c_str(), "H%lld:%36s", &finished, text) == 2 ? parse_id<TaskId>(text) : std::nullopt;
        if (!task)
            return reply<TaskPage>(std::move(done), fail(Fault::invalid, "page_token: not one that this server gave"));
        query.finished_before = {finished};
        query.before = *task;
    }
    std::vector<core::TaskState> ended;
    for (const core::TaskState state : filter.states)
        if (core::is_terminal(state)) ended.push_back(state);
    if (ended.size() == 1) query.state = static_cast<std::uint8_t>(ended.front());
    ask_history([query = std::move(query), ended, out = std::move(out), done = std::move(done)](
                    history::HistoryStore& history, store::JournalStore&) mutable {
        auto rows = history.tasks(query);
        if (!rows) return done(std::unexpected(std::move(rows).error()));
        for (const history::TaskRow& row : *rows)
            if (ended.empty() ||
                std::find(ended.begin(), ended.end(), static_cast<core::TaskState>(row.state)) != ended.end())
                out.tasks.push_back(info_of_row(row));
        if (rows->size() >= query.limit && !rows->empty()) out.next = page_after(info_of_row(rows->back()));
        done(std::move(out));
    });
}

void Engine::answer(const Caller&, ExplainTask request, Done<Explanation> done) {
    const TaskId task = request.task;
    Explanation out;
    const bool live = live_.contains(task);
    if (live) {
        out.task = info_of(task, true);
        const core::ExplainView view = core_.explain(task);
        out.tasks_ahead = view.tasks_ahead;
        out.work_ahead = view.work_ahead;
        out.workers_eligible = view.workers_eligible;
        out.workers_total = view.workers_total;
        out.excluded = view.excluded;
    }
    ask_history([task, live, out = std::move(out), done = std::move(done)](history::HistoryStore& history,
                                                                           store::JournalStore& journal) mutable {
        if (!live) {
            auto info = ended_task(task, false, history, journal);
            if (!info) return done(std::unexpected(std::move(info).error()));
            out.task = std::move(*info);
        }
        if (auto rows = history.decisions({.task = task, .limit = 1}); rows && !rows->empty())
            if (auto decision = history::decision_of(rows->front())) out.decision = std::move(*decision);
        out.summary = summary_of(out);
        done(std::move(out));
    });
}

WorkerInfo Engine::info_of(WorkerNo number) const {
    const core::WorkerView view = core_.worker(number);
    WorkerInfo info{.name = std::string(view.name)};
    if (view.labels != nullptr) info.labels = *view.labels;
    if (view.offered != nullptr) info.offered = *view.offered;
    if (view.types != nullptr) info.types = *view.types;
    info.connected = view.connected;
    info.suspect = view.suspect;
    info.cordoned = view.cordoned;
    info.draining = view.draining;
    info.slots = view.slots;
    info.running = view.running;
    info.paused = view.paused;
    info.speed = view.speed_ppm / 1e6;
    info.utilization = view.utilization_ppm / 1e6;
    static constexpr const char* breakers[] = {"closed", "open", "probing"};
    info.breaker = breakers[view.breaker < 3 ? view.breaker : 0];
    info.breaker_reason = view.breaker_reason;
    info.succeeded = view.succeeded;
    info.failed = view.failed;
    if (const auto session = sessions_.find(view.session); session != sessions_.end()) {
        info.version = session->second.version;
        info.hostname = session->second.hostname;
        info.cpu_usage = session->second.cpu_usage;
        info.memory_usage = session->second.memory_usage;
        info.connected_at = session->second.connected_at;
        info.last_heard = session->second.last_heard;
    }
    return info;
}

void Engine::answer(const Caller&, ListWorkers, Done<std::vector<WorkerInfo>> done) {
    std::vector<WorkerInfo> list;
    for (std::uint32_t n = 0; n < core_.worker_count(); ++n) list.push_back(info_of(WorkerNo{n}));
    std::sort(list.begin(), list.end(), [](const WorkerInfo& a, const WorkerInfo& b) { return a.name < b.name; });
    reply<std::vector<WorkerInfo>>(std::move(done), std::move(list));
}

StatusInfo Engine::status_now() const {
    StatusInfo info{.version = options_.version,
                    .policy = core::name_of(core_.config().policy),
                    .durability = options_.durability,
                    .digest = fmt::format("{:016x}", core_.digest()),
                    .uptime = now_.wall - started_wall_,
                    .fallback = learner_.predictor().failures_in_a_row() >= core_.config().fallback_threshold,
                    .counters = core_.counters(),
                    .accuracy = learner_.predictor().accuracy(),
                    .now = now_.wall,
                    .journal_position = sequence_,
                    .history_dropped = history_dropped_};
    double speed = 0;
    std::uint32_t running = 0;
    for (std::uint32_t n = 0; n < core_.worker_count(); ++n) {
        const core::WorkerView view = core_.worker(WorkerNo{n});
        if (!view.connected) continue;
        ++info.workers_total;
        if (!view.suspect && !view.cordoned && !view.draining) ++info.workers_ready;
        info.slots += view.slots;
        running += view.running;
        speed += view.slots * 1e6 / std::max<std::uint32_t>(view.speed_ppm, 1);
    }
    if (info.slots > 0) info.utilization = static_cast<double>(running) / info.slots;
    if (speed > 0 && info.counters.waiting + info.counters.assigned + info.counters.running + info.counters.paused > 0)
        info.drain_eta =
            now_.wall + Duration{static_cast<std::int64_t>(static_cast<double>(info.counters.backlog.us) / speed)};
    info.decision_p50_us = decide_ns_.quantile_us(0.5);
    info.decision_p99_us = decide_ns_.quantile_us(0.99);
    info.commit_p50_us = commit_ns_.quantile_us(0.5);
    info.commit_p99_us = commit_ns_.quantile_us(0.99);
    return info;
}

void Engine::answer(const Caller&, GetStatus, Done<StatusInfo> done) {
    reply<StatusInfo>(std::move(done), status_now());
}

void Engine::answer(const Caller&, ListDecisions request, Done<std::vector<history::DecisionInfo>> done) {
    ask_history([query = std::move(request.query), done = std::move(done)](history::HistoryStore& history,
                                                                           store::JournalStore&) mutable {
        auto rows = history.decisions(query);
        if (!rows) return done(std::unexpected(std::move(rows).error()));
        std::vector<history::DecisionInfo> list;
        for (const history::DecisionRow& row : *rows)
            if (auto info = history::decision_of(row)) list.push_back(std::move(*info));
        done(std::move(list));
    });
}

void Engine::answer(const Caller&, ListAudit request, Done<std::vector<history::AuditRow>> done) {
    ask_history([request, done = std::move(done)](history::HistoryStore& history, store::JournalStore&) mutable {
        done(history.audit(request.limit, request.before_us));
    });
}

}  // namespace nexus::engine
