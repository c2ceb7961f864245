#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "engine/attempt_result.h"
#include "engine/body.h"

namespace nexus::engine {
namespace {

constexpr Duration kWallJump = seconds(2);     // C11: larger ones are logged and told to the core
constexpr std::size_t kAuditRewritten = 64;    // rows that may stand before those that are looked for
constexpr std::size_t kPromiseNamesMax = 200;  // types, and tenants, whose promises are counted by name
constexpr Duration kStall = seconds(1);        // a turn this late says nothing about workers

std::unique_ptr<predict::Model> champion(const EngineOptions& options) {
    if (options.make_champion) return options.make_champion();
    auto model = predict::make_model(options.model);
    MUST(model.has_value());  // the Runner checked the name
    return std::move(*model);
}

}  // namespace

Engine::Engine(EngineOptions options)
    : options_(std::move(options)),
      learner_(champion(options_)),
      rng_(options_.seed),
      writer_(Sequence{1}, 0, core::kCoreVersion) {
    learner_.predictor().set_stopwatch(options_.stopwatch);
}

Engine::~Engine() = default;

// ---------------------------------------------------------------------------------------------------------- recovery

Result<void> Engine::restore(const journal::Snapshot& snapshot) {
    auto done = replica_.load(snapshot);
    stand_at_replica();
    return done;
}

Result<void> Engine::replay(std::string_view bytes, Sequence skip_event) {
    replica_.skip(skip_event);
    replaying_ = true;
    auto done = replica_.apply(bytes);
    stand_at_replica();
    return done;
}

Result<void> Engine::recover(store::JournalStore& store, Sequence skip_event) {
    replica_.skip(skip_event);
    replaying_ = true;
    auto done = replica_.recover(store);
    stand_at_replica();
    if (!replica_.passed_over().empty())
        say(LogLevel::error, "snapshot_passed_over",
            "the newest snapshot is damaged, the one before it was used: " + replica_.passed_over());
    return done;
}

void Engine::stand_at_replica() {
    replaying_ = false;
    cancel_reason_.clear();
    sequence_ = replica_.at().n;
    writer_ = journal::BatchWriter(Sequence{sequence_ + 1}, replica_.chain(), core::kCoreVersion);
}

void Engine::Along::skipped(Sequence at) {
    if (engine.options_.log)
        engine.options_.log(
            LogLevel::error, "event_skipped",
            "event " + std::to_string(at.n) + " was set aside by order: the state differs from what was recorded");
}

void Engine::follow(Sequence at, const core::Event& event) {
    sequence_ = at.n;
    now_ = {event.at, {event.at.us + core_.wall_offset().us}};
    part_ = 0;
    cancel_reason_.clear();
    forced_before_.clear();  // a start after that snapshot told them: they are among the events
    if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what)) note_submitted(*submitted);
    heed(event);
}

void Engine::followed(Sequence upto) {
    if (upto > history_upto_) return;
    batch_.history.tasks.clear();  // the audit stays: few rows, and writing one again does no harm
    batch_.history.attempts.clear();
    batch_.decisions.clear();
}

Result<void> Engine::loaded(const journal::Snapshot& snapshot) {
    if (!snapshot.predictor.empty())
        if (auto ok = learner_.predictor().load(snapshot.predictor); !ok && options_.log)
            options_.log(LogLevel::warning, "predictor_lost",
                         "the predictor of the snapshot cannot be read, it starts anew: " + ok.error().what);
    // The core knows what is forced; the predictor's bytes may be of another moment. Cores before 8 did not: what the
    // predictor knows is told to the core as events, at the start.
    forced_before_ = learner_.predictor().take_forced();
    if (snapshot.core_version >= 8) forced_before_.clear();
    for (const core::EstimateForced& forced : core_.forced_estimates()) force(forced);
    const std::vector<TaskId> ids = core_.tasks_after(TaskId{}, SIZE_MAX);
    live_.reserve(ids.size());
    const core::TaskSpec* of_class = nullptr;  // all tasks of a class have one, and most tasks have one class
    LineKey names;
    for (const TaskId id : ids) {
        const auto view = core_.task(id);
        Live& live = live_[id];
        if (of_class != view->spec)
            names = {name_number(view->spec->type), name_number(view->spec->tenant), name_number(view->spec->queue)};
        of_class = view->spec;
        live.type = names.type;
        live.tenant = names.tenant;
        live.queue = names.queue;
        live.priority = view->spec->priority;
        live.submitted_us = view->submitted_at.us + core_.wall_offset().us;
        live.p50_us = view->estimate.p50.us;
        live.p90_us = view->estimate.p90.us;
        if (view->state != core::TaskState::waiting) live.dispatched = std::make_unique<Estimate>(view->estimate);
        if (view->spec->resources != core::Resources{}) live.more().resources = view->spec->resources;
        join_line(id, live);
    }
    auto section = decode_engine_section(snapshot.engine);
    if (!section) return std::unexpected(std::move(section).error().during("snapshot"));
    section->payload_bytes.each([&](TaskId id, std::uint64_t bytes) {
        if (Live* live = live_.find(id)) live->payload_bytes = static_cast<std::uint32_t>(bytes);
    });
    audit_ = std::move(section->audit);
    tokens_ = std::move(section->tokens);
    for (const history::AuditRow& row : audit_.unconfirmed()) batch_.history.audit.push_back(row);
    return {};
}

