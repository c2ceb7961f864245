#include "sim/checker.h"

#include <algorithm>
#include <charconv>

#include "base/hash.h"
#include "engine/body.h"

namespace nexus::sim {
namespace {

constexpr std::uint64_t kFullCheckEvery = 16;  // batches between two checks of the twin's whole state

const std::string* label(const core::Labels& labels, const std::string& wanted) {
    for (const auto& [name, value] : labels)
        if (name == wanted) return &value;
    return nullptr;
}

}  // namespace

std::string payload_of(std::uint64_t number) { return "work " + std::to_string(number); }

std::uint64_t number_of(std::string_view payload) {
    if (!payload.starts_with("work ")) return UINT64_MAX;
    payload.remove_prefix(5);
    std::uint64_t number = UINT64_MAX;
    std::from_chars(payload.data(), payload.data() + payload.size(), number);
    return number;
}

Work& Checker::new_work(Work work) {
    work.number = next_work_++;
    work.submission.body.payload = payload_of(work.number);
    return works_.emplace(work.number, std::move(work)).first->second;
}

std::string Checker::name(TaskId task) const {
    const auto found = tasks_.find(task);
    std::string text = "task " + to_text(task);
    if (found != tasks_.end() && found->second.work != UINT64_MAX) text += " (work " + std::to_string(found->second.work) + ")";
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
    demand(found != tasks_.end(), "S1", "work " + std::to_string(number) + " was acknowledged as " + to_text(answer.task) + " before it was durable");
    const TaskFact& fact = found->second;
    demand(fact.work == number, "S3", "work " + std::to_string(number) + " was acknowledged as another's " + name(answer.task));
    demand(!work.acked || work.acked == answer.task, "S3", "work " + std::to_string(number) + " has two tasks");
    if (!answer.duplicate)
        demand(fact.estimate == answer.estimate, "S30", name(answer.task) + ": the estimate told differs from the one decided by");
    if (answer.duplicate) ++seen_["duplicate submit answered with the first task"];
    work.acked = answer.task;
}

void Checker::cancel_acked(std::uint64_t number, Instant) {
    works_.at(number).cancel_acked = true;
    ++seen_["cancel acknowledged"];
}

void Checker::shown(const engine::TaskInfo& info) {
    const TaskFact& known = fact(info.task, "a view");
    if (!core::is_terminal(info.state)) return;
    demand(known.ended, "S4", name(info.task) + " was shown as ended before its end was durable");
    demand(known.state == info.state, "S4", name(info.task) + " was shown as " + core::name_of(info.state) + " but ended as " + core::name_of(known.state));
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
        // Of a task that ended meanwhile there is no body; it is judged without its work.
        const auto bytes_of = store.body(submitted->task);
        const auto body = bytes_of ? engine::decode_body(*bytes_of) : Result<engine::TaskBody>(fail(Fault::not_found, ""));
        if (body) body_of_[submitted->task] = number_of(body->payload);
    }
    follow(first, bytes);
}

void Checker::follow(Sequence first, std::string_view bytes) {
    demand(first.n == sequence_ + 1, "S25", "the journal jumps from " + std::to_string(sequence_) + " to " + std::to_string(first.n));
    const auto decoded = journal::decode_batch(bytes, chain_);
    demand(decoded.has_value(), "S18", "a batch of ours cannot be decoded");
    for (const core::Event& each : decoded->events) {
        ++sequence_;
        event(each);
    }
    demand(twin_.digest() == decoded->digest, "S18", "at event " + std::to_string(sequence_) + " the twin's digest differs from the recorded one");
    chain_ = decoded->chain;
    digest_ = mix(mix(digest_, decoded->digest), sequence_);
    if (++batches_ % kFullCheckEvery == 0) twin_.check_invariants();
    demand(twin_.counters().idle_while_waiting.us == 0, "S28", "a free worker stood beside a task that it may run");
}

bool Checker::stored(std::uint64_t work) const {
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) { return entry.second.work == work; });
}

void Checker::recovered(const core::Scheduler& core, Sequence last) {
    demand(last.n == sequence_, "S1", "recovered up to event " + std::to_string(last.n) + " of " + std::to_string(sequence_));
    demand(core.digest() == twin_.digest(), "S31", "the recovered state differs from the durable one at event " + std::to_string(sequence_));
    core.check_invariants();
    for (const auto& [number, work] : works_) {
        if (!work.acked) continue;
        const TaskFact& known = tasks_.at(work.acked);
        demand(known.ended || core.task(work.acked).has_value(), "S1", name(work.acked) + " was acknowledged and is gone after a restart");
    }
    ++seen_["server recovered"];
}

