// What the engine does with each command of the core: orders for workers, decisions and rows for the history, notices
// for those who watch.

#include <algorithm>
#include <utility>

#include "engine/attempt_result.h"
#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {
constexpr std::size_t kPromiseNamesMax = 200;  // types, and tenants, whose promises are counted by name
}

void Engine::carry_out(core::Command& command) {
    std::visit([this](auto& order) { on(order); }, command);
}

WorkerOrders& Engine::orders_for(SessionId session) {
    static WorkerOrders nobody;
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || !found->second.link) {
        nobody = {};
        return nobody;
    }
    Session& to = found->second;
    if (to.out == SIZE_MAX) {
        to.out = batch_.orders.size();
        batch_.orders.push_back({.link = to.link, .orders = {}});
        ordered_.push_back(session);
    }
    return batch_.orders[to.out].orders;
}

void Engine::on(core::AssignAttempt& order) {
    Live* const found = live_.find(order.task);
    MUST(found != nullptr);
    Live& live = *found;
    const Estimate predicted = learner_.dispatched(order, core_, *this, now_.at);
    live.predict(predicted);
    if (live.rare()) live.rare()->progress = 0;
    note_decision(order.task, order.decision, live, order.worker);
    if (replaying_) return;
    if (auto refined = learner_.refined(order, predicted)) refined_.push_back(*std::move(refined));
    Assignment& assignment = orders_for(order.session).assign.emplace_back();  // in place: it is half a kilobyte
    assignment.order = order;
    assignment.order.decision.predicted_run = predicted.p50;
    assignment.type = type_of(live);
    assignment.tenant = tenant_of(live);
    assignment.queue = queue_of(live);
    // Those of the core: after a kill for memory it is more than was submitted.
    if (live.rare()) assignment.resources = core_.task(order.task)->spec->resources;
    if (order.task == current_task_) assignment.body = current_body_;
    notify(order.task);
}

// Not at a replay of what the history has.
void Engine::note_decision(TaskId task, const core::Decision& decision, const Live& live, WorkerNo worker) {
    if (replaying_ && sequence_ <= history_upto_.n) return;
    history::DecisionNote& note = batch_.decisions.emplace_back();
    note.place = place_of_event();
    note.task = task;
    note.decision = decision;
    note.type = type_of(live);
    note.worker = core_.worker(worker).name;
    if (decision.baseline) note.baseline = core_.worker(decision.baseline).name;
    for (int i = 1; i < decision.candidates_count && i < 3; ++i)
        note.others[i - 1] = core_.worker(decision.candidates[i].worker).name;
}

void Engine::on(core::RevokeAttempt& order) {
    const bool decided = order.reason == core::RevokeReason::preempted || order.reason == core::RevokeReason::recalled;
    if (const Live* live = decided ? live_.find(order.task) : nullptr; live != nullptr)
        note_decision(order.task, order.decision, *live, core_.worker_of(order.session));
    if (replaying_) return;
    remember_revoked(order);
    orders_for(order.session).revoke.push_back(order);
}

void Engine::on(core::PauseAttempt& order) {
    if (const Live* live = live_.find(order.task)) note_decision(order.task, order.decision, *live, order.worker);
    if (replaying_) return;
    orders_for(order.session).pause.push_back(order);
    notify(order.task);
}

void Engine::on(core::WelcomeWorker& welcome) {
    if (replaying_) return;
    if (welcome.replaced) {
        WorkerOrders& older = orders_for(welcome.replaced);
        older.reconnect = "a newer session of this worker took over";
        older.close = true;
        sessions_.erase(welcome.replaced);
    }
    WorkerOrders& orders = orders_for(welcome.session);
    orders.lease = core_.config().lease;
    orders.heartbeat = options_.heartbeat;
    orders.welcome = std::move(welcome);
}

void Engine::on(core::DrainWorker& drain) {
    if (!replaying_) orders_for(drain.session).drain = true;
}

void Engine::on(core::AnswerReport& answer) {
    if (replaying_) return;
    if (!answer.accepted) keep_late_result(answer);
    orders_for(answer.session).answers.push_back(answer);
}

