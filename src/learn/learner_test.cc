#include "learn/learner.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace nexus::learn {
namespace {

TaskId id(std::uint64_t n) {
    return {.hi = 1, .lo = n};
}

// A core, a learner and a clock that moves only when told. One worker of one slot, tasks of type "t" unless said
// otherwise.
struct Loop final : Tasks {
    core::Scheduler core{core::Config{.size_weight_permille = 0}};  // in order of arrival, whatever is learned
    Learner learner{nullptr};
    Instant now{seconds(100).us};
    std::vector<TaskId> slots;
    std::map<TaskId, bool> complete;
    std::map<TaskId, std::string> types;
    std::map<TaskId, Estimate> predicted;
    std::vector<core::AssignAttempt> orders;
    std::vector<core::Fact> facts;  // that the learner made

    Loop() {
        apply(core::EngineStarted{.seed = 1});
        apply(core::WorkerJoined{
            .name = "w", .session = SessionId{1}, .offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1}});
    }
    std::optional<Known> known(TaskId task) const override {
        const auto found = types.find(task);
        if (found == types.end()) return std::nullopt;
        return Known{.features = {.type = found->second, .provisional = true}, .complete = complete.at(task)};
    }
    std::size_t slot_count() const override { return slots.size(); }
    TaskId in_slot(std::size_t slot) const override { return slots[slot]; }

    void apply(core::Fact fact) {
        std::vector<core::Command> commands;
        core.apply({.at = now, .what = std::move(fact)}, commands);
        for (const core::Command& command : commands) {
            if (const auto* order = std::get_if<core::AssignAttempt>(&command)) {
                predicted[order->task] = learner.dispatched(*order, core, *this, now);
                orders.push_back(*order);
            }
            if (const auto* ended = std::get_if<core::AttemptEnded>(&command))
                learner.ended(*ended, core, *this, predicted[ended->task], now);
            if (const auto* over = std::get_if<core::TaskEnded>(&command)) types.erase(over->task);
        }
    }
    void submit(std::uint64_t n, std::string type = "t") {
        types[id(n)] = std::move(type);
        complete[id(n)] = true;
        slots.push_back(id(n));
        core::TaskSubmitted fact{.task = id(n)};
        fact.spec.type = types[id(n)];
        fact.estimate = learner.submitted(id(n), known(id(n))->features, now);
        apply(std::move(fact));
    }
    void start(const core::AssignAttempt& order) {
        apply(core::AttemptStarted{.task = order.task, .attempt = order.attempt, .session = order.session});
        learner.started(order.task, order.attempt, predicted[order.task], core, now);
    }
    // The latest order starts now and ends after `run`.
    void run(Duration run, core::AttemptOutcome outcome = core::AttemptOutcome::succeeded) {
        const core::AssignAttempt order = orders.back();
        start(order);
        now = now + run;
        apply(core::AttemptFinished{
            .task = order.task, .attempt = order.attempt, .session = order.session, .outcome = outcome, .run = run});
    }
    void look() {
        learner.look(core, *this, now);
        while (auto fact = learner.next_fact(core, *this, now)) {
            facts.push_back(*fact);
            apply(std::move(*fact));
        }
    }
    std::size_t revisions() const {
        std::size_t count = 0;
        for (const core::Fact& fact : facts) count += std::holds_alternative<core::EstimateRevised>(fact) ? 1 : 0;
        return count;
    }
};

TEST_CASE("a lesson revises what waits, once, and nothing is revised without one") {
    Loop loop;
    for (std::uint64_t n = 1; n <= 5; ++n) loop.submit(n);
    const Duration guess = loop.core.task(id(5))->estimate.p50;
    loop.look();
    CHECK(loop.facts.empty());
    CHECK_EQ(loop.learner.wanted_at(), kNever);
    loop.run(milliseconds(70));
    CHECK_LE(loop.learner.wanted_at(), loop.now);
    loop.look();
    CHECK_EQ(loop.revisions(), 3);  // 1 ended, 2 took its slot
    CHECK_NE(loop.core.task(id(5))->estimate.p50.us, guess.us);
    CHECK_LT(loop.core.task(id(5))->estimate.p50.us, milliseconds(100).us);
    loop.look();
    CHECK_EQ(loop.revisions(), 3);
}

