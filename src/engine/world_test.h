#pragma once
// What the tests of the engine share: a worker's end of a stream, and an engine on memory stores whose clock moves only
// when told.

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/commit_line.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "history/memory/memory_history.h"
#include "history/whole_history.h"
#include "store/memory/memory_journal.h"

namespace nexus::engine {

// A worker's end of a stream that keeps what it was told.
struct RecordingLink : WorkerLink {
    std::vector<WorkerOrders> told;
    void send(WorkerOrders orders) override { told.push_back(std::move(orders)); }
    std::vector<Assignment> assigned() const {
        std::vector<Assignment> all;
        for (const WorkerOrders& orders : told) all.insert(all.end(), orders.assign.begin(), orders.assign.end());
        return all;
    }
};

inline Submission a_task(std::string type = "resize", std::string payload = "pixels") {
    Submission item;
    item.spec.type = std::move(type);
    item.body.payload = std::move(payload);
    return item;
}

inline WorkerHello a_worker(std::string name, std::uint32_t slots = 1) {
    WorkerHello hello;
    hello.joined.name = std::move(name);
    hello.joined.slots = slots;
    hello.joined.offered = {-1, -1, -1, {}};
    return hello;
}

// An engine on memory stores and a clock that moves only when told.
struct World {
    store::MemoryJournal journal;
    history::MemoryHistory history;
    bool history_lost = false;  // what it is given from now on
    std::unique_ptr<Engine> engine;
    std::unique_ptr<CommitLine> line;
    std::vector<Work> later;  // for the next turn
    Now now{Instant{1'000'000}, WallTime{1'800'000'000'000'000}};

    World() { open(); }
    void open() {
        engine = std::make_unique<Engine>(EngineOptions{});
        engine->post = [this](Work work) { later.push_back(std::move(work)); };
        const auto claim = store::claim_now(journal, {.name = "test"});
        REQUIRE(claim.has_value());
        line = std::make_unique<CommitLine>(journal, *claim, CommitLine::Options{.post = engine->post});
        REQUIRE(engine->recover(journal).has_value());
        now.at = std::max(now.at, engine->last_instant());
        engine->start(now);
        commit();
    }
    // Until nothing is left to be stored, and nothing that a release or the history had to say.
    void commit() {
        do {
            while (engine->has_batch()) {
                line->take(engine->take_batch(), now.at);
                REQUIRE(line->append(now.at).step == CommitLine::Step::confirmed);
                while (auto batch = line->release_next(now.at)) told(std::move(*batch));
            }
            if (later.empty()) return;
            engine->begin_turn(now);
            for (Work& work : std::exchange(later, {})) work(*engine);
            engine->end_turn();
        } while (true);
    }
    void told(PendingBatch batch) {
        for (history::DecisionNote& note : batch.decisions) batch.history.decisions.push_back(row_of(note));
        if (!history_lost) REQUIRE(history.write(batch.history).has_value());
        history::WholeHistory whole(history, {});
        for (HistoryQuestion& question : batch.questions) answer(std::move(question), whole, journal);
    }
    template <class F>
    void turn(F&& f) {
        engine->begin_turn(now);
        f(*engine);
        engine->end_turn();
        commit();
    }
    void pass(Duration d) {
        now.at = now.at + d;
        now.wall = now.wall + d;
        turn([](Engine&) {});
    }
    template <class T, class F>
    Result<T> ask(F&& f) {
        std::optional<Result<T>> answer;
        turn([&](Engine& e) { f(e, [&](Result<T> value) { answer.emplace(std::move(value)); }); });
        REQUIRE(answer.has_value());
        return std::move(*answer);
    }
    Result<std::vector<Submitted>> submit(Submission item) {
        return ask<std::vector<Submitted>>([&](Engine& e, auto done) {
            std::vector<Submission> items;
            items.push_back(std::move(item));
            e.answer({}, SubmitTasks{std::move(items)}, std::move(done));
        });
    }
    TaskId submitted(Submission item) {
        auto answer = submit(std::move(item));
        REQUIRE(answer.has_value());
        return answer->front().task;
    }
    SessionId connect(WorkerHello hello, std::shared_ptr<RecordingLink> link) {
        auto id = ask<SessionId>(
            [&](Engine& e, auto done) { e.connect(std::move(hello), std::move(link), std::move(done)); });
        REQUIRE(id.has_value());
        return *id;
    }
    // One call, by an operator.
    template <class Request>
    auto call(Request request) {
        return ask<typename Request::Answer>([&](Engine& e, auto done) {
            e.answer({.name = "ops", .tenant = {}, .roles = kAllRoles, .from = "here"}, std::move(request),
                     std::move(done));
        });
    }
    Result<TaskInfo> get(TaskId task) {
        return ask<TaskInfo>([&](Engine& e, auto done) { e.answer({}, GetTask{task, true}, std::move(done)); });
    }
    // A worker of one slot, and a task that was given to it.
    struct Given {
        std::shared_ptr<RecordingLink> link = std::make_shared<RecordingLink>();
        SessionId session;
        TaskId task;
        Assignment order;
    };
    Given given_a_task() {
        Given given;
        given.session = connect(a_worker("w1"), given.link);
        given.task = submitted(a_task());
        given.order = given.link->assigned().at(0);
        return given;
    }
    // Twelve runs of 700 ms, one after the other, on a worker that has nothing else to do.
    void teach(SessionId session, const RecordingLink& link) {
        for (int i = 0; i < 12; ++i) {
            submitted(a_task());
            pass(milliseconds(700));
            finish(session, link.assigned().back(), {.run = milliseconds(700)});
        }
    }
    void finish(SessionId session, const Assignment& a, AttemptReport report = {}) {
        report.task = a.order.task;
        report.attempt = a.order.attempt;
        if (report.run.us < 0) report.run = milliseconds(20);
        WorkerReport all;
        all.started.emplace_back(report.task, report.attempt);
        all.finished.push_back(std::move(report));
        turn([&](Engine& e) { e.report(session, std::move(all)); });
    }
};

}  // namespace nexus::engine