void Checker::event(const core::Event& event) {
    remember_before(event);
    note(event);
    commands_.clear();
    twin_.apply(event, commands_);
    for (const core::Command& command : commands_) this->command(event, command);
    wall_high_ = std::max(wall_high_, twin_.now().us + twin_.wall_offset().us);
}

// The worker that this event is about, as it was.
void Checker::remember_before(const core::Event& event) {
    changed_.clear();
    SessionId session;
    if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) changed_ = joined->name;
    if (const auto* control = std::get_if<core::WorkerControlled>(&event.what)) changed_ = control->name;
    if (const auto* capacity = std::get_if<core::WorkerCapacityChanged>(&event.what)) session = capacity->session;
    if (const auto* suspected = std::get_if<core::WorkerSuspected>(&event.what)) session = suspected->session;
    if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) session = left->session;
    if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) session = lost->session;
    if (session) changed_ = sessions_[session.n];
    if (!changed_.empty()) before_ = workers_[changed_];
}

// What the events themselves say, before the core has judged them.
void Checker::note(const core::Event& event) {
    if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what)) {
        demand(!tasks_.contains(submitted->task), "S3", "one task id twice");
        const auto body = body_of_.find(submitted->task);
        TaskFact known{.work = body == body_of_.end() ? UINT64_MAX : body->second, .spec = submitted->spec, .estimate = submitted->estimate,
                       .submitted = event.at, .serial = ++serial_};
        demand(known.work == UINT64_MAX || works_.contains(known.work), "S2", "a task that nobody submitted");
        if (submitted->spec.idempotency_hi != 0 && known.work != UINT64_MAX) {
            auto& same = by_key_[{submitted->spec.idempotency_hi, submitted->spec.idempotency_lo}];
            for (const TaskId other : same)
                demand(tasks_.at(other).work == UINT64_MAX, "S3", "two tasks of one idempotency key: " + name(other) + " and " + to_text(submitted->task));
            same.push_back(submitted->task);
        }
        if (submitted->estimate.source == EstimateSource::none) ++seen_["prediction failed"];
        tasks_.emplace(submitted->task, std::move(known));
    } else if (const auto* joined = std::get_if<core::WorkerJoined>(&event.what)) {
        WorkerFact& worker = workers_[joined->name];
        if (worker.connected) ++seen_["two sessions of one worker"];
        if (!joined->held.empty()) ++seen_["worker returned with attempts"];
        worker.joined = *joined;
        worker.connected = true;
        worker.suspect = worker.leaving = worker.draining = false;
        sessions_[joined->session.n] = joined->name;
    } else if (const auto* capacity = std::get_if<core::WorkerCapacityChanged>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[capacity->session.n]];
        if (worker.joined.session != capacity->session) return;
        worker.joined.slots = capacity->slots;
        worker.joined.offered = capacity->offered;
        worker.leaving = capacity->draining;
    } else if (const auto* suspected = std::get_if<core::WorkerSuspected>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[suspected->session.n]];
        if (worker.joined.session == suspected->session) worker.suspect = true;
        ++seen_["worker suspected"];
    } else if (const auto* back = std::get_if<core::WorkerRecovered>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[back->session.n]];
        if (worker.joined.session == back->session) worker.suspect = false;
    } else if (const auto* left = std::get_if<core::WorkerLeft>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[left->session.n]];
        if (worker.joined.session == left->session) worker.connected = false;
    } else if (const auto* lost = std::get_if<core::WorkerLost>(&event.what)) {
        WorkerFact& worker = workers_[sessions_[lost->session.n]];
        if (worker.joined.session == lost->session) worker.connected = false;
        ++seen_["worker lost"];
    } else if (const auto* control = std::get_if<core::WorkerControlled>(&event.what)) {
        WorkerFact& worker = workers_[control->name];
        if (control->order == core::WorkerOrder::cordon) worker.cordoned = true;
        if (control->order == core::WorkerOrder::drain) worker.draining = true;
        if (control->order == core::WorkerOrder::uncordon) worker.cordoned = worker.draining = false;
    } else if (const auto* wall = std::get_if<core::WallMoved>(&event.what)) {
        ++seen_[wall->wall_offset > twin_.wall_offset() ? "calendar jumped forward" : "calendar jumped back"];
    } else if (std::holds_alternative<core::EngineStarted>(event.what)) {
        for (auto& [worker_name, worker] : workers_) worker.connected = false;
    } else if (const auto* started = std::get_if<core::AttemptStarted>(&event.what)) {
        const auto attempt = attempts_.find(started->attempt);
        if (attempt == attempts_.end()) return;
        for (Attempt& current : tasks_.at(attempt->second).current)
            if (current.id == started->attempt) current.started = true;
    }
}

