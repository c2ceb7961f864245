#include "faults/checker.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>

#include "base/hash.h"
#include "base/must.h"
#include "engine/body.h"

namespace nexus::faults {
namespace {

constexpr std::uint64_t kFullCheckEvery = 16;         // batches between two checks of the twin's whole state
constexpr std::string_view kSecret = "secret work ";  // how each payload begins; nothing told to people may hold it
constexpr std::uint32_t kCrashesMost = 16;  // of one task, whatever the limits in use and however few the workers

}  // namespace

std::string payload_of(std::uint64_t number) {
    return std::string(kSecret) + std::to_string(number) + " ";
}

std::uint64_t number_of(std::string_view payload) {
    if (!payload.starts_with(kSecret)) return UINT64_MAX;
    payload.remove_prefix(kSecret.size());
    std::uint64_t number = UINT64_MAX;
    std::from_chars(payload.data(), payload.data() + payload.size(), number);
    return number;
}

Work& Checker::new_work(Work work) {
    work.number = works_.size();
    // Some are empty but for their number, some as large as may be.
    std::string payload = payload_of(work.number);
    work.submission.body.payload = payload + std::move(work.submission.body.payload);
    return works_.emplace_back(std::move(work));
}

void Checker::saw(std::string_view what) {
    const auto found = seen_.find(what);
    if (found != seen_.end())
        ++found->second;
    else
        seen_.emplace(what, 1);
}

std::string Checker::name(TaskId task) const {
    const auto found = tasks_.find(task);
    std::string text = "task " + to_text(task);
    if (found != tasks_.end() && found->second.work != UINT64_MAX)
        text += " (work " + std::to_string(found->second.work) + ")";
    return text;
}

Checker::TaskFact& Checker::fact(TaskId task, const char* where) {
    const auto found = tasks_.find(task);
    demand(found != tasks_.end(), "S2", std::string(where) + " of a task that nobody submitted: " + to_text(task));
    return found->second;
}

// ------------------------------------------------------------------------------------------------------------ clients

void Checker::submit_acked(std::uint64_t number, const engine::Submitted& answer) {
    Work& work = works_.at(number);
    const auto found = tasks_.find(answer.task);
    demand(
        found != tasks_.end(), "S1",
        "work " + std::to_string(number) + " was acknowledged as " + to_text(answer.task) + " before it was durable");
    const TaskFact& fact = found->second;
    demand(fact.work == number, "S3",
           "work " + std::to_string(number) + " was acknowledged as another's " + name(answer.task));
    demand(!work.acked || work.acked == answer.task || may_forget_key(work.acked), "S3",
           "work " + std::to_string(number) + " has two tasks");
    if (!answer.duplicate)
        demand(fact.estimate == answer.estimate, "S30",
               name(answer.task) + ": the estimate told differs from the one decided by");
    if (answer.duplicate) saw("duplicate submit answered with the first task");
    work.acked = answer.task;
}

void Checker::cancel_acked(std::uint64_t number, TaskId task) {
    works_.at(number).cancel_acked = task;
    saw("cancel acknowledged");
}

void Checker::shown(const engine::TaskInfo& info) {
    const TaskFact& known = fact(info.task, "a view");
    if (!core::is_terminal(info.state)) return;
    demand(known.ended, "S4", name(info.task) + " was shown as ended before its end was durable");
    demand(
        known.state == info.state, "S4",
        name(info.task) + " was shown as " + core::name_of(info.state) + " but ended as " + core::name_of(known.state));
}

// -------------------------------------------------------------------------------------------------------------- store

void Checker::committed(const store::JournalBatch& batch) {
    if (batch.count == 0 || batch.first.n <= sequence_) return;
    for (const store::BodyPut& put : batch.puts) {
        const auto body = engine::decode_body(put.body);
        demand(body.has_value(), "S2", "a stored body cannot be read");
        body_of_[put.task] = number_of(body->payload);
    }
    follow(batch.first, batch.bytes);
}

void Checker::found(Sequence first, std::string_view bytes, store::JournalStore& store) {
    if (first.n <= sequence_) return;
    const auto decoded = journal::decode_batch(bytes, chain_);
    demand(decoded.has_value(), "S18", "a batch of ours cannot be decoded");
    for (const core::Event& event : decoded->events) {
        const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what);
        if (submitted == nullptr) continue;
        // Of a task that ended meanwhile the body is kept as its result, unless it succeeded.
        store::Body stored = store::read_body(store, store::BodyKind::body, submitted->task);
        if (stored.state != store::Body::State::found)
            stored = store::read_body(store, store::BodyKind::result, submitted->task);
        const auto body = engine::decode_body(engine::left_behind(stored.bytes).bytes);
        if (body) body_of_[submitted->task] = number_of(body->payload);
    }
    follow(first, bytes);
}

