#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/bytes.h"
#include "engine/body.h"

namespace nexus::engine {
namespace {

constexpr Duration kSessionCheck = milliseconds(200);
constexpr Duration kWallJump = seconds(2);  // C11: larger ones are logged and told to the core
constexpr Duration kStall = seconds(1);     // a turn this late says nothing about workers
// Waiting tasks whose estimates are looked at again each time: the next ones, and some of all.
constexpr std::size_t kReviseNext = 64, kReviseRound = 1000;
constexpr std::size_t kRecallMax = 64;  // bodies: below a millisecond of the committer

bool moved(Duration before, Duration after) {
    return std::llabs(after.us - before.us) * 10 > std::max<std::int64_t>(before.us, 1);
}

std::unique_ptr<predict::Model> champion(const EngineOptions& options) {
    if (options.make_champion) return options.make_champion();
    auto model = predict::make_model(options.model);
    MUST(model.has_value());  // the Runner checked the name
    return std::move(*model);
}

}  // namespace

Engine::Engine(EngineOptions options)
    : options_(std::move(options)),
      predictor_(champion(options_)),
      rng_(options_.seed),
      writer_(Sequence{1}, 0, core::kCoreVersion) {
    predictor_.set_stopwatch(options_.stopwatch);
}

Engine::~Engine() = default;

// ---------------------------------------------------------------------------------------------------------- recovery

Result<void> Engine::restore(const journal::Snapshot& snapshot) {
    if (snapshot.core_version != core::kCoreVersion)
        return fail(Fault::unsupported, "the snapshot is of core version " + std::to_string(snapshot.core_version) +
                                            ", this is " + std::to_string(core::kCoreVersion));
    if (auto ok = core_.load(snapshot.core); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot, core"));
    if (core_.digest() != snapshot.digest)
        return fail(Fault::corrupt, "snapshot: the core's digest differs from the recorded one");
    if (!snapshot.predictor.empty())
        if (auto ok = predictor_.load(snapshot.predictor); !ok)
            say(LogLevel::warning, "predictor_lost",
                "the predictor of the snapshot cannot be read, it starts anew: " + ok.error().what);
    sequence_ = snapshot.at.n;
    writer_ = journal::BatchWriter(Sequence{sequence_ + 1}, snapshot.chain, core::kCoreVersion);
    for (const TaskId id : core_.tasks_after(TaskId{}, SIZE_MAX)) {
        const auto view = core_.task(id);
        Live& live = live_[id];
        live.type = name_number(view->spec->type);
        live.tenant = name_number(view->spec->tenant);
        live.queue = name_number(view->spec->queue);
        live.priority = view->spec->priority;
        live.submitted_us = view->submitted_at.us + core_.wall_offset().us;
        live.p50_us = view->estimate.p50.us;
        live.p90_us = view->estimate.p90.us;
        if (view->state != core::TaskState::waiting) live.dispatched = std::make_unique<Estimate>(view->estimate);
        if (view->spec->resources != core::Resources{}) live.more().resources = view->spec->resources;
    }
    auto section = decode_engine_section(snapshot.engine);
    if (!section) return std::unexpected(std::move(section).error().during("snapshot"));
    for (const auto& [id, bytes] : section->payload_bytes)
        if (Live* live = live_.find(id)) live->payload_bytes = static_cast<std::uint32_t>(bytes);
    abandoned_ = std::move(section->abandoned);
    return {};
}

Result<void> Engine::replay(std::string_view bytes, Sequence skip_event) {
    auto batch = journal::decode_batch(bytes, writer_.chain());
    if (!batch) return std::unexpected(std::move(batch).error());
    if (batch->core_version != core::kCoreVersion)
        return fail(Fault::unsupported, "events " + std::to_string(batch->first.n) + "… were decided by core version " +
                                            std::to_string(batch->core_version) + ", this is " +
                                            std::to_string(core::kCoreVersion));
    if (batch->first.n != sequence_ + 1)
        return fail(Fault::corrupt, "the journal goes on at " + std::to_string(batch->first.n) + " but " +
                                        std::to_string(sequence_ + 1) + " is next");
    replaying_ = true;
    bool skipped = false;
    for (core::Event& event : batch->events) {
        ++sequence_;
        if (Sequence{sequence_} == skip_event) {
            say(LogLevel::error, "event_skipped",
                "event " + std::to_string(sequence_) +
                    " was set aside by order: the state differs from what was recorded");
            skipped = true;
            continue;
        }
        now_ = {event.at, {event.at.us + core_.wall_offset().us}};
        commands_.clear();
        if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what)) note_submitted(*submitted);
        if (const auto* cancel = std::get_if<core::CancelRequested>(&event.what))
            if (cancel->reason == kAbandoned) abandoned_.insert(cancel->task);
        core_.apply(event, commands_);
        for (core::Command& command : commands_) carry_out(command);
    }
    replaying_ = false;
    if (!skipped && !skip_event && core_.digest() != batch->digest)
        return fail(Fault::corrupt, "events " + std::to_string(batch->first.n) + " to " + std::to_string(sequence_) +
                                        ": replaying them gives another digest than the recorded one");
    writer_ = journal::BatchWriter(Sequence{sequence_ + 1}, batch->chain, core::kCoreVersion);
    return {};
}

