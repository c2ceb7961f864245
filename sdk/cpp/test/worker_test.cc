// The worker against a scripted server: real gRPC, real threads, time moved by hand.

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <thread>

#include "manual_clock.h"
#include "scripted_server.h"
#include "worker_runtime.h"

using namespace nexus;
using namespace nexus::sdk;
using namespace nexus::sdk::test;

namespace {

// A door a handler waits at until the test opens it, and that knows how many came.
class Door {
public:
    void pass() {
        std::unique_lock lock(mutex_);
        ++came_;
        changed_.notify_all();
        changed_.wait_for(lock, kPatience, [&] { return open_; });
    }
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    bool came(int count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [&] { return came_ >= count; });
    }
    int came() {
        const std::lock_guard lock(mutex_);
        return came_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    int came_ = 0;
};

struct Rig {
    explicit Rig(std::uint32_t slots = 2) : server(side) {
        WorkerOptions options{.name = "w1", .target = server.target(), .slots = slots, .labels = {{"zone", "a"}}};
        options.log = [this](std::string_view line) {
            const std::lock_guard lock(mutex);
            lines += std::string(line) + "\n";
            changed.notify_all();
        };
        runtime.emplace(options, clock, 1);
    }
    ~Rig() { finish(); }

    void run() {
        thread = std::thread([this] { exit_code = runtime->run(); });
    }
    // Stops the worker however it hangs on; what the test wants to see of a stop it must see before.
    void finish() {
        if (!thread.joinable()) return;
        runtime->stop();
        runtime->stop();
        std::thread([this] {  // what is left of its graces and backoffs passes
            while (exit_code < 0) {
                clock->advance(std::chrono::milliseconds(500));
                std::this_thread::yield();
            }
        })
            .join();
        thread.join();
    }
    int join() {
        thread.join();
        return exit_code;
    }
    bool logged(const std::string& text) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, kPatience, [&] { return lines.find(text) != std::string::npos; });
    }
    // The worker's next stream, after it noticed the loss of the last.
    std::shared_ptr<Session> reconnected() {
        CHECK(logged("connection lost"));
        clock->advance(std::chrono::milliseconds(200));
        return side.accept();
    }

    WorkerSide side;
    ServerOnPort server;
    std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
    std::optional<WorkerRuntime> runtime;
    std::atomic<int> exit_code{-1};
    std::thread thread;
    std::mutex mutex;  // guards lines
    std::condition_variable changed;
    std::string lines;
};

}  // namespace