void Checker::follow(Sequence first, std::string_view bytes) {
    demand(first.n == sequence_ + 1, "S25",
           "the journal jumps from " + std::to_string(sequence_) + " to " + std::to_string(first.n));
    const auto decoded = journal::decode_batch(bytes, chain_);
    demand(decoded.has_value(), "S18", "a batch of ours cannot be decoded");
    for (const core::Event& each : decoded->events) {
        ++sequence_;
        event(each);
    }
    demand(twin_.digest() == decoded->digest, "S18",
           "at event " + std::to_string(sequence_) + " the twin's digest differs from the recorded one");
    chain_ = decoded->chain;
    digest_ = mix(mix(digest_, decoded->digest), sequence_);
    if (++batches_ % kFullCheckEvery == 0) check_everything();
    if (thorough_) recover_twin();
    demand(twin_.counters().idle_while_waiting.us == 0, "S28", "a free worker stood beside a task that it may run");
}

bool Checker::may_forget_key(TaskId task) const {
    const TaskFact& known = tasks_.at(task);
    const core::Config& config = twin_.config();
    return known.ended && (by_key_.size() >= config.idempotency_keys_max ||
                           twin_.now() >= known.submitted + config.idempotency_window);
}

void Checker::decision_told(std::string_view record) {
    demand(record.find(kSecret) == std::string_view::npos, "S17", "a decision shows a payload: " + std::string(record));
}

void Checker::recovered(const core::Scheduler& core, Sequence last) {
    demand(last.n == sequence_, "S1",
           "recovered up to event " + std::to_string(last.n) + " of " + std::to_string(sequence_));
    demand(core.digest() == twin_.digest(), "S31",
           "the recovered state differs from the durable one at event " + std::to_string(sequence_));
    core.check_invariants();
    operators_.recovered(core);
    if (operators_.in_force() > 0) saw("operators' word in force after a restart");
    for (const Work& work : works_) {
        if (!work.acked) continue;
        const TaskFact& known = tasks_.at(work.acked);
        demand(known.ended || core.task(work.acked).has_value(), "S1",
               name(work.acked) + " was acknowledged and is gone after a restart");
    }
    saw("server recovered");
}

// The whole state, recounted.
void Checker::check_everything() {
    twin_.check_invariants();
    for (std::uint32_t w = 0; w < twin_.worker_count(); ++w) {
        const core::WorkerView worker = twin_.worker(WorkerNo{w});
        if (worker.name.empty()) saw("worker forgotten");
        if (worker.breaker != 0) saw(worker.breaker == 1 ? "breaker open" : "breaker probing");
    }
}

// The state is saved and loaded as a recovery would do it, and the twin goes on from there: what is lost on the way
// shows at once, or as another digest later [S31].
void Checker::recover_twin() {
    saved_.clear();
    twin_.save(saved_);
    core::Scheduler loaded;
    demand(loaded.load(saved_).has_value(), "S31",
           "the state at event " + std::to_string(sequence_) + " cannot be loaded");
    saved_again_.clear();
    loaded.save(saved_again_);
    demand(saved_ == saved_again_ && loaded.digest() == twin_.digest(), "S31",
           "the state at event " + std::to_string(sequence_) + " changes by being saved and loaded");
    twin_ = std::move(loaded);
    saw("recovered at a batch");
}

