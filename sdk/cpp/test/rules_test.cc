// Every rule of WorkerState, by name. Times are milliseconds after the start.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <numeric>
#include <semaphore>
#include <thread>

#include "manual_clock.h"
#include "pool.h"
#include "retry.h"
#include "worker_state.h"

using namespace nexus;
using namespace nexus::sdk;
using What = Action::What;

namespace {

Micros ms(std::int64_t n) {
    return std::chrono::milliseconds(n);
}

// A worker in a world of its own: the server's side is played by the test.
struct World {
    explicit World(std::uint32_t slots = 2, std::uint32_t prefetch_max = 0)
        : state({.slots = slots, .prefetch_max = prefetch_max}, 7) {
        state.start(ms(0));
    }

    void connect(std::int64_t at, std::vector<std::string> abandon = {}) {
        if (state.wake_at() <= ms(at)) state.time_passed(ms(at));
        hello = *state.take_outbound(ms(at)).hello;
        state.welcomed(ms(at), {.lease = ms(5000), .heartbeat = ms(1000), .abandon = std::move(abandon)});
        actions();
    }
    void assign(std::int64_t at, std::string id, Assigned more = {}) {
        more.attempt_id = id;
        if (more.task_id.empty()) more.task_id = "task of " + id;
        state.assigned(ms(at), more);
    }
    void end(std::int64_t at, std::string_view id, const Outcome& outcome = Outcome::success("done")) {
        state.handler_ended(ms(at), id, outcome, ms(3));
    }
    // "start a", "cancel a timed_out", "stop 0", ... joined by commas.
    std::string actions() {
        static constexpr const char* kWords[] = {"open", "close", "start", "cancel", "pause", "resume", "drop", "stop"};
        std::string out;
        for (const Action& action : state.take_actions()) {
            if (!out.empty()) out += ", ";
            out += kWords[static_cast<int>(action.what)];
            if (!action.attempt_id.empty()) out += " " + action.attempt_id;
            if (action.reason != CancelReason::none) out += " " + std::string(name_of(action.reason));
            if (action.what == What::stop) out += " " + std::to_string(action.exit_code);
        }
        return out;
    }
    // "started a, finished b succeeded, heartbeat 3, capacity 1 draining, goodbye" of the next message.
    std::string told(std::int64_t at) {
        static constexpr const char* kEndings[] = {"?",         "succeeded",     "failed",   "timed_out",
                                                   "cancelled", "out_of_memory", "rejected", "recalled"};
        const Outbound out = state.take_outbound(ms(at));
        std::string text;
        const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
        if (out.hello) {
            add("hello " + std::to_string(out.hello->slots));
            for (const HeldEntry& held : out.hello->held)
                add("held " + held.attempt_id + (held.finished ? " finished" : "") + (held.paused ? " paused" : "") +
                    (held.waiting ? " waiting" : ""));
        }
        for (const StartedEntry& started : out.started)
            add("started " + started.attempt_id +
                (started.waited > Micros(0) ? " waited " + std::to_string(started.waited.count() / 1000) : ""));
        for (const PausedEntry& p : out.paused)
            add((p.paused ? "paused " : "running ") + p.attempt_id + " turn " + std::to_string(p.turn) + " after " +
                std::to_string(p.run.count() / 1000));
        for (const ProgressEntry& p : out.progress)
            add("progress " + p.attempt_id + " " + std::to_string(p.fraction).substr(0, 4));
        for (const Report* report : out.finished) {
            add("finished " + report->attempt_id + " " + kEndings[static_cast<int>(report->ending)]);
            last = *report;
        }
        if (out.capacity)
            add("capacity " + std::to_string(out.capacity->slots) + (out.capacity->draining ? " draining" : ""));
        if (out.heartbeat != 0) add("heartbeat " + std::to_string(out.heartbeat));
        if (out.goodbye) add("goodbye");
        return text;
    }
    // The handler of `id` ends, and `next` begins on its thread.
    void end_and_begin(std::int64_t at, std::string_view id, std::string_view next) {
        state.handler_ended(ms(at + 1), id, Outcome::success("done"), ms(3), next, ms(at));
    }
    // "a b": what may begin.
    std::string offers() {
        std::string out;
        for (const std::string_view id : state.take_offers()) out += (out.empty() ? "" : " ") + std::string(id);
        return out;
    }
    void time(std::int64_t at) { state.time_passed(ms(at)); }
    // The server acknowledges every heartbeat until `to`; what else is told meanwhile is not looked at.
    void stay_in_touch(std::int64_t to) {
        for (std::int64_t at = state.wake_at().count() / 1000; at < to; at = state.wake_at().count() / 1000) {
            time(at);
            if (const Outbound out = state.take_outbound(ms(at)); out.heartbeat != 0)
                state.heartbeat_acknowledged(ms(at), out.heartbeat);
        }
    }

    WorkerState state;
    HelloEntry hello;
    Report last;
};

}  // namespace

TEST_CASE("it opens a stream, says hello, and heartbeats once welcomed") {
    World world;
    CHECK_EQ(world.actions(), "open");
    CHECK_EQ(world.told(0), "hello 2");
    CHECK_EQ(world.told(1), "");
    world.state.welcomed(ms(2), {.lease = ms(5000), .heartbeat = ms(1000)});
    CHECK_EQ(world.told(2), "heartbeat 1");
    CHECK_EQ(world.state.wake_at(), ms(1002));
    world.time(1002);
    CHECK_EQ(world.told(1002), "heartbeat 2");
}

TEST_CASE("an attempt starts, ends, and its report is kept until acknowledged") {
    World world;
    world.connect(0);
    world.told(0);
    world.assign(1, "a");
    CHECK_EQ(world.actions(), "start a");
    CHECK_EQ(world.told(1), "started a");
    world.end(5, "a");
    CHECK_EQ(world.told(5), "finished a succeeded");
    CHECK_EQ(world.last.result, "done");
    CHECK_EQ(world.last.run, ms(3));
    CHECK_EQ(world.state.attempts_held(), 1);
    world.state.report_acknowledged(ms(6), "a");
    CHECK_EQ(world.actions(), "drop a");
    CHECK_EQ(world.state.attempts_held(), 0);
}

