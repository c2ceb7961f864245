// What is told of the future: the law of a run, the first of many slots, snapshots that tell the same.

#include "core/forecast.h"

#include <algorithm>

#include "base/rng.h"
#include "core/fleet_test.h"
#include "doctest/doctest.h"

using namespace nexus;
using namespace nexus::core;

namespace {
constexpr std::uint32_t share(double part) {
    return static_cast<std::uint32_t>(part * 4294967296.0);
}
}  // namespace

TEST_CASE("what a run has left follows its estimate, given how long it ran") {
    const Law law(seconds(10), seconds(16), seconds(12));  // low 4 s
    struct Row {
        double ran, u, left;  // seconds; the share of such runs that take longer
    };
    for (const Row& row : {Row{0, 0.5, 10}, Row{0, 0.1, 16}, Row{0, 0.75, 7}, Row{0, 0.3, 13}, Row{7, 2.0 / 3, 3},
                           Row{13, 1.0 / 3, 3}, Row{2, 0.5, 8}}) {
        CAPTURE(row.ran);
        CAPTURE(row.u);
        const auto left = law.left(static_cast<std::int64_t>(row.ran * 1e6), share(row.u));
        CHECK(static_cast<double>(left) / 1e6 == doctest::Approx(row.left).epsilon(0.001));
    }
    // The mean of the whole is the estimate's: 12 s.
    double sum = 0;
    for (int n = 0; n < 10'000; ++n) sum += static_cast<double>(law.left(0, share((n + 0.5) / 10'000))) / 1e6;
    CHECK(sum / 10'000 == doctest::Approx(12).epsilon(0.01));
    // Beyond the p90 what is left grows with the age, and is never nothing.
    CHECK(law.left(seconds(32).us, share(0.5)) ==
          doctest::Approx(2 * law.left(seconds(16).us, share(0.5))).epsilon(0.01));
    CHECK(law.left(seconds(16).us, share(0.9999999)) >= 1);
    CHECK(law.left(0, 0) > seconds(16).us);
    CHECK_EQ(Law({0}, {0}, {0}).left(0, share(0.5)), 1);
}

TEST_CASE("the wait for the first of a hundred slots is told as what it is") {
    double told = 0, first = 0;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Rng rng(seed);
        TestFleet fleet({}, 100, 1);
        std::vector<std::int64_t> begins;
        for (int n = 0; n < 100; ++n) begins.push_back(static_cast<std::int64_t>(rng.below(1'000'000)));
        std::sort(begins.begin(), begins.end());
        const Law law(seconds(1), seconds(2), milliseconds(1200));
        const Instant asked{1'000'000};
        std::int64_t earliest = INT64_MAX;
        for (const std::int64_t begin : begins) {
            fleet.now = {begin};
            // As long as such a run takes that has not ended by the time of the question.
            const std::int64_t age = asked.us - begin;
            const std::int64_t run = age + law.left(age, share(rng.unit()));
            earliest = std::min(earliest, begin + run);
            fleet.submit("default", {run}, seconds(1), seconds(2), milliseconds(1200));
        }
        fleet.now = asked;
        const TaskId task = fleet.submit("default", seconds(1), seconds(1), seconds(2), milliseconds(1200));
        told += static_cast<double>((fleet.scheduler.eta(task)->start_p50 - asked).us);
        first += static_cast<double>(earliest - asked.us);
    }
    CHECK(told > first / 2);
    CHECK(told < first * 2);
}

TEST_CASE("a run is told by the estimate that was made for its worker, and the promise follows while nobody heard it") {
    TestFleet fleet({}, 1, 1);
    fleet.now = {1'000'000};
    std::vector<Command> commands;
    TaskSubmitted submitted{.task = {2, 1},
                            .estimate = {.p50 = seconds(10),
                                         .p90 = seconds(20),
                                         .mean = seconds(12),
                                         .confidence_permille = 900,
                                         .source = EstimateSource::type_mode},
                            .promise = true};
    submitted.spec.type = "t";
    fleet.scheduler.apply({fleet.now, submitted}, commands);
    Estimate here = submitted.estimate;
    here.p50 = seconds(4);
    here.p90 = seconds(5);
    fleet.scheduler.apply({fleet.now, EstimateRevised{submitted.task, here}}, commands);
    CHECK_EQ(fleet.scheduler.eta(submitted.task)->finish_p50, fleet.now + seconds(4));
    CHECK_EQ(fleet.scheduler.task(submitted.task)->promise.p50, fleet.now + seconds(4));
    CHECK_EQ(fleet.scheduler.task(submitted.task)->estimate.p50, seconds(10));  // of the task, wherever it goes next
    fleet.scheduler.apply({fleet.now + seconds(1), EstimateRevised{submitted.task, submitted.estimate}}, commands);
    CHECK_EQ(fleet.scheduler.eta(submitted.task)->finish_p50, fleet.now + seconds(11));   // it has not started
    CHECK_EQ(fleet.scheduler.task(submitted.task)->promise.p50, fleet.now + seconds(4));  // it was told
}

TEST_CASE("a scheduler that was saved and loaded in a backlog tells what the other tells") {
    Rng rng(5);
    TestFleet one({}, 20, 2);
    const auto submit = [&](TestFleet& fleet, Rng& draws) {
        const Duration p50{100'000 + static_cast<std::int64_t>(draws.below(3'000'000))};
        return fleet.submit(draws.one_in(3) ? "a" : "b", {p50.us * (1 + static_cast<std::int64_t>(draws.below(3)))},
                            p50, {p50.us * 2}, {p50.us + p50.us / 3});
    };
    for (int n = 0; n < 500; ++n) {
        one.pass(one.now + milliseconds(30));
        submit(one, rng);
    }
    REQUIRE(one.scheduler.counters().waiting > 100);
    std::string bytes;
    one.scheduler.save(bytes);
    one.recording = true;
    Scheduler again;
    REQUIRE(again.load(bytes).has_value());
    std::vector<Command> commands;
    std::size_t told = 0;
    for (int n = 0; n < 1000; ++n) {
        one.pass(one.now + milliseconds(30));
        const TaskId task = submit(one, rng);
        while (told < one.applied.size()) again.apply(one.applied[told++], commands);
        const Promise promise = one.scheduler.task(task)->promise, same = again.task(task)->promise;
        REQUIRE(promise == same);
        REQUIRE(promise.p50 != kNever);
        CHECK(promise.p10 <= promise.p50);
        CHECK(promise.p50 <= promise.p90);
    }
}
