#include <doctest/doctest.h>

#include <algorithm>

#include "config/toml.h"
#include "engine/snapshotter.h"
#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

TEST_CASE("a forced estimate is used, shown with who and why, survives a restart and ends in time") {
    World world;
    const auto force = [&](Duration estimate) {
        return world.ask<TypeInfo>([&](Engine& e, auto done) {
            e.answer({}, ForceEstimate{"resize", estimate, {world.now.wall.us + 60'000'000}, "ann", "slow disk"},
                     std::move(done));
        });
    };
    CHECK(force(Duration{-1}).error().fault == Fault::invalid);
    const auto forced = force(seconds(9));
    REQUIRE(forced.has_value());
    CHECK(forced->forced.estimate == seconds(9));
    REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence()).has_value());
    world.engine.reset();
    world.open();
    const auto answer = world.submit(a_task());
    REQUIRE(answer.has_value());
    CHECK(answer->front().estimate.p50 == seconds(9));
    CHECK(answer->front().estimate.source == EstimateSource::forced);
    const auto stat_of = [&] {
        return world.ask<TypeInfo>([&](Engine& e, auto done) { e.answer({}, GetType{"resize"}, std::move(done)); });
    };
    CHECK(stat_of()->forced.author == "ann");
    CHECK(stat_of()->forced.reason == "slow disk");
    CHECK(stat_of()->forced.expires_wall.us == world.now.wall.us + 60'000'000);
    const auto audit = world.history.audit({.before = {}, .limit = 10});
    REQUIRE(audit.has_value());
    REQUIRE_FALSE(audit->empty());
    CHECK(audit->front().action == "force the estimate of resize");
    CHECK(audit->front().author == "ann");
    world.pass(seconds(61));
    CHECK(world.submit(a_task())->front().estimate.source != EstimateSource::forced);
    CHECK_FALSE(stat_of().has_value());  // nothing was learned of it
}

TEST_CASE("a forced estimate and a reset are durable when they are acknowledged: a killed server knows them again") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    world.teach(session, *link);
    REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence()).has_value());
    REQUIRE(world.call(ForceEstimate{"encode", seconds(9), {}, "ann", "new codec"}).has_value());
    REQUIRE(world.call(ResetType{"resize", "ann", "new disk"}).has_value());
    CHECK(world.call(ResetType{"nothing", "ann", ""}).error().fault == Fault::not_found);
    CHECK(world.call(ForceEstimate{"encode", seconds(9), {1}, "ann", ""}).error().fault == Fault::invalid);
    for (int restart = 0; restart < 2; ++restart) {
        CAPTURE(restart);
        world.engine.reset();  // no snapshot since, no farewell
        world.open();
        const auto forced = world.call(GetType{"encode"});
        REQUIRE(forced.has_value());
        CHECK(forced->forced.estimate == seconds(9));
        CHECK(forced->forced.author == "ann");
        CHECK(world.submit(a_task("encode"))->front().estimate.source == EstimateSource::forced);
        const auto forgotten = world.call(GetType{"resize"});
        CHECK((!forgotten.has_value() || forgotten->samples == 0));
    }
    // Taken back is durable, too.
    REQUIRE(world.call(ForceEstimate{"encode", {}, {}, "ann", ""}).has_value());
    world.engine.reset();
    world.open();
    CHECK(world.submit(a_task("encode"))->front().estimate.source != EstimateSource::forced);
    CHECK(world.engine->core().forced_estimates().empty());
}

