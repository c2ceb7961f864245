// A run gives way to shorter ones a hundred times; then it goes on to its end, whoever comes.

#include <algorithm>

#include "core/scheduler.h"
#include "doctest/doctest.h"

using namespace nexus;
using namespace nexus::core;

TEST_CASE("one attempt is paused a hundred times and no more") {
    Scheduler scheduler(Config{.speculation = false, .pause = true});
    std::vector<Command> commands;
    Instant now;
    const auto apply = [&](Fact fact) {
        commands.clear();
        scheduler.apply({now, std::move(fact)}, commands);
        scheduler.check_invariants();
    };
    const auto assigned = [&]() -> const AssignAttempt* {
        for (const Command& command : commands)
            if (const auto* order = std::get_if<AssignAttempt>(&command)) return order;
        return nullptr;
    };
    const auto submit = [&](std::uint64_t n, Duration run) {
        TaskSubmitted submitted{.task = {1, n}};
        submitted.spec.type = "t" + std::to_string(run.us);
        submitted.estimate = {
            .p50 = run, .p90 = run, .mean = run, .confidence_permille = 900, .source = EstimateSource::type_mode};
        apply(std::move(submitted));
    };
    apply(EngineStarted{.seed = 3, .wall_offset = seconds(1'000'000)});
    apply(WorkerJoined{.name = "w", .session = {1}, .slots = 1, .can_pause = true});
    submit(1, hours(10));
    REQUIRE(assigned() != nullptr);
    apply(AttemptStarted{.task = {1, 1}, .attempt = assigned()->attempt, .session = {1}});
    for (std::uint64_t n = 2; n <= 101; ++n) {
        now = now + seconds(1);
        submit(n, seconds(1));
        REQUIRE(assigned() != nullptr);
        REQUIRE_EQ(scheduler.counters().pauses, n - 1);
        const AttemptId attempt = assigned()->attempt;
        now = now + seconds(1);
        apply(AttemptFinished{.task = {1, n}, .attempt = attempt, .session = {1}, .run = seconds(1)});
        REQUIRE_EQ(scheduler.counters().paused, 0);
    }
    now = now + seconds(1);
    submit(102, seconds(1));
    CHECK(assigned() == nullptr);
    CHECK_EQ(scheduler.counters().pauses, 100);
}