TEST_CASE("what gathers while a write is under way travels in one message") {
    World world;
    world.connect(0);
    world.told(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.end(2, "a");
    world.time(1000);
    CHECK_EQ(world.told(1000), "started a, started b, finished a succeeded, heartbeat 2");
}

TEST_CASE("a repeated assignment changes nothing, whatever became of the first") {
    World world(1);
    world.connect(0);
    world.told(0);
    world.assign(1, "running");
    world.assign(1, "queued");
    world.actions();
    world.assign(2, "running");
    world.assign(2, "queued");
    CHECK_EQ(world.actions(), "");
    world.end(3, "running");
    CHECK_EQ(world.actions(), "start queued");
    world.assign(4, "running");
    CHECK_EQ(world.actions(), "");
    CHECK_EQ(world.told(4), "started running, started queued waited 2, finished running succeeded");
}

TEST_CASE("one attempt per slot waits; more are rejected") {
    World world(1);
    world.connect(0);
    world.told(0);
    for (const char* id : {"a", "b", "c"}) world.assign(1, id);
    CHECK_EQ(world.actions(), "start a");
    CHECK_EQ(world.told(1), "started a, finished c rejected");
    CHECK_EQ(world.last.error, "the worker has no free slot");
}

TEST_CASE("what is sent beyond the slots waits, begins in order as slots become free, and tells how long it waited") {
    World world(1, 2);
    world.connect(0);
    CHECK_EQ(world.hello.prefetch_max, 2);
    world.told(0);
    for (const char* id : {"d", "c", "b", "a", "e"}) world.assign(1, id);
    CHECK_EQ(world.actions(), "start d");
    CHECK_EQ(world.told(1), "started d, finished e rejected");  // one for the slot, one more for it, two beyond
    world.end(5, "d");
    CHECK_EQ(world.actions(), "start c");
    world.end(9, "c");
    CHECK_EQ(world.actions(), "start b");
    CHECK_EQ(world.told(9), "started c waited 4, started b waited 8, finished d succeeded, finished c succeeded");
    world.state.stream_lost(ms(10));
    world.end(11, "b");
    CHECK_EQ(world.actions(), "");
    world.connect(300);
    CHECK_EQ(world.hello.held.size(), 5);
    CHECK_EQ(world.actions(), "");  // connect() took it
    CHECK_EQ(world.told(300).substr(0, 19), "started a waited 29");
}

TEST_CASE("after a reconnect those that wait are listed as such") {
    World world(1, 4);
    world.connect(0);
    for (const char* id : {"a", "b", "c"}) world.assign(1, id);
    world.told(1);
    world.actions();
    world.state.stream_lost(ms(2));
    world.time(300);
    CHECK_EQ(world.told(300), "hello 1, held a, held b waiting, held c waiting");
    world.state.welcomed(ms(301), {.lease = ms(5000), .heartbeat = ms(1000), .abandon = {"b"}});
    CHECK_EQ(world.actions(), "open, drop b");
    world.end(310, "a");
    CHECK_EQ(world.actions(), "start c");
}

TEST_CASE("a recall gives back what waits; what has begun, has ended or is not known is not answered") {
    World world(1, 4);
    world.connect(0);
    world.told(0);
    for (const char* id : {"a", "b", "c"}) world.assign(1, id);
    world.actions();
    world.told(1);
    for (const char* id : {"a", "b", "nobody"}) world.state.revoked(ms(2), id, Revocation::recalled, Micros(0));
    CHECK_EQ(world.actions(), "");
    CHECK_EQ(world.told(2), "finished b recalled");
    world.state.revoked(ms(3), "b", Revocation::recalled, Micros(0));  // asked again before it is acknowledged
    CHECK_EQ(world.told(3), "");
    world.end(4, "a");
    CHECK_EQ(world.actions(), "start c");
    world.state.revoked(ms(5), "a", Revocation::recalled, Micros(0));
    CHECK_EQ(world.told(5), "started c waited 3, finished a succeeded");
    world.state.report_acknowledged(ms(6), "b");
    CHECK_EQ(world.actions(), "drop b");
}

TEST_CASE("other revokes of one that waits: it ends without having begun") {
    World world(1, 4);
    world.connect(0);
    world.told(0);
    for (const char* id : {"a", "b", "c", "d"}) world.assign(1, id);
    world.actions();
    world.told(1);
    world.state.revoked(ms(2), "b", Revocation::cancelled, Micros(0));
    world.state.revoked(ms(2), "d", Revocation::superseded, Micros(0));
    CHECK_EQ(world.told(2), "finished b cancelled");
    CHECK_EQ(world.actions(), "drop d");
    CHECK_EQ(world.offers(), "c");
}

TEST_CASE("offers: what begins in the slot of a handler that ended needs no word of the state") {
    World world(1, 4);
    world.connect(0);
    world.told(0);
    for (const char* id : {"a", "b", "c", "d"}) world.assign(1, id);
    CHECK_EQ(world.actions(), "start a");
    CHECK_EQ(world.offers(), "b c d");
    CHECK_EQ(world.offers(), "");  // each once
    world.assign(2, "e");
    CHECK_EQ(world.offers(), "e");
    world.told(2);
    world.end_and_begin(5, "a", "b");
    CHECK_EQ(world.actions(), "");
    CHECK(world.state.handler_runs("b"));
    CHECK_EQ(world.told(6), "started b waited 4, finished a succeeded");
    world.state.offers_withdrawn();
    world.state.revoked(ms(7), "d", Revocation::recalled, Micros(0));
    CHECK_EQ(world.told(7), "finished d recalled");
    CHECK_EQ(world.offers(), "c e");
    world.end_and_begin(8, "b", "");  // it came too late for an offer
    CHECK_EQ(world.actions(), "start c");
    CHECK_FALSE(world.state.waits_unoffered());
}

TEST_CASE("offers: none while the stream is down or the worker fenced, none to be begun later than the fence") {
    World world(1, 4);
    world.connect(0);
    world.told(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.actions();
    CHECK_EQ(world.state.start_until(), ms(4000));
    CHECK_EQ(world.offers(), "b");
    world.state.offers_withdrawn();
    world.time(4000);
    CHECK(world.state.fenced());
    CHECK_EQ(world.state.start_until(), ms(0));
    CHECK_EQ(world.offers(), "");
    world.end(4001, "a");
    CHECK_FALSE(world.state.handler_runs("b"));
    world.connect(5300);
    CHECK(world.state.handler_runs("b"));
}

TEST_CASE("offers: an exclusive attempt is not offered beside another of its task, and those behind it wait as well") {
    World world(2, 4);
    world.connect(0);
    world.told(0);
    world.assign(1, "old", {.task_id = "t"});
    world.assign(1, "other");
    world.assign(1, "x", {.task_id = "u", .exclusive = true});
    world.assign(1, "new", {.task_id = "t", .exclusive = true});
    world.assign(1, "last");
    world.actions();
    CHECK_EQ(world.offers(), "x");
    CHECK(world.state.waits_unoffered());
    world.end_and_begin(5, "other", "x");
    CHECK_EQ(world.actions(), "");
    world.end(6, "x");
    CHECK_EQ(world.actions(), "start last");
    world.end(7, "old");
    CHECK_EQ(world.actions(), "start new");
}

TEST_CASE("a batch has one slot: those that join it give theirs up, or take none") {
    World world(2, 4);
    world.connect(0);
    world.told(0);
    for (const char* id : {"a", "b", "c", "d", "e"}) world.assign(1, id);
    CHECK_EQ(world.actions(), "start a, start b");
    CHECK_EQ(world.offers(), "c d e");
    world.state.handler_joined(ms(2), "b", ms(2), "d");  // its slot is that of d
    world.state.handler_joined(ms(2), "c", ms(2));
    CHECK_EQ(world.actions(), "");
    CHECK_EQ(world.told(2), "started a, started b, started d waited 1, started c waited 1");
    world.end_and_begin(9, "a", "e");
    world.end(9, "b");
    world.end(9, "c");
    CHECK_EQ(world.told(10), "started e waited 8, finished a succeeded, finished b succeeded, finished c succeeded");
    world.assign(11, "f");
    CHECK_EQ(world.actions(), "");  // d and e have the slots
    world.end(12, "d");
    CHECK_EQ(world.actions(), "start f");
}

TEST_CASE("a queued attempt whose deadline passes is rejected, not started") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "late", {.deadline_in = ms(50)});
    world.told(1);
    world.actions();
    CHECK_EQ(world.state.wake_at(), ms(51));
    world.time(51);
    CHECK_EQ(world.told(51), "finished late rejected");
    world.end(60, "a");
    CHECK_EQ(world.actions(), "");
}

