// Is all well, and what needs somebody.

#include "api/attention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace nexus;

namespace {

constexpr WallTime kNow{1'800'000'000'000'000};

engine::ReadModel well() {
    engine::ReadModel state;
    state.status.now = kNow;
    state.status.workers_ready = state.status.workers_total = 1;
    engine::WorkerInfo worker{.name = "w1", .connected = true};
    worker.breaker = "closed";
    worker.last_heard = kNow;
    state.workers.push_back(worker);
    return state;
}

v1::Attention told(const engine::ReadModel& state, std::vector<engine::Check> checks = {}, api::Disk disk = {}) {
    v1::Attention out;
    api::attention_of({.state = state, .checks = std::move(checks), .disk = disk}, out);
    return out;
}

std::string ids(const v1::Attention& attention) {
    std::string all;
    for (const v1::Need& need : attention.needs()) all += (all.empty() ? "" : " ") + need.id();
    return all;
}

}  // namespace

TEST_CASE("when all is well nothing needs anybody") {
    engine::ReadModel state = well();
    state.status.wait_p99 = milliseconds(2);
    const v1::Attention attention = told(state);
    CHECK_EQ(ids(attention), "");
    CHECK_EQ(attention.verdict().kind(), "well");
    CHECK_EQ(attention.verdict().sentence(), "All is well: 99 of 100 tasks start within 2 ms.");
}

TEST_CASE("what stops work comes before what breaks promises, that before waste and notices") {
    engine::ReadModel state = well();
    state.status.history_dropped = 3;
    state.status.fallback = true;
    state.status.fallback_since = {kNow.us - 5};
    state.workers[0].connects = 7;
    const v1::Attention attention = told(state, {{.name = "space", .good = false, .text = "the disk is full"}});
    CHECK_EQ(ids(attention), "ready:space prediction flaps:w1 history");
    CHECK_EQ(attention.needs(0).severity(), "stops");
    CHECK_EQ(attention.needs(1).severity(), "breaks");
    CHECK_EQ(attention.needs(1).since_unix_us(), kNow.us - 5);
    CHECK_EQ(attention.needs(2).severity(), "waste");
    CHECK_EQ(attention.needs(3).severity(), "notice");
    CHECK_EQ(attention.needs(3).sentence(), "3 history rows were dropped.");
    CHECK_EQ(attention.verdict().kind(), "stopped");
    CHECK_EQ(attention.verdict().cause(), "The disk is full.");
}

TEST_CASE("without workers nothing can run") {
    engine::ReadModel state;
    state.status.now = kNow;
    CHECK_EQ(ids(told(state)), "worker");
    CHECK_EQ(told(state).verdict().sentence(), "Nothing can run: no worker is connected.");
    state = well();
    state.status.workers_ready = 0;
    state.status.counters.waiting = 1;
    CHECK_EQ(told(state).verdict().sentence(), "Nothing can run: no worker is ready.");
    CHECK_EQ(told(state).verdict().cause(), "1 task waits.");
}

TEST_CASE("workers that are gone, silent, doubled or behind a breaker are named, while it matters") {
    engine::ReadModel state = well();
    engine::WorkerInfo& worker = state.workers[0];
    worker.breaker = "open";
    worker.breaker_reason = "runs take 310 % of the usual time";
    worker.suspect = true;
    worker.rivals = 2;
    worker.rival_at = {kNow.us - seconds(4).us};
    worker.rival_hostname = "box";
    CHECK_EQ(ids(told(state)), "silent:w1 breaker:w1 rival:w1");
    CHECK_EQ(told(state).needs(1).sentence(), "The circuit breaker of w1 is open: runs take 310 % of the usual time.");
    CHECK_EQ(told(state).needs(2).sentence(),
             "w1: another process on host box wants its name, 2 times, last 4.0 s ago: two workers have one --name.");
    worker = {.name = "w1"};
    worker.last_heard = {kNow.us - minutes(3).us};
    CHECK_EQ(ids(told(state)), "gone:w1");
    worker.last_heard = {kNow.us - hours(2).us};
    CHECK_EQ(ids(told(state)), "");
}

TEST_CASE("a verdict tells work that piles up from work that is caught up with, and from work that cannot start") {
    engine::ReadModel state = well();
    state.status.counters.waiting = 1000;
    state.status.drain_eta = kNow + minutes(3);
    state.status.waiting_by = {
        {.reason = core::WaitReason::capacity,
         .count = 1000,
         .why = {
             .reason = core::WaitReason::capacity, .cause = core::WaitCause::workers_busy, .name = {}, .unmet = {}}}};
    CHECK_EQ(told(state).verdict().kind(), "busy");
    CHECK_EQ(told(state).verdict().sentence(),
             "Work is catching up: 1,000 tasks wait, all of it done in about 3.0 min.");
    state.arrived_per_s = 40;
    state.ended_per_s = 9;
    state.tasks_max = 101'000;
    CHECK_EQ(told(state).verdict().kind(), "piling");
    CHECK_EQ(told(state).verdict().sentence(),
             "Work is piling up: 31 more each second; at this rate the limit of 101,000 tasks is met in 53.8 min.");
    CHECK_EQ(told(state).verdict().cause(), "Most of them: the workers that may run them are busy.");
    state.arrived_per_s = 0;
    state.status.waiting_paused = 1000;
    CHECK_EQ(told(state).verdict().kind(), "degraded");
}

TEST_CASE("queues that are paused, tasks that died and slots that were idle are told once each") {
    engine::ReadModel state = well();
    state.dead_lately = 2;
    state.dead_type = "doomed";
    state.status.idle_lately = minutes(2);
    state.status.waiting_held = 1;
    state.drifted["slow"] = {kNow.us - 9};
    auto queues = std::make_shared<std::vector<engine::QueueInfo>>();
    queues->push_back({.name = "mail", .paused = true, .waiting = 3, .oldest = {kNow.us - 7}});
    queues->push_back({.name = "quiet", .paused = true});
    state.queues = queues;
    const v1::Attention attention = told(state);
    CHECK_EQ(ids(attention), "dead idle queue:mail held type:slow");
    CHECK_EQ(attention.needs(0).sentence(), "2 tasks died within the last hour, most of them of type doomed.");
    CHECK_EQ(attention.needs(2).sentence(), "mail is paused, and 3 tasks wait in it.");
    CHECK_EQ(attention.needs(2).target(), "queues/mail");
}

TEST_CASE("a disk that is full soon is told, one with room is not") {
    const engine::ReadModel state = well();
    CHECK_EQ(ids(told(state, {}, {.free_bytes = 5LL << 30, .full = {}})), "");
    CHECK_EQ(ids(told(state, {}, {.free_bytes = 1LL << 29, .full = {}})), "disk");
    const v1::Attention soon = told(state, {}, {.free_bytes = 5LL << 30, .full = kNow + hours(5)});
    CHECK_EQ(soon.needs(0).sentence(),
             "The disk of the server has 5.0 GiB free, and is full in 5.0 h if it goes on as in the last hour.");
}

TEST_CASE("no more than a hundred needs are told") {
    engine::ReadModel state = well();
    state.workers.clear();
    for (int n = 0; n < 300; ++n) {
        engine::WorkerInfo worker{.name = "w" + std::to_string(n), .connected = true, .suspect = true};
        worker.breaker = "closed";
        state.workers.push_back(worker);
    }
    CHECK_EQ(told(state).needs_size(), 100);
}