namespace {

// Newest first; the chain must hold from the first row on.
std::vector<history::AuditRow> audit_of(World& world) {
    auto rows = *world.history.audit({.before = {}, .limit = 100'000});
    for (std::size_t i = 0; i < rows.size(); ++i)
        CHECK(rows[i].hash == chain_hash(i + 1 < rows.size() ? rows[i + 1].hash : "", rows[i]));
    return rows;
}
Result<WorkerInfo> cordon(World& world, std::string reason) {
    return world.call(ControlWorker{"w1", core::WorkerOrder::cordon, "ann", std::move(reason)});
}

}  // namespace

TEST_CASE("the audit follows from the journal: neither a crash nor a history that lost it loses an entry") {
    for (const bool snapshot : {false, true}) {
        CAPTURE(snapshot);
        World world;
        world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
        REQUIRE(cordon(world, "first").has_value());
        CHECK(audit_of(world).size() == 1);
        CHECK(world.engine->audited() == world.engine->last_sequence());
        world.history_lost = true;
        REQUIRE(world.call(PauseQueue{"slow", true, "ann", "too much"}).has_value());
        REQUIRE(cordon(world, "second").has_value());
        CHECK(audit_of(world).size() == 1);
        CHECK(world.engine->audited() < world.engine->last_sequence());
        if (snapshot)
            REQUIRE(make_snapshot(world.journal, world.engine->save_predictor(), world.engine->last_sequence(),
                                  world.engine->audited())
                        .has_value());
        REQUIRE(cordon(world, "third").has_value());
        world.history_lost = false;
        world.engine.reset();
        for (int restart = 0; restart < 2; ++restart) {
            CAPTURE(restart);
            world.open();
            const auto rows = audit_of(world);
            REQUIRE(rows.size() == 4);
            CHECK(rows[0].reason == "third");
            CHECK(rows[1].reason == "second");
            CHECK(rows[1].action == "cordon worker w1");
            CHECK(rows[1].author == "ann");
            CHECK(rows[1].caller == "ops at here");
            CHECK(rows[2].action == "pause queue slow");
            CHECK(rows[2].before == "version = 1\n");
            CHECK(rows[2].after.find("paused = true") != std::string::npos);
            CHECK(rows[3].reason == "first");
            CHECK(world.engine->audited() == world.engine->last_sequence());
            world.engine.reset();
        }
        world.open();
    }
}

TEST_CASE("what the history lost of the audit is written again with the next act") {
    World world;
    world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
    world.history_lost = true;
    REQUIRE(cordon(world, "lost").has_value());
    world.history_lost = false;
    REQUIRE(world.call(PauseQueue{"slow", true, "ann", ""}).has_value());
    REQUIRE(world.call(PauseQueue{"slow", false, "ann", ""}).has_value());
    const auto rows = *world.history.audit({.before = {}, .limit = 10});
    REQUIRE(rows.size() == 3);
    CHECK(std::ranges::count(rows, "lost", &history::AuditRow::reason) == 1);
    CHECK(std::ranges::count(rows, "resume queue slow", &history::AuditRow::action) == 1);
}

TEST_CASE("what cannot be audited is not done") {
    World world;
    world.connect(a_worker("w1"), std::make_shared<RecordingLink>());
    world.history_lost = true;
    for (std::size_t n = 0; n < Audit::kUnconfirmedMax; ++n) REQUIRE(cordon(world, "again").has_value());
    CHECK(cordon(world, "too much").error().fault == Fault::exhausted);
    const TaskId task = world.submitted(a_task());
    CHECK(world.call(CancelTask{task, ""}).has_value());
    world.history_lost = false;
    world.engine.reset();
    world.open();
    CHECK(audit_of(world).size() == Audit::kUnconfirmedMax);
    CHECK(cordon(world, "once more").has_value());
    CHECK(cordon(world, std::string(1025, 'x')).error().fault == Fault::invalid);
}

TEST_CASE("the configuration does not grow beyond what can be set again, one paused queue after the other") {
    World world;
    core::Config large;
    const auto queue = [](int n) {
        return core::QueueLimits{.name = std::string(120, 'q') + std::to_string(1000 + n), .paused = true};
    };
    large.queues = {queue(0)};
    const std::size_t one = config::to_toml(large).size();
    large.queues.push_back(queue(1));
    const std::size_t each = config::to_toml(large).size() - one;
    for (int n = 2; one + (large.queues.size() + 2) * each < config::kTextBytesMax; ++n)
        large.queues.push_back(queue(n));
    REQUIRE(world.call(Configure{0, config::to_toml(large), "ann", ""}).has_value());
    std::optional<Error> refused;
    for (int n = 8000; n < 8010 && !refused; ++n)
        if (auto paused = world.call(PauseQueue{queue(n).name, true, "ann", ""}); !paused) refused = paused.error();
    REQUIRE(refused.has_value());
    CHECK(refused->fault == Fault::exhausted);
    const auto config = world.call(GetConfig{});
    CHECK(config->queues.size() > large.queues.size());
    CHECK(world.call(Configure{0, config::to_toml(*config), "ann", ""}).has_value());
    CHECK(world.call(PauseQueue{queue(0).name, false, "ann", ""}).has_value());
}
