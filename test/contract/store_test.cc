// What is promised while the store is away, and of several owners and stores: C1, C13, C19.

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "contract/house.h"
#include "doubles/socket_journal.h"
#include "engine/runner.h"
#include "history/memory/memory_history.h"

using namespace nexus;
using namespace nexus::engine;
using namespace nexus::test;

namespace {

// A clock that moves only when told.
std::atomic<std::int64_t> clock_ns = 1'000'000'000;
std::int64_t told_ns() {
    return clock_ns;
}

struct QuietLink : WorkerLink {
    std::mutex mutex;
    std::vector<Assignment> assigned;
    std::optional<core::WelcomeWorker> welcome;
    std::size_t accepted = 0;
    bool closed = false;
    void send(WorkerOrders orders) override {
        const std::lock_guard lock(mutex);
        for (Assignment& each : orders.assign) assigned.push_back(std::move(each));
        if (orders.welcome) welcome = std::move(orders.welcome);
        for (const core::AnswerReport& answer : orders.answers) accepted += answer.accepted;
        closed = closed || orders.close;
    }
    std::size_t count() {
        const std::lock_guard lock(mutex);
        return assigned.size();
    }
};

template <class F>
bool comes_true(F&& f) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    bool is = f();
    for (; !is && std::chrono::steady_clock::now() < end; is = f()) std::this_thread::yield();
    return is;
}

template <class Request>
Result<typename Request::Answer> ask(Runner& runner, Request request) {
    std::promise<Result<typename Request::Answer>> promise;
    runner.ask({}, std::move(request),
               Done<typename Request::Answer>([&](auto value) { promise.set_value(std::move(value)); }));
    return promise.get_future().get();
}

SessionId join(Runner& runner, const std::shared_ptr<QuietLink>& link, std::vector<core::HeldAttempt> held = {}) {
    WorkerHello hello;
    hello.joined.name = "w";
    hello.joined.slots = 2;
    hello.joined.offered = {-1, -1, -1, {}};
    hello.joined.held = std::move(held);
    std::promise<Result<SessionId>> promise;
    runner.connect({}, std::move(hello), link, [&](auto session) { promise.set_value(std::move(session)); });
    return promise.get_future().get().value();
}

WorkerReport finished(const std::vector<Assignment>& given) {
    WorkerReport report;
    for (const Assignment& each : given) {
        report.started.emplace_back(each.order.task, each.order.attempt);
        report.finished.push_back({.task = each.order.task, .attempt = each.order.attempt, .run = milliseconds(20)});
    }
    return report;
}

}  // namespace

TEST_CASE("C13: ten seconds without the store lose, kill and repeat nothing, and no process ends") {
    JournalServer server;
    SocketJournal journal(server);
    history::MemoryHistory history;
    std::atomic<int> fatal = 0;
    auto started = Runner::start({.steady_ns = told_ns, .on_fatal = [&](const Error&) { ++fatal; }}, journal, history);
    REQUIRE(started.has_value());
    Runner& runner = **started;
    auto link = std::make_shared<QuietLink>();
    const SessionId session = join(runner, link);
    std::vector<TaskId> tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(ask(runner, SubmitTasks{{a_task()}})->front().task);
    REQUIRE(comes_true([&] { return link->count() == 2; }));
    const std::vector<Assignment> held = link->assigned;

    server.frames().set_faults({.lost_reply_one_in = 1});
    std::atomic<bool> unknown = false;
    runner.ask({}, SubmitTasks{{keyed("k")}}, [&](Result<std::vector<Submitted>> answer) {
        unknown = !answer && answer.error().fault == Fault::unreachable;
    });
    REQUIRE(comes_true([&] { return server.frames().counts().lost_replies > 0; }));  // it is on its way
    for (int i = 0; i < 100; ++i) {
        clock_ns += 100'000'000;
        WorkerReport alive;
        alive.load.emplace();
        runner.report(session, std::move(alive));
        if (i == 20) REQUIRE(comes_true([&] { return unknown.load(); }));
        if (i < 16) continue;
        CHECK_FALSE(runner.sure());
        CHECK_FALSE(runner.ready());
        CHECK(ask(runner, GetTask{tasks[0]}).error().fault == Fault::unavailable);
    }
    runner.report(session, finished(held));  // it has nobody to tell yet
    CHECK(link->count() == 2);
    server.frames().set_faults({});
    REQUIRE(comes_true([&] { return runner.sure(); }));
    REQUIRE(comes_true([&] {
        const std::lock_guard lock(link->mutex);
        return link->closed;
    }));
    CHECK(server.frames().counts().lost_replies > 0);
    CHECK(server.frames().counts().connections > 2);

    auto again = std::make_shared<QuietLink>();
    std::vector<core::HeldAttempt> holds;
    for (const Assignment& each : held) holds.push_back({each.order.task, each.order.attempt});
    SessionId back = join(runner, again, holds);
    REQUIRE(comes_true([&] {
        const std::lock_guard lock(again->mutex);
        return again->welcome.has_value();
    }));
    CHECK(again->welcome->keep.size() == 2);
    runner.report(back, finished(held));
    // The submission that got no answer: asked again under its key it is one task.
    const auto repeated = ask(runner, SubmitTasks{{keyed("k")}});
    REQUIRE(repeated.has_value());
    CHECK(repeated->front().duplicate);
    tasks.push_back(repeated->front().task);
    for (std::size_t done = 0; done < 4;) {
        REQUIRE(comes_true([&] { return again->count() > done; }));
        std::vector<Assignment> next;
        {
            const std::lock_guard lock(again->mutex);
            next.assign(again->assigned.begin() + static_cast<std::ptrdiff_t>(done), again->assigned.end());
        }
        done += next.size();
        runner.report(back, finished(next));
    }
    for (const TaskId task : tasks) {
        const auto info = ask(runner, GetTask{task});
        REQUIRE(info.has_value());
        CHECK(info->state == core::TaskState::succeeded);
        CHECK(info->attempts.size() == 1);
    }
    CHECK(fatal == 0);
    CHECK(runner.stop().has_value());
    started->reset();
    const auto next = Runner::start({.steady_ns = told_ns}, journal, history);
    REQUIRE(next.has_value());
    CHECK((*next)->recovery().tasks_live == 0);
}