void Engine::on(core::AttemptEnded& ended) {
    if (ended.outcome == core::AttemptOutcome::recalled) return;  // it was none
    Live* const found = live_.find(ended.task);
    if (found == nullptr) return;
    Live& live = *found;
    const Estimate predicted = live.predicted();
    learner_.ended(ended, core_, *this, predicted, now_.at);
    const std::string_view worker = core_.worker(ended.worker).name;
    const bool reported = current_report_ != nullptr && current_report_->attempt == ended.attempt;
    AttemptInfo info{.number = ended.number,
                     .attempt = ended.attempt,
                     .worker = std::string(worker),
                     .assigned = wall_of(ended.assigned_at),
                     .started = wall_of(ended.started_at),
                     .ended = wall_of(now_.at),
                     .run = ended.run,
                     .outcome = core::name_of(ended.outcome),
                     .peak_memory_bytes = ended.peak_memory_bytes,
                     .predicted = predicted.p50,
                     .progress_note = {},
                     .predicted_p90 = predicted.p90,
                     .source = std::string(name_of(predicted.source))};
    tell(ended, live, worker, predicted.p50);
    if (reported) info.error = current_report_->error;
    if (ended.started_at != kNever && !replaying_)
        wait_ns_.add((ended.started_at.us - (live.submitted_us - core_.wall_offset().us)) * 1000);
    batch_.history.attempts.push_back({.task = ended.task,
                                       .attempt = ended.attempt,
                                       .number = ended.number,
                                       .worker = info.worker,
                                       .outcome = static_cast<std::uint8_t>(ended.outcome),
                                       .assigned = info.assigned,
                                       .started = info.started,
                                       .ended = info.ended,
                                       .run = ended.run,
                                       .predicted_p50 = predicted.p50,
                                       .predicted_p90 = predicted.p90,
                                       .source = std::string(name_of(predicted.source)),
                                       .peak_memory_bytes = ended.peak_memory_bytes,
                                       .error = info.error});
    if (ended.outcome == core::AttemptOutcome::succeeded) return;
    if (ended.outcome == core::AttemptOutcome::preempted) forget_revoked(ended.attempt);
    if (reported && !current_report_->result.empty())
        batch_.journal.results.push_back({.task = place_of_result(ended.attempt),
                                          .body = marked(LeftBehind::What::result, current_report_->result)});
    Rare& rare = live.make_rare();
    rare.error =
        info.error.empty() ? std::string("attempt ") + core::name_of(ended.outcome) + " on " + info.worker : info.error;
    rare.ended.push_back(std::move(info));
}

void Engine::on(core::TaskEnded& ended) {
    Live* const found = live_.find(ended.task);
    if (found == nullptr) return;
    Live& live = *found;
    ++finished_[static_cast<std::size_t>(ended.state)];
    if (ended.state == core::TaskState::dead) lately_.died(key_of(live).type, wall_of(now_.at));
    const bool good = ended.state == core::TaskState::succeeded;
    std::string error;
    if (ended.state == core::TaskState::dead)
        error = live.rare() ? live.rare()->error : core::name_of(ended.last_outcome);
    if (ended.state == core::TaskState::dead && ended.last_outcome == core::AttemptOutcome::rejected)
        error += "; no worker that may run it takes it";
    if (ended.state == core::TaskState::cancelled)
        error = ended.cause ? "cancelled: task " + to_text(ended.cause) + ", which it comes after, did not succeed"
                            : (cancel_reason_.empty() ? "cancelled" : "cancelled: " + cancel_reason_);
    if (ended.state == core::TaskState::expired) error = "expired: its deadline or time to live passed";
    if (good) judge_promise(ended.promise, live);
    // Of a task that ended between two attempts, or by the failure of one: when the last of them started.
    WallTime began = wall_of(ended.started_at);
    if (began.us == 0 && live.rare() && !live.rare()->ended.empty()) began = live.rare()->ended.back().started;
    batch_.history.tasks.push_back(
        {.task = ended.task,
         .type = type_of(live),
         .tenant = tenant_of(live),
         .queue = queue_of(live),
         .priority = live.priority,
         .state = static_cast<std::uint8_t>(ended.state),
         .submitted = {live.submitted_us},
         .started = began,
         .finished = wall_of(now_.at),
         .run = ended.run,
         .worker = ended.worker ? std::string(core_.worker(ended.worker).name) : std::string(),
         .attempts = ended.attempts,
         .failures = ended.failures,
         .crashes = ended.crashes,
         .payload_bytes = live.payload_bytes,
         .result_bytes = ended.result_bytes,
         .predicted_p50 = {live.p50_us},
         .predicted_p90 = {live.p90_us},
         .eta_finish_p50 = wall_of(ended.promise.p50),
         .eta_finish_p90 = wall_of(ended.promise.p90),
         .error = std::move(error),
         .redrive_of = live.rare() ? live.rare()->redrive_of : TaskId{}});
    if (!replaying_) {
        for (auto revoked = revoked_.rbegin(); revoked != revoked_.rend() && revoked->task == ended.task; ++revoked)
            revoked->last = revoked->number == ended.attempts;
        if (!watches_.empty()) tell_end(ended);
        batch_.journal.drops.push_back(ended.task);
        if (!good) batch_.keep.push_back(ended.task);
        if (good && current_report_ != nullptr && current_report_->task == ended.task &&
            !current_report_->result.empty())
            batch_.journal.results.push_back(
                {.task = ended.task, .body = marked(LeftBehind::What::result, current_report_->result)});
    }
    watched_etas_.erase(ended.task);
    lines_.erase(live_.slot_of(ended.task));
    live_.erase(ended.task);
}

