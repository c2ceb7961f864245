#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "base/rng.h"
#include "predict/predictor.h"

using namespace nexus;
using namespace nexus::predict;

namespace {

// A stationary world: some types, tenants, workers and payloads; run times log-normal around a line in ln(payload).
struct World {
    explicit World(std::uint64_t seed) : rng(seed) {}
    Rng rng;
    std::string type, tenant, worker;
    Instant now;

    double gauss() {
        double sum = -6;
        for (int i = 0; i < 12; ++i) sum += rng.unit();
        return sum;
    }
    // One task goes through: estimated, run, learned.
    Estimate step(Predictor& predictor) {
        const std::uint64_t kind = rng.below(20);
        type = "kind-" + std::to_string(kind);
        tenant = "tenant-" + std::to_string(rng.below(5));
        worker = "worker-" + std::to_string(rng.below(4));
        const Features features{.type = type, .tenant = tenant, .worker = worker, .payload_bytes = 1 + rng.below(100'000)};
        const Estimate made = predictor.estimate(features, now);
        const double us = 1e5 * static_cast<double>(kind + 1) * std::exp(0.15 * gauss());
        now = now + Duration{static_cast<std::int64_t>(us)};
        const bool succeeded = !rng.one_in(20);
        predictor.learn({.features = features,
                         .end = succeeded ? RunEnd::succeeded : RunEnd::failed,
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

}  // namespace

TEST_CASE("equal histories give equal estimates and equal bytes") {
    Predictor one(nullptr);
    Predictor two(nullptr);
    World here(7);
    World there(7);
    for (int i = 0; i < 2000; ++i) CHECK_EQ(here.step(one), there.step(two));
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
            Predictor restored(make_model(name).value());
            REQUIRE(restored.load(bytes_of(original)));
            CHECK_EQ(bytes_of(restored), bytes_of(original));
            World twin = world;
            for (int i = 0; i < 300; ++i) REQUIRE_EQ(world.step(original), twin.step(restored));
            CHECK_EQ(bytes_of(restored), bytes_of(original));
        }
    }
}