TEST_CASE("C19: an owner that another has overtaken is refused, answers nothing and says so; no process ends") {
    JournalServer server;
    SocketJournal journal(server), other(server);
    history::MemoryHistory history;
    std::atomic<int> fatal = 0;
    auto runner = Runner::start({.name = "first", .on_fatal = [&](const Error&) { ++fatal; }}, journal, history);
    REQUIRE(runner.has_value());
    REQUIRE(ask(**runner, SubmitTasks{{a_task()}}).has_value());
    const auto claim = store::claim_now(other, {.name = "second", .token_hi = 7, .token_lo = 7});
    REQUIRE(claim.has_value());
    const auto last = other.head()->last;
    CHECK(ask(**runner, SubmitTasks{{a_task()}}).error().fault == Fault::unreachable);
    CHECK_FALSE((*runner)->sure());
    CHECK_FALSE((*runner)->ready());
    CHECK(ask(**runner, ReadState{}).error().fault == Fault::unavailable);
    CHECK(other.head()->last == last);
    CHECK(other.head()->owner == "second");
    CHECK_FALSE((*runner)->stop().has_value());
    CHECK(fatal == 0);
}

TEST_CASE("two engines on two stores live in one process, and know nothing of each other") {
    store::MemoryJournal journals[2];
    history::MemoryHistory histories[2];
    std::unique_ptr<Runner> runners[2];
    std::vector<TaskId> tasks[2];
    for (int i = 0; i < 2; ++i) {
        auto started = Runner::start({.name = "n" + std::to_string(i)}, journals[i], histories[i]);
        REQUIRE(started.has_value());
        runners[i] = std::move(*started);
    }
    std::shared_ptr<QuietLink> links[2] = {std::make_shared<QuietLink>(), std::make_shared<QuietLink>()};
    const SessionId sessions[2] = {join(*runners[0], links[0]), join(*runners[1], links[1])};
    for (int i = 0; i < 200; ++i)
        for (int k = 0; k < 2; ++k) {
            const auto made = ask(*runners[k], SubmitTasks{{keyed("k" + std::to_string(i), k == 0 ? "a" : "b")}});
            REQUIRE(made.has_value());
            CHECK_FALSE(made->front().duplicate);
            tasks[k].push_back(made->front().task);
        }
    for (int k = 0; k < 2; ++k) {
        REQUIRE(comes_true([&] { return links[k]->count() == 2; }));
        runners[k]->report(sessions[k], finished(links[k]->assigned));
        REQUIRE(comes_true([&] { return links[k]->count() >= 4; }));
        CHECK(ask(*runners[k], GetTask{tasks[k][0]})->state == core::TaskState::succeeded);
        CHECK(ask(*runners[k], GetTask{tasks[1 - k][0]}).error().fault == Fault::not_found);
        CHECK(std::ranges::all_of(links[k]->assigned,
                                  [&](const Assignment& each) { return each.body->payload == (k == 0 ? "a" : "b"); }));
        CHECK(runners[k]->stop().has_value());
    }
}
