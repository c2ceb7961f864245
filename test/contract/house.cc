#include "contract/house.h"

#include "config/toml.h"
#include "engine/body.h"
#include "history/whole_history.h"

namespace nexus::test {

using namespace engine;

std::vector<Assignment> RecordingLink::assigned() const {
    std::vector<Assignment> all;
    for (const WorkerOrders& orders : told) all.insert(all.end(), orders.assign.begin(), orders.assign.end());
    return all;
}

std::size_t RecordingLink::revoked() const {
    std::size_t count = 0;
    for (const WorkerOrders& orders : told) count += orders.revoke.size();
    return count;
}

Submission a_task(std::string type) {
    Submission item;
    item.spec.type = std::move(type);
    item.body.payload = "pixels";
    return item;
}

Submission keyed(std::string key, std::string payload) {
    Submission item = a_task();
    item.idempotency_key = std::move(key);
    item.body.payload = std::move(payload);
    return item;
}

House::House(EngineOptions options) : options_(std::move(options)) {
    open();
}

void House::open() {
    auto opened = store::SqliteJournal::open({.directory = folder.path(), .reserve_bytes = 0});
    REQUIRE(opened.has_value());
    journal = std::move(*opened);
    ++options_.seed;
    engine = std::make_unique<Engine>(options_);
    engine->post = [this](std::move_only_function<void(Engine&)> call) { turn(call); };
    const auto stored = journal->get_snapshot();
    REQUIRE(stored.has_value());
    if (*stored) REQUIRE(engine->restore(journal::decode_snapshot((*stored)->bytes).value()).has_value());
    REQUIRE(
        journal
            ->read(engine->last_sequence(), [&](Sequence, std::string_view bytes) { return engine->replay(bytes, {}); })
            .has_value());
    now.at = std::max(now.at, engine->last_instant());
    engine->find_bodiless(*journal);
    engine->start(now);
    commit();
}

void House::restart(Duration away) {
    engine.reset();
    journal.reset();
    beating.clear();
    now.at = now.at + away;
    now.wall = now.wall + away;
    open();
}

void House::commit() {
    while (engine->has_batch()) {
        std::vector<PendingBatch> batches;
        batches.push_back(engine->take_batch());
        REQUIRE(store_batches(batches, *journal, given_up_).has_value());
        release(batches.front(), *journal, engine->post);
        REQUIRE(history.write(batches.front().history).has_value());
        history::WholeHistory whole(history, {});
        for (HistoryQuestion& question : batches.front().questions) answer(std::move(question), whole, *journal);
    }
}

void House::pass(Duration time, Duration step) {
    for (Duration passed; passed < time; passed = passed + step) {
        now.at = now.at + step;
        now.wall = now.wall + step;
        for (const SessionId session : beating) beat(session);
        turn([](Engine&) {});
    }
}

Result<std::vector<Submitted>> House::submit(Submission item) {
    return ask<std::vector<Submitted>>([&](Engine& e, auto done) {
        std::vector<Submission> items;
        items.push_back(std::move(item));
        e.answer({}, SubmitTasks{std::move(items)}, std::move(done));
    });
}

TaskId House::submitted(Submission item) {
    auto answer = submit(std::move(item));
    REQUIRE(answer.has_value());
    return answer->front().task;
}

Result<TaskInfo> House::get(TaskId task) {
    return ask<TaskInfo>([&](Engine& e, auto done) { e.answer({}, GetTask{task, true}, std::move(done)); });
}

core::TaskState House::state(TaskId task) {
    const auto info = get(task);
    REQUIRE(info.has_value());
    return info->state;
}

SessionId House::join(const std::string& name, const Link& link, std::uint32_t slots,
                      std::vector<core::HeldAttempt> held) {
    WorkerHello hello;
    hello.joined.name = name;
    hello.joined.slots = slots;
    hello.joined.offered = {-1, -1, -1, {}};
    hello.joined.held = std::move(held);
    const auto session =
        ask<SessionId>([&](Engine& e, auto done) { e.connect(std::move(hello), link, std::move(done)); });
    REQUIRE(session.has_value());
    beating.push_back(*session);
    return *session;
}

void House::start(SessionId session, const Assignment& assignment) {
    WorkerReport report;
    report.started.emplace_back(assignment.order.task, assignment.order.attempt);
    turn([&](Engine& e) { e.report(session, std::move(report)); });
}

void House::finish(SessionId session, const Assignment& assignment, core::AttemptOutcome outcome, bool retryable) {
    start(session, assignment);
    WorkerReport report;
    report.finished.push_back({.task = assignment.order.task,
                               .attempt = assignment.order.attempt,
                               .outcome = outcome,
                               .retryable = retryable,
                               .run = milliseconds(20)});
    turn([&](Engine& e) { e.report(session, std::move(report)); });
}

void House::beat(SessionId session) {
    WorkerReport report;
    report.load.emplace();
    turn([&](Engine& e) { e.report(session, std::move(report)); });
}

void House::leave(SessionId session) {
    std::erase(beating, session);
    turn([&](Engine& e) { e.disconnected(session); });
}

void House::configure(const std::function<void(core::Config&)>& change) {
    core::Config config = engine->core().config();
    change(config);
    const auto done = ask<core::Config>(
        [&](Engine& e, auto answer) { e.answer({}, Configure{.toml = config::to_toml(config)}, std::move(answer)); });
    REQUIRE(done.has_value());
}

}  // namespace nexus::test
