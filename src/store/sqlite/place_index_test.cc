#include "store/sqlite/place_index.h"

#include <doctest/doctest.h>

#include <map>

#include "base/rng.h"

using namespace nexus;
using namespace nexus::store;

TEST_CASE("the place index agrees with a map, through collisions, growth and removal") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Rng rng(seed);
        PlaceIndex index;
        std::map<TaskId, Place> model;
        // Few ids, and ids that differ in high bits only: long probe sequences, wrapped around the end of the table.
        const std::uint64_t ids = seed % 2 == 0 ? 50 : 5'000;
        const auto id = [&] { return TaskId{rng.below(3) << 60, 1 + rng.below(ids)}; };
        for (int step = 0; step < 20'000; ++step) {
            const TaskId task = id();
            const Place place{.segment = rng.next() >> 24,
                              .offset = static_cast<std::uint32_t>(rng.next() >> 40),
                              .length = static_cast<std::uint32_t>(rng.next() >> 32)};
            if (rng.below(5) < 3) {
                const auto old = index.put(task, place);
                REQUIRE_EQ(old.has_value(), model.contains(task));
                if (old) REQUIRE(*old == model[task]);
                model[task] = place;
            } else {
                const auto taken = index.take(task);
                REQUIRE_EQ(taken.has_value(), model.contains(task));
                if (taken) REQUIRE(*taken == model[task]);
                model.erase(task);
            }
            REQUIRE_EQ(index.size(), model.size());
        }
        for (const auto& [task, place] : model) {
            REQUIRE(index.find(task));
            CHECK(*index.find(task) == place);
        }
        CHECK_FALSE(index.find({7, 7'000'000}));
        CHECK_FALSE(index.take({}));
    }
}
