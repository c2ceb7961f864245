// What the engine shows: tasks, workers, status, explanations.

#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::int64_t kReadShare = 100;  // of the loop's time at most a hundredth goes into read models

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
    info.told_p50 = row.predicted_p50;
    info.told_p90 = row.predicted_p90;
    info.promise_p50 = row.eta_finish_p50;
    info.promise_p90 = row.eta_finish_p90;
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
            .predicted = row.predicted_p50,
            .progress_note = {},
            .predicted_p90 = row.predicted_p90,
            .source = row.source};
}

// 0: not known.
double speed_of(const ReadModel& state, const std::string& name) {
    const auto worker = std::ranges::lower_bound(state.workers, name, {}, &WorkerInfo::name);
    return worker == state.workers.end() || worker->name != name ? 0.0 : worker->speed;
}

// What the choice cost: the end against the one that the best runner-up was predicted to bring.
void tell_regret(const ReadModel& state, history::DecisionInfo& decision) {
    if (!decision.outcome || decision.candidates.size() < 2) return;
    history::DecisionInfo::Outcome& outcome = *decision.outcome;
    const bool good = outcome.outcome == static_cast<std::uint8_t>(core::AttemptOutcome::succeeded);
    const double chosen = speed_of(state, decision.worker), second = speed_of(state, decision.candidates[1].worker);
    if (!good || outcome.predicted.us <= 0 || chosen <= 0 || second <= 0) return;
    const Duration there{static_cast<std::int64_t>(static_cast<double>(outcome.predicted.us) * chosen / second)};
    outcome.regret = std::max(outcome.ended - (decision.place.at + there), Duration{});
}

void tell_alternatives(const ReadModel& state, Explanation& out) {
    if (!out.decision) return;
    out.speed_chosen = speed_of(state, out.decision->worker);
    out.speed_baseline = speed_of(state, out.decision->baseline_worker);
    if (out.decision->candidates.size() > 1) out.speed_second = speed_of(state, out.decision->candidates[1].worker);
    tell_regret(state, *out.decision);
}

AskDecisions last_decision(TaskId task) {
    AskDecisions asked;
    asked.query.task = task;
    asked.query.limit = 1;
    return asked;
}

}  // namespace

TaskInfo info_of_ended(EndedTask ended) {
    TaskInfo info = info_of_row(ended.row);
    for (const history::AttemptRow& attempt : ended.attempts) {
        info.attempts.push_back(info_of_row(attempt));
        info.estimate.source = source_from_name(attempt.source);
    }
    info.result = std::move(ended.result);
    info.metadata = std::move(ended.metadata);
    info.spec = std::move(ended.spec);
    return info;
}

TaskInfo Engine::info_of(TaskId task, bool with_why) const {
    TaskInfo info{.task = task};
    const Live* const found = live_.find(task);
    if (found == nullptr) return info;
    const Live& live = *found;
    info.type = type_of(live);
    info.tenant = tenant_of(live);
    info.queue = queue_of(live);
    info.priority = live.priority;
    info.submitted = {live.submitted_us};
    info.payload_bytes = live.payload_bytes;
    info.told_p50 = {live.p50_us};
    info.told_p90 = {live.p90_us};
    if (live.rare()) {
        info.attempts = live.rare()->ended;
        info.redrive_of = live.rare()->redrive_of;
        info.error = live.rare()->error;
    }
    const auto view = core_.task(task);
    if (!view) return info;
    info.state = view->state;
    info.promise_p10 = wall_of(view->promise.p10);
    info.promise_p50 = wall_of(view->promise.p50);
    info.promise_p90 = wall_of(view->promise.p90);
    info.estimate = view->estimate;
    info.failures = view->failures;
    info.crashes = view->crashes;
    const bool stands = view->state == core::TaskState::paused || view->prefetched;
    if (view->state == core::TaskState::waiting && !with_why) return info;
    if (view->state == core::TaskState::waiting || (stands && with_why)) {
        const core::WaitingWhy why = core_.why_waiting(task, now_.at);
        info.waiting = why.reason;
        info.waiting_cause = why.cause;
        info.waiting_name = why.name;
        info.waiting_count = why.count;
        info.waiting_unmet = why.unmet;
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
                            .outcome = {},
                            .error = {},
                            .predicted = info.estimate.p50,
                            .progress_note = {},
                            .predicted_p90 = info.estimate.p90,
                            .source = std::string(name_of(info.estimate.source))};
        if (view->state == core::TaskState::paused || view->paused_for.us > 0) attempt.run = view->ran(now_.at);
        if (live.rare()) {
            attempt.progress = live.rare()->progress;
            attempt.progress_note = live.rare()->progress_note;
        }
        info.attempts.push_back(std::move(attempt));
        if (view->started_at != kNever) info.wait = wall_of(view->started_at) - info.submitted;
    }
    if (const auto eta = core_.eta(task, now_.at)) {
        info.eta_start_p50 = wall_of(eta->start_p50);
        info.eta_start_p90 = wall_of(eta->start_p90);
        info.eta_finish_p50 = wall_of(eta->finish_p50);
        info.eta_finish_p90 = wall_of(eta->finish_p90);
        info.eta_finish_p10 = wall_of(eta->finish_p10);
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
            if (!watch.filter.type.empty() && watch.filter.type != type_of(*found)) continue;
            if (!watch.filter.tenant.empty() && watch.filter.tenant != tenant_of(*found)) continue;
        } else if (std::find(watch.tasks.begin(), watch.tasks.end(), task) == watch.tasks.end()) {
            continue;
        }
        if (!info) {
            info = info_of(task, true);
            if (info->eta_finish_p50.us != 0 && !watch.tasks.empty())
                watched_etas_[task] = {info->eta_finish_p50.us - core_.wall_offset().us};
        }
        batch_.notices.push_back({.watcher = watch.watcher, .watch = id, .at = now_.wall, .task = *info});
    }
}