std::string Checker::holder(AttemptId attempt) const {
    const auto owner = attempts_.find(attempt);
    if (owner == attempts_.end()) return {};
    for (const Attempt& a : tasks_.at(owner->second).current)
        if (a.id == attempt) return std::string(twin_.worker(a.worker).name);
    return {};
}

bool Checker::from_holder(AttemptId attempt, SessionId session) const {
    const auto sender = sessions_.find(session.n);
    const std::string name = holder(attempt);
    return !name.empty() && (!session || (sender != sessions_.end() && sender->second == name));
}

// A report of an attempt that is not current, or of another worker's, changes nothing but what time alone changes; of one that was revoked it
// may free the slot, so that other tasks start or go on [S7].
void Checker::follow_stale(const core::Event& event) {
    saved_.clear();
    twin_.save(saved_);
    core::Scheduler alone;
    MUST(alone.load(saved_).has_value());
    std::vector<core::Command> ignored;
    alone.apply({.at = event.at, .what = core::TimePassed{}}, ignored);
    twin_.apply(event, commands_);
    const core::Counters &a = alone.counters(), &b = twin_.counters();
    bool same = a.waiting + a.assigned == b.waiting + b.assigned && a.running + a.paused == b.running + b.paused &&
                a.succeeded == b.succeeded && a.dead == b.dead && a.cancelled == b.cancelled &&
                a.expired == b.expired && a.requeues == b.requeues;
    for (const TaskId task : alone.tasks_after({}, SIZE_MAX)) {
        const auto before = alone.task(task), after = twin_.task(task);
        same = same && after && before->failures == after->failures && before->crashes == after->crashes &&
               before->started_at == after->started_at;
        if (before && before->attempt) same = same && after && before->attempt == after->attempt;
    }
    demand(same, "S7",
           "a report of an attempt that is not current changed something, at event " + std::to_string(sequence_));
    saw("stale report compared");
}

// The story of a world, for somebody who looks for what went wrong.
void Checker::tell(const core::Event& event) const {
    std::printf("%llu %s\n", static_cast<unsigned long long>(sequence_), journal::describe(event).c_str());
    for (const core::Command& command : commands_) {
        if (const auto* order = std::get_if<core::AssignAttempt>(&command))
            std::printf("    assign %s attempt %s to %s\n", to_text(order->task).c_str(),
                        to_text(order->attempt).c_str(), std::string(twin_.worker(order->worker).name).c_str());
        if (const auto* over = std::get_if<core::AttemptEnded>(&command))
            std::printf("    over %s attempt %s: %s\n", to_text(over->task).c_str(), to_text(over->attempt).c_str(),
                        core::name_of(over->outcome));
        if (const auto* end = std::get_if<core::TaskEnded>(&command))
            std::printf("    end %s: %s\n", to_text(end->task).c_str(), core::name_of(end->state));
    }
}

void Checker::event(const core::Event& event) {
    remember_before(event);
    set_leases(event);
    // What falls due meets the calendar as it was, but at a start.
    event_wall_ = std::numeric_limits<std::int64_t>::max();
    if (!std::holds_alternative<core::EngineStarted>(event.what)) {
        event_wall_ = event.at.us + twin_.wall_offset().us;
        wall_high_ = std::max(wall_high_, event_wall_);
    }
    note(event);
    commands_.clear();
    const auto* report = std::get_if<core::AttemptFinished>(&event.what);
    if (thorough_ && report != nullptr && !from_holder(report->attempt, report->session))
        follow_stale(event);
    else
        twin_.apply(event, commands_);
    if (story_) tell(event);
    for (const core::Command& command : commands_) this->command(event, command);
    if (thorough_) check_everything();
    wall_high_ = std::max(wall_high_, twin_.now().us + twin_.wall_offset().us);
}

