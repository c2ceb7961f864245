// Sessions of workers: their hello, reports, silence and end.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr Duration kLately = minutes(5);
constexpr std::size_t kJoinsMax = 100;      // of one worker, remembered
constexpr std::size_t kJoinedMax = 10'000;  // workers; of more that come and go nothing is counted

}  // namespace

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
        sessions_[id].link->lost();
        sessions_.erase(id);
    }
}

// Two processes of one name that oust each other in turn lose their tasks with each exchange: while one is there, only
// its own process takes its place. Whether a hello comes from that one, a process without an instance shows by what it
// holds.
bool Engine::may_replace(const WorkerHello& hello, SessionId id, const Session& session) const {
    if (session.suspect || session.goodbye || now_.at - session.last_contact >= options_.suspect_after) return true;
    if (hello.instance != 0 && session.instance != 0) return hello.instance == session.instance;
    return std::ranges::any_of(hello.joined.held, [&](const core::HeldAttempt& held) {
        return core_.holder_of(held.task, held.attempt) == id;
    });
}

Error Engine::refuse_rival(Session& session, WorkerHello hello) {
    if (session.rivals++ == 0)
        say(LogLevel::warning, "worker_name_in_use",
            "worker " + session.name + ": another process wants its name, and is refused");
    session.rival_at = now_.wall;
    session.rival_hostname = std::move(hello.hostname);
    return {.fault = Fault::failed_state,
            .what = fmt::format("the name {} is in use by a worker on host {} that was heard {:.1f} s ago; give this "
                                "one another --name, or wait until that one is gone",
                                session.name, session.hostname.empty() ? "unknown" : session.hostname,
                                static_cast<double>((now_.at - session.last_contact).us) / 1e6)};
}

// A worker that comes and goes all the time is told from one that was restarted.
void Engine::note_joined(const std::string& name) {
    if (joined_.size() >= kJoinedMax)
        std::erase_if(joined_, [this](const auto& one) { return now_.at - one.second.back() > kLately; });
    if (joined_.size() >= kJoinedMax && !joined_.contains(name)) return;
    std::deque<Instant>& at = joined_[name];
    at.push_back(now_.at);
    if (at.size() > kJoinsMax) at.pop_front();
}

std::uint32_t Engine::joins_lately(const std::string& name) const {
    const auto found = joined_.find(name);
    if (found == joined_.end()) return 0;
    return static_cast<std::uint32_t>(
        std::ranges::count_if(found->second, [this](Instant at) { return now_.at - at <= kLately; }));
}

// Who it is, by its credential, is beyond doubt; so nobody else gets its name, not even one that holds what it held.
Result<void> Engine::may_take_name(const WorkerHello& hello, const Session& session) const {
    if (hello.owner == session.owner) return {};
    return fail(Fault::denied, "the name " + session.name + " is in use by a worker that signed in as " +
                                   session.owner + ", not as " + hello.owner +
                                   "; give this one another --name, or wait until that one is gone");
}

void Engine::connect(WorkerHello hello, std::shared_ptr<WorkerLink> link, Done<SessionId> done) {
    if (auto ok = check_hello(hello); !ok)
        return reply<SessionId>(std::move(done), std::unexpected(std::move(ok).error()));
    const WorkerNo known = core_.find_worker(hello.joined.name);
    const auto older = known ? sessions_.find(core_.worker(known).session) : sessions_.end();
    if (older != sessions_.end())
        if (auto ok = may_take_name(hello, older->second); !ok)
            return reply<SessionId>(std::move(done), std::unexpected(std::move(ok).error()));
    if (older != sessions_.end() && !may_replace(hello, older->first, older->second))
        return reply<SessionId>(std::move(done), std::unexpected(refuse_rival(older->second, std::move(hello))));
    SessionId id;
    do id = make_session_id(core_.shard(), core_.epoch(), ++sessions_made_);
    while (sessions_.contains(id));  // after 2^30 of them the count begins anew
    Session& session = sessions_[id];
    if (older != sessions_.end()) {
        session.rivals = older->second.rivals;
        session.rival_at = older->second.rival_at;
        session.rival_hostname = older->second.rival_hostname;
    }
    session.link = std::move(link);
    session.name = hello.joined.name;
    session.owner = std::move(hello.owner);
    session.version = std::move(hello.version);
    session.hostname = std::move(hello.hostname);
    session.instance = hello.instance;
    session.last_contact = now_.at;
    session.connected_at = session.last_heard = now_.wall;
    note_joined(session.name);
    hello.joined.session = id;
    say(LogLevel::info, "worker_joined",
        "worker " + session.name + " joined with " + std::to_string(hello.joined.slots) + " slots");
    // The welcome is the first thing of a session; tasks assigned by joining follow it in the same message.
    batch_.replies.push_back([done = std::move(done), id](const Error* failed) mutable {
        if (failed != nullptr) return done(std::unexpected(*failed));
        done(id);
    });
    if (!hello.draining) return apply(std::move(hello.joined));
    // It joins without slots, so that it gets nothing before its wish is known.
    core::WorkerCapacityChanged capacity{
        .session = id, .slots = hello.joined.slots, .offered = hello.joined.offered, .draining = true};
    hello.joined.slots = 0;
    apply(std::move(hello.joined));
    apply(std::move(capacity));
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
    for (const auto& [task, attempt, waited, slot_free] : report.started) {
        if (slot_free.us >= 0 && core_.counters().waiting > 0) gap_ns_.add(slot_free.us * 1000);
        apply(core::AttemptStarted{.task = task, .attempt = attempt, .session = id, .waited = waited});
        Live* const live = live_.find(task);
        if (live == nullptr) continue;
        const auto view = core_.task(task);
        if (view && view->attempt == attempt && view->started_at == now_.at && view->attempts == 1) tell_start(*view);
        learner_.started(task, attempt, live->predicted(), core_, now_.at);
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
        Rare& rare = live->make_rare();
        rare.progress = std::clamp(progress.fraction, 0.0, 1.0);
        rare.progress_note = std::move(progress.note);
        notify(progress.task);
    }
    for (AttemptReport& finished : report.finished) {
        if (finished.outcome == core::AttemptOutcome::rejected)  // whose word it is, wherever it is read
            finished.error = "rejected by " + session.name + (finished.error.empty() ? "" : ": " + finished.error);
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
    for (OutputPart& part : report.written) looked(id, std::move(part));
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

void Engine::cut_off(SessionId id) {
    if (!sessions_.contains(id)) return;
    WorkerOrders& orders = orders_for(id);
    orders.reconnect = "too many of its reports wait to be taken";
    orders.close = true;
    disconnected(id);
}

void Engine::tell_workers_to_reconnect(const std::string& why) {
    for (auto& [id, session] : sessions_) orders_for(id).reconnect = why;
}

}  // namespace nexus::engine
