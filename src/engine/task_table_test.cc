#include "engine/task_table.h"

#include <doctest/doctest.h>

using namespace nexus;
using namespace nexus::engine;

TEST_CASE("an entry stays where it is while the table grows, and its slot is given to the next") {
    TaskTable<std::uint64_t> table;
    const auto id = [](std::uint64_t n) { return TaskId{n, n * 7 + 1}; };
    std::vector<std::uint64_t*> at;
    for (std::uint64_t n = 0; n < 5000; ++n) {
        at.push_back(&table[id(n)]);
        *at.back() = n;
    }
    for (std::uint64_t n = 0; n < 5000; ++n) {
        REQUIRE(table.find(id(n)) == at[n]);
        REQUIRE(*at[n] == n);
        REQUIRE(table.slot_of(id(n)) == n);
        REQUIRE(table.task_at(n) == id(n));
    }
    for (const std::uint64_t gone : {255, 256, 767, 768, 4999}) {
        table.erase(id(gone));
        CHECK_FALSE(table.contains(id(gone)));
        CHECK_FALSE(table.task_at(gone));
        table[id(10'000 + gone)] = gone;
        CHECK_EQ(table.slot_of(id(10'000 + gone)), gone);
    }
    CHECK_EQ(table.slots(), 5000);
    CHECK_EQ(table.size(), 5000);
    std::uint64_t sum = 0;
    table.each([&](TaskId, std::uint64_t value) { sum += value; });
    CHECK_EQ(sum, 4999 * 5000 / 2);
}