void Engine::start(Now now, std::uint32_t epoch) {
    begin_turn(now);
    started_ = true;
    started_wall_ = now.wall;
    const bool fresh = sequence_ == 0;
    apply(core::EngineStarted{.seed = rng_.next(),
                              .wall_offset = {now.wall.us - now.at.us},
                              .epoch = std::max(epoch, core_.epoch() + 1),
                              .shard = options_.shard});
    // The configuration is part of the journal from its first moment: a replay must not depend on what a later start
    // says.
    if (fresh && options_.config != core::Config{})
        apply(
            core::ConfigChanged{.config = options_.config,
                                .act = {.caller = "server", .author = "", .reason = "the configuration of the start"}});
    for (auto& [type, forced] : std::exchange(forced_before_, {}))
        apply(core::EstimateForced{.type = type,
                                   .estimate = forced.estimate,
                                   .expires = forced.expires,
                                   .act = {.caller = "server", .author = forced.author, .reason = forced.reason}});
    if (options_.publish) options_.publish(tokens_);
    if (!audit_.unconfirmed().empty()) confirm_audit();
    learner_.restarted(*this);
    for (std::size_t slot = 0; slot < live_.slots(); ++slot)
        if (Live* live = live_.find(live_.task_at(slot))) live->unread = true;
    end_turn();
}

void Engine::resume(Now now) {
    begin_turn(now);
    apply(core::EngineStarted{.seed = rng_.next(),
                              .wall_offset = {now.wall.us - now.at.us},
                              .epoch = core_.epoch() + 1,
                              .shard = options_.shard});
    tell_workers_to_reconnect("the server was cut off from its store");
    for (auto& [id, session] : sessions_) orders_for(id).close = true;
    sessions_.clear();
    ordered_.clear();
    end_turn();
}

// ------------------------------------------------------------------------------------------------------------- turns

void Engine::begin_turn(Now now) {
    MUST(now.at >= now_.at);
    const Duration gap = now.at - now_.at;
    if (gap > kStall)
        for (auto& [id, session] : sessions_) session.last_contact = session.last_contact + gap;
    now_ = now;
    const Duration offset{now.wall.us - now.at.us};
    const Duration jump = offset - core_.wall_offset();
    if (started_ && (jump > kWallJump || jump < Duration{-kWallJump.us})) {
        say(LogLevel::warning, "wall_clock_jumped",
            "the calendar clock jumped by " + std::to_string(jump.us / 1000) + " ms");
        apply(core::WallMoved{.wall_offset = offset});
    }
}

void Engine::end_turn() {
    if (now_.at >= wake_) {
        wake_ = kNever;
        apply(core::TimePassed{});
    }
    settle_looks();
    if (batch_.recall.empty() && now_.at >= recall_at_)
        batch_.recall = recall_again_.empty() ? learner_.recall(*this) : std::exchange(recall_again_, {});
    if (now_.at < next_check_) return;
    next_check_ = now_.at + learn::kBeat;
    check_sessions();
    tell_etas();
    learner_.look(core_, *this, now_.at);
    while (auto fact = learner_.next_fact(core_, *this, now_.at)) apply(std::move(*fact));
}