// The worker that this event is about, as it was.
void Checker::remember_before(const core::Event& event) {
    changed_.clear();
    SessionId session;
    if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) changed_ = joined->name;
    if (const auto* control = std::get_if<core::WorkerControlled>(&event.what)) changed_ = control->name;
    config_changes_ = std::holds_alternative<core::ConfigChanged>(event.what);
    if (const auto* capacity = std::get_if<core::WorkerCapacityChanged>(&event.what)) session = capacity->session;
    if (const auto* suspected = std::get_if<core::WorkerSuspected>(&event.what)) session = suspected->session;
    if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) session = left->session;
    if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) session = lost->session;
    if (session) changed_ = sessions_[session.n];
    if (!changed_.empty()) before_ = workers_[changed_];
}

// What the events themselves say, before the core has judged them.
void Checker::note(const core::Event& event) {
    const auto* set = std::get_if<core::OverrideSet>(&event.what);
    const auto named = set == nullptr ? tasks_.end() : tasks_.find(set->task);
    operators_.follow(sequence_, event, named != tasks_.end() && !named->second.ended);
    if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what)) {
        demand(!tasks_.contains(submitted->task), "S3", "one task id twice");
        const auto body = body_of_.find(submitted->task);
        TaskFact known{.work = body == body_of_.end() ? UINT64_MAX : body->second,
                       .spec = submitted->spec,
                       .estimate = submitted->estimate,
                       .submitted = event.at,
                       .serial = ++serial_};
        demand(known.work < works_.size(), "S1", "a task without its body, or one that nobody submitted");
        if (submitted->spec.idempotency_hi != 0 && known.work != UINT64_MAX) {
            auto& same = by_key_[{submitted->spec.idempotency_hi, submitted->spec.idempotency_lo}];
            for (const TaskId other : same) {
                const TaskFact& first = tasks_.at(other);
                demand(first.work == UINT64_MAX || may_forget_key(other), "S3",
                       "two tasks of one idempotency key: " + name(other) + " and " + to_text(submitted->task));
            }
            same.push_back(submitted->task);
        }
        if (known.work != UINT64_MAX) works_[known.work].stored = true;
        for (const std::string& key : keys_of(submitted->spec)) sharing_[key].push_back(submitted->task);
        submitted_.push_back(submitted->task);
        ++live_;
        if (submitted->estimate.source == EstimateSource::none) saw("prediction failed");
        set_fair(known, event.at);
        tasks_.emplace(submitted->task, std::move(known));
    } else if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) {
        WorkerFact& worker = workers_[joined->name];
        if (worker.connected) saw("two sessions of one worker");
        if (!joined->held.empty()) saw("worker returned with attempts");
        worker.joined = *joined;
        worker.connected = true;
        worker.suspect = worker.leaving = false;
        sessions_[joined->session.n] = joined->name;
    } else if (const auto* capacity = std::get_if<core::WorkerCapacityChanged>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[capacity->session.n]];
        if (worker.joined.session != capacity->session) return;
        worker.joined.slots = capacity->slots;
        worker.joined.offered = capacity->offered;
        worker.leaving = capacity->draining;
    } else if (const auto* answer = std::get_if<core::AttemptPaused>(&event.what)) {
        if (answer->paused || answer->turn != turns_[answer->attempt]) return;
        if (still_.erase(answer->attempt) > 0) saw("pause refused by the worker");
    } else if (const auto* suspected = std::get_if<core::WorkerSuspected>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[suspected->session.n]];
        if (worker.joined.session == suspected->session) worker.suspect = true;
        saw("worker suspected");
    } else if (const auto* back = std::get_if<core::WorkerRecovered>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[back->session.n]];
        if (worker.joined.session == back->session) worker.suspect = false;
    } else if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[left->session.n]];
        if (worker.joined.session == left->session) {
            worker.connected = false;
            if (left->planned) worker.draining = false;
        }
    } else if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[lost->session.n]];
        if (worker.joined.session == lost->session) worker.connected = false;
        saw("worker lost");
    } else if (const auto* control = std::get_if<core::WorkerControlled>(&event.what)) {
        WorkerFact& worker = workers_[control->name];
        if (control->order == core::WorkerOrder::cordon) worker.cordoned = true;
        if (control->order == core::WorkerOrder::drain) worker.draining = true;
        if (control->order == core::WorkerOrder::forget) saw("worker forgotten by order");
        if (control->order == core::WorkerOrder::uncordon || control->order == core::WorkerOrder::forget)
            worker.cordoned = worker.draining = false;
    } else if (const auto* wall = std::get_if<core::WallMoved>(&event.what)) {
        saw(wall->wall_offset > twin_.wall_offset() ? "calendar jumped forward" : "calendar jumped back");
    } else if (std::holds_alternative<core::EngineStarted>(event.what)) {
        for (auto& [worker_name, worker] : workers_) worker.connected = false;
    } else if (const auto* cancel = std::get_if<core::CancelRequested>(&event.what)) {
        const auto known = tasks_.find(cancel->task);
        if (known != tasks_.end() && !known->second.current.empty() && !known->second.current.front().started)
            saw("cancel during dispatch");
    } else if (const auto* started = std::get_if<core::AttemptStarted>(&event.what)) {
        if (!from_holder(started->attempt, started->session)) return;
        const auto attempt = attempts_.find(started->attempt);
        for (Attempt& current : tasks_.at(attempt->second).current)
            if (current.id == started->attempt) current.started = true;
    }
}