void Checker::command(const core::Event& cause, const core::Command& command) {
    if (const auto* order = std::get_if<core::AssignAttempt>(&command)) {
        assigned(*order);
    } else if (const auto* ended = std::get_if<core::AttemptEnded>(&command)) {
        attempt_ended(*ended);
    } else if (const auto* done = std::get_if<core::TaskEnded>(&command)) {
        task_ended(*done);
    } else if (const auto* answer = std::get_if<core::AnswerReport>(&command)) {
        const auto* report = std::get_if<core::AttemptFinished>(&cause.what);
        if (report == nullptr || answer->accepted) return;
        ++seen_["stale report refused"];
        const auto attempt = attempts_.find(report->attempt);
        if (attempt == attempts_.end()) return;
        for (const Attempt& current : tasks_.at(attempt->second).current)
            demand(current.id != report->attempt, "S7", "the report of a current attempt was refused: " + name(attempt->second));
    } else if (const auto* welcome = std::get_if<core::WelcomeWorker>(&command)) {
        if (!welcome->keep.empty()) ++seen_["held attempts kept"];
        if (!welcome->abandon.empty()) ++seen_["held attempts abandoned"];
    }
}

void Checker::assigned(const core::AssignAttempt& order) {
    TaskFact& known = fact(order.task, "an attempt");
    const std::string who = name(order.task);
    demand(!known.ended, "S4", who + " was assigned after its end");
    demand(order.fence > fence_, "S6", who + ": the fence does not grow");
    fence_ = known.fence = order.fence;
    const bool copy = order.decision.reason == core::DecisionReason::speculation;
    demand(known.current.empty() || (copy && known.spec.idempotent && known.current.size() == 1), "S5", who + " has a current attempt already");
    const bool cancelled = known.work != UINT64_MAX && works_.at(known.work).cancel_acked && !known.spec.redrive_of;
    demand(!cancelled, "S15", who + " was assigned after its cancel was acknowledged");
    demand(!attempts_.contains(order.attempt), "S5", "one attempt id twice");
    ++known.attempts;
    demand(order.number == known.attempts, "S12", who + ": attempt number " + std::to_string(order.number) + " is the " + std::to_string(known.attempts) + "th");
    attempts_[order.attempt] = order.task;
    attempt_log_.emplace_back(order.task, order.attempt);
    known.current.push_back({.id = order.attempt, .fence = order.fence, .worker = order.worker, .started = false, .copy = copy});
    if (copy) ++seen_["speculative copy"];
    if (order.decision.fallback) ++seen_["fallback decision"];
    if (order.number > 1) ++seen_["attempt after the first"];
    check_constraints(known, order);
    check_capacity(order.worker);
}

