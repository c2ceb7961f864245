#include "engine/engine.h"

#include <algorithm>
#include <utility>

namespace nexus::engine {
namespace {

constexpr Duration kWallJump = seconds(2);   // C11: larger ones are logged and told to the core
constexpr std::size_t kAuditRewritten = 64;  // rows that may stand before those that are looked for
constexpr Duration kStall = seconds(1);      // a turn this late says nothing about workers

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
        live.priority = view->spec->priority;
        live.submitted_us = view->submitted_at.us + core_.wall_offset().us;
        live.p50_us = view->estimate.p50.us;
        live.p90_us = view->estimate.p90.us;
        if (view->state != core::TaskState::waiting) live.predict(view->estimate);
        if (view->spec->resources != core::Resources{}) live.make_rare().resources = view->spec->resources;
        join_line(id, live, names);
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
    step_ = now.wall.us / Series::kFine.us;
    submitted_told_ = core_.counters().submitted;
    look_for_drifts();
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
    tick();
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
    stored.taken = std::move(out.journal.taken);
    stored.untaken = std::exchange(unmarked_, {});
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

// ---------------------------------------------------------------------------------------------------------- the rest

void Engine::note_submitted(const core::TaskSubmitted& fact) {
    Live& live = live_[fact.task];
    live.priority = fact.spec.priority;
    live.payload_bytes = static_cast<std::uint32_t>(fact.spec.payload_bytes);
    live.submitted_us = wall_of(now_.at).us;
    live.p50_us = fact.estimate.p50.us;
    live.p90_us = fact.estimate.p90.us;
    if (fact.spec.redrive_of) live.make_rare().redrive_of = fact.spec.redrive_of;
    if (fact.spec.resources != core::Resources{}) live.make_rare().resources = fact.spec.resources;
    join_line(fact.task, live,
              {name_number(fact.spec.type), name_number(fact.spec.tenant), name_number(fact.spec.queue)});
}

void Engine::join_line(TaskId task, Live& live, const LineKey& key) {
    live.line = lines_.insert(live_.slot_of(task), key, [this](std::uint32_t slot) { return live_.task_at(slot); });
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
    tell(event);
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
