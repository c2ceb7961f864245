#include "faults/machine.h"

#include <algorithm>

namespace nexus::faults {
namespace {

AttemptId attempt_of(const std::string& text) {
    return parse_id<AttemptId>(text).value_or(AttemptId{});
}
TaskId task_of(const std::string& text) {
    return parse_id<TaskId>(text).value_or(TaskId{});
}

core::AttemptOutcome outcome_of(sdk::Ending ending) {
    return ending == sdk::Ending::recalled ? core::AttemptOutcome::recalled : static_cast<core::AttemptOutcome>(ending);
}

}  // namespace

// The server's view of the stream: orders travel to the worker as long as the lane is open.
struct Machine::Link final : engine::WorkerLink {
    Link(Machine& m, std::weak_ptr<Stream> s) : machine(m), stream(std::move(s)) {}
    void send(engine::WorkerOrders orders) override {
        const auto alive = stream.lock();
        if (!alive || alive->dead) return;
        // Shared by the closure alone: orders hold what cannot be copied cheaply.
        alive->to_worker->send([this_machine = &machine, alive, orders = std::move(orders)]() mutable {
            this_machine->deliver(alive, std::move(orders));
        });
    }
    void lost() override {
        if (const auto alive = stream.lock()) alive->lost = true;
    }
    Machine& machine;
    std::weak_ptr<Stream> stream;
};

Machine::Machine(const Plan& plan, Net& net, Server& server, Checker& checker, MachineShape shape, std::uint64_t seed)
    : plan_(plan), net_(net), server_(server), checker_(checker), shape_(std::move(shape)), rng_(seed) {}

void Machine::later(Duration delay, Timeline::Step step) {
    net_.timeline().after(delay, [this, process = process_, step = std::move(step)]() mutable {
        if (!state_ || process != process_) return;
        const Instant present = net_.timeline().now();
        if (present < paused_until_) return later(paused_until_ - present, std::move(step));
        step();
    });
}

void Machine::boot() {
    if (state_ || retired_) return;
    process_ = checker_.new_process();
    if (shape_.liar) checker_.process_disobeys(process_);
    sdk::WorkerRules rules;
    rules.slots = shape_.slots;
    rules.prefetch_max = shape_.prefetch_max;
    rules.cancel_grace = Micros{2'000'000};
    state_ = std::make_unique<sdk::WorkerState>(rules, rng_.next());
    state_->start(now());
    pump();
}

void Machine::crash(bool silent) {
    if (!state_) return;
    checker_.saw(silent ? "worker vanished without a sign" : "worker crashed");
    end(silent);
}

// The process is gone.
void Machine::end(bool silent) {
    for (const auto& [attempt, handler] : handlers_) checker_.run_ended(attempt_of(attempt));
    handlers_.clear();
    assignments_.clear();
    state_.reset();
    paused_until_ = {};
    const std::shared_ptr<Stream> stream = std::exchange(stream_, nullptr);
    if (!stream) return;
    stream->to_worker->close();
    if (silent) {
        stream->to_server->close();
    } else {
        stream->to_server->send([this, stream] { server_lost(stream); });
    }
}

void Machine::restart_after(Duration delay) {
    net_.timeline().after(delay, [this] { boot(); });
}

void Machine::retire() {
    retired_ = true;
    crash(false);
}

void Machine::freeze() {
    if (!state_) return;
    checker_.saw("worker frozen for ever");
    checker_.process_paused(process_);
    frozen_ = true;
    paused_until_ = net_.timeline().now() + hours(24 * 365);
}

void Machine::ask_stop() {
    if (!state_ || net_.timeline().now() < paused_until_) return;
    state_->stop_asked(now());
    pump();
}

void Machine::stopped() {
    if (stream_ && state_->has_outbound()) write(state_->take_outbound(now()));
    checker_.saw("worker stopped in order");
    end(false);
    restart_after(healed_ ? milliseconds(100) : milliseconds(rng_.between(50, 3000)));
}

void Machine::stall(Duration length) {
    if (!stream_) return;
    checker_.saw("one direction stalled");
    (rng_.one_in(2) ? stream_->to_server : stream_->to_worker)->stall(length);
}

void Machine::pause(Duration length) {
    if (!state_) return;
    checker_.saw("worker paused");
    checker_.process_paused(process_);
    paused_until_ = std::max(paused_until_, net_.timeline().now() + length);
}

void Machine::reset_stream() {
    if (!stream_) return;
    checker_.saw("stream reset");
    const std::shared_ptr<Stream> stream = stream_;
    stream->to_worker->close();
    stream->to_server->send([this, stream] { server_lost(stream); });
    later(net_.delay(), [this, stream] {
        if (stream_ != stream) return;
        stream_.reset();
        state_->stream_lost(now());
        pump();
    });
}

void Machine::cut_silently() {
    if (!stream_) return;
    checker_.saw("stream half-open");
    stream_->to_worker->close();
    stream_->to_server->close();
    // The server's keepalive notices some of these before its heartbeat limit does.
    if (!rng_.one_in(2)) return;
    net_.timeline().after(milliseconds(rng_.between(1500, 2500)), [this, stream = stream_] { server_lost(stream); });
}

void Machine::server_down() {
    if (!stream_) return;
    const std::shared_ptr<Stream> stream = stream_;
    stream->dead = true;
    stream->to_server->close();
    stream->to_worker->close();
    later(net_.delay(), [this, stream] {
        if (stream_ != stream) return;
        stream_.reset();
        state_->stream_lost(now());
        pump();
    });
}

void Machine::server_lost(const std::shared_ptr<Stream>& stream) {
    if (stream->dead) return;
    stream->dead = true;
    stream->to_worker->close();
    if (!server_.up() || server_.process() != stream->server_process || !stream->session) return;
    server_.call([session = stream->session](engine::Engine& engine) { engine.disconnected(session); });
}

// ------------------------------------------------------------------------------------------------------------- outward

void Machine::pump() {
    for (;;) {
        const std::vector<sdk::Action> actions = state_->take_actions();
        for (const sdk::Action& action : actions) {
            act(action);
            if (!state_) return;
        }
        if (!actions.empty()) continue;
        if (!stream_ || !state_->has_outbound()) break;
        write(state_->take_outbound(now()));
    }
    const Micros wake = state_->wake_at();
    if (wake == sdk::WorkerState::kNever) return;
    const std::uint64_t number = ++timer_number_;
    later(Duration{std::max<std::int64_t>(0, (wake - now()).count())}, [this, number] {
        if (number != timer_number_) return;
        state_->time_passed(now());
        pump();
    });
}

void Machine::act(const sdk::Action& action) {
    switch (action.what) {
        case sdk::Action::What::open_stream: return open_stream();
        case sdk::Action::What::close_stream: return close_stream();
        case sdk::Action::What::start: return start_handler(action.attempt_id);
        case sdk::Action::What::cancel: {
            const auto found = handlers_.find(action.attempt_id);
            if (found == handlers_.end() || found->second.cancelled) return;
            if (shape_.liar && !healed_ && rng_.one_in(2)) return;  // pays no attention
            found->second.cancelled = true;
            later(milliseconds(rng_.between(0, 20)),
                  [this, attempt = action.attempt_id, number = found->second.number] {
                      end_handler(attempt, number, Outcome::cancelled(), net_.timeline().now());
                  });
            return;
        }
        case sdk::Action::What::pause:
        case sdk::Action::What::resume: {
            const auto found = handlers_.find(action.attempt_id);
            if (found == handlers_.end()) return;
            Handler& handler = found->second;
            const bool still = action.what == sdk::Action::What::pause && !chance(10);
            if (still) {
                handler.paused_at = net_.timeline().now();
            } else if (handler.paused_at != kNever) {
                handler.stood = handler.stood + (net_.timeline().now() - std::exchange(handler.paused_at, kNever));
            }
            checker_.saw(still                                      ? "run paused"
                         : action.what == sdk::Action::What::resume ? "run resumed"
                                                                    : "run not to be paused");
            return state_->handler_paused(now(), action.attempt_id, still);
        }
        case sdk::Action::What::drop: assignments_.erase(action.attempt_id); return;
        case sdk::Action::What::stop: return stopped();
    }
}

void Machine::open_stream() {
    stream_ = std::make_shared<Stream>();
    stream_->to_server = std::make_shared<Lane>(net_);
    stream_->to_worker = std::make_shared<Lane>(net_);
    stream_->server_process = server_.process();
    if (!server_.up()) {
        // Refused at once, or after the connect limit.
        later(net_.delay(), [this, stream = stream_] {
            if (stream_ != stream) return;
            stream_.reset();
            state_->stream_lost(now());
            pump();
        });
        return;
    }
    write(state_->take_outbound(now()));
}

void Machine::close_stream() {
    const std::shared_ptr<Stream> stream = std::exchange(stream_, nullptr);
    if (!stream) return;
    stream->to_worker->close();
    stream->to_server->send([this, stream] { server_lost(stream); });
}

void Machine::write(const sdk::Outbound& out) {
    const std::shared_ptr<Stream> stream = stream_;
    if (out.hello) {
        engine::WorkerHello hello;
        hello.joined = {.name = shape_.name,
                        .labels = shape_.labels,
                        .slots = out.hello->slots,
                        .offered = shape_.offered,
                        .types = shape_.types,
                        .can_pause = shape_.can_pause,
                        .prefetch_max = out.hello->prefetch_max};
        hello.draining = out.hello->draining;
        hello.instance = shape_.liar ? 0 : process_;  // some do not say
        for (const sdk::HeldEntry& held : out.hello->held)
            hello.joined.held.push_back({.task = task_of(held.task_id),
                                         .attempt = attempt_of(held.attempt_id),
                                         .paused = held.paused,
                                         .waiting = held.waiting});
        stream->to_server->send([this, stream, hello = std::move(hello)]() mutable {
            if (server_.process() != stream->server_process) return;
            server_.call([this, stream, hello = std::move(hello)](engine::Engine& engine) mutable {
                engine.connect(std::move(hello), std::make_shared<Link>(*this, stream),
                               [this, stream](Result<SessionId> session) {
                                   if (!session) return refused(stream);
                                   stream->session = *session;
                                   const bool gone = std::exchange(stream->dead, false);
                                   for (engine::WorkerReport& early : std::exchange(stream->early, {}))
                                       report(stream, std::move(early));
                                   if (gone) server_lost(stream);
                               });
            });
        });
        return;
    }
    engine::WorkerReport report;
    for (const sdk::StartedEntry& entry : out.started)
        report.started.emplace_back(task_of(entry.task_id), attempt_of(entry.attempt_id),
                                    Duration{entry.waited.count()});
    for (const sdk::PausedEntry& entry : out.paused)
        report.paused.push_back({.task = task_of(entry.task_id),
                                 .attempt = attempt_of(entry.attempt_id),
                                 .turn = entry.turn,
                                 .paused = entry.paused,
                                 .run = {entry.run.count()}});
    for (const sdk::ProgressEntry& entry : out.progress)
        report.progress.push_back({.task = task_of(entry.task_id),
                                   .attempt = attempt_of(entry.attempt_id),
                                   .fraction = entry.fraction,
                                   .note = entry.note});
    for (const sdk::Report* entry : out.finished)
        report.finished.push_back({.task = task_of(entry->task_id),
                                   .attempt = attempt_of(entry->attempt_id),
                                   .outcome = outcome_of(entry->ending),
                                   .retryable = entry->retryable,
                                   .run = {entry->run.count()},
                                   .result = entry->result,
                                   .error = entry->error});
    if (out.capacity)
        report.capacity = {.slots = out.capacity->slots, .offered = shape_.offered, .draining = out.capacity->draining};
    report.goodbye = out.goodbye;
    const std::uint64_t heartbeat = out.heartbeat;
    if (heartbeat != 0) report.load = engine::WorkerReport::Load{};
    stream->to_server->send([this, stream, heartbeat, report = std::move(report)]() mutable {
        if (!server_.up() || server_.process() != stream->server_process || stream->dead) return;
        if (heartbeat != 0 && !stream->lost)  // the transport acknowledges by itself
            stream->to_worker->send([this, stream, heartbeat] {
                if (stream_ != stream) return;
                later({}, [this, stream, heartbeat] {
                    if (stream_ != stream) return;
                    state_->heartbeat_acknowledged(now(), heartbeat);
                    pump();
                });
            });
        this->report(stream, std::move(report));
    });
}

// Its hello was: another process of its name is there.
void Machine::refused(const std::shared_ptr<Stream>& stream) {
    checker_.saw("name in use");
    server_lost(stream);
    later(net_.delay(), [this, stream] {
        if (stream_ != stream) return;
        stream_.reset();
        state_->name_in_use(now());
        pump();
    });
}

void Machine::report(const std::shared_ptr<Stream>& stream, engine::WorkerReport report) {
    if (!stream->session) {
        stream->early.push_back(std::move(report));
        return;
    }
    server_.call([session = stream->session, report = std::move(report)](engine::Engine& engine) mutable {
        engine.report(session, std::move(report));
    });
}

// -------------------------------------------------------------------------------------------------------------- inward

void Machine::deliver(const std::shared_ptr<Stream>& stream, engine::WorkerOrders orders) {
    if (stream_ != stream || !state_) return;
    if (net_.timeline().now() < paused_until_) {
        later({}, [this, stream, orders = std::move(orders)]() mutable { deliver(stream, std::move(orders)); });
        return;
    }
    if (orders.welcome) {
        sdk::Welcomed welcome{
            .lease = Micros{orders.lease.us}, .heartbeat = Micros{orders.heartbeat.us}, .abandon = {}};
        for (const AttemptId attempt : orders.welcome->abandon) welcome.abandon.push_back(to_text(attempt));
        state_->welcomed(now(), welcome);
    }
    for (const core::RevokeAttempt& revoke : orders.revoke)
        state_->revoked(now(), to_text(revoke.attempt), static_cast<sdk::Revocation>(revoke.reason), Micros{500'000});
    for (const core::AnswerReport& answer : orders.answers) state_->report_acknowledged(now(), to_text(answer.attempt));
    for (const core::PauseAttempt& order : orders.pause) {
        state_->pause_asked(now(), to_text(order.attempt), order.turn, order.pause);
        pump();
        if (!state_) return;
    }
    for (engine::Assignment& assignment : orders.assign) {
        const std::string attempt = to_text(assignment.order.attempt);
        const std::string task = to_text(assignment.order.task);
        const sdk::Assigned assigned{.task_id = task,
                                     .attempt_id = attempt,
                                     .timeout = Micros{assignment.order.timeout.us},
                                     .exclusive = assignment.order.exclusive};
        assignments_.insert_or_assign(attempt, std::move(assignment));
        state_->assigned(now(), assigned);
    }
    if (orders.drain) state_->drain_asked(now());
    if (!orders.reconnect.empty()) state_->reconnect_asked(now());
    pump();
    if (orders.close && state_ && stream_ == stream) {
        stream_.reset();
        stream->to_server->close();
        state_->stream_lost(now());
        pump();
    }
}

void Machine::start_handler(const std::string& attempt) {
    const auto found = assignments_.find(attempt);
    demand(found != assignments_.end(), "S17", "a worker started what it was not given");
    const engine::Assignment& assignment = found->second;
    const std::uint64_t number = number_of(assignment.body->payload);
    demand(number != UINT64_MAX, "S2", "an attempt carries a payload that nobody submitted");
    const Work& work = checker_.work(number);
    demand(assignment.type == work.submission.spec.type, "S2", "an attempt carries another task's type");
    checker_.run_started(assignment.order.task, assignment.order.attempt, assignment.order.fence, process_);
    past_.emplace_back(assignment.order.task, assignment.order.attempt);
    const std::uint64_t handler = ++handler_number_;
    handlers_[attempt] = {.task = assignment.order.task, .number = handler, .work = number, .cancelled = false};
    if (work.poison && !healed_) {
        later(milliseconds(rng_.between(1, 50)), [this] {
            checker_.saw("poison task killed its worker");
            crash(false);
            restart_after(milliseconds(rng_.between(50, 500)));
        });
        return;
    }
    if (chance(plan_.hang_one_in)) {
        checker_.saw("handler hung");
        return;
    }
    if (rng_.one_in(4))
        later({work.run.us / 2}, [this, attempt, handler] {
            const auto running = handlers_.find(attempt);
            if (running == handlers_.end() || running->second.number != handler) return;
            state_->progressed(now(), attempt, 0.5, "half");
            pump();
        });
    Duration run = work.run;
    if (chance(20)) run.us = run.us * rng_.between(2, 20);
    const bool fails = chance(plan_.fail_one_in);
    const bool rejects = chance(100);
    run_on(attempt, handler,
           rejects ? Outcome::rejected("no")
           : fails ? Outcome::failure("it failed")
                   : Outcome::success("done"),
           net_.timeline().now(), run);
}

// Until it has run for so long, pauses excluded.
void Machine::run_on(const std::string& attempt, std::uint64_t number, const Outcome& outcome, Instant since,
                     Duration run) {
    const auto found = handlers_.find(attempt);
    if (found == handlers_.end() || found->second.number != number) return;
    const Handler& handler = found->second;
    const bool still = handler.paused_at != kNever;
    const Duration left = run - ((still ? handler.paused_at : net_.timeline().now()) - since - handler.stood);
    if (left.us <= 0 && !still) return end_handler(attempt, number, outcome, since);
    later(still ? std::max(left, milliseconds(20)) : left,
          [this, attempt, number, outcome, since, run] { run_on(attempt, number, outcome, since, run); });
}

void Machine::end_handler(const std::string& attempt, std::uint64_t number, const Outcome& outcome, Instant since) {
    const auto found = handlers_.find(attempt);
    if (found == handlers_.end() || found->second.number != number) return;
    handlers_.erase(found);
    checker_.run_ended(attempt_of(attempt));
    state_->handler_ended(now(), attempt, outcome, Micros{(net_.timeline().now() - since).us});
    pump();
}

// A liar takes back what it said of its slots: a quiet time in which a worker claims a hundred of them knows no
// overload.
void Machine::heal() {
    healed_ = true;
    if (!shape_.liar || !stream_) return;
    engine::WorkerReport truth;
    truth.capacity = engine::WorkerReport::Capacity{.slots = shape_.slots, .offered = shape_.offered};
    claim(std::move(truth));
}

// What hung goes on when the world heals: the liveness phase wants healthy workers.
void Machine::heal_if_hung() {
    if (!state_) return;
    std::vector<std::pair<std::string, std::uint64_t>> all;
    all.reserve(handlers_.size());
    for (const auto& [attempt, handler] : handlers_) all.emplace_back(attempt, handler.number);
    for (const auto& [attempt, number] : all)
        later(seconds(rng_.between(1, 3)), [this, attempt = attempt, number = number] {
            end_handler(attempt, number, Outcome::success("done"), net_.timeline().now());
        });
}

// Says something that the worker's rules know nothing of.
void Machine::claim(engine::WorkerReport claimed) {
    stream_->to_server->send([this, stream = stream_, claimed = std::move(claimed)]() mutable {
        if (server_.up() && server_.process() == stream->server_process && !stream->dead)
            report(stream, std::move(claimed));
    });
}

void Machine::lie() {
    if (!stream_ || !state_ || !stream_->session || net_.timeline().now() < paused_until_) return;
    engine::WorkerReport report;
    const auto one_of = [this](const std::vector<std::pair<TaskId, AttemptId>>& list) {
        return list[rng_.below(list.size())];
    };
    const std::uint64_t kind = rng_.below(7);
    if (kind == 0 && !past_.empty()) {
        const auto [task, attempt] = one_of(past_);
        if (handlers_.contains(to_text(attempt))) return;
        report.finished.push_back(
            {.task = task, .attempt = attempt, .outcome = core::AttemptOutcome::succeeded, .run = {1}});
        report.finished.push_back(report.finished.front());
        checker_.saw("late or double report");
    } else if (kind == 1) {
        const TaskId nobody{.hi = rng_.next(), .lo = rng_.next()};
        const AttemptId never{.hi = rng_.next(), .lo = rng_.next()};
        report.finished.push_back({.task = nobody, .attempt = never});
        report.started.emplace_back(nobody, never);
        checker_.saw("report of an unknown attempt");
    } else if (kind == 2 && !past_.empty()) {
        const auto [task, attempt] = one_of(past_);
        report.finished.push_back(
            {.task = task, .attempt = {.hi = rng_.next(), .lo = rng_.next()}, .outcome = core::AttemptOutcome::failed});
        checker_.saw("report with a false attempt id");
    } else if (kind == 3) {
        report.capacity = engine::WorkerReport::Capacity{
            .slots = static_cast<std::uint32_t>(rng_.between(0, std::int64_t{shape_.slots} * 100)),
            .offered = shape_.offered};
        checker_.saw("capacity lie");
    } else if (kind == 4 && !checker_.attempts().empty()) {
        const auto [task, attempt] = one_of(checker_.attempts());
        report.started.emplace_back(task, attempt);
        report.progress.push_back({.task = task, .attempt = attempt, .fraction = 2.5, .note = "lie"});
        if (checker_.holder(attempt) != shape_.name)
            report.finished.push_back(
                {.task = task, .attempt = attempt, .outcome = core::AttemptOutcome::succeeded, .run = {1}});
        checker_.saw("progress of another's attempt");
    } else if (kind == 5 && !assignments_.empty()) {
        auto one = assignments_.begin();
        std::advance(one, rng_.below(assignments_.size()));
        if (handlers_.contains(one->first)) return;
        report.finished.push_back({.task = one->second.order.task,
                                   .attempt = one->second.order.attempt,
                                   .outcome = core::AttemptOutcome::recalled,
                                   .run = {}});
        checker_.saw("given back though nobody asked");
    } else {
        report.capacity = engine::WorkerReport::Capacity{.slots = shape_.slots, .offered = shape_.offered};
    }
    claim(std::move(report));
}

}  // namespace nexus::faults
