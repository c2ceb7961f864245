// The order: arrival within a tenant where sizes do not count, shares between tenants by what waits, sure sizes only.

#include <algorithm>
#include <cmath>
#include <map>

#include "base/rng.h"
#include "core/fleet_test.h"
#include "core/work_ahead.h"
#include "doctest/doctest.h"

using namespace nexus;
using namespace nexus::core;

TEST_CASE("without sizes, or without trust, a tenant's tasks start in order of readiness however wrong estimates are") {
    for (const bool by_trust : {false, true}) {
        CAPTURE(by_trust);
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(seed);
            Rng rng(seed);
            Config config{.speculation = false};
            if (!by_trust) config.size_weight_permille = 0;
            TestFleet fleet(config, 3, 1);
            if (by_trust) fleet.apply(TrustLearned{0});
            for (int n = 0; n < 400; ++n) {
                fleet.pass(fleet.now + Duration{static_cast<std::int64_t>(rng.below(600'000))});
                const Duration run{200'000 + static_cast<std::int64_t>(rng.below(1'600'000))};
                const double factor = std::exp(3 * (2 * rng.unit() - 1));  // 1/20 to 20
                const Duration told{static_cast<std::int64_t>(static_cast<double>(run.us) * factor)};
                fleet.submit("default", run, told, {told.us * 2}, told);
            }
            fleet.pass(fleet.now + hours(1));
            REQUIRE_EQ(fleet.started.size(), 400);
            CHECK(std::is_sorted(fleet.started.begin(), fleet.started.end(),
                                 [](const auto& a, const auto& b) { return a.task < b.task; }));
        }
    }
}

TEST_CASE("a lone tenant's burst does not stand before another's few tasks") {
    TestFleet fleet({}, 10, 1);
    fleet.now = {1'000'000};
    for (int n = 0; n < 2000; ++n) fleet.submit("burst", seconds(1));
    Duration longest;
    std::vector<TaskId> others;
    for (int n = 0; n < 1200; ++n) {  // a minute: 5/s more, and another tenant's 4/s
        fleet.pass(fleet.now + milliseconds(50));
        if (n % 4 == 0) fleet.submit("burst", seconds(1));
        if (n % 5 == 0) others.push_back(fleet.submit("other", seconds(1)));
    }
    fleet.pass(fleet.now + seconds(5));
    for (const TaskId task : others) {
        REQUIRE(fleet.begun.contains(task));
        longest = std::max(longest, fleet.begun[task] - fleet.came[task]);
    }
    CHECK(longest < seconds(3));
}

TEST_CASE("two tenants beyond their shares start by their shares") {
    struct Row {
        std::uint32_t share;
        double wanted;  // part of the first tenant's starts
        bool count_fair;
    };
    for (const Row& row : {Row{1, 0.5, false}, Row{3, 0.75, false}, Row{1, 0.5, true}}) {
        CAPTURE(row.share);
        CAPTURE(row.count_fair);
        Config config{.size_weight_permille = 0, .speculation = false};
        config.tenants = {{.name = "a", .share = row.share}};
        config.queues = {{.name = "default", .count_fair = row.count_fair}};
        TestFleet fleet(config, 10, 1);
        fleet.now = {1'000'000};
        for (int n = 0; n < 600; ++n) fleet.submit("b", seconds(1));
        fleet.pass(fleet.now + milliseconds(500));
        for (int n = 0; n < 600; ++n) fleet.submit("a", seconds(1));
        const std::size_t before = fleet.started.size();
        fleet.pass(fleet.now + seconds(40));
        double of_a = 0;
        for (std::size_t n = before; n < fleet.started.size(); ++n) of_a += fleet.started[n].task.lo > 600 ? 1 : 0;
        CHECK(of_a / static_cast<double>(fleet.started.size() - before) == doctest::Approx(row.wanted).epsilon(0.1));
    }
}

TEST_CASE("what may be long or short keeps its place: only sure sizes move a task") {
    TestFleet fleet({}, 1, 1);
    fleet.now = {1'000'000};
    // Estimates of a second that in the end take ten: the means are 1 s and 10 s.
    for (int n = 0; n < 40; ++n) {
        fleet.submit("default", seconds(10), seconds(1), seconds(2), seconds(1));
        fleet.pass(fleet.now + milliseconds(10'100));
    }
    fleet.submit("default", seconds(100));
    for (int n = 0; n < 90; ++n) fleet.submit("default", seconds(10), seconds(1), seconds(2), seconds(1));
    const auto key_of = [&](Duration p50, Duration p90, EstimateSource source = EstimateSource::type_mode) {
        fleet.pass(fleet.now + milliseconds(1));
        const Instant came = fleet.now;
        const TaskId task = fleet.submit("default", seconds(1), p50, p90, p50, source);
        const auto waits = fleet.scheduler.next_waiting(1000);
        REQUIRE(std::find(waits.begin(), waits.end(), task) != waits.end());
        fleet.apply(OverrideSet{.number = 1, .kind = OverrideKind::boost, .task = task, .boost = hours(1000)});
        const std::size_t before = fleet.started.size();
        fleet.pass(fleet.now + seconds(110));
        REQUIRE(fleet.started.size() > before);
        REQUIRE_EQ(fleet.started[before].task, task);
        return fleet.started[before].decision.key_us + hours(1000).us - came.us;
    };
    CHECK_EQ(key_of(seconds(3), seconds(4)), 0);      // between both means
    CHECK_EQ(key_of(seconds(30), seconds(90)), 0);    // its lower end is as short as the longer mean
    CHECK(key_of(milliseconds(10), seconds(1)) < 0);  // short by both
    CHECK(key_of(seconds(40), seconds(50)) > 0);      // long by both
    // Of an array of which none has ended nobody knows.
    CHECK_EQ(key_of(milliseconds(10), seconds(1), EstimateSource::sibling_wait), 0);
    CHECK_EQ(key_of(seconds(40), seconds(50), EstimateSource::sibling_wait), 0);
    CHECK(key_of(milliseconds(10), seconds(1), EstimateSource::sibling_mode) < 0);
}

TEST_CASE("what becomes ready after it may be overtaken comes after it") {
    Rng rng(11);
    TestFleet fleet(Config{.speculation = false}, 3, 1);
    fleet.now = {1'000'000};
    struct Seen {
        Instant came, until;
        int priority;
    };
    std::map<TaskId, Seen> seen;
    for (int n = 0; n < 3000; ++n) {  // an overload of a quarter, nine in ten short
        fleet.pass(fleet.now + Duration{static_cast<std::int64_t>(rng.below(500'000))});
        fleet.priority = static_cast<std::uint8_t>(rng.below(3) + kPriorityDefault - 1);
        const TaskId task = fleet.submit("default", rng.below(10) == 0 ? seconds(5) : milliseconds(500));
        if (!fleet.begun.contains(task))
            seen[task] = {fleet.now, fleet.scheduler.overtaken_until(task), fleet.priority};
    }
    REQUIRE(seen.size() > 1000);
    int overtaken = 0, beyond = 0, later = 0;
    for (const auto& [task, it] : seen) {
        CHECK(it.until != kNever);
        const bool began = fleet.begun.contains(task);
        for (const auto& [other, its] : seen) {
            if (its.came <= it.came || its.priority > it.priority || !fleet.begun.contains(other)) continue;
            // The credit of a level is so many mean tasks, and the mean moves.
            const Duration moved =
                it.priority == kPriorityDefault && its.priority == it.priority ? Duration{} : seconds(1);
            const bool before = !began || fleet.begun[other] < fleet.begun[task];
            overtaken += before ? 1 : 0;
            beyond += before && its.came > it.until + moved ? 1 : 0;
            later += its.came > it.until ? 1 : 0;
        }
    }
    CHECK(overtaken > 100);
    CHECK(later > 100);
    CHECK_EQ(beyond, 0);
    CHECK(fleet.scheduler.overtaken_until(fleet.started.front().task) == kNever);  // it has ended
    TestFleet by_arrival(Config{.policy = PolicyKind::fcfs}, 1, 1);
    by_arrival.submit("default", seconds(1));
    CHECK(by_arrival.scheduler.overtaken_until(by_arrival.submit("default", seconds(1))) == kNever);
}

TEST_CASE("the key before which so much work waits is the inverse of the work before a key") {
    Rng rng(7);
    WorkAhead ahead;
    std::vector<std::pair<std::int64_t, std::int64_t>> tasks;
    for (int n = 0; n < 3000; ++n) {
        tasks.emplace_back(static_cast<std::int64_t>(rng.below(600'000'000)),
                           1 + static_cast<std::int64_t>(rng.below(2'000'000)));
        ahead.add(tasks.back().first, tasks.back().second);
    }
    std::sort(tasks.begin(), tasks.end());
    const std::int64_t all = ahead.total().work_us;
    for (int percent = 1; percent < 100; percent += 7) {
        CAPTURE(percent);
        const std::int64_t wanted = all / 100 * percent;
        const std::int64_t key = ahead.key_beyond_work(wanted, tasks.front().first, {});
        std::int64_t exact = 0;
        for (const auto& [at, work] : tasks)
            if (at < key) exact += work;
        CHECK(std::llabs(exact - wanted) < all / 200);
    }
    CHECK_EQ(ahead.key_beyond_work(all, 0, {}), INT64_MAX);
    CHECK_EQ(ahead.key_beyond_tasks(0, tasks.front().first, {}), tasks.front().first);
    // A burst on few keys within a wide bucket: what is asked for lies within it, not beside it.
    for (std::int64_t n = 0; n < 1000; ++n) ahead.add(300'000'000 + n, 10'000'000);
    const std::int64_t middle = ahead.key_beyond_work(ahead.total().work_us / 2, tasks.front().first, {});
    CHECK(middle > 299'000'000);
    CHECK(middle < 301'000'000);
}