void Engine::start(Now now) {
    begin_turn(now);
    started_ = true;
    started_wall_ = now.wall;
    const bool fresh = sequence_ == 0;
    apply(core::EngineStarted{.seed = rng_.next(), .wall_offset = {now.wall.us - now.at.us}});
    // The configuration is part of the journal from its first moment: a replay must not depend on what a later start
    // says.
    if (fresh && options_.config != core::Config{}) apply(core::ConfigChanged{.config = options_.config});
    for (const TaskId task : std::exchange(bodiless_, {})) abandon_task(task);
    recall_end_ = live_.slots();
    for (std::size_t slot = 0; slot < recall_end_; ++slot)
        if (Live* live = live_.find(live_.task_at(slot))) live->unread = true;
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
    recall_some();
    if (now_.at < next_check_) return;
    next_check_ = now_.at + kSessionCheck;
    check_sessions();
    check_overdue();
    if (learned_) {
        learned_ = false;
        publish_learned();
        revise_waiting();
    }
}

Instant Engine::next_turn() const {
    const bool watching = !sessions_.empty() || !due_.empty() || learned_;
    return watching ? std::min(wake_, std::max(next_check_, now_.at)) : wake_;
}

PendingBatch Engine::take_batch() {
    PendingBatch out = std::move(batch_);
    batch_ = PendingBatch{};
    for (const SessionId id : ordered_)
        if (const auto found = sessions_.find(id); found != sessions_.end()) found->second.out = SIZE_MAX;
    ordered_.clear();
    out.journal.first = writer_.first();
    out.journal.count = writer_.count();
    if (!writer_.empty()) out.journal.bytes = writer_.finish(core_.digest());
    return out;
}

void Engine::apply(core::Fact fact) {
    core::Event event{.at = now_.at, .what = std::move(fact)};
    writer_.add(event);
    ++sequence_;
    commands_.clear();
    const bool timed = options_.nanoseconds && (++applied_ & 7) == 0;
    const std::int64_t begin = timed ? options_.nanoseconds() : 0;
    core_.apply(event, commands_);
    if (timed) decide_ns_.add(options_.nanoseconds() - begin);
    for (core::Command& command : commands_) carry_out(command);
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
    const core::WorkerView worker = core_.worker(order.worker);
    live.overdue = false;
    if (!live.dispatched) live.dispatched = std::make_unique<Estimate>();
    *live.dispatched = order.decision.estimate;
    if (!order.decision.fallback && !live.unread)
        *live.dispatched = predictor_.estimate(features_of(live, worker.name, hardware_of(worker)), now_.at);
    if (replaying_) return;
    if (live.rare) live.rare->progress = 0;
    DecisionNote note{.number = sequence_,
                      .at = now_.wall,
                      .task = order.task,
                      .decision = order.decision,
                      .type = names_[live.type],
                      .worker = std::string(worker.name)};
    if (order.decision.baseline) note.baseline = core_.worker(order.decision.baseline).name;
    for (int i = 1; i < order.decision.candidates_count && i < 3; ++i)
        note.others[i - 1] = core_.worker(order.decision.candidates[i].worker).name;
    batch_.decisions.push_back(std::move(note));
    Assignment assignment{
        .order = order, .type = names_[live.type], .tenant = names_[live.tenant], .queue = names_[live.queue]};
    if (order.task == current_task_) assignment.body = current_body_;
    assignment.order.decision.predicted_run = live.dispatched->p50;
    orders_for(order.session).assign.push_back(std::move(assignment));
    notify(order.task);
}