void Checker::command(const core::Event& cause, const core::Command& command) {
    if (const auto* order = std::get_if<core::AssignAttempt>(&command)) {
        // Without a prediction every promise to a task holds all the same [S21].
        try {
            assigned(cause, *order);
        } catch (Violation& violation) {
            if (order->decision.fallback)
                violation = {.promise = "S21", .what = violation.promise + ": " + violation.what};
            throw;
        }
    } else if (const auto* ended = std::get_if<core::AttemptEnded>(&command)) {
        attempt_ended(cause, *ended);
    } else if (const auto* done = std::get_if<core::TaskEnded>(&command)) {
        task_ended(*done);
    } else if (const auto* answer = std::get_if<core::AnswerReport>(&command)) {
        const auto* report = std::get_if<core::AttemptFinished>(&cause.what);
        if (report == nullptr) return;
        const auto attempt = attempts_.find(report->attempt);
        const bool current = !holder(report->attempt).empty();
        if (current)
            demand(answer->accepted == from_holder(report->attempt, report->session), "S7",
                   "the report of a current attempt was " +
                       std::string(answer->accepted ? "taken from another worker: " : "refused: ") +
                       name(attempt->second));
        if (answer->accepted) return;
        saw(current ? "another's report refused" : "stale report refused");
        if (attempt != attempts_.end() && tasks_.at(attempt->second).state == core::TaskState::cancelled)
            saw("completion after cancel");
    } else if (const auto* welcome = std::get_if<core::WelcomeWorker>(&command)) {
        if (!welcome->keep.empty()) saw("held attempts kept");
        if (!welcome->abandon.empty()) saw("held attempts abandoned");
    } else if (const auto* pause = std::get_if<core::PauseAttempt>(&command)) {
        paused(*pause);
    } else if (const auto* revoke = std::get_if<core::RevokeAttempt>(&command)) {
        if (revoke->reason == core::RevokeReason::recalled) saw("recall ordered");
        if (revoke->reason != core::RevokeReason::preempted) return;
        const TaskFact& known = fact(revoke->task, "a revoked attempt");
        const std::string who = name(revoke->task);
        demand(known.spec.preemptible, "S14", who + " was preempted and may not be");
        const TaskFact& rival = fact(revoke->decision.rival, "the reason of a preemption");
        demand(rival.spec.priority > known.spec.priority, "S14", who + " was preempted for no higher priority");
        demand(known.preempted < twin_.config().preemptions_max || config_changes_, "S14",
               who + " was preempted too often");
        saw("preemption");
    }
}