TEST_CASE("nothing starts or is reported while the stream is down") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.told(1);
    world.actions();
    world.state.stream_lost(ms(2));
    world.end(3, "a");
    CHECK_EQ(world.actions(), "");
    CHECK_FALSE(world.state.has_outbound());
    world.connect(300);
    CHECK_EQ(world.hello.held.size(), 2);
}

TEST_CASE("after a reconnect held attempts are listed, kept ones told again, abandoned ones stopped and forgotten") {
    World world(3);
    world.connect(0);
    for (const char* id : {"done", "drop-done", "run"}) world.assign(1, id);
    world.end(2, "done");
    world.end(2, "drop-done");
    world.assign(2, "drop-run");
    world.told(2);
    world.actions();
    world.state.stream_lost(ms(3));
    CHECK_LE(world.state.wake_at(), ms(203));  // the first retry comes within 200 ms
    world.time(203);
    CHECK_EQ(world.actions(), "open");
    CHECK_EQ(world.told(203), "hello 3, held done finished, held drop-done finished, held drop-run, held run");
    world.state.welcomed(ms(204),
                         {.lease = ms(5000), .heartbeat = ms(1000), .abandon = {"drop-done", "drop-run", "?"}});
    CHECK_EQ(world.actions(), "drop drop-done, cancel drop-run superseded");
    CHECK_EQ(world.told(204), "started run, finished done succeeded, heartbeat 2");
    world.end(210, "drop-run");
    CHECK_EQ(world.actions(), "drop drop-run");
    CHECK_EQ(world.told(210), "");
    world.state.report_acknowledged(ms(211), "done");
    world.end(212, "run");
    CHECK_EQ(world.told(212), "finished run succeeded");
}

TEST_CASE("a report whose acknowledgement was lost is sent again") {
    World world;
    world.connect(0);
    world.assign(1, "a");
    world.end(2, "a");
    CHECK_EQ(world.told(2), "started a, finished a succeeded, heartbeat 1");
    world.state.stream_lost(ms(3));
    world.connect(300);
    CHECK_EQ(world.told(300), "finished a succeeded, heartbeat 2");
}

TEST_CASE("delays before reconnecting grow with full jitter, are capped, and begin anew after a welcome") {
    World world;
    std::int64_t now = 0;
    world.actions();
    for (int failures = 0; failures < 12; ++failures) {
        world.told(now);
        world.state.stream_lost(ms(now));
        const auto delay = (world.state.wake_at() - ms(now)).count() / 1000;
        CHECK_LE(delay, std::min<std::int64_t>(200LL << failures, 1000));
        now += 1001;
        world.time(now);
        CHECK_EQ(world.actions(), "open");
    }
    world.told(now);
    world.state.welcomed(ms(now), {.lease = ms(5000), .heartbeat = ms(1000)});
    world.state.stream_lost(ms(now));
    CHECK_LE(world.state.wake_at(), ms(now + 200));
}

TEST_CASE("a stream that is not welcomed in time is given up") {
    World world;
    world.actions();
    world.told(0);
    CHECK_EQ(world.state.wake_at(), ms(5000));
    world.time(5000);
    CHECK_EQ(world.actions(), "close");
    CHECK_LE(world.state.wake_at(), ms(5200));
}

TEST_CASE("the fence falls lease - 1 s after the last acknowledged heartbeat was sent") {
    World world;
    world.connect(0);
    world.told(0);  // heartbeat 1, sent at 0
    world.time(1000);
    world.told(1000);
    world.state.heartbeat_acknowledged(ms(1500), 2);
    world.assign(1600, "plain");
    world.assign(1600, "exclusive", {.exclusive = true});
    world.told(1600);
    world.actions();
    for (int second = 2; second < 5; ++second) {
        world.time(second * 1000);
        world.told(second * 1000);
    }
    world.time(4999);
    CHECK_FALSE(world.state.fenced());
    world.time(5000);
    CHECK(world.state.fenced());
    CHECK_EQ(world.actions(), "cancel exclusive fenced, close");
    world.end(5001, "plain");
    CHECK_FALSE(world.state.has_outbound());
    world.connect(6100);
    CHECK_FALSE(world.state.fenced());
    CHECK_EQ(world.told(6100), "started exclusive, finished plain succeeded, heartbeat 6");
    world.end(6200, "exclusive", Outcome::cancelled());
    CHECK_EQ(world.told(6200), "finished exclusive rejected");
}

