#include "predict/siblings.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/rng.h"
#include "predict/generated_world.h"
#include "predict/predictor.h"

using namespace nexus;
using namespace nexus::predict;

namespace {

float ln(Duration run) {
    return static_cast<float>(std::log(static_cast<double>(run.us)));
}
Duration said(const Siblings& siblings) {
    return {std::llround(std::exp(static_cast<double>(siblings.band().centre)))};
}

// Arrays of one tenant and type, each of members that take about the same and very different from the array before. One
// member begins before the others.
struct Arrays {
    Rng rng{7};
    Predictor predictor{nullptr};
    Instant now;
    const Features task{.type = "t", .tenant = "u", .payload_bytes = 100};

    Estimate ask() {
        Features asked = task;
        asked.provisional = true;
        return predictor.estimate(asked, now);
    }
    // Estimates of the members that begin; `now` stands still.
    std::vector<Estimate> begin(int members) {
        std::vector<Estimate> made;
        for (int n = 0; n < members; ++n) {
            made.push_back(predictor.estimate(task, now));
            predictor.began(task, now);
        }
        return made;
    }
    void end(const Estimate& predicted, Duration run, Instant began) {
        now = std::max(now, began + run);
        predictor.learn({.features = task, .run = run, .predicted = predicted, .at = began + run});
    }
    void array(int members, Duration run) {
        const Instant first = now;
        end(begin(1).front(), run, first);
        const Instant began = now;
        const std::vector<Estimate> made = begin(members - 1);
        for (int n = 1; n < members; ++n) end(made[static_cast<std::size_t>(n - 1)], {run.us + 1000 * n}, began);
    }
    // So many that differ by much.
    void meet(int arrays) {
        for (int n = 0; n < arrays; ++n) {
            array(5, {1'000'000 + static_cast<std::int64_t>(rng.below(200'000'000))});
            now = now + hours(1);
        }
    }
};

}  // namespace

TEST_CASE("the first of an array that ends tells the others; before that how long one has run") {
    Siblings siblings;
    const Instant began{1000};
    CHECK(siblings.silent());
    CHECK(siblings.start(began));
    CHECK_FALSE(siblings.start(began + seconds(1)));
    CHECK(siblings.awaited(began + seconds(1)));
    CHECK(siblings.pass(ln(seconds(8)), began));
    CHECK(std::abs(std::log(static_cast<double>(said(siblings).us) / 10e6)) < 0.01);  // the likeliest band begins there
    CHECK_FALSE(siblings.pass(ln(seconds(6)), began));                                // another that is not as far
    siblings.end(ln(seconds(12)), began, began + seconds(12));
    CHECK_FALSE(siblings.awaited(began + seconds(13)));
    CHECK(std::abs(std::log(static_cast<double>(said(siblings).us) / 12e6)) < 0.05);
    CHECK_FALSE(siblings.pass(ln(seconds(20)), began));  // it began with one that has ended
    CHECK_FALSE(siblings.start(began + seconds(20)));    // of the same array
    CHECK(siblings.start(began + seconds(40)));          // none ended for as long as one takes: another one
    CHECK(siblings.awaited(began + seconds(40)));
    siblings.cut();
    CHECK_FALSE(siblings.awaited(began + seconds(40)));
}

TEST_CASE("members of an array that wait are known by the first that ended, and say so") {
    Arrays world;
    world.meet(40);
    const Instant began = world.now;
    const std::vector<Estimate> made = world.begin(5);
    CHECK_EQ(world.ask().source, EstimateSource::sibling_wait);
    world.now = began + seconds(500);
    CHECK(world.predictor.passed(world.task, began, world.now));
    const Estimate later = world.ask();
    CHECK_GE(later.p50, seconds(600));
    CHECK_LE(later.p50, seconds(640));
    world.end(made[0], seconds(700), began);
    const Estimate known = world.ask();
    CHECK_EQ(known.source, EstimateSource::sibling_mode);
    CHECK(within_band(ln(known.p50), ln(seconds(700))));
    // An array after that is another one.
    world.now = world.now + hours(1);
    world.begin(1);
    CHECK_EQ(world.ask().source, EstimateSource::sibling_wait);
}

TEST_CASE("where runs that are under way together are not alike, nothing is said of arrays") {
    Arrays world;
    for (int n = 0; n < 400; ++n) {
        const Instant began = world.now;
        const std::vector<Estimate> made = world.begin(4);
        for (const Estimate& one : made) world.end(one, {std::llround(2e6 * std::exp(0.5 * gauss(world.rng)))}, began);
        world.now = world.now + seconds(20);
    }
    const Instant began = world.now;
    world.begin(4);
    world.now = began + seconds(3);
    CHECK_FALSE(world.predictor.passed(world.task, began, world.now));
    CHECK_NE(world.ask().source, EstimateSource::sibling_wait);
    CHECK_NE(world.ask().source, EstimateSource::sibling_mode);
}

// Field case J: five quick runs, then 200 in parallel that take five seconds.
TEST_CASE("200 that run together and pass every mark never say more than twice what was seen") {
    Arrays world;
    for (int n = 0; n < 5; ++n) world.array(1, milliseconds(20 + n));
    const Instant began = world.now;
    const std::vector<Estimate> made = world.begin(200);
    Duration most;
    for (Duration ran = milliseconds(25); ran < seconds(5); ran = {ran.us + ran.us / 4 + 1}) {
        world.now = began + ran;
        for (int n = 0; n < 200; ++n) world.predictor.passed(world.task, began, world.now);
        most = std::max(most, world.ask().p90);
    }
    CHECK_LE(most, seconds(10));
    for (const Estimate& one : made) world.end(one, seconds(5), began);
    CHECK_LE(world.ask().p90, seconds(10));
    for (int n = 0; n < 6; ++n) world.array(1, seconds(5));
    const Estimate back = world.ask();
    CHECK(within_band(ln(back.p50), ln(seconds(5))));
    CHECK_LE(back.p90, seconds(10));
}

TEST_CASE("what arrays have said is saved, and bytes without it are read") {
    Arrays world;
    world.meet(20);
    world.begin(3);
    std::string bytes;
    world.predictor.save(bytes);
    Predictor again(nullptr);
    REQUIRE(again.load(bytes));
    std::string saved;
    again.save(saved);
    CHECK(saved == bytes);
    Features asked = world.task;
    asked.provisional = true;
    CHECK_EQ(again.estimate(asked, world.now), world.ask());
}