// Once a second: who watches a task by name is told when it will be done by now, where that moved by a quarter of what
// was left, and by a second at least. So many are looked at.
void Engine::tell_etas() {
    constexpr std::size_t kLooks = 1000;
    if (watches_.empty() || now_.at < next_etas_) return;
    next_etas_ = now_.at + seconds(1);
    std::vector<TaskId> moved;
    std::size_t looks = kLooks;
    for (const auto& [id, watch] : watches_)
        for (const TaskId task : watch.tasks) {
            if (looks == 0) break;
            const auto told = watched_etas_.find(task);
            if (!live_.contains(task)) continue;
            --looks;
            const auto eta = core_.eta(task, now_.at);
            if (!eta) continue;
            if (told == watched_etas_.end()) {
                watched_etas_[task] = eta->finish_p50;
                continue;
            }
            const std::int64_t change = std::llabs(eta->finish_p50.us - told->second.us);
            if (change >= seconds(1).us && change * 4 > told->second.us - now_.at.us) moved.push_back(task);
        }
    for (const TaskId task : moved) notify(task);
}

bool Engine::sees(const std::string& tenant, TaskId task) const {
    const Live* live = live_.find(task);
    return live != nullptr && (tenant.empty() || tenant_of(*live) == tenant);
}

void Engine::answer(const Caller& caller, GetTask request, Done<TaskInfo> done) {
    if (sees(caller.tenant, request.task)) {
        TaskInfo info = info_of(request.task, true);
        info.whole = true;
        if (!request.with_result) return reply<TaskInfo>(std::move(done), std::move(info));
        return ask(AskMetadata{request.task},
                   [info = std::move(info), done = std::move(done)](Result<ToldByBody> told) mutable {
                       if (told) {  // else the task is shown all the same
                           info.metadata = std::move(told->metadata);
                           info.spec = std::move(told->spec);
                       }
                       done(std::move(info));
                   });
    }
    ask(AskTask{.task = request.task, .tenant = caller.tenant, .with_result = request.with_result},
        [done = std::move(done)](Result<EndedTask> ended) mutable {
            if (!ended) return done(std::unexpected(std::move(ended).error()));
            TaskInfo info = info_of_ended(*std::move(ended));
            info.whole = true;
            done(std::move(info));
        });
}

void Engine::watch(WatchId id, std::vector<TaskId> tasks, TaskFilter filter, std::shared_ptr<TaskWatcher> watcher) {
    for (const TaskId task : tasks) {
        if (sees(filter.tenant, task)) {
            batch_.notices.push_back({.watcher = watcher, .watch = id, .at = now_.wall, .task = info_of(task, true)});
            continue;
        }
        ask(AskTask{.task = task, .tenant = filter.tenant},
            [watcher, task, wall = now_.wall](Result<EndedTask> ended) mutable {
                if (ended)
                    watcher->changed(wall, info_of_ended(*std::move(ended)));
                else if (watcher->failed)
                    watcher->failed(task, ended.error());
            });
    }
    std::erase_if(tasks, [&](TaskId task) { return live_.contains(task) && !sees(filter.tenant, task); });
    watches_[id] = {.tasks = std::move(tasks), .filter = std::move(filter), .watcher = std::move(watcher)};
}

void Engine::unwatch(WatchId watch) {
    watches_.erase(watch);
}