TEST_CASE("what waits of an array is revised as its first member runs, and known when it has ended") {
    Loop loop;
    std::uint64_t n = 0;
    for (int array = 1; array <= 30; ++array) {  // each unlike the one before, its members alike
        const Duration run = milliseconds(array % 2 == 0 ? 400 : 9000 + 700 * array);
        for (int member = 0; member < 4; ++member) loop.submit(++n);
        for (int member = 0; member < 4; ++member) loop.run(run);
        loop.look();
        loop.now = loop.now + hours(1);
    }
    for (int member = 0; member < 3; ++member) loop.submit(++n);
    const core::AssignAttempt first = loop.orders.back();
    loop.start(first);
    loop.look();
    const auto waits = [&] { return loop.core.task(id(n))->estimate; };
    CHECK_EQ(waits().source, EstimateSource::sibling_wait);
    const Duration before = waits().p50;
    loop.now = loop.now + seconds(100);
    loop.look();
    CHECK_GT(waits().p50, before);
    CHECK_GT(waits().p50, seconds(100));
    CHECK_LE(waits().p90, seconds(200));  // twice what was seen
    loop.now = loop.now + seconds(20);
    loop.apply(core::AttemptFinished{
        .task = first.task, .attempt = first.attempt, .session = first.session, .run = seconds(120)});
    loop.look();
    CHECK_EQ(waits().source, EstimateSource::sibling_mode);
    CHECK_LT(std::llabs(waits().p50.us - seconds(120).us), seconds(12).us);
}

TEST_CASE("of very many waiting tasks each gets its turn, a bounded number at a time") {
    Loop loop;
    const std::uint64_t many = 3 * kTurn;
    for (std::uint64_t n = 1; n <= many; ++n) loop.submit(n);
    std::size_t before = 0;
    for (int rounds = 0; rounds < 5; ++rounds) {
        loop.run(milliseconds(70));
        loop.look();
        CHECK_LE(loop.revisions() - before, kNext + kTurn);
        before = loop.revisions();
    }
    for (std::uint64_t n = 10; n <= many; ++n) REQUIRE_LT(loop.core.task(id(n))->estimate.p50.us, milliseconds(100).us);
}