Instant Engine::next_turn() const {
    const bool watching = !sessions_.empty() || learner_.wanted_at() != kNever;
    const Instant due = looks_.empty() ? wake_ : std::min(wake_, looks_.begin()->second.until);
    return watching ? std::min(due, std::max(next_check_, now_.at)) : due;
}

PendingBatch Engine::take_batch() {
    PendingBatch out = std::move(batch_);
    batch_ = PendingBatch{};
    for (const SessionId id : ordered_)
        if (const auto found = sessions_.find(id); found != sessions_.end()) found->second.out = SIZE_MAX;
    ordered_.clear();
    put_bytes_ = 0;
    if (writer_.empty()) {
        out.journal.first = writer_.first();
        return out;
    }
    store::JournalBatch stored = store::finish_batch(writer_, core_.digest());
    stored.puts = std::move(out.journal.puts);
    stored.drops = std::move(out.journal.drops);
    stored.results = std::move(out.journal.results);
    out.journal = std::move(stored);
    replica_.moved(last_sequence(), writer_.chain());
    return out;
}

void Engine::apply(core::Fact fact) {
    core::Event event{.at = now_.at, .what = std::move(fact)};
    writer_.add(event);
    ++sequence_;
    part_ = 0;
    commands_.clear();
    const bool timed = options_.nanoseconds && (++applied_ & 7) == 0;
    const std::int64_t begin = timed ? options_.nanoseconds() : 0;
    heed(event);
    core_.apply(event, commands_);
    if (timed) decide_ns_.add(options_.nanoseconds() - begin);
    for (core::Command& command : commands_) carry_out(command);
    cancel_reason_.clear();
    for (core::Fact& refined : std::exchange(refined_, {})) apply(std::move(refined));
}

// ---------------------------------------------------------------------------------------------------------- commands

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
    if (!live.dispatched) live.dispatched = std::make_unique<Estimate>();
    *live.dispatched = learner_.dispatched(order, core_, *this, now_.at);
    const std::string_view worker = core_.worker(order.worker).name;
    if (live.rare) live.rare->progress = 0;
    history::DecisionNote note{.place = place_of_event(),
                               .task = order.task,
                               .decision = order.decision,
                               .type = names_[live.type],
                               .worker = std::string(worker)};
    if (order.decision.baseline) note.baseline = core_.worker(order.decision.baseline).name;
    for (int i = 1; i < order.decision.candidates_count && i < 3; ++i)
        note.others[i - 1] = core_.worker(order.decision.candidates[i].worker).name;
    batch_.decisions.push_back(std::move(note));
    if (replaying_) return;
    if (auto refined = learner_.refined(order, *live.dispatched)) refined_.push_back(*std::move(refined));
    Assignment assignment{.order = order,
                          .type = names_[live.type],
                          .tenant = names_[live.tenant],
                          .queue = names_[live.queue],
                          .resources = {},
                          .body = {}};
    // Those of the core: after a kill for memory it is more than was submitted.
    if (live.rare) assignment.resources = core_.task(order.task)->spec->resources;
    if (order.task == current_task_) assignment.body = current_body_;
    assignment.order.decision.predicted_run = live.dispatched->p50;
    orders_for(order.session).assign.push_back(std::move(assignment));
    notify(order.task);
}

void Engine::on(core::RevokeAttempt& order) {
    const bool decided = order.reason == core::RevokeReason::preempted || order.reason == core::RevokeReason::recalled;
    if (const Live* live = decided ? live_.find(order.task) : nullptr; live != nullptr)
        batch_.decisions.push_back({.place = place_of_event(),
                                    .task = order.task,
                                    .decision = order.decision,
                                    .type = names_[live->type],
                                    .worker = std::string(core_.worker(core_.worker_of(order.session)).name)});
    if (replaying_) return;
    remember_revoked(order);
    orders_for(order.session).revoke.push_back(order);
}

void Engine::on(core::PauseAttempt& order) {
    if (const Live* live = live_.find(order.task))
        batch_.decisions.push_back({.place = place_of_event(),
                                    .task = order.task,
                                    .decision = order.decision,
                                    .type = names_[live->type],
                                    .worker = std::string(core_.worker(order.worker).name)});
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
                     .predicted = predicted.p50};
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
    Live::Rare& rare = live.more();
    rare.error =
        info.error.empty() ? std::string("attempt ") + core::name_of(ended.outcome) + " on " + info.worker : info.error;
    rare.ended.push_back(std::move(info));
}

