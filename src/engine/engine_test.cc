#include <doctest/doctest.h>

#include <future>
#include <map>

#include "engine/body.h"
#include "engine/world_test.h"
#include "history/memory/memory_history.h"
#include "store/memory/memory_journal.h"

using namespace nexus;
using namespace nexus::engine;

TEST_CASE("a task goes from submission to its result") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    REQUIRE(link->told.front().welcome.has_value());
    const TaskId task = world.submitted(a_task());
    REQUIRE(link->assigned().size() == 1);
    CHECK(link->assigned()[0].order.task == task);
    CHECK(link->assigned()[0].body->payload == "pixels");
    CHECK(world.get(task)->state == core::TaskState::assigned);
    AttemptReport report;
    report.result = "small pixels";
    world.finish(session, link->assigned()[0], report);
    const auto info = world.get(task);
    REQUIRE(info.has_value());
    CHECK(info->state == core::TaskState::succeeded);
    CHECK(info->result == "small pixels");
    CHECK(info->attempts.size() == 1);
    CHECK(store::read_body(world.journal, store::BodyKind::body, task).state == store::Body::State::missing);
}

TEST_CASE("a run that never stood still tells its start, and after its end what it was predicted by") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    WorkerReport begun;
    begun.started.emplace_back(task, order.order.attempt);
    world.turn([&](Engine& e) { e.report(session, std::move(begun)); });
    world.pass(milliseconds(300));  // nothing happens that the core hears of
    const auto running = world.get(task);
    REQUIRE_EQ(running->attempts.size(), 1);
    CHECK_EQ(running->attempts[0].run.us, Duration{-1}.us);
    world.finish(session, order);
    CHECK_EQ(world.get(task)->estimate.source, EstimateSource::fallback);
}

TEST_CASE("a kill for memory is learned, the next attempt asks for more, and its error says so") {
    World world;
    const auto join = [&](const std::string& name, std::int64_t memory) {
        auto link = std::make_shared<RecordingLink>();
        WorkerHello hello = a_worker(name);
        hello.joined.offered.memory_bytes = memory;
        return std::pair{world.connect(std::move(hello), link), link};
    };
    const auto [session, small] = join("small", 1 << 20);
    Submission item = a_task();
    item.spec.resources.memory_bytes = 1 << 19;
    const TaskId task = world.submitted(std::move(item));
    REQUIRE_EQ(small->assigned().size(), 1);
    const auto [other, big] = join("big", 1 << 24);
    AttemptReport killed;
    killed.outcome = core::AttemptOutcome::out_of_memory;
    killed.error = "killed";
    killed.peak_memory_bytes = 1 << 20;
    world.finish(session, small->assigned()[0], killed);
    const auto stat = world.call(GetType{"resize"});
    REQUIRE(stat.has_value());
    CHECK_EQ(static_cast<double>(stat->memory_p95_bytes), doctest::Approx(1.5 * (1 << 20)).epsilon(0.01));
    const char* const said = "killed; the next attempt asks for 1572864 bytes of memory";
    REQUIRE_EQ(world.get(task)->attempts.size(), 1);
    CHECK_EQ(world.get(task)->attempts[0].error, said);
    world.pass(seconds(10));
    CHECK_EQ(small->assigned().size(), 1);
    REQUIRE_EQ(big->assigned().size(), 1);
    // A crash does not make the core forget.
    world.open();
    CHECK_EQ(world.engine->core().task(task)->spec->resources.memory_bytes, 1572864);
}

TEST_CASE("C5: a report repeated or stale changes nothing") {
    World world;
    const auto [link, session, task, first] = world.given_a_task();
    world.finish(session, first);
    AttemptReport late;
    late.outcome = core::AttemptOutcome::failed;
    world.finish(session, first, late);
    CHECK(world.get(task)->state == core::TaskState::succeeded);
    CHECK(world.engine->core().counters().dead == 0);
}