void Checker::paused(const core::PauseAttempt& order) {
    const TaskFact& known = fact(order.task, "a paused attempt");
    const std::string who = name(order.task);
    const bool current = std::ranges::any_of(known.current, [&](const Attempt& a) { return a.id == order.attempt; });
    demand(current, "S5", who + ": an attempt was paused or resumed that is not current");
    turns_[order.attempt] = order.turn;
    if (!order.pause) {
        still_.erase(order.attempt);
        return;
    }
    const WorkerFact& worker = workers_[std::string(twin_.worker(order.worker).name)];
    demand(worker.joined.can_pause, "S10", who + " was paused on a worker that cannot");
    demand(!known.spec.exclusive && known.spec.deadline.us == 0, "S10", who + " was paused and may not be");
    still_.insert(order.attempt);
    saw("pause ordered");
}

void Checker::assigned(const core::Event& cause, const core::AssignAttempt& order) {
    TaskFact& known = fact(order.task, "an attempt");
    const std::string who = name(order.task);
    demand(!known.ended, "S4", who + " was assigned after its end");
    demand(order.fence > fence_, "S6", who + ": the fence does not grow");
    fence_ = order.fence;
    const bool copy = order.decision.reason == core::DecisionReason::speculation;
    demand(known.current.empty() || (copy && known.spec.idempotent && known.current.size() == 1), "S5",
           who + " has a current attempt already");
    const bool cancelled = known.work != UINT64_MAX && works_.at(known.work).cancel_acked == order.task;
    demand(!cancelled, "S15", who + " was assigned after its cancel was acknowledged");
    demand(!attempts_.contains(order.attempt), "S5", "one attempt id twice");
    ++known.attempts;
    demand(
        order.number == known.attempts, "S12",
        who + ": attempt number " + std::to_string(order.number) + " is the " + std::to_string(known.attempts) + "th");
    attempts_[order.attempt] = order.task;
    attempt_log_.emplace_back(order.task, order.attempt);
    if (known.current.empty())
        for (const std::string& limit : limited_by(known.spec)) ++running_[limit];
    Attempt attempt{.id = order.attempt,
                    .fence = order.fence,
                    .worker = order.worker,
                    .copy = copy,
                    .ahead = order.decision.reason == core::DecisionReason::prefetched};
    if (attempt.ahead) {
        saw("prefetched");
        demand(!known.spec.exclusive && known.spec.rate_key.empty() && known.crashed == 0, "S10",
               who + " was prefetched and may not be");
    }
    // Timers fire first: it may have been given to the session that this very event replaces.
    const auto* joined = std::get_if<core::WorkerJoined>(&cause.what);
    if (joined != nullptr && joined->name == twin_.worker(order.worker).name && joined->session != order.session)
        attempt.lease_end = known.spec.exclusive ? cause.at + twin_.config().lease : cause.at;
    known.current.push_back(attempt);
    held_[order.worker.n].emplace_back(order.task, order.attempt);
    if (copy) saw("speculative copy");
    if (order.decision.fallback) saw("fallback decision");
    if (order.number > 1) saw("attempt after the first");
    check_fair(known);
    check_constraints(known, order);
    check_keys(known);
    if (!copy) check_limits(known);
    check_capacity(order, known.spec.resources);
}