// To those who watch it; its row is the last of the batch.
void Engine::tell_end(const core::TaskEnded& ended) {
    TaskInfo info = info_of(ended.task, false);
    const history::TaskRow& row = batch_.history.tasks.back();
    info.state = ended.state;
    info.finished = now_.wall;
    info.run = ended.run;
    info.error = row.error;
    info.promise_p10 = wall_of(ended.promise.p10);
    info.promise_p50 = row.eta_finish_p50;
    info.promise_p90 = row.eta_finish_p90;
    if (row.started.us != 0) info.wait = row.started - row.submitted;
    const auto& attempts = batch_.history.attempts;
    for (auto attempt = attempts.rbegin(); ended.state == core::TaskState::succeeded && attempt != attempts.rend();
         ++attempt) {
        if (attempt->task != ended.task) continue;
        info.attempts.push_back({.number = attempt->number,
                                 .attempt = attempt->attempt,
                                 .worker = attempt->worker,
                                 .assigned = attempt->assigned,
                                 .started = attempt->started,
                                 .ended = attempt->ended,
                                 .run = attempt->run,
                                 .outcome = "succeeded",
                                 .error = {},
                                 .predicted = attempt->predicted_p50,
                                 .progress_note = {},
                                 .predicted_p90 = attempt->predicted_p90,
                                 .source = attempt->source});
        break;
    }
    for (auto& [id, watch] : watches_) {
        const bool named = std::find(watch.tasks.begin(), watch.tasks.end(), ended.task) != watch.tasks.end();
        const bool fits = watch.tasks.empty() && (watch.filter.type.empty() || watch.filter.type == info.type) &&
                          (watch.filter.tenant.empty() || watch.filter.tenant == info.tenant);
        if (named || fits)
            batch_.notices.push_back({.watcher = watch.watcher, .watch = id, .at = now_.wall, .task = info});
    }
}

// What became of what was told, by how the task stood then, by type and by tenant.
void Engine::judge_promise(const core::Promise& promise, const Live& live) {
    if (promise.p90 == kNever || promise.as == core::ToldAs::after) return;
    learner_.finished(now_.at <= promise.p90);
    if (replaying_) return;
    const std::int64_t submitted = live.submitted_us - core_.wall_offset().us;
    const std::int64_t response = std::max<std::int64_t>(now_.at.us - submitted, 1);
    const auto count = [&](PromiseCount& counted) {
        ++counted.told;
        counted.by_p90 += now_.at <= promise.p90 ? 1 : 0;
        counted.from_p10 += now_.at >= promise.p10 ? 1 : 0;
        counted.within_25 += std::llabs(promise.p50.us - now_.at.us) * 4 <= response ? 1 : 0;
    };
    count(promises_[static_cast<std::size_t>(promise.as)]);
    const auto count_name = [&](std::map<std::uint32_t, PromiseCount>& of, std::uint32_t name) {
        if (of.contains(name) || of.size() < kPromiseNamesMax) count(of[name]);
    };
    count_name(promises_of_types_, key_of(live).type);
    count_name(promises_of_tenants_, key_of(live).tenant);
}

void Engine::on(core::TaskRequeued& requeued) {
    tell_memory(requeued.task);
    Live* const live = live_.find(requeued.task);
    if (live != nullptr && live->rare() && !live->rare()->ended.empty())
        live->rare()->ended.back().next_from = wall_of(requeued.not_before);
    if (!replaying_) notify(requeued.task);
}

// Of a task whose last attempt was killed for memory: what the next one asks for, which is the core's decision.
void Engine::tell_memory(TaskId task) {
    Live* const live = live_.find(task);
    if (live == nullptr || !live->rare() || live->rare()->ended.empty()) return;
    const auto view = core_.task(task);
    if (!view) return;  // it ended later in the same event
    AttemptInfo& last = live->rare()->ended.back();
    const std::int64_t asks = view->spec->resources.memory_bytes;
    if (last.outcome != core::name_of(core::AttemptOutcome::out_of_memory) || asks == 0) return;
    live->rare()->error += "; the next attempt asks for " + std::to_string(asks) + " bytes of memory";
    last.error = live->rare()->error;
    if (!batch_.history.attempts.empty() && batch_.history.attempts.back().attempt == last.attempt)
        batch_.history.attempts.back().error = last.error;
}

void Engine::on(core::WakeAt& wake) {
    wake_ = wake.at;
}

}  // namespace nexus::engine