void Engine::answer(const Caller& caller, ExplainTask request, Done<Explanation> done) {
    const TaskId task = request.task;
    if (!sees(caller.tenant, task)) return explain_ended(task, caller.tenant, std::move(done));
    Explanation out;
    out.task = info_of(task, true);
    const core::ExplainView view = core_.explain(task);
    out.tasks_ahead = view.tasks_ahead;
    out.work_ahead = view.work_ahead;
    out.workers_eligible = view.workers_eligible;
    out.workers_total = view.workers_total;
    out.excluded = view.excluded;
    out.overtaken_until = wall_of(core_.overtaken_until(task));
    ask(last_decision(task), [out = std::move(out), state = state_now(),
                              done = std::move(done)](Result<std::vector<history::DecisionInfo>> decisions) mutable {
        // Without a history a live task is explained all the same.
        if (decisions && !decisions->empty()) out.decision = std::move(decisions->front());
        tell_alternatives(*state, out);
        done(std::move(out));
    });
}

void Engine::explain_ended(TaskId task, const std::string& tenant, Done<Explanation> done) {
    ask(AskTask{.task = task, .tenant = tenant, .with_result = false, .with_decision = true},
        [state = state_now(), done = std::move(done)](Result<EndedTask> ended) mutable {
            if (!ended) return done(std::unexpected(std::move(ended).error()));
            Explanation out;
            out.decision = std::move(ended->decision);
            out.task = info_of_ended(*std::move(ended));
            tell_alternatives(*state, out);
            done(std::move(out));
        });
}

WorkerInfo Engine::info_of(WorkerNo number) const {
    const core::WorkerView view = core_.worker(number, now_.at);
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
    info.prefetched = view.prefetched;
    info.turnaround = view.turnaround;
    info.speed = 1e6 / std::max<std::uint32_t>(view.speed_ppm, 1);
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
        info.rivals = session->second.rivals;
        info.rival_at = session->second.rival_at;
        info.rival_hostname = session->second.rival_hostname;
    } else if (view.slots > 0) {  // it was here
        info.last_heard = wall_of(view.gone);
    }
    info.connects = joins_lately(info.name);
    info.next_trial = wall_of(view.next_trial);
    info.empty_at = wall_of(core_.empty_at(number, now_.at));
    if (const Lately::OfWorker* lately = lately_.worker(info.name)) {
        info.state_since = lately->state_since;
        info.state_author = lately->author;
        info.state_reason = lately->reason;
        info.breaker_since = lately->breaker_since;
        info.failures_recent = lately->failures;
    }
    return info;
}

StatusInfo Engine::status_now() const {
    StatusInfo info{.version = options_.version,
                    .policy = core::name_of(core_.config().policy),
                    .durability = options_.durability,
                    .digest = fmt::format("{:016x}", core_.digest()),
                    .audit_head = audit_.head(),
                    .uptime = now_.wall - started_wall_,
                    .fallback = learner_.predictor().failures_in_a_row() >= core_.config().fallback_threshold,
                    .counters = core_.counters(),
                    .accuracy = learner_.predictor().accuracy(),
                    .now = now_.wall,
                    .journal_position = sequence_,
                    .history_dropped = history_dropped_};
    std::uint32_t running = 0;
    for (std::uint32_t n = 0; n < core_.worker_count(); ++n) {
        const core::WorkerView view = core_.worker(WorkerNo{n});
        if (!view.connected) continue;
        ++info.workers_total;
        if (!view.suspect && !view.cordoned && !view.draining) ++info.workers_ready;
        info.slots += view.slots;
        running += view.running;
    }
    if (info.slots > 0) info.utilization = static_cast<double>(running) / info.slots;
    const core::Backlog backlog = core_.backlog(now_.at);
    if (backlog.left.us > 0) {
        info.drain_eta = now_.wall + backlog.left;
        info.drain_p10 = now_.wall + backlog.left_p10;
        info.drain_p90 = now_.wall + backlog.left_p90;
    }
    info.waiting_by = core_.waiting_by(now_.at);
    Latency waited = wait_minute_before_;
    waited.add(wait_minute_);
    info.wait_p50 = {static_cast<std::int64_t>(waited.quantile_us(0.5))};
    info.wait_p99 = {static_cast<std::int64_t>(waited.quantile_us(0.99))};
    if (!idle_told_.empty()) info.idle_lately = info.counters.idle_while_waiting - idle_told_.front().second;
    info.fallback_since = fallback_since_;
    info.waiting_no_worker = backlog.no_worker;
    info.waiting_paused = backlog.paused;
    info.waiting_held = backlog.held;
    info.decision_p50_us = decide_ns_.quantile_us(0.5);
    info.decision_p99_us = decide_ns_.quantile_us(0.99);
    info.commit_p50_us = commit_ns_.quantile_us(0.5);
    info.commit_p99_us = commit_ns_.quantile_us(0.99);
    info.promises = promises_;
    for (const auto& [name, count] : promises_of_tenants_) info.promises_of_tenants[names_[name]] = count;
    return info;
}