void Checker::attempt_ended(const core::Event& cause, const core::AttemptEnded& ended) {
    TaskFact& known = fact(ended.task, "the end of an attempt");
    const auto current = std::find_if(known.current.begin(), known.current.end(),
                                      [&](const Attempt& a) { return a.id == ended.attempt; });
    demand(current != known.current.end(), "S8", name(ended.task) + ": an attempt ended that was not current");
    if (ended.outcome == core::AttemptOutcome::worker_lost) {
        check_lease(known, *current);
        if (current->started) ++known.crashed;
    }
    if (ended.outcome == core::AttemptOutcome::recalled) {  // it was none
        std::uint32_t given_back = 0;
        demand(current->ahead && !current->started, "S12", name(ended.task) + ": an attempt that began is not counted");
        saw(current->lease_end == kNever ? "prefetched attempt given back" : "prefetched attempt lost");
        if (current->lease_end != kNever) check_lease(known, *current);
        // Unless its worker says so it may have begun: then its number is not used again.
        const auto* said = std::get_if<core::AttemptFinished>(&cause.what);
        ++(said != nullptr && said->attempt == ended.attempt ? given_back : known.lost);
        known.attempts -= given_back;
    }
    std::erase(held_[current->worker.n], std::pair(ended.task, ended.attempt));
    if (still_.erase(ended.attempt) > 0) saw("attempt ended while paused");
    known.current.erase(current);
    known.over.insert(ended.attempt);
    if (known.current.empty())
        for (const std::string& limit : limited_by(known.spec)) --running_[limit];
    switch (ended.outcome) {
        case core::AttemptOutcome::preempted:
            ++known.rejected;
            ++known.preempted;
            saw("attempt preempted");
            break;
        case core::AttemptOutcome::rejected:
            ++known.rejected;
            saw("attempt rejected");
            break;
        case core::AttemptOutcome::worker_lost:
            ++known.lost;
            saw("attempt lost with its worker");
            break;
        case core::AttemptOutcome::superseded:
            ++known.superseded;
            saw("copy superseded");
            break;
        case core::AttemptOutcome::timed_out:
            ++known.failed;
            known.timed_out.insert(ended.attempt);
            saw("attempt timed out");
            break;
        case core::AttemptOutcome::succeeded:
        case core::AttemptOutcome::recalled: break;
        default: ++known.failed; break;
    }
}

void Checker::task_ended(const core::TaskEnded& ended) {
    TaskFact& known = fact(ended.task, "the end of a task");
    demand(!known.ended, "S8", name(ended.task) + " ended twice");
    demand(known.current.empty(), "S5", name(ended.task) + " ended with a current attempt");
    known.ended = true;
    known.state = ended.state;
    operators_.task_ended(ended.task);
    if (known.fair_by != kNever) fair_work_ = fair_work_ - works_[known.work].run;
    if (known.spec.tenant == fair_tenant_ && ended.state == core::TaskState::succeeded)
        fair_done_ = fair_done_ + works_[known.work].run;
    --live_;
    last_end_ = twin_.now();
    for (const std::string& key : keys_of(known.spec)) std::erase(sharing_[key], ended.task);
    saw(std::string("task ") + core::name_of(ended.state));
    const core::Config& config = twin_.config();
    // The limits may have changed while it lived; the largest ever used in a world bounds them all.
    const std::uint32_t tries = std::max(known.spec.retry.attempts_max, std::max(config.attempts_max, 4U));
    demand(known.failed <= tries + 1, "S12", name(ended.task) + " failed " + std::to_string(known.failed) + " times");
    if (ended.state == core::TaskState::dead) {
        const bool given_back = ended.last_outcome == core::AttemptOutcome::rejected;
        saw(ended.last_outcome == core::AttemptOutcome::worker_lost ? "dead by crashes"
            : given_back                                            ? "dead by rejections"
                                                                    : "dead by attempts");
        demand(known.failed + known.lost + (given_back ? known.rejected : 0) > 0, "S12",
               name(ended.task) + " is dead without a failure");
    }
    demand(known.crashed <= kCrashesMost, "S12",
           name(ended.task) + " lost " + std::to_string(known.crashed) + " workers");
    demand(known.attempts <= known.failed + known.lost + known.rejected + known.superseded + 2, "S12",
           name(ended.task) + " had attempts without reason");
    if (ended.state == core::TaskState::cancelled && known.work != UINT64_MAX) {
        const Work& work = works_.at(known.work);
        const bool asked = work.cancel_asked || ended.cause;
        demand(asked, "C4", name(ended.task) + " was cancelled though nobody asked");
    }
}

