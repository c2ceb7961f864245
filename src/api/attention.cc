#include "api/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "api/sentences.h"
#include "base/quantity.h"

namespace nexus::api {
namespace {

using engine::ReadModel;
using engine::WorkerInfo;

constexpr std::int64_t kLatelyUs = hours(1).us;  // what is older has been seen, or hurts nobody
constexpr std::int64_t kRivalLatelyUs = minutes(10).us;
constexpr std::uint32_t kConnectsMany = 5;        // within five minutes
constexpr std::int64_t kDiskFreeMin = 1LL << 30;  // hours of warning at 100 tasks a second
constexpr std::int64_t kDiskSoonUs = hours(24 * 7).us;
constexpr std::int64_t kIdleWorthUs = minutes(1).us;  // of slot time
constexpr std::size_t kNeedsMax = 100;

enum class Severity : std::uint8_t { stops, breaks, waste, notice };
constexpr const char* kSeverities[] = {"stops", "breaks", "waste", "notice"};

struct Need {
    Severity severity = Severity::notice;
    std::string kind, object;
    std::int64_t since = 0;
    std::string sentence, meaning, act, target;
};

std::string tasks(std::uint64_t count) {
    return counted(count, "task");
}
std::string plural(std::uint64_t count, const char* one, const char* many) {
    return count == 1 ? one : many;
}

class Needs {
public:
    void add(Need need) { all_.push_back(std::move(need)); }
    void put(v1::Attention& out) {
        std::ranges::stable_sort(all_, {}, &Need::severity);
        if (all_.size() > kNeedsMax) all_.resize(kNeedsMax);
        for (Need& need : all_) {
            v1::Need& to = *out.add_needs();
            to.set_id(need.object.empty() ? need.kind : need.kind + ":" + need.object);
            to.set_severity(kSeverities[static_cast<std::size_t>(need.severity)]);
            to.set_kind(std::move(need.kind));
            to.set_object(std::move(need.object));
            to.set_since_unix_us(need.since);
            to.set_sentence(std::move(need.sentence));
            to.set_meaning(std::move(need.meaning));
            to.set_act(std::move(need.act));
            to.set_target(std::move(need.target));
        }
    }

private:
    std::vector<Need> all_;
};

const core::WaitingBy* waiting_by(const ReadModel& state, core::WaitReason reason) {
    for (const core::WaitingBy& by : state.status.waiting_by)
        if (by.reason == reason) return &by;
    return nullptr;
}

void look_at_server(const Looked& looked, Needs& needs) {
    const engine::StatusInfo& status = looked.state.status;
    for (const engine::Check& check : looked.checks)
        if (!check.good)
            needs.add({.severity = Severity::stops,
                       .kind = "ready",
                       .object = check.name,
                       .sentence = "The server takes no new tasks: " + check.text + ".",
                       .meaning = "What runs goes on; what it did is stored as soon as that is possible.",
                       .act = "See the server's log: it is stopping, or its disk is full or does not answer.",
                       .target = "status"});
    if (status.fallback)
        needs.add({.severity = Severity::breaks,
                   .kind = "prediction",
                   .object = {},
                   .since = status.fallback_since.us,
                   .sentence = "Predictions fail; tasks are placed round-robin.",
                   .meaning = "Tasks run as before, but in order and placement nothing is predicted.",
                   .act = "See the server's log, and `nexus type list`.",
                   .target = "types"});
    if (!looked.store.wrong.empty())
        needs.add({.severity = Severity::stops,
                   .kind = "store",
                   .object = {},
                   .sentence = "Nothing can be stored: " + looked.store.wrong + ".",
                   .meaning = "What runs goes on; calls are refused until the store promises again what was asked for.",
                   .act = "Set it back; no restart is needed.",
                   .target = "status"});
    if (looked.store.forked > 0)
        needs.add({.severity = Severity::breaks,
                   .kind = "store",
                   .object = "end",
                   .sentence = "The store has lost the end of the journal, and more of it than is kept here.",
                   .meaning = "The server ends; what was acknowledged last may be missing.",
                   .act = "Restore Redis from its copy, or start again to go on with what it has: docs/redis.md.",
                   .target = "status"});
    if (const StoreFacts& store = looked.store; store.memory_max > 0 && store.memory_used > store.memory_max / 4 * 3)
        needs.add({.severity = Severity::breaks,
                   .kind = "store",
                   .object = "memory",
                   .sentence = "Redis uses " + size_words(store.memory_used) + " of " + size_words(store.memory_max) +
                               " (maxmemory).",
                   .meaning = "At its limit new tasks are refused; what runs ends as usual.",
                   .act = "Raise maxmemory, or find out why tasks pile up.",
                   .target = "status"});
    if (!looked.intake.trouble.empty() && looked.store.reached)
        needs.add({.severity = Severity::stops,
                   .kind = "intake",
                   .object = {},
                   .sentence = "Nothing is read from nexus:tasks:pending: " + looked.intake.trouble + ".",
                   .meaning = "What producers write there waits; nothing is lost.",
                   .act = "See the server's log, and the key in Redis.",
                   .target = "status"});
    if (looked.intake.dead > 0)
        needs.add({.severity = Severity::breaks,
                   .kind = "intake",
                   .object = "dead",
                   .sentence = std::to_string(looked.intake.dead) + plural(looked.intake.dead, " entry", " entries") +
                               " of nexus:tasks:pending could not become tasks; the last: " + looked.intake.last_dead +
                               ".",
                   .meaning = "They stand in the stream nexus:tasks:dead, each with its reason.",
                   .act = "Look at them with `redis-cli XRANGE nexus:tasks:dead - +`, and mend what writes them.",
                   .target = "status"});
    if (const Disk& disk = looked.disk; disk.free_bytes > 0) {
        const bool soon = disk.full.us != 0 && disk.full.us - status.now.us < kDiskSoonUs;
        if (disk.free_bytes < kDiskFreeMin || soon)
            needs.add({.severity = Severity::breaks,
                       .kind = "disk",
                       .object = {},
                       .sentence = "The disk of the server has " +
                                   size_words(static_cast<std::uint64_t>(disk.free_bytes)) + " free" +
                                   (soon ? ", and is full in " + span_words(disk.full - status.now) +
                                               " if it goes on as in the last hour."
                                         : std::string(".")),
                       .meaning = "On a full disk new tasks are refused; what runs ends as usual.",
                       .act = "Free some space, or keep less history (server.history_retention).",
                       .target = "status"});
    }
    if (looked.history && !looked.history->good) {
        const history::HistoryHealth& health = *looked.history;
        needs.add({.severity = Severity::breaks,
                   .kind = "history",
                   .object = "store",
                   .since = health.since.us,
                   .sentence = "The history is not written to " + health.store + ": " + health.why + ".",
                   .meaning = counted(health.waiting, "row") + plural(health.waiting, " waits", " wait") +
                              " on disk (" + size_words(health.spool_bytes) + " of " +
                              size_words(health.spool_bytes_max) +
                              "); no task is affected, and ended tasks may not be found.",
                   .act = "Start that server, or see server.history and server.history_login_file.",
                   .target = "status"});
    }
    if (status.history_dropped > 0)
        needs.add({.severity = Severity::notice,
                   .kind = "history",
                   .object = {},
                   .sentence = counted(status.history_dropped, "history row") +
                               plural(status.history_dropped, " was", " were") + " dropped.",
                   .meaning = "No task is affected; what ended is missing in lists and charts.",
                   .act = "The history store is too slow or its disk is full: see the server's log.",
                   .target = "status"});
}

void look_at_worker(const WorkerInfo& worker, WallTime now, Needs& needs) {
    const std::string& name = worker.name;
    const auto add = [&](Severity severity, const char* kind, WallTime since, std::string sentence, std::string meaning,
                         std::string act) {
        needs.add({.severity = severity,
                   .kind = kind,
                   .object = name,
                   .since = since.us,
                   .sentence = std::move(sentence),
                   .meaning = std::move(meaning),
                   .act = std::move(act),
                   .target = "workers/" + name});
    };
    if (!worker.connected && worker.last_heard.us != 0 && (now - worker.last_heard).us < kLatelyUs)
        add(Severity::notice, "gone", worker.last_heard,
            name + " has been gone for " + span_words(now - worker.last_heard) + ".",
            "What it ran is given to others when its lease is over.",
            "If it was not stopped on purpose, see its log and start it again.");
    if (worker.connected && worker.suspect)
        add(Severity::breaks, "silent", worker.state_since, name + " is silent.",
            "It gets no new tasks; what it runs is given to others if it stays so.",
            "Is its machine or network in trouble?");
    if (worker.rivals > 0 && (now - worker.rival_at).us <= kRivalLatelyUs)
        add(Severity::waste, "rival", worker.rival_at,
            name + ": another process on host " + (worker.rival_hostname.empty() ? "unknown" : worker.rival_hostname) +
                " wants its name, " + counted(worker.rivals, "time") + ", last " + span_words(now - worker.rival_at) +
                " ago: two workers have one --name.",
            "Nothing is lost, but the second gets no tasks.", "Give each its own.");
    if (worker.connects > kConnectsMany)
        add(Severity::waste, "flaps", {},
            name + " connected " + counted(worker.connects, "time") + " within the last 5 minutes.",
            "It is started again and again, or its connection breaks.", "See its log.");
    if (worker.connected && worker.breaker != "closed")
        add(Severity::breaks, "breaker", worker.breaker_since,
            "The circuit breaker of " + name + " is open: " + worker.breaker_reason + ".",
            "Others do its work; it is tried again automatically.", "See `nexus worker get " + name + "`.");
}

void look_at_work(const Looked& looked, Needs& needs) {
    const ReadModel& state = looked.state;
    const engine::StatusInfo& status = state.status;
    if (status.workers_ready == 0)
        needs.add({.severity = Severity::stops,
                   .kind = "worker",
                   .object = {},
                   .sentence = state.workers.empty() ? "No worker has ever connected." : "No worker is ready.",
                   .meaning = status.counters.waiting == 0 ? "A new task would wait."
                                                           : tasks(status.counters.waiting) +
                                                                 plural(status.counters.waiting, " waits.", " wait."),
                   .act = "Start one: nexus worker --allow exec",
                   .target = "fleet"});
    if (const core::WaitingBy* stuck = waiting_by(state, core::WaitReason::no_eligible_worker);
        stuck != nullptr && status.workers_ready > 0)
        needs.add({.severity = Severity::breaks,
                   .kind = "waiting",
                   .object = {},
                   .sentence = tasks(stuck->count) + " cannot run on any connected worker" +
                               (stuck->count == 1 ? ": " : ", most of them because of this: ") +
                               waiting_words(*stuck).culprit + ".",
                   .meaning = plural(stuck->count, "It waits", "They wait") +
                              " until something changes, or its time to live ends.",
                   .act = first_upper(waiting_words(*stuck).remedy) + ", or see `nexus task explain` of one of them.",
                   .target = "tasks?state=waiting"});
    if (state.dead_lately > 0)
        needs.add({.severity = Severity::breaks,
                   .kind = "dead",
                   .object = {},
                   .sentence = tasks(state.dead_lately) + " died within the last hour" +
                               (state.dead_type.empty()  ? "."
                                : state.dead_lately == 1 ? ", of type " + state.dead_type + "."
                                                         : ", most of them of type " + state.dead_type + "."),
                   .meaning = "Their attempts are used up: nothing starts them again by itself.",
                   .act = "See `nexus task list --state dead`; `nexus task retry ID` submits one again.",
                   .target = "tasks?state=dead"});
    if (status.idle_lately.us > kIdleWorthUs)
        needs.add({.severity = Severity::waste,
                   .kind = "idle",
                   .object = {},
                   .sentence = span_words(status.idle_lately) +
                               " of slot time were idle within the last hour while tasks waited for them.",
                   .meaning = "This must not be.",
                   .act = "See the decisions of that time, and report it.",
                   .target = "decisions"});
    if (state.queues)
        for (const engine::QueueInfo& queue : *state.queues)
            if (queue.paused && queue.waiting > 0)
                needs.add({.severity = Severity::notice,
                           .kind = "queue",
                           .object = queue.name,
                           .since = queue.oldest.us,
                           .sentence = queue.name + " is paused, and " + tasks(queue.waiting) +
                                       plural(queue.waiting, " waits", " wait") + " in it.",
                           .meaning = "They start when it is resumed.",
                           .act = "Let it go on with `nexus queue resume " + queue.name + "`.",
                           .target = "queues/" + queue.name});
    if (status.waiting_held > 0)
        needs.add({.severity = Severity::notice,
                   .kind = "held",
                   .object = {},
                   .sentence = "Operators hold " + tasks(status.waiting_held) + ".",
                   .meaning = "They start when the hold is cleared or expires.",
                   .act = "See `nexus override list`.",
                   .target = "config?show=overrides"});
    for (const auto& [type, at] : state.drifted)
        needs.add({.severity = Severity::notice,
                   .kind = "type",
                   .object = type,
                   .since = at.us,
                   .sentence = type + " takes another time than before.",
                   .meaning = "It is being learned anew; until then its predictions are less good.",
                   .act = "See `nexus type get " + type + "`.",
                   .target = "types/" + type});
}

struct Said {
    const char* kind;
    std::string sentence, cause;
    std::int64_t since = 0;
};

std::string rate_words(double per_second) {
    char text[32];
    std::snprintf(text, sizeof text, per_second < 10 ? "%.1f" : "%.0f", per_second);
    return text;
}

Said verdict_of(const Looked& looked) {
    const ReadModel& state = looked.state;
    const engine::StatusInfo& status = state.status;
    const std::uint64_t waiting = status.counters.waiting;
    for (const engine::Check& check : looked.checks)
        if (!check.good)
            return {"stopped", "New tasks are refused, running ones end as usual.", first_upper(check.text) + "."};
    if (status.workers_ready == 0) {
        WallTime since;
        for (const WorkerInfo& worker : state.workers) since = std::max(since, worker.last_heard);
        return {
            "stopped", "Nothing can run: no worker is " + std::string(state.workers.empty() ? "connected." : "ready."),
            waiting == 0 ? "A new task would wait." : tasks(waiting) + plural(waiting, " waits.", " wait."), since.us};
    }
    if (status.fallback)
        return {"degraded", "Predictions fail: round-robin decides.", "See the server's log.",
                status.fallback_since.us};
    const std::uint64_t never = status.waiting_no_worker + status.waiting_paused + status.waiting_held;
    const core::WaitingBy* most = status.waiting_by.empty() ? nullptr : &status.waiting_by.front();
    const std::string cause =
        most == nullptr ? std::string() : (waiting == 1 ? "" : "Most of them: ") + waiting_words(*most).culprit + ".";
    if (waiting > 0 && waiting <= never)
        return {"degraded",
                tasks(waiting) +
                    plural(waiting, " waits, and nothing will start it", " wait, and nothing will start them") +
                    " as things stand.",
                cause, status.oldest_waiting.us};
    const double growth = state.arrived_per_s - state.ended_per_s;
    if (waiting > 0 && growth > std::max(1.0, state.arrived_per_s / 20)) {
        std::string sentence = "Work is piling up: " + rate_words(growth) + " more each second";
        if (state.tasks_max > waiting) {
            const double left = static_cast<double>(state.tasks_max - waiting) / growth;
            if (left < 86'400 * 7)
                sentence += "; at this rate the limit of " + tasks(state.tasks_max) + " is met in " +
                            span_words({static_cast<std::int64_t>(left * 1e6)});
        }
        return {"piling", sentence + ".", cause, status.oldest_waiting.us};
    }
    if (waiting > 0 && status.drain_eta.us > status.now.us)
        return {"busy",
                "Work is catching up: " + tasks(waiting) + plural(waiting, " waits", " wait") +
                    ", all of it done in about " + span_words(status.drain_eta - status.now) + ".",
                cause, status.oldest_waiting.us};
    std::string sentence = "All is well";
    if (status.wait_p99.us > 0) sentence += ": 99 of 100 tasks start within " + span_words(status.wait_p99);
    return {"well", sentence + ".", "", 0};
}

}  // namespace

void attention_of(const Looked& looked, v1::Attention& out) {
    Needs needs;
    look_at_server(looked, needs);
    look_at_work(looked, needs);
    for (const WorkerInfo& worker : looked.state.workers) look_at_worker(worker, looked.state.status.now, needs);
    needs.put(out);
    const Said said = verdict_of(looked);
    out.mutable_verdict()->set_kind(said.kind);
    out.mutable_verdict()->set_sentence(said.sentence);
    out.mutable_verdict()->set_cause(said.cause);
    out.mutable_verdict()->set_since_unix_us(said.since);
    out.set_now_unix_us(looked.state.status.now.us);
}

}  // namespace nexus::api