TEST_CASE("old or unknown acknowledgements do not move the fence") {
    World world;
    world.connect(0);
    world.told(0);
    world.time(1000);
    world.told(1000);
    world.state.heartbeat_acknowledged(ms(1001), 1);
    world.time(4000);
    CHECK(world.state.fenced());
}

TEST_CASE("a worker without an acknowledged heartbeat is fenced while it reconnects") {
    World world;
    world.connect(0);
    world.assign(1, "x", {.exclusive = true});
    world.told(1);
    world.actions();
    world.state.stream_lost(ms(2));
    world.time(4000);
    CHECK(world.state.fenced());
    CHECK_EQ(world.actions().substr(0, 15), "cancel x fenced");
}

TEST_CASE("a revoke cancels, and the answer follows what the handler did") {
    struct Row {
        const char* name;
        Revocation revocation;
        Outcome outcome;
        const char* action;
        const char* told;
    };
    const Row rows[] = {
        {"cancelled", Revocation::cancelled, Outcome::cancelled(), "cancel a cancelled", "finished a cancelled"},
        {"a failure after a cancel", Revocation::cancelled, Outcome::failure("x"), "cancel a cancelled",
         "finished a cancelled"},
        {"success wins", Revocation::cancelled, Outcome::success(), "cancel a cancelled", "finished a succeeded"},
        {"preempted", Revocation::preempted, Outcome::cancelled(), "cancel a preempted", "finished a cancelled"},
        {"timed out", Revocation::timed_out, Outcome::failure("x"), "cancel a timed_out", "finished a timed_out"},
        {"superseded is not answered", Revocation::superseded, Outcome::success(), "cancel a superseded", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        World world;
        world.connect(0);
        world.assign(1, "a");
        world.told(1);
        world.actions();
        world.state.revoked(ms(2), "a", row.revocation, ms(100));
        CHECK_EQ(world.actions(), row.action);
        world.state.revoked(ms(3), "a", row.revocation, ms(100));
        CHECK_EQ(world.actions(), "");
        world.end(4, "a", row.outcome);
        CHECK_EQ(world.told(4), row.told);
    }
}

TEST_CASE("a paused attempt gives up its slot; its run time and timeout stand still") {
    World world(1);
    world.connect(0);
    world.assign(1, "long", {.timeout = ms(100)});
    world.told(1);
    world.actions();
    world.state.pause_asked(ms(11), "long", 1, true);
    CHECK_EQ(world.actions(), "pause long");
    world.state.handler_paused(ms(11), "long", true);
    CHECK_EQ(world.told(11), "paused long turn 1 after 10");
    world.assign(12, "short");
    CHECK_EQ(world.actions(), "start short");
    world.told(12);
    world.time(500);
    CHECK_EQ(world.actions(), "");
    world.end(501, "short");
    world.told(501);
    world.actions();
    world.state.pause_asked(ms(511), "long", 2, false);
    CHECK_EQ(world.actions(), "resume long");
    world.state.handler_paused(ms(511), "long", false);
    CHECK_EQ(world.told(512), "running long turn 2 after 11");
    world.time(600);
    CHECK_EQ(world.actions(), "");
    world.time(601);  // 10 ms before and 90 ms after
    CHECK_EQ(world.actions(), "cancel long timed_out");
    world.state.handler_ended(ms(602), "long", Outcome::success(), ms(601));
    world.told(602);
    CHECK_EQ(world.last.run, ms(101));
}

TEST_CASE("what cannot be paused says so; an order that comes too late, or twice, changes nothing") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.told(1);
    world.actions();
    world.state.pause_asked(ms(2), "a", 1, true);
    CHECK_EQ(world.actions(), "pause a");
    world.state.handler_paused(ms(2), "a", false);
    CHECK_EQ(world.told(2), "running a turn 1 after 1");
    world.state.pause_asked(ms(3), "a", 2, false);
    CHECK_EQ(world.actions(), "");
    CHECK_EQ(world.told(3), "running a turn 2 after 2");
    world.state.pause_asked(ms(4), "nobody", 1, true);
    world.end(5, "a");
    world.state.pause_asked(ms(6), "a", 3, true);
    CHECK_EQ(world.actions(), "");
    CHECK_EQ(world.told(6), "finished a succeeded");
}

TEST_CASE("a cancelled attempt that stands still is told to go on first") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.told(1);
    world.actions();
    world.state.pause_asked(ms(2), "a", 1, true);
    world.state.handler_paused(ms(2), "a", true);
    world.actions();
    world.state.revoked(ms(3), "a", Revocation::cancelled, ms(100));
    CHECK_EQ(world.actions(), "resume a, cancel a cancelled");
    world.state.pause_asked(ms(4), "a", 2, true);
    CHECK_EQ(world.actions(), "");
    world.end(5, "a", Outcome::cancelled());
    CHECK_EQ(world.told(5), "finished a cancelled");
}

TEST_CASE("a worker that comes back says which attempts stand still") {
    World world(2);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.told(1);
    world.state.pause_asked(ms(2), "a", 1, true);
    world.actions();
    world.state.handler_paused(ms(2), "a", true);
    world.state.stream_lost(ms(3));
    world.time(1000);
    CHECK_EQ(world.told(1000), "hello 2, held a paused, held b");
}

TEST_CASE("a queued attempt that is revoked never starts") {
    struct Row {
        Revocation revocation;
        const char* told;
    };
    for (const Row row : {Row{Revocation::cancelled, "finished b cancelled"}, Row{Revocation::superseded, ""}}) {
        World world(1);
        world.connect(0);
        world.assign(1, "a");
        world.assign(1, "b");
        world.told(1);
        world.state.revoked(ms(2), "b", row.revocation, ms(0));
        CHECK_EQ(world.told(2), row.told);
        world.actions();
        world.end(3, "a");
        CHECK_EQ(world.actions(), "");
    }
}