TEST_CASE("a task runs and its result is reported") {
    Rig rig;
    rig.runtime->handle("resize", [](Context& task) {
        CHECK_EQ(task.task_id(), "task-a");
        CHECK_EQ(task.attempt(), 1);
        CHECK_EQ(task.fence(), 77);
        CHECK_EQ(task.metadata("k"), "v");
        CHECK_EQ(task.metadata("absent"), "");
        CHECK_EQ(task.predicted(), Micros(1500));
        CHECK(task.deadline().has_value());
        CHECK_FALSE(task.cancelled());
        task.progress(0.5, "half");
        return Outcome::success("small " + task.payload()).with_peak_memory(42);
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    CHECK_EQ(session->hello().worker(), "w1");
    CHECK_EQ(session->hello().slots(), 2);
    CHECK_EQ(session->hello().prefetch_max(), 96);
    CHECK_EQ(session->hello().labels().at("zone"), "a");
    REQUIRE_EQ(session->hello().types_size(), 1);
    CHECK_EQ(session->hello().types(0), "resize");
    session->welcome();
    session->assign("a", "resize", [](v1::Assign& assign) {
        assign.set_payload("picture");
        assign.set_fence(77);
        assign.set_timeout_us(1'000'000);
        assign.set_predicted_us(1500);
        (*assign.mutable_metadata())["k"] = "v";
    });
    CHECK(session->heard_started("a"));
    const v1::Finished report = session->finished("a");
    CHECK_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
    CHECK_EQ(report.result(), "small picture");
    CHECK_EQ(report.task_id(), "task-a");
    CHECK_EQ(report.peak_memory_bytes(), 42);
}

TEST_CASE("what goes wrong in a handler is a failure of its task") {
    Rig rig;
    rig.runtime->handle("throws", [](Context&) -> Outcome { throw std::runtime_error("no such colour"); });
    rig.runtime->handle("odd", [](Context&) -> Outcome { throw 7; });
    rig.runtime->handle("fatal", [](Context&) { return Outcome::fatal("\xff\xfe no text"); });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    session->assign("a", "throws");
    CHECK_EQ(session->finished("a").error(), "the handler threw: no such colour");
    session->assign("b", "odd");
    CHECK_EQ(session->finished("b").outcome(), v1::OUTCOME_FAILED);
    session->assign("c", "fatal");
    CHECK_EQ(session->finished("c").error(), "?? no text");
    CHECK(session->finished("c").not_retryable());
    session->assign("d", "unknown");
    CHECK_EQ(session->finished("d").outcome(), v1::OUTCOME_REJECTED);
}

TEST_CASE("a lost acknowledgement: the report is sent again, the task not run again") {
    Rig rig;
    std::atomic<int> runs{0};
    rig.runtime->handle_any([&](Context&) { return ++runs, Outcome::success("once"); });
    rig.run();
    const auto first = rig.side.accept();
    REQUIRE(first);
    CHECK_EQ(first->hello().types_size(), 0);
    first->welcome();
    first->assign("a");
    CHECK_EQ(first->finished("a").result(), "once");
    first->drop();
    const auto second = rig.reconnected();
    REQUIRE(second);
    REQUIRE_EQ(second->hello().held_size(), 1);
    CHECK_EQ(second->hello().held(0).attempt_id(), "a");
    CHECK(second->hello().held(0).finished());
    second->welcome();
    CHECK_EQ(second->finished("a").result(), "once");
    second->acknowledge("a");
    second->assign("b");
    CHECK_EQ(second->finished("b").result(), "once");
    CHECK_EQ(runs, 2);
    CHECK_EQ(second->reports(), 2);
}

TEST_CASE("a server that restarts: what runs goes on and is listed, nothing runs twice") {
    Rig rig;
    Door door;
    rig.runtime->handle_any([&](Context&) { return door.pass(), Outcome::success(); });
    rig.run();
    const auto first = rig.side.accept();
    REQUIRE(first);
    first->welcome();
    first->assign("a");
    first->assign("a");  // a duplicate is ignored
    CHECK(first->heard_started("a"));
    CHECK(door.came(1));
    rig.server.stop();
    CHECK(rig.logged("connection lost"));
    rig.server.start();
    std::shared_ptr<Session> second;
    std::thread accepting([&] { second = rig.side.accept(); });
    for (int i = 0; i < 10'000 && rig.clock->now() < std::chrono::seconds(3); ++i)  // backoffs pass, the fence does not
        rig.clock->advance(std::chrono::microseconds(300));
    accepting.join();
    REQUIRE(second);
    REQUIRE_EQ(second->hello().held_size(), 1);
    CHECK_FALSE(second->hello().held(0).finished());
    second->welcome();
    CHECK(second->heard_started("a"));
    door.open();
    CHECK_EQ(second->finished("a").outcome(), v1::OUTCOME_SUCCEEDED);
    CHECK_EQ(door.came(), 1);
}

TEST_CASE("an abandoned attempt is cancelled and not reported") {
    Rig rig;
    std::atomic<CancelReason> seen{CancelReason::none};
    rig.runtime->handle("long", [&](Context& task) {
        task.wait_cancelled(kPatience);
        seen = task.cancel_reason();
        return Outcome::success("late");
    });
    rig.runtime->handle("short", [](Context&) { return Outcome::success(); });
    rig.run();
    const auto first = rig.side.accept();
    REQUIRE(first);
    first->welcome();
    first->assign("a", "long");
    CHECK(first->heard_started("a"));
    first->drop();
    const auto second = rig.reconnected();
    REQUIRE(second);
    second->welcome({"a"});
    second->assign("b", "short");
    second->assign("c", "short");
    CHECK_EQ(second->finished("b").outcome(), v1::OUTCOME_SUCCEEDED);
    CHECK_EQ(second->finished("c").outcome(), v1::OUTCOME_SUCCEEDED);
    rig.finish();
    CHECK_EQ(seen.load(), CancelReason::superseded);
    CHECK_EQ(second->reports(), 2);
}

TEST_CASE("a revoke reaches the handler's flag, its wait and its callback") {
    Rig rig;
    std::atomic<int> called{0};
    rig.runtime->handle_any([&](Context& task) {
        task.on_cancel([&](CancelReason reason) { called += reason == CancelReason::cancelled ? 1 : 100; });
        const bool cancelled = task.wait_cancelled(kPatience);
        task.on_cancel([&](CancelReason) { called += 10; });  // at once
        return cancelled && task.cancelled() ? Outcome::cancelled("stopped") : Outcome::success();
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    session->assign("a");
    CHECK(session->heard_started("a"));
    session->revoke("a", v1::REVOKE_REASON_CANCELLED);
    const v1::Finished report = session->finished("a");
    CHECK_EQ(report.outcome(), v1::OUTCOME_CANCELLED);
    CHECK_EQ(report.error(), "stopped");
    CHECK_EQ(called, 11);
}

TEST_CASE("the timeout of an attempt is kept by the worker itself") {
    Rig rig;
    Door door;
    door.open();
    rig.runtime->handle_any([&](Context& task) {
        door.pass();
        task.wait_cancelled(kPatience);
        return Outcome::failure("killed");
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    session->assign("a", "t", [](v1::Assign& assign) { assign.set_timeout_us(2'000'000); });
    CHECK(door.came(1));
    rig.clock->advance(std::chrono::seconds(2));
    CHECK_EQ(session->finished("a").outcome(), v1::OUTCOME_TIMED_OUT);
}

TEST_CASE("without acknowledged heartbeats the worker fences itself") {
    Rig rig;
    rig.side.acknowledge_heartbeats = false;
    Door plain;
    std::atomic<CancelReason> seen{CancelReason::none};
    Door fenced;
    fenced.open();
    rig.runtime->handle("plain", [&](Context&) { return plain.pass(), Outcome::success(); });
    rig.runtime->handle("exclusive", [&](Context& task) {
        task.wait_cancelled(kPatience);
        seen = task.cancel_reason();
        fenced.pass();
        return Outcome::cancelled();
    });
    rig.run();
    const auto first = rig.side.accept();
    REQUIRE(first);
    first->welcome();
    first->assign("p", "plain");
    first->assign("x", "exclusive", [](v1::Assign& assign) { assign.set_exclusive(true); });
    CHECK(first->heard_started("p"));
    CHECK(first->heard_started("x"));
    rig.clock->advance(std::chrono::seconds(4));
    CHECK(fenced.came(1));
    CHECK_EQ(seen.load(), CancelReason::fenced);
    CHECK(first->ended());
    plain.open();
    CHECK_EQ(first->reports(), 0);
    rig.clock->advance(std::chrono::milliseconds(200));
    const auto second = rig.side.accept();
    REQUIRE(second);
    CHECK_EQ(second->hello().held_size(), 2);
    second->welcome();
    CHECK_EQ(second->finished("p").outcome(), v1::OUTCOME_SUCCEEDED);
    CHECK_EQ(second->finished("x").outcome(), v1::OUTCOME_REJECTED);
}

TEST_CASE("stop drains: what runs ends and is reported, then goodbye and exit code 0") {
    Rig rig;
    Door door;
    rig.runtime->handle_any([&](Context&) { return door.pass(), Outcome::success(); });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    session->assign("a");
    CHECK(door.came(1));
    rig.runtime->stop();
    CHECK(session->heard([](const v1::WorkerMessage& all) { return all.capacity().draining(); }));
    session->assign("late");
    CHECK_EQ(session->finished("late").outcome(), v1::OUTCOME_REJECTED);
    door.open();
    CHECK_EQ(session->finished("a").outcome(), v1::OUTCOME_SUCCEEDED);
    session->acknowledge("late");
    session->acknowledge("a");
    CHECK(session->heard([](const v1::WorkerMessage& all) { return all.goodbye(); }));
    CHECK_EQ(rig.join(), 0);
}

TEST_CASE("field E: a worker tells a watchdog that its loop turns, connected or not") {
    std::mutex mutex;
    std::condition_variable changed;
    int told = 0;
    WorkerOptions options{.name = "w", .target = "127.0.0.1:1"};  // nobody is there
    options.alive_every = std::chrono::seconds(15);
    options.alive = [&] {
        const std::lock_guard lock(mutex);
        ++told;
        changed.notify_all();
    };
    const auto clock = std::make_shared<ManualClock>();
    WorkerRuntime runtime(options, clock, 1);
    runtime.handle_any([](Context&) { return Outcome::success(); });
    std::thread thread([&] { runtime.run(); });
    for (int wanted = 1; wanted <= 3; ++wanted) {
        {
            std::unique_lock lock(mutex);
            CHECK(changed.wait_for(lock, kPatience, [&] { return told >= wanted; }));
        }
        clock->advance(std::chrono::seconds(15));
    }
    runtime.stop();
    thread.join();
}

TEST_CASE(
    "ready work begins when a slot is free, in order, before anything is acknowledged; some is recalled in time") {
    Rig rig(1);
    std::map<std::string, Door> doors;
    for (const char* id : {"a", "b", "c", "d"}) doors[id];
    std::mutex mutex;
    std::string order;
    rig.runtime->handle_any([&](Context& task) {
        {
            const std::lock_guard lock(mutex);
            order += task.attempt_id();
        }
        task.progress(0.5, "on it");
        doors.at(task.attempt_id()).pass();
        return Outcome::success("of " + task.attempt_id());
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    for (const char* id : {"a", "b", "c", "d"}) session->assign(id);
    CHECK(doors["a"].came(1));
    session->revoke("c", v1::REVOKE_REASON_RECALLED);
    CHECK_EQ(session->finished("c").outcome(), v1::OUTCOME_RECALLED);
    rig.clock->advance(std::chrono::milliseconds(3));
    doors["a"].open();
    CHECK(doors["b"].came(1));
    CHECK_EQ(session->finished("a").result(), "of a");
    CHECK(session->heard_started("b"));
    session->revoke("b", v1::REVOKE_REASON_RECALLED);  // too late
    session->revoke("d", v1::REVOKE_REASON_CANCELLED);
    CHECK_EQ(session->finished("d").outcome(), v1::OUTCOME_CANCELLED);
    doors["b"].open();
    CHECK_EQ(session->finished("b").result(), "of b");
    CHECK(session->heard([](const v1::WorkerMessage& all) {
        for (const v1::Started& started : all.started())
            if (started.attempt_id() == "b") return started.waited_us() == 3000;
        return false;
    }));
    CHECK(session->heard([](const v1::WorkerMessage& all) {
        for (const v1::Progress& progress : all.progress())
            if (progress.attempt_id() == "a") return progress.note() == "on it";
        return false;
    }));
    CHECK_EQ(session->reports(), 4);
    const std::lock_guard lock(mutex);
    CHECK_EQ(order, "ab");
}

TEST_CASE("ready work is not begun after its deadline, nor while the connection is lost") {
    Rig rig(1);
    std::map<std::string, Door> doors;
    for (const char* id : {"a", "late", "b", "c"}) doors[id];
    rig.runtime->handle_any([&](Context& task) { return doors.at(task.attempt_id()).pass(), Outcome::success(); });
    rig.run();
    const auto first = rig.side.accept();
    REQUIRE(first);
    first->welcome();
    v1::ServerMessage message;  // one: when a has begun, all have come
    for (const char* id : {"a", "late", "b"}) {
        v1::Assign& assign = *message.add_assign();
        assign.set_task_id(std::string("task-") + id);
        assign.set_attempt_id(id);
        assign.set_type("t");
        if (assign.attempt_id() == "late") assign.set_deadline_in_us(50'000);
    }
    first->send(message);
    CHECK(doors["a"].came(1));
    rig.clock->advance(std::chrono::milliseconds(50));
    CHECK_EQ(first->finished("late").outcome(), v1::OUTCOME_REJECTED);
    doors["a"].open();
    CHECK(doors["b"].came(1));
    first->assign("c");
    CHECK(first->heard_started("b"));
    first->drop();
    const auto second = rig.reconnected();
    REQUIRE(second);
    doors["b"].open();
    CHECK_EQ(second->hello().held_size(), 4);
    for (const v1::HeldAttempt& held : second->hello().held()) CHECK_EQ(held.waiting(), held.attempt_id() == "c");
    CHECK_EQ(doors["c"].came(), 0);
    second->welcome();
    CHECK(doors["c"].came(1));
    doors["c"].open();
    CHECK_EQ(second->finished("c").outcome(), v1::OUTCOME_SUCCEEDED);
    CHECK_EQ(doors["late"].came(), 0);
}

TEST_CASE("a thousand ready tasks: each runs once, in a few messages, while others are recalled") {
    Rig rig(4);
    std::array<std::atomic<int>, 1000> runs{};
    std::atomic<int> at_once{0}, most{0};
    rig.runtime->handle_batch("rows", {.max = 7}, [&](std::span<Context> tasks) {
        for (Context& task : tasks) ++runs[std::stoul(task.attempt_id())];
        return std::vector<Outcome>(tasks.size(), Outcome::success());
    });
    rig.runtime->handle_any([&](Context& task) {
        const int now = ++at_once;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        ++runs[std::stoul(task.attempt_id())];
        --at_once;
        return Outcome::success();
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    for (int n = 0; n < 1000; n += 20) {
        v1::ServerMessage message;
        for (int i = n; i < n + 20; ++i) {
            v1::Assign& assign = *message.add_assign();
            assign.set_task_id("task");
            assign.set_attempt_id(std::to_string(i));
            assign.set_type(i % 3 == 0 ? "one" : "rows");
            if (i % 5 != 0) continue;
            v1::Revoke& revoke = *message.add_revoke();  // of the message before
            revoke.set_attempt_id(std::to_string(i - 20));
            revoke.set_reason(v1::REVOKE_REASON_RECALLED);
        }
        session->send(message);
        CHECK(session->heard([&](const v1::WorkerMessage& all) { return all.finished_size() >= n; }));
    }
    CHECK(session->heard([](const v1::WorkerMessage& all) { return all.finished_size() == 1000; }));
    const auto recalled = [&](const v1::WorkerMessage& all) {
        int count = 0;
        for (const v1::Finished& finished : all.finished()) {
            const bool back = finished.outcome() == v1::OUTCOME_RECALLED;
            count += back ? 1 : 0;
            CHECK_EQ(runs[std::stoul(finished.attempt_id())].load(), back ? 0 : 1);
        }
        return count <= 195;
    };
    CHECK(session->heard(recalled));
    CHECK_EQ(session->reports(), 1000);
    CHECK_LE(most.load(), 4);
}

TEST_CASE("a batch handler takes what waits; each task has its own payload, outcome and cancel") {
    Rig rig(1);
    Door door, cancelled;
    std::mutex mutex;
    std::vector<std::size_t> sizes;
    rig.runtime->handle_batch("rows", {.max = 3}, [&](std::span<Context> tasks) {
        {
            const std::lock_guard lock(mutex);
            sizes.push_back(tasks.size());
        }
        std::vector<Outcome> outcomes;
        if (tasks[0].payload() == "first") door.pass();
        if (tasks[0].payload() == "throw") throw std::runtime_error("no such table");
        if (tasks[0].payload() == "few") return outcomes;
        for (Context& task : tasks) {
            if (task.payload() == "wait" && task.wait_cancelled(kPatience))
                outcomes.push_back(Outcome::cancelled());
            else if (task.payload() == "bad")
                outcomes.push_back(Outcome::fatal("bad row"));
            else
                outcomes.push_back(Outcome::success("kept " + task.payload()));
        }
        return outcomes;
    });
    rig.runtime->handle("plain", [](Context&) { return Outcome::success("plain"); });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    const auto send = [&](const std::string& id, const std::string& payload, const std::string& type = "rows") {
        session->assign(id, type, [&](v1::Assign& assign) { assign.set_payload(payload); });
    };
    send("a", "first");
    CHECK(door.came(1));
    send("b", "1");
    send("p", "", "plain");
    send("c", "wait");
    send("d", "bad");
    send("e", "2");
    send("f", "throw");
    send("g", "3");
    send("x", "", "unknown");
    send("z", "");
    session->revoke("z", v1::REVOKE_REASON_RECALLED);
    CHECK_EQ(session->finished("z").outcome(), v1::OUTCOME_RECALLED);  // so it has all of them
    door.open();
    CHECK(session->heard_started("c"));
    session->revoke("c", v1::REVOKE_REASON_CANCELLED);
    CHECK_EQ(session->finished("a").result(), "kept first");
    CHECK_EQ(session->finished("b").result(), "kept 1");
    CHECK_EQ(session->finished("c").outcome(), v1::OUTCOME_CANCELLED);
    CHECK_EQ(session->finished("d").error(), "bad row");
    CHECK_EQ(session->finished("p").result(), "plain");
    CHECK_EQ(session->finished("x").outcome(), v1::OUTCOME_REJECTED);
    CHECK_EQ(session->finished("e").result(), "kept 2");
    CHECK_EQ(session->finished("f").result(), "kept throw");
    CHECK_EQ(session->finished("g").result(), "kept 3");
    {
        const std::lock_guard lock(mutex);
        CHECK_EQ(sizes, std::vector<std::size_t>{1, 3, 3});
    }
    send("h", "throw");
    CHECK_EQ(session->finished("h").error(), "the handler threw: no such table");
    send("i", "few");
    CHECK_EQ(session->finished("i").error(), "the handler of a batch of 1 tasks returned 0 outcomes");
    CHECK_EQ(session->reports(), 12);
}

TEST_CASE("attempts that have slots join a batch and give the slots up") {
    Rig rig(3);
    Door door, plain;
    rig.runtime->handle_batch("rows", {.max = 10}, [&](std::span<Context> tasks) {
        door.pass();
        return std::vector<Outcome>(tasks.size(), Outcome::success(std::to_string(tasks.size())));
    });
    rig.runtime->handle("plain", [&](Context&) { return plain.pass(), Outcome::success(); });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    v1::ServerMessage message;
    for (const char* id : {"a", "b", "c", "p", "q"}) {
        v1::Assign& assign = *message.add_assign();
        assign.set_attempt_id(id);
        assign.set_task_id(std::string("task-") + id);
        assign.set_type(id[0] < 'p' ? "rows" : "plain");
    }
    session->send(message);
    CHECK(plain.came(2));  // two slots are left beside that of the batch
    door.open();
    plain.open();
    for (const char* id : {"a", "b", "c"}) CHECK_EQ(session->finished(id).result(), "3");
    CHECK_EQ(session->finished("q").outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_CASE("prefetch_max has a bound, and 0 is one") {
    WorkerRuntime worker({.name = "w", .target = "127.0.0.1:1", .prefetch_max = 4097}, std::make_shared<ManualClock>(),
                         1);
    CHECK_EQ(worker.run(), 2);
    CHECK_EQ(worker.refusal(), "prefetch_max: must be at most 4096");
}

TEST_CASE("a worker that the server refuses ends and says why") {
    Rig rig;
    rig.side.refuse({grpc::StatusCode::INVALID_ARGUMENT, "slots: must be at most 4096"});
    rig.runtime->handle_any([](Context&) { return Outcome::success(); });
    rig.run();
    CHECK_EQ(rig.join(), 2);
    CHECK_EQ(rig.runtime->refusal(), "slots: must be at most 4096");
}

TEST_CASE("field L: a worker whose name another has asks for it again") {
    Rig rig;
    rig.side.refuse(refusal_of(grpc::StatusCode::FAILED_PRECONDITION, "NAME_IN_USE", "the name w1 is in use"));
    rig.runtime->handle_any([](Context&) { return Outcome::success(); });
    rig.run();
    REQUIRE(rig.logged("the name w1 is in use; trying again until it is free"));
    rig.side.refuse(grpc::Status::OK);
    rig.clock->advance(std::chrono::seconds(2));
    const auto session = rig.side.accept();
    REQUIRE(session);
    CHECK_NE(session->hello().instance(), 0);
    session->welcome();
    session->assign("a");
    CHECK_EQ(session->finished("a").outcome(), v1::OUTCOME_SUCCEEDED);

    // One that was silent for too long, so that another was let in.
    v1::ServerMessage message;
    message.set_reconnect("a newer session of this worker took over");
    session->send(message);
    REQUIRE(rig.logged("another worker named w1 has connected; names must be unique; trying again"));
    rig.clock->advance(std::chrono::seconds(2));
    const auto again = rig.side.accept();
    REQUIRE(again);
    CHECK_EQ(again->hello().instance(), session->hello().instance());
    CHECK_EQ(rig.exit_code, -1);
}

TEST_CASE("a handler that never returns does not keep the worker from ending") {
    const auto door = std::make_shared<Door>();  // the handler outlives the worker, and this test
    {
        Rig rig;
        rig.runtime->handle_any([door](Context&) { return door->pass(), Outcome::success(); });
        rig.run();
        const auto session = rig.side.accept();
        REQUIRE(session);
        session->welcome();
        session->assign("a");
        CHECK(door->came(1));
        rig.finish();
        CHECK_EQ(rig.exit_code, 1);
    }
    door->open();
}

TEST_CASE("what a handler writes can be looked at while it runs, and only then") {
    Rig rig;
    Door door;
    rig.runtime->handle("writer", [&](Context& task) {
        CHECK_EQ(task.resources().memory_bytes, 1 << 20);
        CHECK_EQ(task.resources().cpu_milli, 500);
        task.on_look([](std::uint64_t out_from, std::uint64_t err_from) {
            return Written{.out = std::string("hello").substr(std::min<std::uint64_t>(out_from, 5)),
                           .err = "e",
                           .out_from = out_from,
                           .err_from = err_from};
        });
        door.pass();
        return Outcome::success();
    });
    rig.runtime->handle("mute", [&](Context& task) {
        CHECK_EQ(task.resources().memory_bytes, 0);
        door.pass();
        return Outcome::success();
    });
    rig.run();
    const auto session = rig.side.accept();
    REQUIRE(session);
    session->welcome();
    session->assign("a", "writer", [](v1::Assign& assign) {
        assign.mutable_resources()->set_memory_bytes(1 << 20);
        assign.mutable_resources()->set_cpu_milli(500);
    });
    session->assign("b", "mute");
    REQUIRE(door.came(2));
    const auto look = [&](const std::string& id, std::uint64_t number, std::uint64_t out_from) {
        v1::ServerMessage message;
        v1::Look& to = *message.add_look();
        to.set_task_id("task-" + id);
        to.set_attempt_id(id);
        to.set_number(number);
        to.set_stdout_from(out_from);
        to.set_stderr_from(7);
        session->send(message);
        v1::Written found;
        CHECK(session->heard([&](const v1::WorkerMessage& all) {
            for (const auto& written : all.written())
                if (written.number() == number) return found = written, true;
            return false;
        }));
        return found;
    };
    const v1::Written first = look("a", 1, 2);
    CHECK(first.running());
    CHECK_EQ(first.attempt_id(), "a");
    CHECK_EQ(first.task_id(), "task-a");
    CHECK_EQ(first.stdout(), "llo");
    CHECK_EQ(first.stdout_from(), 2);
    CHECK_EQ(first.stderr(), "e");
    CHECK_EQ(first.stderr_from(), 7);
    for (const char* id : {"b", "never seen"}) {
        const v1::Written none = look(id, id[0], 0);
        CHECK_FALSE(none.running());
        CHECK_EQ(none.stdout(), "");
    }
    door.open();
    CHECK_EQ(session->finished("a").attempt_id(), "a");
    CHECK_FALSE(look("a", 3, 0).running());
    session->acknowledge("a");
    CHECK_FALSE(look("a", 4, 0).running());
}