TEST_CASE("C3: the same idempotency key makes one task, another body is refused") {
    World world;
    Submission first = a_task();
    first.idempotency_key = "k";
    const TaskId task = world.submitted(first);
    const auto again = world.submit(first);
    REQUIRE(again.has_value());
    CHECK(again->front().task == task);
    CHECK(again->front().duplicate);
    Submission other = a_task("resize", "other pixels");
    other.idempotency_key = "k";
    CHECK(world.submit(other).error().fault == Fault::conflict);
    Submission foreign = other;
    foreign.spec.tenant = "somebody-else";
    CHECK(world.submit(foreign).has_value());
}

TEST_CASE("C12: a silent worker is suspected, then lost, and its task runs elsewhere") {
    World world;
    auto silent = std::make_shared<RecordingLink>();
    const SessionId gone = world.connect(a_worker("silent"), silent);
    const TaskId task = world.submitted(a_task());
    REQUIRE(silent->assigned().size() == 1);
    auto other = std::make_shared<RecordingLink>();
    const SessionId healthy = world.connect(a_worker("healthy"), other);
    for (int i = 0; i < 30; ++i) {
        world.pass(milliseconds(200));
        WorkerReport beat;
        beat.load.emplace();
        world.turn([&](Engine& e) { e.report(healthy, std::move(beat)); });
    }
    REQUIRE(other->assigned().size() == 1);
    CHECK(other->assigned()[0].order.task == task);
    CHECK(other->assigned()[0].order.number == 2);
    CHECK(other->assigned()[0].order.fence > silent->assigned()[0].order.fence);
    world.finish(gone, silent->assigned()[0]);
    CHECK(world.get(task)->state == core::TaskState::assigned);
    world.finish(healthy, other->assigned()[0]);
    CHECK(world.get(task)->state == core::TaskState::succeeded);
}

TEST_CASE("nobody is told when a task ends that no worker may run") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    Submission item = a_task();
    item.spec.labels_required = {{"zone", "b"}};
    const auto told = world.submit(item);
    REQUIRE(told.has_value());
    CHECK_EQ(told->front().finish_p50.us, 0);
    CHECK_EQ(told->front().start_p50.us, 0);
    CHECK_NE(world.submit(a_task())->front().finish_p50.us, 0);
}

TEST_CASE("what was submitted before anything was learned is estimated again, however far back it waits") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    std::vector<TaskId> tasks;
    for (int i = 0; i < 300; ++i) tasks.push_back(world.submitted(a_task()));
    const Duration guess = world.get(tasks.back())->estimate.p50;
    CHECK(guess > seconds(1));
    for (std::size_t i = 0; i < 20; ++i) {
        world.pass(milliseconds(300));
        world.finish(session, link->assigned().back());
    }
    world.pass(milliseconds(300));
    CHECK_EQ(world.get(tasks.back())->state, core::TaskState::waiting);
    CHECK(world.get(tasks.back())->estimate.p50 < milliseconds(50));
}