TEST_CASE("a handler that ignores its cancel is reported after the grace and its slot withheld until it returns") {
    World world(2);
    world.connect(0);
    world.assign(1, "deaf");
    world.told(1);
    world.actions();
    world.state.revoked(ms(2), "deaf", Revocation::cancelled, ms(100));
    CHECK_EQ(world.state.wake_at(), ms(102));
    world.time(102);
    CHECK_EQ(world.told(102), "finished deaf cancelled, capacity 1");
    world.state.report_acknowledged(ms(103), "deaf");
    world.assign(104, "b");
    world.assign(104, "c");
    CHECK_EQ(world.actions(), "cancel deaf cancelled, start b");
    world.told(104);
    world.end(200, "deaf");
    CHECK_EQ(world.actions(), "drop deaf, start c");
    CHECK_EQ(world.told(200), "started c waited 96, capacity 2");
}

TEST_CASE("a worker whose every slot is withheld drains instead of offering none") {
    World world(1);
    world.connect(0);
    world.assign(1, "deaf", {.timeout = ms(10)});
    world.told(1);
    world.time(11);
    world.stay_in_touch(5011);
    world.time(5011);
    CHECK_EQ(world.told(5011).substr(0, 44), "finished deaf timed_out, capacity 1 draining");
}

TEST_CASE("the timeout runs from the start, not from the assignment") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "b", {.timeout = ms(100)});
    world.actions();
    world.time(500);
    CHECK_EQ(world.actions(), "");
    world.end(600, "a");
    CHECK_EQ(world.actions(), "start b");
    world.time(699);
    CHECK_EQ(world.actions(), "");
    world.time(700);
    CHECK_EQ(world.actions(), "cancel b timed_out");
    world.told(700);
    world.end(710, "b", Outcome::failure("killed"));
    CHECK_EQ(world.told(710), "finished b timed_out");
    CHECK_EQ(world.last.error, "killed");
}

TEST_CASE("an exclusive attempt waits until an older attempt of its task has returned") {
    World world(2);
    world.connect(0);
    world.assign(1, "old", {.task_id = "t", .exclusive = true});
    world.actions();
    world.state.revoked(ms(2), "old", Revocation::superseded, ms(10));
    world.assign(3, "new", {.task_id = "t", .exclusive = true});
    world.assign(3, "other", {.exclusive = true});
    CHECK_EQ(world.actions(), "cancel old superseded, start other");
    world.end(50, "old");
    CHECK_EQ(world.actions(), "drop old, start new");
}

TEST_CASE("what a handler returns becomes a report") {
    struct Row {
        const char* name;
        Outcome outcome;
        Ending ending;
        bool retryable;
        const char* error;
    };
    const std::string big(256 * 1024 + 1, 'x');
    const Row rows[] = {
        {"success", Outcome::success("r"), Ending::succeeded, true, ""},
        {"failure", Outcome::failure("e"), Ending::failed, true, "e"},
        {"fatal", Outcome::fatal("e"), Ending::failed, false, "e"},
        {"out of memory", Outcome::out_of_memory("e"), Ending::out_of_memory, true, "e"},
        {"rejected", Outcome::rejected("e"), Ending::rejected, true, "e"},
        {"cancelled by nobody", Outcome::cancelled(), Ending::failed, true,
         "the handler ended as cancelled, though nobody asked it to"},
        {"a result too long", Outcome::success(big), Ending::failed, false,
         "the result has 262145 bytes; at most 262144 can be kept"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        World world;
        world.connect(0);
        world.assign(1, "a");
        world.end(2, "a", row.outcome);
        world.told(2);
        CHECK_EQ(world.last.ending, row.ending);
        CHECK_EQ(world.last.retryable, row.retryable);
        CHECK_EQ(world.last.error, row.error);
    }
}

TEST_CASE("a long error is cut, and large results are spread over messages") {
    World world(3);
    world.connect(0);
    for (const char* id : {"a", "b", "c"}) world.assign(1, id);
    world.told(1);
    world.end(2, "a", Outcome::failure(std::string(9999, 'e')).with_result(std::string(256 * 1024, 'r')));
    world.told(2);
    CHECK_EQ(world.last.error.size(), 4096);
    CHECK_EQ(world.last.result.size(), 256 * 1024);
    WorkerState small({.slots = 4, .message_bytes_max = 10}, 1);
    small.start(ms(0));
    small.take_outbound(ms(0));
    small.welcomed(ms(0), {.lease = ms(5000), .heartbeat = ms(1000)});
    for (const char* id : {"a", "b", "c"}) {
        small.assigned(ms(1), {.task_id = id, .attempt_id = id});
        small.handler_ended(ms(2), id, Outcome::success("sixsix"), ms(1));
    }
    CHECK_EQ(small.take_outbound(ms(2)).finished.size(), 2);
    CHECK(small.has_outbound());
    CHECK_EQ(small.take_outbound(ms(2)).finished.size(), 1);
}

TEST_CASE("progress: the latest only, a few times a second, clipped") {
    World world;
    world.connect(0);
    world.assign(1, "a");
    world.told(1);
    world.state.progressed(ms(10), "a", 0.25, "x");
    CHECK_EQ(world.told(10), "progress a 0.25");
    world.state.progressed(ms(11), "a", 0.5, "y");
    world.state.progressed(ms(12), "a", 7, "z");
    CHECK_EQ(world.told(12), "");
    CHECK_EQ(world.state.wake_at(), ms(110));
    world.time(110);
    CHECK_EQ(world.told(110), "progress a 1.00");
    world.state.progressed(ms(300), "gone", 0.1, "");
    world.state.progressed(ms(300), "a", std::numeric_limits<double>::quiet_NaN(), "");
    CHECK_EQ(world.told(300), "progress a 0.00");
}

TEST_CASE("drain by the server: queued attempts go back, running ones end, a later assignment ends the drain") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.told(1);
    world.actions();
    world.state.drain_asked(ms(2));
    CHECK_EQ(world.told(2), "finished b rejected");
    world.end(3, "a");
    CHECK_EQ(world.told(3), "finished a succeeded");
    world.assign(9, "c");
    CHECK_EQ(world.actions(), "start c");
}