void Engine::on(core::TaskEnded& ended) {
    Live* const found = live_.find(ended.task);
    if (found == nullptr) return;
    Live& live = *found;
    ++finished_[static_cast<std::size_t>(ended.state)];
    const bool good = ended.state == core::TaskState::succeeded;
    std::string error;
    if (ended.state == core::TaskState::dead) error = live.rare ? live.rare->error : core::name_of(ended.last_outcome);
    if (ended.state == core::TaskState::dead && ended.last_outcome == core::AttemptOutcome::rejected)
        error += "; no worker that may run it takes it";
    if (ended.state == core::TaskState::cancelled)
        error = ended.cause ? "cancelled: task " + to_text(ended.cause) + ", which it comes after, did not succeed"
                            : (cancel_reason_.empty() ? "cancelled" : "cancelled: " + cancel_reason_);
    if (ended.state == core::TaskState::expired) error = "expired: its deadline or time to live passed";
    if (good) judge_promise(ended.promise, live);
    // Of a task that ended between two attempts, or by the failure of one: when the last of them started.
    WallTime began = wall_of(ended.started_at);
    if (began.us == 0 && live.rare && !live.rare->ended.empty()) began = live.rare->ended.back().started;
    batch_.history.tasks.push_back(
        {.task = ended.task,
         .type = names_[live.type],
         .tenant = names_[live.tenant],
         .queue = names_[live.queue],
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
         .redrive_of = live.rare ? live.rare->redrive_of : TaskId{}});
    if (!replaying_) {
        for (auto revoked = revoked_.rbegin(); revoked != revoked_.rend() && revoked->task == ended.task; ++revoked)
            revoked->last = revoked->number == ended.attempts;
        if (!watches_.empty()) {
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
            for (auto attempt = batch_.history.attempts.rbegin(); good && attempt != batch_.history.attempts.rend();
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
                                         .predicted = attempt->predicted_p50});
                break;
            }
            for (auto& [id, watch] : watches_) {
                const bool named = std::find(watch.tasks.begin(), watch.tasks.end(), ended.task) != watch.tasks.end();
                const bool fits = watch.tasks.empty() &&
                                  (watch.filter.type.empty() || watch.filter.type == info.type) &&
                                  (watch.filter.tenant.empty() || watch.filter.tenant == info.tenant);
                if (named || fits)
                    batch_.notices.push_back({.watcher = watch.watcher, .watch = id, .at = now_.wall, .task = info});
            }
        }
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
    count_name(promises_of_types_, live.type);
    count_name(promises_of_tenants_, live.tenant);
}

void Engine::on(core::TaskRequeued& requeued) {
    tell_memory(requeued.task);
    if (!replaying_) notify(requeued.task);
}

// Of a task whose last attempt was killed for memory: what the next one asks for, which is the core's decision.
void Engine::tell_memory(TaskId task) {
    Live* const live = live_.find(task);
    if (live == nullptr || !live->rare || live->rare->ended.empty()) return;
    const auto view = core_.task(task);
    if (!view) return;  // it ended later in the same event
    AttemptInfo& last = live->rare->ended.back();
    const std::int64_t asks = view->spec->resources.memory_bytes;
    if (last.outcome != core::name_of(core::AttemptOutcome::out_of_memory) || asks == 0) return;
    live->rare->error += "; the next attempt asks for " + std::to_string(asks) + " bytes of memory";
    last.error = live->rare->error;
    if (!batch_.history.attempts.empty() && batch_.history.attempts.back().attempt == last.attempt)
        batch_.history.attempts.back().error = last.error;
}

void Engine::on(core::WakeAt& wake) {
    wake_ = wake.at;
}

// ---------------------------------------------------------------------------------------------------------- the rest

void Engine::note_submitted(const core::TaskSubmitted& fact) {
    Live& live = live_[fact.task];
    live.type = name_number(fact.spec.type);
    live.tenant = name_number(fact.spec.tenant);
    live.queue = name_number(fact.spec.queue);
    live.priority = fact.spec.priority;
    live.payload_bytes = static_cast<std::uint32_t>(fact.spec.payload_bytes);
    live.submitted_us = wall_of(now_.at).us;
    live.p50_us = fact.estimate.p50.us;
    live.p90_us = fact.estimate.p90.us;
    if (fact.spec.redrive_of) live.more().redrive_of = fact.spec.redrive_of;
    if (fact.spec.resources != core::Resources{}) live.more().resources = fact.spec.resources;
    join_line(fact.task, live);
}