void Engine::on(core::RevokeAttempt& order) {
    if (replaying_) return;
    if (const Live* live = live_.find(order.task); live != nullptr && order.reason == core::RevokeReason::preempted)
        batch_.decisions.push_back({.number = sequence_,
                                    .at = now_.wall,
                                    .task = order.task,
                                    .decision = order.decision,
                                    .type = names_[live->type],
                                    .worker = std::string(core_.worker(core_.worker_of(order.session)).name)});
    orders_for(order.session).revoke.push_back(order);
}

void Engine::on(core::PauseAttempt& order) {
    if (replaying_) return;
    if (const Live* live = live_.find(order.task))
        batch_.decisions.push_back({.number = sequence_,
                                    .at = now_.wall,
                                    .task = order.task,
                                    .decision = order.decision,
                                    .type = names_[live->type],
                                    .worker = std::string(core_.worker(order.worker).name)});
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
    if (!replaying_) orders_for(answer.session).answers.push_back(answer);
}

void Engine::on(core::AttemptEnded& ended) {
    Live* const found = live_.find(ended.task);
    if (found == nullptr) return;
    Live& live = *found;
    learn(ended, live);
    const Estimate predicted = live.predicted();
    const std::string_view worker = core_.worker(ended.worker).name;
    const bool reported = current_report_ != nullptr && current_report_->attempt == ended.attempt;
    AttemptInfo info{.number = ended.number,
                     .attempt = ended.attempt,
                     .worker = std::string(worker),
                     .assigned = wall_of(ended.assigned_at),
                     .started = wall_of(ended.started_at),
                     .ended = now_.wall,
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
                                       .type = names_[live.type],
                                       .tenant = names_[live.tenant],
                                       .worker = info.worker,
                                       .outcome = static_cast<std::uint8_t>(ended.outcome),
                                       .assigned = info.assigned,
                                       .started = info.started,
                                       .ended = info.ended,
                                       .run = ended.run,
                                       .predicted_p50 = predicted.p50,
                                       .predicted_p90 = predicted.p90,
                                       .source = std::to_string(static_cast<int>(predicted.source)),
                                       .payload_bytes = live.payload_bytes,
                                       .peak_memory_bytes = ended.peak_memory_bytes,
                                       .error = info.error});
    if (ended.outcome == core::AttemptOutcome::succeeded) return;
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
    if (ended.state == core::TaskState::cancelled)
        error = ended.cause ? "cancelled: task " + to_text(ended.cause) + ", which it comes after, did not succeed"
                            : (cancel_reason_.empty() ? "cancelled" : "cancelled: " + cancel_reason_);
    if (ended.state == core::TaskState::expired) error = "expired: its deadline or time to live passed";
    if (good && live.eta_p90_us != 0) predictor_.note_eta(now_.wall.us <= live.eta_p90_us);
    batch_.history.tasks.push_back(
        {.task = ended.task,
         .type = names_[live.type],
         .tenant = names_[live.tenant],
         .queue = names_[live.queue],
         .priority = live.priority,
         .state = static_cast<std::uint8_t>(ended.state),
         .submitted = {live.submitted_us},
         .started = wall_of(ended.started_at),
         .finished = now_.wall,
         .run = ended.run,
         .worker = ended.worker ? std::string(core_.worker(ended.worker).name) : std::string(),
         .attempts = ended.attempts,
         .failures = ended.failures,
         .crashes = ended.crashes,
         .payload_bytes = live.payload_bytes,
         .result_bytes = ended.result_bytes,
         .predicted_p50 = {live.p50_us},
         .predicted_p90 = {live.p90_us},
         .eta_finish_p50 = {live.eta_p50_us},
         .eta_finish_p90 = {live.eta_p90_us},
         .error = std::move(error),
         .redrive_of = live.rare ? live.rare->redrive_of : TaskId{}});
    if (!replaying_) {
        if (!watches_.empty()) {
            TaskInfo info = info_of(ended.task, false);
            const store::TaskRow& row = batch_.history.tasks.back();
            info.state = ended.state;
            info.finished = now_.wall;
            info.run = ended.run;
            info.error = row.error;
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
            batch_.journal.results.push_back({.task = ended.task, .body = std::move(current_report_->result)});
    }
    live_.erase(ended.task);
}

void Engine::on(core::TaskRequeued& requeued) {
    if (!replaying_) notify(requeued.task);
}

void Engine::on(core::WakeAt& wake) {
    wake_ = wake.at;
}

// ---------------------------------------------------------------------------------------------------------- learning

