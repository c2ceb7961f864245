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
    engine->post = [this](Work work) { later_.push_back(std::move(work)); };
    const auto claim = store::claim_now(*journal, {.name = "house"});
    REQUIRE(claim.has_value());
    line_ = std::make_unique<CommitLine>(*journal, *claim, CommitLine::Options{.post = engine->post});
    REQUIRE(engine->recover(*journal).has_value());
    now.at = std::max(now.at, engine->last_instant());
    engine->start(now);
    commit();
}

void House::restart(Duration away) {
    line_.reset();
    engine.reset();
    journal.reset();
    beating.clear();
    now.at = now.at + away;
    now.wall = now.wall + away;
    open();
}

void House::commit() {
    for (;;) {
        while (engine->has_batch()) {
            line_->take(engine->take_batch(), now.at);
            REQUIRE(line_->append(now.at).step == CommitLine::Step::confirmed);
            while (auto batch = line_->release_next(now.at)) {
                REQUIRE(history.write(batch->history).has_value());
                history::WholeHistory whole(history, {});
                for (HistoryQuestion& question : batch->questions) answer(std::move(question), whole, *journal);
            }
        }
        if (later_.empty()) return;
        engine->begin_turn(now);
        for (Work& work : std::exchange(later_, {})) work(*engine);
        engine->end_turn();
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
    const auto done = ask<Reconfigured>(
        [&](Engine& e, auto answer) { e.answer({}, Configure{.toml = config::to_toml(config)}, std::move(answer)); });
    REQUIRE(done.has_value());
}

}  // namespace nexus::test
