#pragma once
// A server without its transports for the tests of the contract: the production engine on the embedded store in a
// folder of its own, and a clock that moves only when told.

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/scratch_directory.h"
#include "engine/commit_line.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "history/memory/memory_history.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::test {

// A worker's end of a stream that keeps what it was told.
struct RecordingLink : engine::WorkerLink {
    std::vector<engine::WorkerOrders> told;
    void send(engine::WorkerOrders orders) override { told.push_back(std::move(orders)); }
    std::vector<engine::Assignment> assigned() const;
    std::size_t revoked() const;
};
using Link = std::shared_ptr<RecordingLink>;

engine::Submission a_task(std::string type = "resize");
engine::Submission keyed(std::string key, std::string payload = "pixels");

class House {
public:
    explicit House(engine::EngineOptions options = {});

    // The process ends at once and starts again after `away`: what is in the folder is all that is left.
    void restart(Duration away = {});
    // Turns of the engine. A turn alone leaves its batch where it is; commit() stores and releases it.
    template <class F>
    void turn(F&& f) {
        engine->begin_turn(now);
        f(*engine);
        engine->end_turn();
        commit();
    }
    void commit();
    engine::CommitLine& line() { return *line_; }
    void pass(Duration time, Duration step = milliseconds(200));
    void move_calendar(Duration by) { now.wall = now.wall + by; }

    template <class T, class F>
    Result<T> ask(F&& f) {
        std::optional<Result<T>> answer;
        turn([&](engine::Engine& e) { f(e, [&](Result<T> value) { answer.emplace(std::move(value)); }); });
        REQUIRE(answer.has_value());
        return std::move(*answer);
    }
    Result<std::vector<engine::Submitted>> submit(engine::Submission item);
    TaskId submitted(engine::Submission item);
    Result<engine::TaskInfo> get(TaskId task);
    core::TaskState state(TaskId task);
    SessionId join(const std::string& name, const Link& link, std::uint32_t slots = 1,
                   std::vector<core::HeldAttempt> held = {});
    void start(SessionId session, const engine::Assignment& assignment);
    void finish(SessionId session, const engine::Assignment& assignment,
                core::AttemptOutcome outcome = core::AttemptOutcome::succeeded, bool retryable = true);
    void beat(SessionId session);
    void leave(SessionId session);
    void configure(const std::function<void(core::Config&)>& change);
    const core::Counters& counters() const { return engine->core().counters(); }

    ScratchDirectory folder;
    std::unique_ptr<store::SqliteJournal> journal;
    history::MemoryHistory history;
    std::unique_ptr<engine::Engine> engine;
    engine::Now now{.at = Instant{1'000'000}, .wall = WallTime{1'800'000'000'000'000}};
    std::vector<SessionId> beating;  // sessions whose heartbeats pass() sends

private:
    void open();
    engine::EngineOptions options_;
    std::unique_ptr<engine::CommitLine> line_;
    std::vector<engine::Work> later_;  // for the next turn
};

}  // namespace nexus::test