void Checker::check_constraints(const TaskFact& known, const core::AssignAttempt& order) {
    const std::string who = name(order.task);
    const core::TaskSpec& spec = known.spec;
    // Timers fire first within an event: an assignment may still be of the worker as it was before.
    const std::string worker_name(twin_.worker(order.worker).name);
    const bool as_before = worker_name == changed_ && (!workers_[worker_name].connected || workers_[worker_name].joined.session != order.session ||
                                                      workers_[worker_name].suspect || workers_[worker_name].cordoned || workers_[worker_name].draining ||
                                                      workers_[worker_name].leaving);
    const WorkerFact& worker = as_before ? before_ : workers_[worker_name];
    demand(worker.connected && worker.joined.session == order.session, "S10", who + " was assigned to a worker that is not connected");
    demand(!worker.suspect, "S10", who + " was assigned to a silent worker");
    demand(!worker.cordoned && !worker.draining && !worker.leaving, "S10", who + " was assigned to a worker that takes nothing new");
    const auto& types = worker.joined.types;
    demand(types.empty() || std::find(types.begin(), types.end(), spec.type) != types.end(), "S10", who + ": the worker does not take its type");
    for (const auto& [label_name, value] : spec.labels_required) {
        const std::string* has = label(worker.joined.labels, label_name);
        demand(has != nullptr && *has == value, "S10", who + ": the worker lacks a required label");
    }
    for (const auto& [label_name, value] : spec.labels_forbidden) {
        const std::string* has = label(worker.joined.labels, label_name);
        demand(has == nullptr || *has != value, "S10", who + ": the worker has a forbidden label");
    }
    demand(spec.pinned_worker.empty() || spec.pinned_worker == worker.joined.name, "S10", who + " ran elsewhere than pinned");
    const std::int64_t wall = twin_.now().us + twin_.wall_offset().us;
    // What the calendar once released stays released when it is set back.
    wall_high_ = std::max(wall_high_, wall);
    demand(spec.run_at.us == 0 || spec.run_at.us <= wall_high_, "S13", who + " was assigned before its time");
    demand(spec.deadline.us == 0 || wall <= spec.deadline.us, "S13", who + " was assigned " + std::to_string(wall - spec.deadline.us) + " us after its deadline");
    for (const TaskId before : spec.after) {
        const auto other = tasks_.find(before);
        demand(other == tasks_.end() || (other->second.ended && other->second.state == core::TaskState::succeeded), "S16",
               who + " was assigned before a task that it comes after");
    }
    if (spec.ordering_key.empty() && spec.concurrency_key.empty()) return;
    std::uint32_t sharing = 0;
    for (const auto& [id, other] : tasks_) {
        if (&other == &known || other.ended || other.spec.tenant != spec.tenant) continue;
        if (!spec.ordering_key.empty() && other.spec.ordering_key == spec.ordering_key) {
            demand(other.current.empty(), "S16", who + " runs beside " + name(id) + " of the same ordering key");
            demand(other.serial > known.serial, "S16", who + " overtook " + name(id) + " of the same ordering key");
        }
        if (!spec.concurrency_key.empty() && other.spec.concurrency_key == spec.concurrency_key && !other.current.empty()) ++sharing;
    }
    if (!spec.concurrency_key.empty())
        demand(sharing < std::max(1U, spec.concurrency_max), "S11", who + " exceeds the limit of its concurrency key");
}

void Checker::check_capacity(WorkerNo number) {
    const std::string worker_name(twin_.worker(number).name);
    if (worker_name == changed_) return;  // judged at the next assignment
    const WorkerFact& worker = workers_[worker_name];
    std::uint32_t running = 0;
    core::Resources used;
    for (const auto& [id, known] : tasks_)
        for (const Attempt& attempt : known.current) {
            if (attempt.worker != number) continue;
            ++running;
            used.cpu_milli += known.spec.resources.cpu_milli;
            used.memory_bytes += known.spec.resources.memory_bytes;
        }
    demand(running <= worker.joined.slots, "S9", "worker " + worker.joined.name + " holds " + std::to_string(running) + " attempts on " + std::to_string(worker.joined.slots) + " slots");
    const core::Resources& offered = worker.joined.offered;
    demand(offered.cpu_milli < 0 || used.cpu_milli <= offered.cpu_milli, "S9", "worker " + worker.joined.name + ": more CPU than offered");
    demand(offered.memory_bytes < 0 || used.memory_bytes <= offered.memory_bytes, "S9", "worker " + worker.joined.name + ": more memory than offered");
}

void Checker::attempt_ended(const core::AttemptEnded& ended) {
    TaskFact& known = fact(ended.task, "the end of an attempt");
    const auto current = std::find_if(known.current.begin(), known.current.end(), [&](const Attempt& a) { return a.id == ended.attempt; });
    demand(current != known.current.end(), "S8", name(ended.task) + ": an attempt ended that was not current");
    known.current.erase(current);
    known.over.insert(ended.attempt);
    switch (ended.outcome) {
        case core::AttemptOutcome::preempted: ++known.preempted; ++seen_["preemption"]; break;
        case core::AttemptOutcome::rejected: ++known.rejected; ++seen_["attempt rejected"]; break;
        case core::AttemptOutcome::worker_lost: ++known.lost; ++seen_["attempt lost with its worker"]; break;
        case core::AttemptOutcome::superseded: ++seen_["copy superseded"]; break;
        case core::AttemptOutcome::timed_out: ++known.failed; ++seen_["attempt timed out"]; break;
        case core::AttemptOutcome::succeeded: break;
        default: ++known.failed; break;
    }
}