TEST_CASE("stop: nothing more is taken, what runs ends, then goodbye") {
    World world(1);
    world.connect(0);
    world.assign(1, "a");
    world.assign(1, "b");
    world.told(1);
    world.actions();
    world.state.stop_asked(ms(2));
    CHECK_EQ(world.told(2), "finished b rejected, capacity 1 draining");
    world.assign(3, "c");
    CHECK_EQ(world.told(3), "finished c rejected");
    world.end(4, "a");
    CHECK_EQ(world.told(4), "finished a succeeded");
    for (const char* id : {"b", "c"}) world.state.report_acknowledged(ms(5), id);
    CHECK_EQ(world.told(5), "");
    world.state.report_acknowledged(ms(6), "a");
    CHECK_EQ(world.told(6), "goodbye");
    CHECK_EQ(world.actions(), "drop b, drop c, drop a, stop 0");
}

TEST_CASE("stop with nothing held ends at once, connected or not") {
    World connected;
    connected.connect(0);
    connected.told(0);
    connected.state.stop_asked(ms(1));
    CHECK_EQ(connected.told(1), "capacity 2 draining, goodbye");
    CHECK_EQ(connected.actions(), "stop 0");

    World opening;
    opening.actions();
    opening.state.stop_asked(ms(1));
    CHECK_EQ(opening.actions(), "close, stop 0");

    World down;
    down.state.stream_lost(ms(0));
    down.actions();
    down.state.stop_asked(ms(1));
    CHECK_EQ(down.actions(), "stop 0");
}

TEST_CASE("stop keeps reconnecting until its reports are acknowledged") {
    World world;
    world.connect(0);
    world.assign(1, "a");
    world.told(1);
    world.state.stream_lost(ms(2));
    world.actions();
    world.state.stop_asked(ms(3));
    world.end(4, "a");
    world.connect(300);
    CHECK_EQ(world.told(300), "finished a succeeded, heartbeat 2");  // that it drains is in the hello
    world.state.report_acknowledged(ms(301), "a");
    CHECK_EQ(world.told(301), "goodbye");
}

TEST_CASE("a second stop, or the drain limit, cancels what runs; the grace later the worker ends anyway") {
    for (const bool twice : {true, false}) {
        CAPTURE(twice);
        World world;
        world.connect(0);
        world.assign(1, "good");
        world.assign(1, "deaf");
        world.told(1);
        world.actions();
        world.state.stop_asked(ms(100));
        const std::int64_t cut = twice ? 200 : 30'100;
        world.stay_in_touch(cut);
        CHECK_EQ(world.actions(), "");
        if (twice)
            world.state.stop_asked(ms(cut));
        else
            world.time(cut);
        CHECK_EQ(world.actions(), "cancel deaf stopping, cancel good stopping");
        world.end(cut + 10, "good", Outcome::cancelled());
        world.told(cut + 10);
        CHECK_EQ(world.last.ending, Ending::rejected);
        world.state.report_acknowledged(ms(cut + 11), "good");
        world.stay_in_touch(cut + 5000);
        world.time(cut + 5000);
        CHECK_NE(world.told(cut + 5000).find("finished deaf rejected"), std::string::npos);
        world.stay_in_touch(cut + 6000);
        world.actions();
        world.time(cut + 6000);
        CHECK_EQ(world.actions(), "close, stop 1");
    }
}

TEST_CASE("a refused worker stops with 2") {
    World world;
    world.actions();
    world.state.refused();
    CHECK_EQ(world.actions(), "close, stop 2");
    CHECK_EQ(world.state.wake_at(), WorkerState::kNever);
}

TEST_CASE("field L: while another has its name it asks again every 1 to 5 s, and keeps what it runs") {
    World world;
    Micros longest{0};
    std::int64_t at = 0;
    for (int i = 0; i < 30; ++i) {
        CHECK_EQ(world.actions(), "open");
        CHECK_EQ(world.told(at), "hello 2");
        world.state.name_in_use(ms(at));
        CHECK_EQ(world.actions(), "close");
        const Micros wait = world.state.wake_at() - ms(at);
        CHECK_GE(wait, ms(1000));
        CHECK_LE(wait, ms(i == 0 ? 2000 : 5000));
        longest = std::max(longest, wait);
        at = world.state.wake_at().count() / 1000 + 1;
        world.time(at);
    }
    CHECK_GT(longest, ms(3000));
    world.connect(at);
    world.assign(at, "a");
    world.told(at);
    world.state.name_in_use(ms(at));  // another was let in while it was silent
    CHECK_EQ(world.state.attempts_held(), 1);
    CHECK_LE(world.state.wake_at() - ms(at), ms(2000));  // from the beginning again
}

TEST_CASE("asked to reconnect it does so within the first delay") {
    World world;
    world.connect(0);
    world.assign(1, "a");
    world.told(1);
    world.actions();
    world.state.reconnect_asked(ms(2));
    CHECK_EQ(world.actions(), "close");
    CHECK_LE(world.state.wake_at(), ms(202));
    world.connect(203);
    CHECK_EQ(world.told(203), "started a, heartbeat 2");
}

