// What is told of the future: the law of a run, the first of many slots, snapshots that tell the same.

#include "core/forecast.h"

#include <algorithm>

#include "base/rng.h"
#include "core/day_pattern.h"
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

namespace {

constexpr std::int64_t kHour = 3'600'000'000;

// So many slots from `open` to `shut` o'clock on each of the days, `rest` in between.
DayPattern shifts(int days, int open, int shut, std::uint64_t many, std::uint64_t rest) {
    DayPattern pattern;
    pattern.passed(0, rest);
    for (int day = 0; day < days; ++day) {
        pattern.passed((24 * day + open) * kHour, rest);
        pattern.passed((24 * day + shut) * kHour, many);
    }
    return pattern;
}

}  // namespace

TEST_CASE("work is stretched over the hours that have fewer slots, once days have shown it") {
    struct Row {
        int days;
        std::uint64_t many, rest;
        int at;        // o'clock of the last day
        double hours;  // of work at the slots of that hour
        double takes;
    };
    for (const Row& row : {
             Row{4, 100, 50, 12, 4, 4},        // within the shift
             Row{4, 100, 50, 12, 8, 10},       // six hours of it by 18:00, and two more at half the speed
             Row{4, 100, 50, 12, 14, 20},      // the night does six, and the next morning two
             Row{4, 100, 50, 2, 5, 4.5},       // from 6 o'clock on with twice as many
             Row{4, 100, 0, 17, 2, 14},        // nobody works at night
             Row{4, 100, 0, 17, 13, 25},       // a whole shift lies between
             Row{4, 100, 100, 12, 14, 14},     // no pattern
             Row{4, 100, 97, 12, 14, 14},      // none to speak of
             Row{1, 100, 50, 12, 14, 14},      // one day shows nothing
             Row{4, 100, 50, 12, 1000, 1042},  // 126 within a week, then as it is now
         }) {
        CAPTURE(row.days);
        CAPTURE(row.hours);
        CAPTURE(row.takes);
        const DayPattern pattern = shifts(row.days, 6, 18, row.many, row.rest);
        const std::int64_t now = (24 * (row.days - 1) + row.at) * kHour;
        const auto took = pattern.stretch(now, static_cast<std::int64_t>(row.hours * kHour));
        CHECK(static_cast<double>(took) / kHour == doctest::Approx(row.takes).epsilon(0.001));
    }
}

TEST_CASE("slots that come and go at any hour are no pattern, and a new one is learned within days") {
    Rng rng(11);
    DayPattern pattern;
    std::int64_t now = 0;
    for (int n = 0; n < 500; ++n) {
        now += static_cast<std::int64_t>(rng.below(6 * kHour));
        pattern.passed(now, 50 + rng.below(100));
        CHECK_FALSE(pattern.believed());
    }
    now -= now % (24 * kHour);
    for (int day = 1; day <= 8; ++day) {
        pattern.passed(now + (24 * day + 6) * kHour, 20);
        pattern.passed(now + (24 * day + 18) * kHour, 100);
    }
    CHECK(pattern.believed());
    pattern.passed(5, 1);              // a clock set back
    pattern.passed(INT64_MAX / 2, 1);  // and one that jumped
    CHECK(pattern.stretch(INT64_MAX / 2, kHour) > 0);
}

TEST_CASE("what waits is told the speed of the hours in which it will run: half of the workers leave at night") {
    const auto told = [](bool leaves) {
        TestFleet fleet({}, 1, 50);
        const auto to = [&](std::int64_t hour) {
            fleet.now = {hour * kHour};
            fleet.apply(TimePassed{});
        };
        std::uint64_t session = 10;
        for (int day = 0; day <= 4; ++day) {
            to(24 * day + 6);
            if (leaves || day == 0) fleet.apply(WorkerJoined{.name = "day", .session = {++session}, .slots = 50});
            to(24 * day + (day < 4 ? 18 : 14));
            if (leaves && day < 4) fleet.apply(WorkerLeft{.session = {session}, .planned = true});
        }
        TaskId last;
        for (int n = 0; n < 700; ++n) last = fleet.submit("default", {kHour}, {kHour}, {kHour * 3 / 2}, {kHour});
        const auto eta = fleet.scheduler.eta(last);
        REQUIRE(eta.has_value());
        std::string bytes;
        fleet.scheduler.save(bytes);
        Scheduler again;
        REQUIRE(again.load(bytes).has_value());
        CHECK_EQ(again.eta(last)->start_p50, eta->start_p50);
        return std::pair((eta->start_p50 - fleet.now).us, fleet.scheduler.backlog(fleet.now).left.us);
    };
    const auto [start, drained] = told(false);
    const auto [start_by_night, drained_by_night] = told(true);
    CHECK(start > 5 * kHour);
    // It is 14 o'clock: what is left at 18 takes twice as long.
    CHECK(std::abs(start_by_night - (2 * start - 4 * kHour)) < kHour / 4);
    CHECK(std::abs(drained_by_night - (2 * drained - 4 * kHour)) < kHour / 4);
}

TEST_CASE("what is told of those that wait follows workers that drain, turn slow, fall silent and come") {
    TestFleet fleet({}, 2, 20);
    TaskId last;
    for (int n = 0; n < 400; ++n) last = fleet.submit("default", seconds(60), seconds(60), seconds(90), seconds(60));
    const auto wait = [&] { return static_cast<double>((fleet.scheduler.eta(last)->start_p50 - fleet.now).us); };
    const double usual = wait();
    CHECK(usual / 60e6 == doctest::Approx(9).epsilon(0.15));
    const auto becomes = [&](Fact fact, double times) {
        fleet.apply(std::move(fact));
        CHECK(wait() / usual == doctest::Approx(times).epsilon(0.15));
    };
    becomes(WorkerControlled{.name = "w2", .order = WorkerOrder::drain}, 2);
    becomes(WorkerControlled{.name = "w2", .order = WorkerOrder::uncordon}, 1);
    becomes(WorkerSuspected{.session = {2}}, 2);
    becomes(WorkerRecovered{.session = {2}}, 1);
    becomes(WorkerSpeedLearned{.worker = {1}, .speed_ppm = 3'000'000}, 1.5);
    becomes(WorkerSpeedLearned{.worker = {1}, .speed_ppm = 1'000'000}, 1);
    becomes(WorkerCapacityChanged{.session = {2}, .slots = 10}, 4.0 / 3);
    becomes(WorkerJoined{.name = "w3", .session = {3}, .slots = 30}, 2.0 / 3);
}