TEST_CASE("where little is learned few estimates are made again, and a change reaches every waiting task") {
    Loop loop;
    std::size_t estimates = 0;
    loop.learner.distort([&](TaskId, Estimate estimate, Instant) {
        ++estimates;
        return estimate;
    });
    for (std::uint64_t n = 1; n <= kTurn; ++n) loop.submit(n);
    for (int n = 0; n < 20; ++n) {
        loop.run(milliseconds(70));
        loop.look();
    }
    estimates = 0;
    loop.run(milliseconds(71));
    loop.look();
    CHECK_LE(estimates, 1 + 2 * kLooksPerLesson);  // the order's, those who start next, others in turn
    for (int n = 0; n < 20; ++n) {
        loop.run(milliseconds(700));
        loop.look();
    }
    for (std::uint64_t n = 50; n <= kTurn; ++n) REQUIRE_GT(loop.core.task(id(n))->estimate.p50.us, 500'000);
}

TEST_CASE("what was taught is looked at, not what was not; a type that nobody has seen follows the others") {
    Loop loop;
    std::map<TaskId, int> looked;
    loop.learner.distort([&](TaskId task, Estimate estimate, Instant) {
        ++looked[task];
        return estimate;
    });
    for (std::uint64_t n = 1; n <= 2; ++n) loop.submit(n, "other");
    for (int n = 0; n < 2; ++n) loop.run(seconds(3));
    for (std::uint64_t n = 3; n <= 40; ++n) loop.submit(n);
    for (std::uint64_t n = 41; n <= 50; ++n) loop.submit(n, "other");
    for (std::uint64_t n = 51; n <= 60; ++n) loop.submit(n, "new");
    for (int n = 0; n < 30; ++n) {
        if (n == 20) looked.clear();
        loop.run(milliseconds(70));
        loop.look();
    }
    CHECK_LT(loop.core.task(id(60))->estimate.p50.us, seconds(3).us);
    for (std::uint64_t n = 36; n <= 60; ++n) {
        CAPTURE(n);
        CHECK_EQ(looked.contains(id(n)), loop.types.at(id(n)) != "other");
    }
    loop.look();
    looked.clear();
    predict::Override minute;
    minute.estimate = minutes(1);
    REQUIRE(loop.learner.predictor().force("other", minute));
    loop.learner.changed("other");
    CHECK_LE(loop.learner.wanted_at(), loop.now);
    loop.look();
    for (std::uint64_t n = 41; n <= 50; ++n) CHECK_EQ(loop.core.task(id(n))->estimate.p50.us, minutes(1).us);
}

TEST_CASE("a small move of an estimate is no fact") {
    Loop loop;
    for (std::uint64_t n = 1; n <= 30; ++n) loop.submit(n);
    for (int n = 0; n < 20; ++n) {
        loop.run(milliseconds(70));
        loop.look();
    }
    const std::size_t before = loop.revisions();
    loop.run(milliseconds(71));
    loop.look();
    CHECK_EQ(loop.revisions(), before);
}

TEST_CASE("a run is overdue once, when it passed its P90, and not while it stood still") {
    for (const bool told_twice : {false, true}) {
        Loop loop;
        for (std::uint64_t n = 1; n <= 30; ++n) loop.submit(n);
        for (int n = 0; n < 20; ++n) loop.run(milliseconds(70));
        loop.now = loop.now + minutes(10);
        loop.look();
        const core::AssignAttempt order = loop.orders.back();
        loop.start(order);
        const Duration p50 = loop.predicted[order.task].p50, p90 = loop.predicted[order.task].p90;
        const auto tail = [&] {
            const Estimate made = loop.learner.predictor().estimate({.type = "t", .provisional = true}, loop.now);
            return static_cast<double>(made.p90.us) / static_cast<double>(made.p50.us);
        };
        const double calm = tail();
        CHECK_EQ(loop.learner.wanted_at(), loop.now + p50);  // for its siblings
        loop.now = loop.now + p90 + Duration{1};
        if (told_twice) loop.start(order);  // as a worker does that is not sure to have been heard
        loop.look();
        const double late = tail();
        CHECK_GT(late, calm);
        loop.now = loop.now + p90 + p90;
        loop.look();
        CHECK_EQ(tail(), late);
        CHECK_GT(loop.learner.wanted_at(), loop.now);
    }
}

TEST_CASE("a rejected attempt and one that never started teach nothing") {
    Loop loop;
    loop.submit(1);
    loop.run(seconds(1), core::AttemptOutcome::rejected);
    CHECK_EQ(loop.learner.predictor().types().size(), 0);
    loop.submit(2);
    loop.apply(core::CancelRequested{.task = id(2)});
    CHECK_EQ(loop.learner.predictor().types().size(), 0);
    loop.now = loop.now + minutes(10);
    loop.look();
    CHECK(loop.facts.empty());
    CHECK_EQ(loop.learner.wanted_at(), kNever);
}

TEST_CASE("a task whose body is not read yet keeps its estimate, and is recalled; a later one is not") {
    Loop loop;
    for (std::uint64_t n = 1; n <= 100; ++n) loop.submit(n);
    for (std::uint64_t n = 1; n <= 100; ++n) loop.complete[id(n)] = false;
    loop.learner.restarted(loop);
    loop.submit(101);
    loop.run(milliseconds(70));
    loop.look();
    REQUIRE_EQ(loop.revisions(), 1);
    CHECK_EQ(std::get<core::EstimateRevised>(loop.facts.back()).task, id(101));

    const std::vector<TaskId> first = loop.learner.recall(loop);
    CHECK_EQ(first.size(), kRecallMax);
    CHECK(loop.learner.recall(loop).empty());  // the first answer is awaited
    for (const TaskId task : first) loop.complete[task] = true;
    loop.learner.recalled();
    const std::vector<TaskId> rest = loop.learner.recall(loop);
    CHECK_EQ(rest.size(), 99 - kRecallMax);  // one ended meanwhile
    CHECK_EQ(rest.back(), id(100));
    loop.learner.recalled();
    CHECK(loop.learner.recall(loop).empty());
}

TEST_CASE("what a dispatched run is judged by is the decision's own estimate when no model answered") {
    Loop loop;
    loop.learner.distort([](TaskId, Estimate, Instant) { return Estimate{}; });
    loop.submit(1);
    REQUIRE_EQ(loop.orders.size(), 1);
    CHECK(loop.orders.back().decision.fallback);
    CHECK_EQ(loop.predicted[id(1)].source, EstimateSource::none);
}

TEST_CASE("the speed of a worker and a fallen trust are published") {
    Loop loop;
    loop.apply(core::WorkerJoined{
        .name = "slow", .session = SessionId{2}, .offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1}});
    for (std::uint64_t n = 1; n <= 400; ++n) {
        loop.submit(n);
        const bool slow = loop.core.worker(loop.orders.back().worker).name == "slow";
        loop.run(milliseconds(slow ? 300 : 100));
        loop.look();
    }
    bool told = false;
    for (const core::Fact& fact : loop.facts)
        if (const auto* speed = std::get_if<core::WorkerSpeedLearned>(&fact))
            told = told || loop.core.worker(speed->worker).name == "slow";
    CHECK(told);
    CHECK_GT(loop.core.worker(loop.core.find_worker("slow")).speed_ppm,
             2 * loop.core.worker(loop.core.find_worker("w")).speed_ppm);
}

}  // namespace
}  // namespace nexus::learn