void Engine::join_line(TaskId task, const Live& live) {
    lines_.insert(live_.slot_of(task), {.type = live.type, .tenant = live.tenant, .queue = live.queue},
                  [this](std::uint32_t slot) { return live_.task_at(slot); });
}

void Engine::say(LogLevel level, std::string event, std::string text) const {
    if (options_.log && !replaying_) options_.log(level, std::move(event), std::move(text));
}

std::uint32_t Engine::name_number(std::string_view name) {
    const auto found = name_numbers_.find(std::string(name));
    if (found != name_numbers_.end()) return found->second;
    const auto number = static_cast<std::uint32_t>(names_.size());
    names_.emplace_back(name);
    name_numbers_.emplace(std::string(name), number);
    return number;
}

WallTime Engine::wall_of(Instant at) const {
    return at == kNever ? WallTime{} : WallTime{at.us + core_.wall_offset().us};
}

TaskId Engine::new_task_id() {
    return make_task_id(now_.wall.us / 1000, 0, rng_.next());
}

// What an event means to the engine itself, told to it before the core: the same when it happens and at a replay.
// What operators say of types is in events, so it is durable before it is acknowledged.
void Engine::heed(const core::Event& event) {
    if (const history::AuditRow* row = audit_.follow(Sequence{sequence_}, event, core_)) {
        const std::string& who = row->author.empty() ? row->caller : row->author;
        say(LogLevel::info, "audit", who + ": " + row->action + (row->reason.empty() ? "" : " (" + row->reason + ")"));
        batch_.history.audit.push_back(*row);
        if (!replaying_) confirm_audit();
    }
    if (const auto* cancel = std::get_if<core::CancelRequested>(&event.what)) {
        cancel_reason_ = cancel->act.reason;
    } else if (const auto* forced = std::get_if<core::EstimateForced>(&event.what)) {
        force(*forced);
    } else if (const auto* reset = std::get_if<core::TypeReset>(&event.what)) {
        (void)learner_.predictor().reset(reset->type);  // unknown to a predictor that started anew: nothing to forget
        learner_.changed(reset->type);
    } else if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) {
        // New to the core: it was forgotten, or never seen.
        if (!core_.find_worker(joined->name)) learner_.predictor().forget_worker(joined->name);
    }
    if (auto table = after(*tokens_, event, core_.wall_offset())) {
        tokens_ = std::move(table);
        if (options_.publish && !replaying_) options_.publish(tokens_);
    }
}

// Refused is what the core does not keep either: the engine asked before it made the event.
void Engine::force(const core::EstimateForced& forced) {
    (void)learner_.predictor().force(forced.type,
                                     {.estimate = forced.estimate,
                                      .expires = forced.expires,
                                      .expires_wall = wall_of(forced.expires),
                                      .author = forced.act.author.empty() ? forced.act.caller : forced.act.author,
                                      .reason = forced.act.reason});
    learner_.changed(forced.type);
}

// Asks the history for the rows that it was given; what it lost is given to it again.
void Engine::confirm_audit() {
    const std::size_t newest = audit_.unconfirmed().size() + kAuditRewritten;
    ask(AskAudit{.query = {.before = {}, .limit = newest}, .written = true},
        [post = post](Result<std::vector<history::AuditRow>> rows) {
            if (!rows) return;  // asked again with the next act
            post([rows = std::move(*rows)](Engine& engine) {
                for (auto& row : engine.audit_.confirm(rows)) engine.batch_.history.audit.push_back(std::move(row));
            });
        });
}

std::string Engine::save_predictor() const {
    std::string bytes;
    learner_.predictor().save(bytes);
    return bytes;
}

journal::Snapshot Engine::save() const {
    MUST(writer_.empty());
    EngineSection section{.payload_bytes = {}, .audit = audit_, .tokens = tokens_};
    live_.each([&](TaskId id, const Live& live) {
        if (live.payload_bytes > 0) section.payload_bytes[id] = live.payload_bytes;
    });
    return replica_.save(save_predictor(), section);
}

}  // namespace nexus::engine