TEST_CASE("every call is legal in every state") {
    // A random walk over all calls: the state must never hold more than it may, and end when asked to.
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        Backoff draw(ms(1), ms(1), seed);
        const auto below = [&draw](std::int64_t n) { return draw.uniform(Micros(n - 1)).count(); };
        World world(2, seed % 3 == 0 ? 3 : 0);
        const bool takes_offers = seed % 5 < 2;
        std::deque<std::string> offers;
        std::int64_t now = 0;
        std::vector<std::string> running;
        bool over = false;
        for (int step = 0; step < 400 && !over; ++step) {
            now += below(400);
            const std::string id(1, static_cast<char>('a' + below(8)));
            const std::int64_t call = below(seed % 2 == 0 ? 14 : 12);
            if (takes_offers && !(call >= 1 && call <= 3) && call != 5 && call != 8 && call != 10 && call != 11) {
                offers.clear();
                world.state.offers_withdrawn();
            }
            switch (call) {
                case 0:
                    world.state.welcomed(ms(now), {.lease = ms(5000), .heartbeat = ms(1000), .abandon = {id}});
                    break;
                case 1:
                case 2:
                case 3:
                    world.assign(now, id, {.task_id = id, .timeout = ms(below(2) * 300), .exclusive = below(2) == 0});
                    break;
                case 4: world.state.revoked(ms(now), id, static_cast<Revocation>(1 + below(5)), ms(below(500))); break;
                case 5: world.state.report_acknowledged(ms(now), id); break;
                case 6: world.state.heartbeat_acknowledged(ms(now), static_cast<std::uint64_t>(below(30))); break;
                case 7: world.state.stream_lost(ms(now)); break;
                case 8: world.state.progressed(ms(now), id, 0.5, "n"); break;
                case 9: world.state.drain_asked(ms(now)); break;
                case 10: world.state.take_outbound(ms(now)); break;
                case 12: world.state.pause_asked(ms(now), id, static_cast<std::uint32_t>(step), true); break;
                case 13: world.state.pause_asked(ms(now), id, static_cast<std::uint32_t>(step), false); break;
                case 11:
                    if (running.empty()) break;
                    if (offers.empty() || ms(now) >= world.state.start_until() || seed % 2 == 0) {
                        offers.clear();
                        world.state.offers_withdrawn();
                        world.end(now, running.back());
                    } else {
                        world.end_and_begin(now, running.back(), offers.front());
                        CHECK(world.state.handler_runs(offers.front()));
                        running.insert(running.begin(), offers.front());
                        offers.pop_front();
                    }
                    running.pop_back();
                    break;
            }
            const bool stop = below(200) == 0;
            if (stop || world.state.wake_at() <= ms(now)) {
                offers.clear();
                world.state.offers_withdrawn();
            }
            if (stop) world.state.stop_asked(ms(now));
            if (world.state.wake_at() <= ms(now)) world.time(now);
            for (const Action& action : world.state.take_actions()) {
                if (action.what == What::start) {
                    running.push_back(action.attempt_id);
                    CHECK_EQ(std::count(offers.begin(), offers.end(), action.attempt_id), 0);
                }
                if (action.what == What::pause) world.state.handler_paused(ms(now), action.attempt_id, below(4) > 0);
                if (action.what == What::resume) world.state.handler_paused(ms(now), action.attempt_id, false);
                over = over || action.what == What::stop;
            }
            if (takes_offers)
                for (const std::string_view offer : world.state.take_offers()) offers.emplace_back(offer);
            CHECK_LE(running.size(), seed % 2 == 0 ? 8 : 2);
            CHECK_GE(world.state.wake_at(), ms(0));
        }
        world.state.stop_asked(ms(now));
        for (int step = 0; step < 100 && !over; ++step) {
            now += 1000;
            world.state.take_outbound(ms(now));
            world.time(now);
            for (const Action& action : world.state.take_actions()) over = over || action.what == What::stop;
        }
        CHECK(over);
    }
}

namespace {

// A pool with real threads, whose loop is the test.
struct Crew {
    explicit Crew(std::size_t threads) : pool(std::make_shared<Pool>(threads, clock, [this] { calls.release(); })) {}
    ~Crew() { pool->stop(); }

    Pool::Job attempt(const std::string& id, const std::shared_ptr<const Work>& work, Micros start_by = Micros::max()) {
        return std::make_shared<Attempt>(Assignment{.task_id = id, .attempt_id = id}, work, start_by, progress);
    }
    bool run_and_offer(std::vector<Pool::Job> starts, std::vector<Pool::Job> jobs, Micros until = Micros::max()) {
        return pool->run_and_offer(starts, until, [&](std::deque<Pool::Job>& offers) {
            for (Pool::Job& job : jobs) offers.push_back(std::move(job));
        });
    }
    void run(const Pool::Job& job) { CHECK(run_and_offer({job}, {})); }
    bool offer(std::vector<Pool::Job> jobs, Micros until = Micros::max()) {
        return run_and_offer({}, std::move(jobs), until);
    }
    // "a, b>c, d+": a ended; b ended and c began in its slot; d joined a batch.
    std::string notes(bool withdraw = false) {
        while (!pool->call_for_notes()) calls.acquire();
        std::vector<Pool::Note> all;
        dropped = withdraw ? (pool->withdraw(all), false) : pool->take_notes(all);
        std::string out;
        for (const Pool::Note& note : all)
            out += (out.empty() ? "" : ", ") + note.attempt->assignment().attempt_id + (note.outcome ? "" : "+") +
                   (note.next ? ">" + note.next->assignment().attempt_id : "");
        return out;
    }

    std::shared_ptr<test::ManualClock> clock = std::make_shared<test::ManualClock>();
    std::counting_semaphore<> calls{0};
    std::shared_ptr<const Attempt::ProgressSink> progress =
        std::make_shared<const Attempt::ProgressSink>([](const std::string&, double, std::string) {});
    std::shared_ptr<Pool> pool;
    bool dropped = false;
};

}  // namespace

TEST_CASE("pool: the oldest offer begins where a handler ends, and nothing is offered while an end is untold") {
    Crew crew(1);
    std::binary_semaphore go(0);
    const auto waits = std::make_shared<const Work>(
        Work{.one = [&](Context&) { return go.acquire(), Outcome::success(); }, .many = {}});
    crew.run(crew.attempt("a", waits));
    CHECK(crew.offer({crew.attempt("b", waits), crew.attempt("c", waits)}));
    go.release();
    CHECK_EQ(crew.notes(), "a>b");
    go.release();
    while (!crew.pool->call_for_notes()) crew.calls.acquire();
    CHECK_FALSE(crew.offer({crew.attempt("d", waits)}));
    CHECK_EQ(crew.notes(true), "b>c");
    CHECK(crew.offer({crew.attempt("e", waits)}, ms(5)));
    crew.clock->advance(ms(5));  // too late for all offers
    go.release();
    CHECK_EQ(crew.notes(), "c");
    CHECK(crew.dropped);
    crew.run(crew.attempt("f", waits));
    CHECK(crew.offer({crew.attempt("g", waits, ms(6)), crew.attempt("h", waits)}));
    crew.clock->advance(ms(1));  // too late for g
    go.release();
    CHECK_EQ(crew.notes(), "f");
    CHECK(crew.dropped);
}