void Engine::note_submitted(const core::TaskSubmitted& fact) {
    Live& live = live_[fact.task];
    live.type = name_number(fact.spec.type);
    live.tenant = name_number(fact.spec.tenant);
    live.queue = name_number(fact.spec.queue);
    live.priority = fact.spec.priority;
    live.payload_bytes = static_cast<std::uint32_t>(fact.spec.payload_bytes);
    live.submitted_us = now_.wall.us;
    live.p50_us = fact.estimate.p50.us;
    live.p90_us = fact.estimate.p90.us;
    if (fact.spec.redrive_of) live.more().redrive_of = fact.spec.redrive_of;
    if (fact.spec.resources != core::Resources{}) live.more().resources = fact.spec.resources;
}

predict::Features Engine::features_of(const Live& live, std::string_view worker, std::string_view hardware) const {
    predict::Features features{.type = names_[live.type],
                               .tenant = names_[live.tenant],
                               .queue = names_[live.queue],
                               .worker = worker,
                               .hardware = hardware,
                               .payload_bytes = live.payload_bytes};
    features.hour = static_cast<std::uint8_t>((now_.wall.us / 3'600'000'000) % 24);
    features.provisional = worker.empty();
    if (live.rare) {
        features.hint = live.rare->hint;
        features.cpu_milli = live.rare->resources.cpu_milli;
        features.memory_bytes = live.rare->resources.memory_bytes;
        features.gpu_milli = live.rare->resources.gpu_milli;
        if (!live.rare->features.empty()) features.numbers = &live.rare->features;
    }
    return features;
}

std::string_view Engine::hardware_of(const core::WorkerView& worker) {
    if (worker.labels == nullptr) return {};
    for (const auto& [name, value] : *worker.labels)
        if (name == "hw") return value;
    return {};
}

void Engine::learn(const core::AttemptEnded& ended, const Live& live) {
    if (ended.started_at == kNever || ended.outcome == core::AttemptOutcome::rejected) return;
    const core::WorkerView worker = core_.worker(ended.worker);
    predict::Observation seen{.features = features_of(live, worker.name, hardware_of(worker)),
                              .run = ended.run.us >= 0 ? ended.run : ended.ran,
                              .peak_memory_bytes = ended.peak_memory_bytes,
                              .predicted = live.predicted(),
                              .at = now_.at};
    seen.run.us = std::max<std::int64_t>(seen.run.us, 1);
    seen.features.attempt = ended.number;
    seen.end = ended.outcome == core::AttemptOutcome::succeeded ? predict::RunEnd::succeeded
               : ended.outcome == core::AttemptOutcome::failed  ? predict::RunEnd::failed
                                                                : predict::RunEnd::censored;
    predictor_.learn(seen);
    learned_ = true;
}

// What the predictor learned becomes events, so that a replay needs no model.
void Engine::publish_learned() {
    for (const predict::SpeedChange& change : predictor_.take_speed_changes())
        if (const WorkerNo worker = core_.find_worker(change.worker))
            apply(core::WorkerSpeedLearned{
                .worker = worker, .speed_ppm = change.speed_ppm, .deviation_ppm = change.deviation_ppm});
    for (predict::AffinityChange& change : predictor_.take_affinity_changes())
        apply(core::AffinityLearned{
            .type = std::move(change.type), .hardware = std::move(change.hardware), .factor_ppm = change.factor_ppm});
    const double trust = predictor_.trust();
    if (std::abs(trust - told_trust_) > 0.02) {
        told_trust_ = trust;
        apply(core::TrustLearned{.trust_ppm = static_cast<std::uint32_t>(std::clamp(trust, 0.0, 1.0) * 1e6)});
    }
}

// Hints and features are stored with the bodies, in no event. After a start the committer reads them a few at a time,
// so that neither the start nor the loop waits for the disk.
void Engine::recall_some() {
    if (recalling_) return;
    for (; recall_slot_ < recall_end_ && batch_.recall.size() < kRecallMax; ++recall_slot_)
        if (const Live* live = live_.find(live_.task_at(recall_slot_)); live != nullptr && live->unread)
            batch_.recall.push_back(live_.task_at(recall_slot_));
    recalling_ = !batch_.recall.empty();
}

void Engine::remember(const std::vector<TaskId>& asked, std::vector<Recalled> found) {
    recalling_ = false;
    for (Recalled& one : found)
        if (Live* live = live_.find(one.task)) {
            live->more().hint = one.hint;
            live->more().features = std::move(one.features);
        }
    for (const TaskId task : asked)
        if (Live* live = live_.find(task)) live->unread = false;
}

// The next tasks are looked at again at once, all others in turn: ETAs and the time to drain rest on every one of them.
void Engine::revise_waiting() {
    for (const TaskId id : core_.next_waiting(kReviseNext)) revise(id);
    for (std::size_t n = std::min(kReviseRound, live_.slots()); n > 0; --n) {
        if (revised_slot_ >= live_.slots()) revised_slot_ = 0;
        if (const TaskId id = live_.task_at(revised_slot_++)) revise(id);
    }
}

void Engine::revise(TaskId task) {
    const Live* const live = live_.find(task);
    const auto view = core_.task(task);
    // What is told of a task with its body is better known to its old estimate than to a new one without it.
    if (live == nullptr || live->unread || !view || view->state != core::TaskState::waiting) return;
    const Estimate estimate = predictor_.estimate(features_of(*live, {}, {}), now_.at);
    if (estimate.source == EstimateSource::none) return;
    if (moved(view->estimate.p50, estimate.p50) || moved(view->estimate.mean, estimate.mean))
        apply(core::EstimateRevised{.task = task, .estimate = estimate});
}

// A running attempt that passed its P90 is counted at once: waiting for its end would bias the tracker.
void Engine::check_overdue() {
    while (!due_.empty() && due_.top().at <= now_.at) {
        const Due due = due_.top();
        due_.pop();
        Live* const found = live_.find(due.task);
        const auto view = core_.task(due.task);
        if (found == nullptr || !view || view->attempt != due.attempt || found->overdue) continue;
        if (const Duration left = found->predicted().p90 - view->ran; left.us > 0) {  // it stood still meanwhile
            due_.push({now_.at + std::max(left, seconds(1)), due.task, due.attempt});
            continue;
        }
        found->overdue = true;
        const core::WorkerView worker = core_.worker(view->worker);
        predictor_.overdue(features_of(*found, worker.name, hardware_of(worker)), found->predicted());
    }
}

// ---------------------------------------------------------------------------------------------------------- sessions

void Engine::check_sessions() {
    std::vector<std::pair<SessionId, Instant>> lost;
    for (auto& [id, session] : sessions_) {
        const Duration silent = now_.at - session.last_contact;
        if (silent >= options_.lost_after) {
            lost.emplace_back(id, session.last_contact);
        } else if (silent >= options_.suspect_after && !session.suspect) {
            session.suspect = true;
            say(LogLevel::warning, "worker_suspected", "worker " + session.name + " is silent: no new work for it");
            apply(core::WorkerSuspected{.session = id});
        }
    }
    for (const auto& [id, last_contact] : lost) {
        say(LogLevel::warning, "worker_lost",
            "worker " + sessions_[id].name + " is lost: its tasks go elsewhere when the lease ends");
        apply(core::WorkerLost{.session = id, .last_contact = last_contact});
        WorkerOrders& orders = orders_for(id);
        orders.reconnect = "silent for too long";
        orders.close = true;
        sessions_.erase(id);
    }
}

void Engine::connect(WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) {
    if (auto ok = check_hello(hello); !ok)
        return reply<SessionId>(std::move(done), std::unexpected(std::move(ok).error()));
    // The journal position of the joining: unique over restarts.
    const SessionId id{sequence_ + 1};
    Session& session = sessions_[id];
    session.link = std::move(link);
    session.name = hello.joined.name;
    session.version = std::move(hello.version);
    session.hostname = std::move(hello.hostname);
    session.last_contact = now_.at;
    session.connected_at = session.last_heard = now_.wall;
    hello.joined.session = id;
    say(LogLevel::info, "worker_joined",
        "worker " + session.name + " joined with " + std::to_string(hello.joined.slots) + " slots");
    // The welcome is the first thing of a session; tasks assigned by joining follow it in the same message.
    batch_.replies.push_back([done = std::move(done), id](const Error* failed) mutable {
        if (failed != nullptr) return done(std::unexpected(*failed));
        done(id);
    });
    apply(std::move(hello.joined));
}

void Engine::report(SessionId id, WorkerReport report) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    Session& session = found->second;
    session.last_contact = now_.at;
    session.last_heard = now_.wall;
    if (session.suspect) {
        session.suspect = false;
        say(LogLevel::info, "worker_recovered", "worker " + session.name + " is heard again");
        apply(core::WorkerRecovered{.session = id});
    }
    if (report.load) {
        session.cpu_usage = report.load->cpu_usage;
        session.memory_usage = report.load->memory_usage;
    }
    if (report.capacity)
        apply(core::WorkerCapacityChanged{.session = id,
                                          .slots = report.capacity->slots,
                                          .offered = std::move(report.capacity->offered),
                                          .draining = report.capacity->draining});
    for (const auto& [task, attempt] : report.started) {
        apply(core::AttemptStarted{.task = task, .attempt = attempt, .session = id});
        Live* const live = live_.find(task);
        if (live == nullptr) continue;
        if (const Estimate predicted = live->predicted(); predicted.source != EstimateSource::none)
            due_.push({now_.at + predicted.p90, task, attempt});
        notify(task);
    }
    for (core::AttemptPaused& paused : report.paused) {
        paused.session = id;
        apply(paused);
    }
    for (AttemptProgress& progress : report.progress) {
        Live* const live = live_.find(progress.task);
        const auto view = core_.task(progress.task);
        if (live == nullptr || !view || view->attempt != progress.attempt) continue;
        Live::Rare& rare = live->more();
        rare.progress = std::clamp(progress.fraction, 0.0, 1.0);
        rare.progress_note = std::move(progress.note);
        notify(progress.task);
    }
    for (AttemptReport& finished : report.finished) {
        current_report_ = &finished;
        apply(core::AttemptFinished{.task = finished.task,
                                    .attempt = finished.attempt,
                                    .session = id,
                                    .outcome = finished.outcome,
                                    .retryable = finished.retryable,
                                    .run = finished.run,
                                    .result_bytes = finished.result.size(),
                                    .peak_memory_bytes = finished.peak_memory_bytes});
        current_report_ = nullptr;
    }
    if (report.goodbye) session.goodbye = true;
}

void Engine::disconnected(SessionId id) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    const bool planned = found->second.goodbye;
    say(planned ? LogLevel::info : LogLevel::warning, "worker_left",
        "worker " + found->second.name + (planned ? " said goodbye" : " is gone: its connection closed"));
    found->second.link.reset();
    apply(core::WorkerLeft{.session = id, .planned = planned});
    sessions_.erase(id);
}