TEST_CASE("bad submissions are refused with the field's name and change nothing") {
    struct Row {
        const char* field;
        std::function<void(Submission&)> spoil;
    };
    const Row rows[] = {
        {"type", [](Submission& s) { s.spec.type = "a/b"; }},
        {"type", [](Submission& s) { s.spec.type = std::string(129, 'x'); }},
        {"type", [](Submission& s) { s.spec.type.clear(); }},
        {"tenant", [](Submission& s) { s.spec.tenant = "../x"; }},
        {"priority", [](Submission& s) { s.spec.priority = 10; }},
        {"payload", [](Submission& s) { s.body.payload.assign((256 << 10) + 1, 'x'); }},
        {"deadline_unix_us", [](Submission& s) { s.spec.deadline = WallTime{1'700'000'000'000'000}; }},
        {"run_at_unix_us", [](Submission& s) { s.spec.run_at = WallTime{5}; }},
        {"timeout_us", [](Submission& s) { s.spec.timeout = Duration{-1}; }},
        {"ttl_us", [](Submission& s) { s.spec.ttl = hours(24 * 36500); }},
        {"labels_required", [](Submission& s) { s.spec.labels_required = {{"b b", "x"}}; }},
        {"resources", [](Submission& s) { s.spec.resources.memory_bytes = -1; }},
        {"features", [](Submission& s) { s.body.features = {{"rows", 0.0 / 0.0 * -1}}; }},
        {"metadata", [](Submission& s) { s.body.metadata = {{"k", std::string(17 << 10, 'x')}}; }},
        {"idempotency_key", [](Submission& s) { s.idempotency_key.assign(257, 'k'); }},
        {"after", [](Submission& s) { s.spec.after = {TaskId{1, 2}}; }},
    };
    World world;
    for (const Row& row : rows) {
        CAPTURE(row.field);
        Submission item = a_task();
        row.spoil(item);
        const auto before = world.engine->last_sequence();
        const auto answer = world.submit(std::move(item));
        REQUIRE(!answer.has_value());
        CHECK(answer.error().what.find(row.field) == 0);
        CHECK(world.engine->last_sequence() == before);
    }
}

TEST_CASE("a body survives its encoding; any cut of it is refused") {
    TaskBody body{.payload = "p",
                  .metadata = {{"a", "b"}},
                  .traceparent = "00-x",
                  .features = {{"rows", 2.5}},
                  .hint = seconds(3)};
    const std::string bytes = encode_body(body);
    const auto back = decode_body(bytes);
    REQUIRE(back.has_value());
    CHECK(back->payload == "p");
    CHECK(back->metadata == body.metadata);
    CHECK(back->features == body.features);
    CHECK(back->hint == seconds(3));
    for (std::size_t n = 0; n < bytes.size(); ++n)
        CHECK(!decode_body(std::string_view(bytes).substr(0, n)).has_value());
}

TEST_CASE("the read model is shared while it is fresh, and its readers cost a hundredth of the loop at most") {
    std::int64_t ns = 0;
    EngineOptions options;
    options.nanoseconds = [&] { return ns += 1'000'000; };  // each look at the clock takes 1 ms; the queues take two
    Engine engine(std::move(options));
    Now now{Instant{1'000'000}, WallTime{1'000'000'000}};
    engine.start(now);
    const auto read = [&] {
        engine.begin_turn(now);
        ReadState::Answer model;
        engine.answer({}, ReadState{}, [&](Result<ReadState::Answer> answer) { model = *answer; });
        engine.end_turn();
        PendingBatch batch = engine.take_batch();
        for (auto& reply : batch.replies) reply(nullptr);
        return model;
    };
    const auto first = read();
    REQUIRE(first != nullptr);
    CHECK(first->good_for == milliseconds(300));
    now.at = now.at + milliseconds(299);
    now.wall = now.wall + milliseconds(299);
    CHECK(read() == first);
    now.at = now.at + milliseconds(1);
    now.wall = now.wall + milliseconds(1);
    const auto second = read();
    CHECK(second != first);
    CHECK(second->status.now == now.wall);
}

TEST_CASE("the Runner answers from its threads, recovers, and stops") {
    store::MemoryJournal journal;
    history::MemoryHistory history;
    TaskId task;
    for (int round = 0; round < 2; ++round) {
        auto runner = Runner::start({}, journal, history);
        REQUIRE(runner.has_value());
        CHECK((*runner)->recovery().fresh == (round == 0));
        std::promise<Result<std::vector<Submitted>>> submitted;
        std::vector<Submission> items;
        items.push_back(a_task());
        (*runner)->ask({}, SubmitTasks{std::move(items)}, [&](auto answer) { submitted.set_value(std::move(answer)); });
        const auto answer = submitted.get_future().get();
        REQUIRE(answer.has_value());
        if (round == 0) task = answer->front().task;
        std::promise<Result<TaskInfo>> got;
        (*runner)->ask({}, GetTask{task}, [&](auto info) { got.set_value(std::move(info)); });
        const auto info = got.get_future().get();
        REQUIRE(info.has_value());
        CHECK(info->waiting == core::WaitReason::no_eligible_worker);
        CHECK((*runner)->stop().has_value());
        std::promise<Result<ReadState::Answer>> refused;
        (*runner)->ask({}, ReadState{}, [&](auto status) { refused.set_value(std::move(status)); });
        CHECK(refused.get_future().get().error().fault == Fault::unavailable);
    }
}

TEST_CASE("field I: no time that is told lies in the past, whatever passes without events") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    WorkerReport begun;
    begun.started.emplace_back(task, order.order.attempt);
    world.turn([&](Engine& e) { e.report(session, std::move(begun)); });
    const TaskId next = world.submitted(a_task());
    for (const Duration passed : {seconds(3), seconds(30), hours(1)}) {
        world.pass(passed);
        const auto running = world.get(task);
        CHECK_GT(running->eta_finish_p50, world.now.wall);
        CHECK_GE(running->eta_finish_p90, running->eta_finish_p50);
        const auto waiting = world.get(next);
        CHECK_GE(waiting->eta_start_p50, world.now.wall);
        CHECK_GE(waiting->waiting_until, world.now.wall);
        const auto state = world.call(ReadState{});
        CHECK_GT((*state)->status.drain_eta, world.now.wall);
    }
}

TEST_CASE("field I: what will never be done as things stand is counted, and has no time") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    Submission impossible = a_task("impossible");
    impossible.spec.labels_required = {{"zone", "b"}};
    const TaskId stuck = world.submitted(std::move(impossible));
    CHECK_EQ(world.get(stuck)->eta_finish_p50.us, 0);
    const auto before = world.call(ReadState{});
    CHECK_EQ((*before)->status.drain_eta.us, 0);
    CHECK_EQ((*before)->status.waiting_no_worker, 1);
    REQUIRE(world.call(PauseQueue{.queue = "mail", .paused = true}).has_value());
    Submission letter = a_task("letter");
    letter.spec.queue = "mail";
    const TaskId paused = world.submitted(std::move(letter));
    CHECK_EQ(world.get(paused)->eta_finish_p50.us, 0);
    world.submitted(a_task());
    world.pass(seconds(2));
    const auto after = world.call(ReadState{});
    CHECK_GT((*after)->status.drain_eta, world.now.wall);  // of what runs
    CHECK_EQ((*after)->status.waiting_no_worker, 1);
    CHECK_EQ((*after)->status.waiting_paused, 1);
}

TEST_CASE("field J: a task that every worker gives back ends with the reason") {
    World world;
    std::map<std::string, std::pair<SessionId, std::shared_ptr<RecordingLink>>> workers;
    for (const char* name : {"w1", "w2"}) {
        auto link = std::make_shared<RecordingLink>();
        workers[name] = {world.connect(a_worker(name), link), link};
    }
    const TaskId task = world.submitted(a_task("program"));
    std::map<std::string, std::size_t> answered;
    for (int second = 0; second < 60 && world.get(task)->state != core::TaskState::dead; ++second) {
        for (int turn = 0; turn < 2; ++turn)
            for (auto& [name, worker] : workers) {
                WorkerReport beat;
                beat.load.emplace();
                world.turn([&](Engine& e) { e.report(worker.first, std::move(beat)); });
                const auto assigned = worker.second->assigned();
                if (assigned.size() == answered[name]) continue;
                answered[name] = assigned.size();
                AttemptReport report{.outcome = core::AttemptOutcome::rejected};
                report.error = "not allowed here";
                world.finish(worker.first, assigned.back(), report);
            }
        world.pass(seconds(1));
    }
    const auto info = world.get(task);
    CHECK_EQ(info->state, core::TaskState::dead);
    const std::string by = info->attempts.back().worker;
    CHECK_EQ(info->error, "rejected by " + by + ": not allowed here; no worker that may run it takes it");
    CHECK_EQ(info->attempts.back().error, "rejected by " + by + ": not allowed here");
    CHECK_EQ(info->failures, 0);
    CHECK_EQ(answered["w1"], answered["w2"]);  // each was asked once in every round
    CHECK_GE(answered["w1"], 3);
}

TEST_CASE("field E, J: a task that a worker gave back says so while it waits for another") {
    World world;
    const auto [link, session, task, order] = world.given_a_task();
    const auto busy = std::make_shared<RecordingLink>();
    const SessionId other = world.connect(a_worker("w2"), busy);
    const TaskId first = world.submitted(a_task("other"));
    REQUIRE_EQ(busy->assigned().size(), 1);
    AttemptReport report{.outcome = core::AttemptOutcome::rejected};
    report.error = "not allowed: /bin/a";
    world.finish(session, order, report);
    const auto info = world.get(task);
    REQUIRE_EQ(info->state, core::TaskState::waiting);
    CHECK_EQ(info->error, "rejected by w1: not allowed: /bin/a");
    CHECK_EQ(info->attempts.at(0).error, "rejected by w1: not allowed: /bin/a");
    world.finish(other, busy->assigned()[0]);
    CHECK_EQ(world.get(first)->state, core::TaskState::succeeded);
    REQUIRE_EQ(busy->assigned().size(), 2);
    report.error.clear();
    world.finish(other, busy->assigned()[1], report);
    CHECK_EQ(world.get(task)->error, "rejected by w2");
}

TEST_CASE("field L: tasks of one call count against the limits together, and so do retries") {
    World world;
    REQUIRE(
        world.call(Configure{.toml = "[scheduler]\ntasks_max = 20\n[tenants.acme]\nwaiting_max = 5\n"}).has_value());
    const auto batch = [&](std::size_t count, const char* tenant, const char* key = "") {
        return world.ask<std::vector<Submitted>>([&](Engine& e, auto done) {
            std::vector<Submission> items;
            for (std::size_t i = 0; i < count; ++i) {
                items.push_back(a_task());
                items.back().spec.tenant = tenant;
                items.back().idempotency_key = key;
            }
            e.answer({}, SubmitTasks{std::move(items)}, std::move(done));
        });
    };
    const auto waiting = [&] { return world.engine->core().counters().waiting; };
    REQUIRE_FALSE(batch(6, "acme").has_value());  // nobody has submitted as acme before
    CHECK_EQ(batch(6, "acme").error().fault, Fault::exhausted);
    CHECK_EQ(waiting(), 0);
    REQUIRE(batch(5, "acme", "the same").has_value());  // one task
    REQUIRE(batch(4, "acme").has_value());
    CHECK_FALSE(batch(1, "acme").has_value());
    CHECK_EQ(waiting(), 5);
    CHECK_FALSE(batch(16, "other").has_value());
    REQUIRE(batch(15, "other").has_value());
    CHECK_EQ(waiting(), 20);

    // All are cancelled, and driven again: no more than the limits allow.
    std::vector<TaskId> ended;
    for (const TaskId task : world.engine->core().tasks_after(TaskId{}, 100)) ended.push_back(task);
    for (const TaskId task : ended) REQUIRE(world.call(CancelTask{.task = task}).has_value());
    CHECK_EQ(waiting(), 0);
    std::size_t taken = 0, refused = 0;
    for (int round = 0; round < 3; ++round)
        for (const TaskId task : ended) {
            const auto again = world.call(RetryTask{.task = task});
            if (!again) CHECK_EQ(again.error().fault, Fault::exhausted);
            ++(again ? taken : refused);
        }
    CHECK_EQ(taken, 20);
    CHECK_EQ(refused, 3 * ended.size() - 20);
    std::size_t of_acme = 0;
    for (const TaskId task : world.engine->core().tasks_after(TaskId{}, 100))
        of_acme += world.get(task)->tenant == "acme" ? 1 : 0;
    CHECK_EQ(of_acme, 5);
}