TEST_CASE("pool: a batch takes jobs, whose slots go to other offers, and offers of its type") {
    Crew crew(2);
    std::binary_semaphore go(0), both(0);
    std::atomic<int> alone{0};
    const auto one = std::make_shared<const Work>(Work{.one =
                                                           [&](Context&) {
                                                               if (++alone == 2) both.release();
                                                               return go.acquire(), go.release(), Outcome::success();
                                                           },
                                                       .many = {}});
    std::vector<std::size_t> sizes;
    const auto many =
        std::make_shared<const Work>(Work{.one = {},
                                          .many =
                                              [&](std::span<Context> tasks) {
                                                  sizes.push_back(tasks.size());
                                                  return std::vector<Outcome>(tasks.size(), Outcome::success());
                                              },
                                          .batch_max = 3});
    crew.run(crew.attempt("x", one));
    crew.run(crew.attempt("y", one));
    both.acquire();  // both threads are busy
    for (const char* id : {"a", "b"}) crew.run(crew.attempt(id, many));
    CHECK(crew.offer({crew.attempt("p", one), crew.attempt("c", many), crew.attempt("d", many)}));
    go.release();
    std::string all;
    while (std::count(all.begin(), all.end(), ',') < 9) all += crew.notes() + ", ";
    // x and y end in either order; the slot of one goes to p before or after the batch was gathered.
    // c must not be waiting when the slot of b is free: it has a slot itself, or joined before.
    CHECK((all.find(">c") < all.find("b+") || all.find("c+") < all.find("b+")));
    CHECK_EQ(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), 4);
    CHECK_EQ(*std::max_element(sizes.begin(), sizes.end()), 3);
}

TEST_CASE("pool: a batch that begins at once finds what is offered with its first") {
    Crew crew(1);
    const auto many = std::make_shared<const Work>(
        Work{.one = {},
             .many = [](std::span<Context> tasks) { return std::vector<Outcome>(tasks.size(), Outcome::success()); },
             .batch_max = 3});
    for (int round = 0; round < 200; ++round) {
        CHECK(crew.run_and_offer({crew.attempt("a", many)}, {crew.attempt("b", many), crew.attempt("c", many)}));
        std::string all;
        while (std::count(all.begin(), all.end(), ',') < 5) all += crew.notes() + ", ";
        CHECK_EQ(all, "b+, c+, a, b, c, ");
    }
}

TEST_CASE("pool: under many threads each offer begins once or is withdrawn") {
    Crew crew(8);
    std::atomic<int> begun{0}, at_once{0}, most{0};
    const auto work = std::make_shared<const Work>(
        Work{.one =
                 [&](Context&) {
                     const int now = ++at_once;
                     for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
                     }
                     ++begun;
                     if (begun % 7 == 0) std::this_thread::yield();
                     --at_once;
                     return Outcome::success();
                 },
             .many = {}});
    // What WorkerState would do, in small: five slots, a queue, ends and starts.
    std::deque<Pool::Job> queue;
    std::size_t free_slots = 5, offered = 0, ended = 0, withdrawn = 0;
    for (int n = 0; n < 20'000; ++n) queue.push_back(crew.attempt(std::to_string(n), work));
    std::vector<Pool::Note> notes;
    const auto take = [&](bool withdraw) {
        if (withdraw)
            crew.pool->withdraw(notes);
        else
            crew.pool->take_notes(notes);
        for (const Pool::Note& note : notes) {
            ++ended;
            if (!note.next) {
                ++free_slots;
                continue;
            }
            REQUIRE_EQ(note.next, queue.front());
            queue.pop_front();
            --offered;
        }
        if (withdraw) withdrawn += std::exchange(offered, 0);
    };
    std::vector<Pool::Job> starts;
    for (int round = 0; ended < 20'000; ++round) {
        for (; free_slots > 0 && !queue.empty(); --free_slots) {
            REQUIRE_EQ(offered, 0);
            starts.push_back(queue.front());
            queue.pop_front();
        }
        crew.pool->run_and_offer(starts, Micros::max(), [&](std::deque<Pool::Job>& offers) {
            for (; offered < std::min<std::size_t>(queue.size(), 20); ++offered) offers.push_back(queue[offered]);
        });
        if (!crew.pool->call_for_notes()) crew.calls.acquire();
        take(round % 3 == 0);
    }
    CHECK_EQ(begun, 20'000);
    CHECK_LE(most, 5);
    CHECK_GT(withdrawn, 0);
}

TEST_CASE("a call is tried again only when that can help, and never past its time") {
    Backoff backoff(ms(50), ms(2000), 1);
    struct Row {
        const char* name;
        FailureKind kind;
        std::optional<Micros> retry_after;
        std::int64_t left_ms;
        bool again;
    };
    const Row rows[] = {
        {"unknown outcome", FailureKind::unknown, {}, 10'000, true},
        {"full server", FailureKind::exhausted, ms(1000), 10'000, true},
        {"full server, no time for its wait", FailureKind::exhausted, ms(1000), 900, false},
        {"no time left", FailureKind::unknown, {}, 0, false},
        {"invalid", FailureKind::invalid, {}, 10'000, false},
        {"conflict", FailureKind::conflict, {}, 10'000, false},
        {"denied", FailureKind::denied, ms(1), 10'000, false},
        {"not found", FailureKind::not_found, {}, 10'000, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Failure failure{.kind = row.kind, .retry_after = row.retry_after};
        const auto delay = delay_before_retry(failure, ms(row.left_ms), backoff);
        CHECK_EQ(delay.has_value(), row.again);
        if (delay && row.retry_after) CHECK_GE(*delay, *row.retry_after);
    }
}

TEST_CASE("what a handler has written is told once, in messages that are not too long, and not after a reconnect") {
    World world;
    world.connect(0);
    world.told(0);
    const auto answer = [](std::uint64_t number, std::size_t bytes) {
        return WrittenEntry{.task_id = "t",
                            .attempt_id = "a",
                            .number = number,
                            .running = true,
                            .written = {.out = std::string(bytes, 'x'), .err = {}, .out_from = 3}};
    };
    world.state.looked(answer(1, 100'000));
    REQUIRE(world.state.has_outbound());
    const Outbound out = world.state.take_outbound(ms(1));
    REQUIRE_EQ(out.written.size(), 1);
    CHECK_EQ(out.written[0].written.out.size(), 64 * 1024);  // cut
    CHECK_EQ(out.written[0].written.out_from, 3);
    CHECK_FALSE(world.state.has_outbound());
    for (std::uint64_t n = 0; n < 20; ++n) world.state.looked(answer(n, 64 * 1024));
    CHECK_EQ(world.state.take_outbound(ms(2)).written.size(), 16);
    CHECK_EQ(world.state.take_outbound(ms(3)).written.size(), 4);
    world.state.looked(answer(30, 1));
    world.state.stream_lost(ms(4));
    world.state.looked(answer(31, 1));
    world.connect(500);
    CHECK(world.state.take_outbound(ms(500)).written.empty());
}