// ------------------------------------------------------------------------------------------------------------ workers

void Checker::run_started(TaskId task, AttemptId attempt, std::uint64_t fence, std::uint64_t process) {
    const auto decided = attempts_.find(attempt);
    demand(decided != attempts_.end(), "S17", name(task) + " was dispatched before its decision was durable");
    const TaskFact& known = tasks_.at(task);
    if (story_)
        std::printf("    run of %s attempt %s starts in process %llu\n", to_text(task).c_str(),
                    to_text(attempt).c_str(), static_cast<unsigned long long>(process));
    for (const auto& [other, run] : runs_) {
        if (run.task != task || other == attempt) continue;
        const bool fenced = known.over.contains(other) || run.fence > fence;
        const bool copies = known.spec.idempotent;
        demand(fenced || copies || paused_.contains(run.process) || paused_.contains(process), "S5",
               name(task) + " runs twice though no attempt was given up");
        saw("two physical runs at once, the older fenced");
        // One that outlived its timeout may begin or go on beside its successor (docs/contract.md, C12).
        if (known.spec.exclusive && !known.timed_out.contains(other) && !known.timed_out.contains(attempt))
            demand(paused_.contains(run.process) || paused_.contains(process), "C12",
                   name(task) + " is exclusive and runs twice at once");
    }
    runs_[attempt] = {.task = task, .fence = fence, .process = process};
}

void Checker::run_ended(AttemptId attempt) {
    if (story_) std::printf("    run of attempt %s ends\n", to_text(attempt).c_str());
    runs_.erase(attempt);
}

// ---------------------------------------------------------------------------------------------------------------- end

std::string Checker::first_left() const {
    for (const TaskId id : submitted_) {
        const TaskFact& known = tasks_.at(id);
        if (known.ended) continue;
        std::string text = name(id) + ", type " + known.spec.type + ", " + std::to_string(known.attempts) + " attempts";
        if (const auto view = twin_.task(id)) {
            const auto why = twin_.why_waiting(id);
            text += std::string(", ") + core::name_of(view->state) + ", " + core::name_of(why.reason) + " " +
                    core::name_of(why.cause) + " " + why.name;
        }
        return text;
    }
    return "";
}

std::string Checker::text() const {
    const core::Counters& c = twin_.counters();
    const std::string left = first_left();
    return std::to_string(c.waiting) + " waiting, " + std::to_string(c.assigned) + " assigned, " +
           std::to_string(c.running) + " running of at most " + std::to_string(twin_.config().tasks_max) +
           (left.empty() ? "" : "; e.g. " + left);
}

void Checker::finish() {
    check_everything();
    const core::Counters& counted = twin_.counters();
    std::uint64_t ended[8] = {};
    for (const auto& [id, known] : tasks_) ++ended[static_cast<std::size_t>(known.state)];
    demand(counted.submitted == tasks_.size(), "S25", "the counter of submissions differs from the journal");
    demand(counted.succeeded == ended[static_cast<std::size_t>(core::TaskState::succeeded)], "S25",
           "the counter of successes differs from the journal");
    demand(counted.dead == ended[static_cast<std::size_t>(core::TaskState::dead)], "S25",
           "the counter of dead tasks differs from the journal");
    demand(counted.cancelled == ended[static_cast<std::size_t>(core::TaskState::cancelled)], "S25",
           "the counter of cancelled tasks differs");
    demand(counted.expired == ended[static_cast<std::size_t>(core::TaskState::expired)], "S25",
           "the counter of expired tasks differs");
    demand(counted.waiting + counted.assigned + counted.running == 0, "S25",
           "tasks are counted as live though all ended");
    for (const Work& work : works_)
        if (work.acked) demand(tasks_.at(work.acked).ended, "L1", name(work.acked) + " never ended");
}

}  // namespace nexus::faults