void Checker::task_ended(const core::TaskEnded& ended) {
    TaskFact& known = fact(ended.task, "the end of a task");
    demand(!known.ended, "S8", name(ended.task) + " ended twice");
    demand(known.current.empty(), "S5", name(ended.task) + " ended with a current attempt");
    known.ended = true;
    known.state = ended.state;
    ++seen_[std::string("task ") + core::name_of(ended.state)];
    const core::Config& config = twin_.config();
    // The limits may have changed while it lived; the largest ever used in a world bounds them all.
    const std::uint32_t tries = std::max(known.spec.retry.attempts_max, std::max(config.attempts_max, 4U));
    demand(known.failed <= tries + 1, "S12", name(ended.task) + " failed " + std::to_string(known.failed) + " times");
    if (ended.state == core::TaskState::dead) {
        ++seen_[ended.last_outcome == core::AttemptOutcome::worker_lost ? "dead by crashes" : "dead by attempts"];
        demand(known.failed + known.lost > 0, "S12", name(ended.task) + " is dead without a failure");
    }
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
    for (const auto& [other, run] : runs_) {
        if (run.task != task || other == attempt) continue;
        const bool fenced = known.over.contains(other) || run.fence > fence;
        const bool copies = known.spec.idempotent;
        demand(fenced || copies || paused_.contains(run.process) || paused_.contains(process), "S5", name(task) + " runs twice though no attempt was given up");
        ++seen_["two physical runs at once, the older fenced"];
        if (known.spec.exclusive)
            demand(paused_.contains(run.process) || paused_.contains(process), "C12", name(task) + " is exclusive and runs twice at once");
    }
    runs_[attempt] = {.task = task, .fence = fence, .process = process};
}

void Checker::run_ended(AttemptId attempt) { runs_.erase(attempt); }

// ---------------------------------------------------------------------------------------------------------------- end

bool Checker::all_ended(std::string* first_left) const {
    for (const auto& [id, known] : tasks_) {
        if (known.ended) continue;
        if (first_left != nullptr) {
            *first_left = name(id) + ", type " + known.spec.type + ", " + std::to_string(known.attempts) + " attempts";
            if (const auto view = twin_.task(id)) {
                const auto why = twin_.why_waiting(id);
                *first_left += std::string(", ") + core::name_of(view->state) + ", " + core::name_of(why.reason) + " " + why.culprit;
            }
        }
        return false;
    }
    return true;
}

std::string Checker::text() const {
    const core::Counters& c = twin_.counters();
    std::string left;
    all_ended(&left);
    return std::to_string(c.waiting) + " waiting, " + std::to_string(c.assigned) + " assigned, " + std::to_string(c.running) + " running of at most " +
           std::to_string(twin_.config().tasks_max) + (left.empty() ? "" : "; e.g. " + left);
}

void Checker::finish() {
    twin_.check_invariants();
    const core::Counters& counted = twin_.counters();
    std::uint64_t ended[8] = {};
    for (const auto& [id, known] : tasks_) ++ended[static_cast<std::size_t>(known.state)];
    demand(counted.submitted == tasks_.size(), "S25", "the counter of submissions differs from the journal");
    demand(counted.succeeded == ended[static_cast<std::size_t>(core::TaskState::succeeded)], "S25", "the counter of successes differs from the journal");
    demand(counted.dead == ended[static_cast<std::size_t>(core::TaskState::dead)], "S25", "the counter of dead tasks differs from the journal");
    demand(counted.cancelled == ended[static_cast<std::size_t>(core::TaskState::cancelled)], "S25", "the counter of cancelled tasks differs");
    demand(counted.expired == ended[static_cast<std::size_t>(core::TaskState::expired)], "S25", "the counter of expired tasks differs");
    demand(counted.waiting + counted.assigned + counted.running == 0, "S25", "tasks are counted as live though all ended");
    for (const auto& [number, work] : works_)
        if (work.acked) demand(tasks_.at(work.acked).ended, "L1", name(work.acked) + " never ended");
}

}  // namespace nexus::sim