std::shared_ptr<const ReadModel> Engine::read_model() {
    tick();
    const auto clock = [this] { return options_.nanoseconds ? options_.nanoseconds() : 0; };
    const std::int64_t begin = clock();
    auto model = std::make_shared<ReadModel>();
    model->made = now_.at;
    model->status = status_now();
    model->workers.reserve(core_.worker_count());
    for (std::uint32_t n = 0; n < core_.worker_count(); ++n)
        if (!core_.worker(WorkerNo{n}).name.empty()) model->workers.push_back(info_of(WorkerNo{n}));
    std::ranges::sort(model->workers, {}, &WorkerInfo::name);
    queues_now();
    model->queues = queues_;
    for (const QueueInfo& queue : *queues_)
        if (queue.oldest.us != 0 &&
            (model->status.oldest_waiting.us == 0 || queue.oldest < model->status.oldest_waiting))
            model->status.oldest_waiting = queue.oldest;
    const Lately::Deaths deaths = lately_.deaths();
    model->dead_lately = deaths.tasks;
    if (deaths.type) model->dead_type = names_[*deaths.type];
    model->drifted = lately_.drifted({now_.wall.us - hours(1).us});
    model->tasks_max = core_.config().tasks_max;
    tell_rates(*model);
    model->finished = finished_;
    for (const auto& [name, count] : promises_of_types_) model->promises_of_types[names_[name]] = count;
    model->failures = learner_.predictor().failures();
    model->decide = decide_ns_;
    model->commit = commit_ns_;
    model->wait = wait_ns_;
    model->gap = gap_ns_;
    model->good_for = std::min(seconds(1), Duration{(clock() - begin) / 1000 * kReadShare});
    return model;
}

std::shared_ptr<const ReadModel> Engine::state_now() {
    if (!read_ || now_.at - read_->made >= read_->good_for) read_ = read_model();
    return read_;
}

void Engine::answer(const Caller&, ReadState, Done<std::shared_ptr<const ReadModel>> done) {
    reply<std::shared_ptr<const ReadModel>>(std::move(done), state_now());
}

void Engine::answer(const Caller&, ListDecisions request, Done<DecisionPage> done) {
    const auto place = event_place_of(request.page);
    if (!place) return reply<DecisionPage>(std::move(done), std::unexpected(place.error()));
    const std::size_t limit = std::clamp<std::size_t>(request.query.limit, 1, 1000);
    request.query.before = *place;
    if (request.to.us != 0 && (place->at.us == 0 || place->at > request.to)) request.query.before = {.at = request.to};
    request.query.limit = limit + 1;
    ask(AskDecisions{.query = std::move(request.query), .with_outcome = true},
        [limit, state = state_now(),
         done = std::move(done)](Result<std::vector<history::DecisionInfo>> decisions) mutable {
            if (!decisions) return done(std::unexpected(std::move(decisions).error()));
            DecisionPage page{.decisions = *std::move(decisions), .next = {}};
            for (history::DecisionInfo& decision : page.decisions) tell_regret(*state, decision);
            if (page.decisions.size() > limit) {
                page.decisions.resize(limit);
                page.next = page_token(page.decisions.back().place);
            }
            done(std::move(page));
        });
}

void Engine::answer(const Caller&, ListAudit request, Done<AuditPage> done) {
    const auto place = event_place_of(request.page);
    if (!place) return reply<AuditPage>(std::move(done), std::unexpected(place.error()));
    const std::size_t limit = std::clamp<std::size_t>(request.query.limit, 1, 1000);
    request.query.before = *place;
    request.query.limit = limit + 1;
    ask(AskAudit{.query = std::move(request.query)},
        [limit, done = std::move(done)](Result<std::vector<history::AuditRow>> rows) mutable {
            if (!rows) return done(std::unexpected(std::move(rows).error()));
            AuditPage page{.entries = *std::move(rows), .next = {}};
            if (page.entries.size() > limit) {
                page.entries.resize(limit);
                page.next = page_token(page.entries.back().place);
            }
            done(std::move(page));
        });
}

void Engine::answer(const Caller&, VerifyAudit, Done<AuditVerdict> done) {
    ask(AskChain{.head = audit_.head()}, std::move(done));
}

}  // namespace nexus::engine