void Engine::tell_workers_to_reconnect(std::string why) {
    for (auto& [id, session] : sessions_) orders_for(id).reconnect = why;
}

// ---------------------------------------------------------------------------------------------------------- the rest

void Engine::say(LogLevel level, std::string event, std::string text) const {
    if (options_.log && !replaying_) options_.log(level, std::move(event), std::move(text));
}

void Engine::audit(std::string author, std::string action, std::string reason, std::string before, std::string after) {
    store::AuditRow row{.at = now_.wall,
                        .author = std::move(author),
                        .action = std::move(action),
                        .reason = std::move(reason),
                        .before = std::move(before),
                        .after = std::move(after)};
    audit_hash_ = sha256_hex(audit_hash_ + '\n' + std::to_string(row.at.us) + '\n' + row.author + '\n' + row.action +
                             '\n' + row.reason + '\n' + row.before + '\n' + row.after);
    row.hash = audit_hash_;
    say(LogLevel::info, "audit", row.author + ": " + row.action + (row.reason.empty() ? "" : " (" + row.reason + ")"));
    batch_.history.audit.push_back(std::move(row));
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
    const std::uint64_t high = rng_.next();
    const std::uint64_t low = rng_.next();
    return make_task_id(now_.wall.us / 1000, high, low);
}

std::string Engine::save_predictor() const {
    std::string bytes;
    predictor_.save(bytes);
    return bytes;
}

journal::Snapshot Engine::save() const {
    MUST(writer_.empty());
    journal::Snapshot snapshot{.at = last_sequence(),
                               .chain = writer_.chain(),
                               .digest = core_.digest(),
                               .core_version = core::kCoreVersion,
                               .predictor = save_predictor()};
    core_.save(snapshot.core);
    EngineSection section{.abandoned = abandoned_};
    for (std::size_t slot = 0; slot < live_.slots(); ++slot)
        if (const Live* live = live_.find(live_.task_at(slot)); live != nullptr && live->payload_bytes > 0)
            section.payload_bytes[live_.task_at(slot)] = live->payload_bytes;
    snapshot.engine = section.encode();
    return snapshot;
}

}  // namespace nexus::engine
