#include "predict/predictor.h"

#include <doctest/doctest.h>

#include <string>

#include "base/bytes.h"
#include "base/hash.h"
#include "predict/generated_world.h"

using namespace nexus;
using namespace nexus::predict;

namespace {

// Some types, tenants, workers and payloads, with failures and memory.
struct World {
    explicit World(std::uint64_t seed) : rng(seed) {}
    Rng rng;
    Instant now;

    Estimate step(Predictor& predictor) {
        const std::uint64_t kind = rng.below(20);
        const std::string type = "kind-" + std::to_string(kind);
        const std::string tenant = "tenant-" + std::to_string(rng.below(5));
        const std::string worker = "worker-" + std::to_string(rng.below(4));
        const Features features{.type = type,
                                .tenant = tenant,
                                .worker = worker,
                                .hardware = "hw",
                                .payload_bytes = 1 + rng.below(100'000)};
        const Estimate made = predictor.estimate(features, now);
        const double us = 1e5 * static_cast<double>(kind + 1) * std::exp(0.15 * gauss(rng));
        now = now + Duration{static_cast<std::int64_t>(us)};
        const std::uint64_t end = rng.below(20);
        predictor.learn({.features = features,
                         .end = end == 0   ? RunEnd::failed
                                : end == 1 ? RunEnd::censored
                                           : RunEnd::succeeded,
                         .run = {static_cast<std::int64_t>(us)},
                         .peak_memory_bytes = 1'000'000 * (kind + 1) + rng.below(1000),
                         .predicted = made,
                         .at = now});
        return made;
    }
};

std::string bytes_of(const Predictor& predictor) {
    std::string bytes;
    predictor.save(bytes);
    return bytes;
}

// Puts a right checksum over changed bytes, so that the readers behind it are reached.
std::string resealed(std::string bytes) {
    const std::uint32_t sum = crc32c(std::string_view(bytes).substr(8));
    for (std::size_t i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(sum >> (8 * i));
    return bytes;
}

}  // namespace

TEST_CASE("a type that ran once can be shown, though nobody asked for an estimate since") {
    Predictor predictor(nullptr);
    predictor.learn({.features = {.type = "once"}, .run = milliseconds(20), .at = Instant{seconds(5).us}});
    const auto stat = predictor.type("once");
    REQUIRE(stat.has_value());
    CHECK(stat->p50 > milliseconds(10));
    CHECK(stat->p90 >= stat->p50);
}

TEST_CASE("equal histories give equal estimates and equal bytes") {
    Predictor one(nullptr);
    Predictor two(nullptr);
    World here(7);
    World there(7);
    for (int i = 0; i < 2000; ++i) REQUIRE_EQ(here.step(one), there.step(two));
    CHECK_EQ(bytes_of(one), bytes_of(two));
}

TEST_CASE("a restored predictor goes on as if nothing had happened, from any point, with any model") {
    for (const std::string_view name : model_names()) {
        CAPTURE(name);
        for (const int until : {0, 1, 5, 60, 700}) {
            CAPTURE(until);
            Predictor original(make_model(name).value());
            World world(static_cast<std::uint64_t>(until) + 3);
            for (int i = 0; i < until; ++i) world.step(original);
            REQUIRE(original.force(
                "kind-3", {.estimate = seconds(9), .expires = Instant{seconds(300).us}, .author = "a", .reason = "b"}));
            Predictor restored(make_model(name).value());
            REQUIRE(restored.load(bytes_of(original)));
            CHECK_EQ(bytes_of(restored), bytes_of(original));
            World twin = world;
            for (int i = 0; i < 300; ++i) REQUIRE_EQ(world.step(original), twin.step(restored));
            CHECK_EQ(bytes_of(restored), bytes_of(original));
        }
    }
}

TEST_CASE("state of another model: everything is restored but the model") {
    Predictor ema(make_model("ema").value());
    World world(1);
    for (int i = 0; i < 200; ++i) world.step(ema);
    Predictor mixture(nullptr);
    REQUIRE(mixture.load(bytes_of(ema)));
    CHECK_EQ(mixture.types().size(), ema.types().size());
    CHECK_EQ(mixture.accuracy().within_25, ema.accuracy().within_25);
    CHECK_EQ(mixture.estimate({.type = "kind-1"}, {}).source, EstimateSource::fallback);
}

TEST_CASE("damaged bytes are refused and leave the predictor as it was") {
    Predictor predictor(nullptr);
    World world(5);
    for (int i = 0; i < 300; ++i) world.step(predictor);
    const std::string good = bytes_of(predictor);
    Predictor target(nullptr);
    const std::string empty = bytes_of(target);
    Rng rng(13);
    for (int i = 0; i < 2000; ++i) {
        std::string bad = good;
        if (rng.one_in(3))
            bad.resize(rng.below(bad.size()));
        else
            for (std::uint64_t flips = 1 + rng.below(4); flips > 0; --flips)
                bad[8 + rng.below(bad.size() - 8)] ^= static_cast<char>(1 + rng.below(255));
        CHECK_EQ(target.load(bad).error().fault, Fault::corrupt);
        // The same damage under a right checksum: may be refused or be another valid state, but must not crash.
        if (bad.size() < 8) continue;
        Predictor victim(nullptr);
        const auto loaded = victim.load(resealed(std::move(bad)));
        if (loaded)
            victim.estimate({.type = "kind-1", .tenant = "tenant-1", .worker = "worker-1"}, {});
        else
            CHECK((loaded.error().fault == Fault::corrupt || loaded.error().fault == Fault::unsupported));
    }
    CHECK_EQ(bytes_of(target), empty);
}

TEST_CASE("a hundred thousand types do not grow the state without bound, and the busy ones stay known") {
    Predictor predictor(nullptr);
    for (int i = 0; i < 100'000; ++i) {
        const std::string once = "once-" + std::to_string(i) + "x";
        const std::string tenant = "tenant-" + std::to_string(i % 20'000);
        const std::string worker = "worker-" + std::to_string(i % 50'000);
        const Features rare{.type = once, .tenant = tenant, .worker = worker};
        predictor.learn({.features = rare, .run = seconds(1), .predicted = predictor.estimate(rare, {})});
        const std::string often = "often-" + std::to_string(i % 50) + "x";
        const Features busy{.type = often, .tenant = "t"};
        predictor.learn({.features = busy, .run = seconds(10), .predicted = predictor.estimate(busy, {})});
    }
    INFO("saved " << bytes_of(predictor).size() << " bytes");
    CHECK_LT(bytes_of(predictor).size(), 40'000'000);
    CHECK_LE(predictor.types().size(), 8193);
    for (int i = 0; i < 50; ++i) {
        const std::string often = "often-" + std::to_string(i) + "x";
        CHECK(within_25(predictor.estimate({.type = often, .tenant = "t"}, {}).p50, 10e6));
        CHECK_GT(predictor.type(often)->samples, 1900);
    }
    CHECK_GT(predictor.types().front().samples, 10'000);  // "(other)"
}

TEST_CASE("an operator's estimate holds until it expires or is cleared") {
    Predictor predictor(nullptr);
    for (int i = 0; i < 5; ++i) predictor.learn({.features = {.type = "t"}, .run = seconds(1)});
    REQUIRE(predictor.force("t", {.estimate = seconds(40), .expires = Instant{1000}}));
    const Estimate forced = predictor.estimate({.type = "t"}, Instant{999});
    CHECK_EQ(forced.source, EstimateSource::forced);
    CHECK_EQ(forced.p50.us, seconds(40).us);
    CHECK_GE(forced.p90, forced.p50);
    CHECK_EQ(predictor.type("t")->forced.estimate.us, seconds(40).us);
    CHECK_EQ(predictor.estimate({.type = "t"}, Instant{1000}).source, EstimateSource::type_mode);
    CHECK_EQ(predictor.type("t")->forced.estimate.us, 0);
    REQUIRE(predictor.force("t", {.estimate = seconds(40)}));
    REQUIRE(predictor.force("t", {}));
    CHECK_NE(predictor.estimate({.type = "t"}, {}).source, EstimateSource::forced);
}

TEST_CASE("a reset type is a new type; an unknown one is not found") {
    Predictor predictor(nullptr);
    for (int i = 0; i < 30; ++i)
        predictor.learn({.features = {.type = "t", .tenant = "a"}, .run = seconds(1), .peak_memory_bytes = 5});
    CHECK_EQ(predictor.reset("other").error().fault, Fault::not_found);
    REQUIRE(predictor.reset("t"));
    CHECK_EQ(predictor.type("t")->samples, 0);
    CHECK_EQ(predictor.type("t")->memory_p95_bytes, 0);
    for (int i = 0; i < 3; ++i) predictor.learn({.features = {.type = "t", .tenant = "a"}, .run = seconds(20)});
    CHECK(within_25(predictor.estimate({.type = "t", .tenant = "a"}, {}).p50, 20e6));
}

TEST_CASE("memory is the 95 % quantile of the peaks, and half more than what a run was killed with") {
    Predictor predictor(nullptr);
    for (std::uint64_t i = 1; i <= 60; ++i)
        predictor.learn({.features = {.type = "t"}, .run = seconds(1), .peak_memory_bytes = i * 1'000'000});
    CHECK_EQ(static_cast<double>(predictor.type("t")->memory_p95_bytes), doctest::Approx(57e6).epsilon(0.01));
    predictor.learn({.features = {.type = "t"},
                     .end = RunEnd::failed,
                     .run = seconds(1),
                     .peak_memory_bytes = 100'000'000,
                     .out_of_memory = true});
    CHECK_EQ(static_cast<double>(predictor.type("t")->memory_p95_bytes), doctest::Approx(150e6).epsilon(0.01));
}

TEST_CASE("trust is high for good predictions and nothing for reversed ones") {
    Predictor good(nullptr);
    Predictor reversed(nullptr);
    Rng rng(17);
    for (int i = 0; i < 2000; ++i) {
        const double us = 1e5 * std::exp(5 * rng.unit());
        const Duration run{static_cast<std::int64_t>(us)};
        good.learn({.features = {.type = "t"},
                    .run = run,
                    .predicted = {.p50 = run, .p90 = run, .source = EstimateSource::model}});
        const Duration opposite{static_cast<std::int64_t>(1e12 / us)};
        reversed.learn({.features = {.type = "t"},
                        .run = run,
                        .predicted = {.p50 = opposite, .p90 = opposite, .source = EstimateSource::model}});
    }
    CHECK_GT(good.trust(), 0.95);
    CHECK_EQ(reversed.trust(), 0);
    CHECK_EQ(Predictor(nullptr).trust(), 1);
}

TEST_CASE("that a type never seen took another time than the default costs no trust") {
    Predictor predictor(make_model("mixture").value());
    const Features short_one{.type = "short"};
    for (int i = 1; i <= 30; ++i) {
        const Instant now = Instant{} + seconds(i);
        const Estimate told = predictor.estimate(short_one, now);
        if (i == 1) CHECK_EQ(told.source, EstimateSource::fallback);
        predictor.learn({.features = short_one, .run = milliseconds(200), .predicted = told, .at = now});
        CHECK_GT(predictor.trust(), 0.95);
    }
}

TEST_CASE("a run counted while it was overdue is not counted again when it ends") {
    const auto p90_after = [](bool told) {
        Predictor predictor(nullptr);
        Feed feed(predictor);
        for (int i = 0; i < 50; ++i) feed.run({.type = "t"}, 1e6);
        const Estimate made = predictor.estimate({.type = "t"}, {});
        if (told) predictor.overdue({.type = "t"}, {}, Instant{made.p90.us});
        predictor.learn({.features = {.type = "t"}, .run = seconds(60), .predicted = made});
        return static_cast<double>(predictor.estimate({.type = "t"}, {}).p90.us);
    };
    CHECK_EQ(p90_after(true), doctest::Approx(p90_after(false)).epsilon(0.005));
}

TEST_CASE("drift is noticed, counted and shown") {
    Predictor predictor(nullptr);
    Feed feed(predictor);
    Rng rng(19);
    for (int i = 0; i < 300; ++i) feed.run({.type = "t"}, 1e6 * std::exp(0.1 * gauss(rng)));
    CHECK_EQ(predictor.type("t")->drifts, 0);
    // It climbs with each run, so that no memory of runs is ever right for long.
    for (int i = 0; i < 40 && !predictor.type("t")->drifting; ++i)
        feed.run({.type = "t"}, 1e6 * std::pow(1.5, i) * std::exp(0.1 * gauss(rng)));
    CHECK_EQ(predictor.type("t")->drifts, 1);
    CHECK(predictor.type("t")->drifting);
    CHECK_EQ(predictor.failures().drifts, predictor.type("t")->drifts);
}

TEST_CASE("a snapshot of the old Nexus starts it warm; anything else is refused whole") {
    Predictor predictor(nullptr);
    REQUIRE(predictor.load_nexus_snapshot(
        R"({"predictions":{"resize":{"ema":2500,"sampleCount":40,"lastUpdated":"2026-01-01T00:00:00Z"},
        "seldom":{"ema":90.5,"sampleCount":1}},"savedAt":"2026-01-01T00:00:00Z","version":1})"));
    CHECK(within_25(predictor.estimate({.type = "resize", .tenant = "t"}, {}).p50, 2.5e6));
    CHECK(within_25(predictor.estimate({.type = "seldom", .tenant = "t"}, {}).p50, 90'500));
    static constexpr struct {
        const char *name, *json;
        Fault fault;
    } rows[] = {
        {"not JSON", "{", Fault::corrupt},
        {"no predictions", R"({"version":1})", Fault::corrupt},
        {"newer", R"({"version":2,"predictions":{}})", Fault::unsupported},
        {"text for a number", R"({"predictions":{"a":{"ema":"1","sampleCount":1}}})", Fault::corrupt},
        {"negative", R"({"predictions":{"a":{"ema":-1,"sampleCount":1}}})", Fault::corrupt},
        {"no state", R"({"predictions":{"ok":{"ema":1,"sampleCount":1},"a":7}})", Fault::corrupt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Predictor fresh(nullptr);
        CHECK_EQ(fresh.load_nexus_snapshot(row.json).error().fault, row.fault);
        CHECK(fresh.types().empty());
    }
}

TEST_CASE("models by name") {
    for (const std::string_view name : model_names()) CHECK_EQ((*make_model(name))->name(), name);
    CHECK_EQ(make_model("oracle").error().what, "no model 'oracle'; there are mixture ema median10 mode50");
}
