#include "store/sqlite/segments.h"

#include <doctest/doctest.h>

#include <vector>

#include "base/rng.h"

using namespace nexus;
using namespace nexus::store;

namespace {

TaskId id(std::uint64_t n) {
    return {1, n};
}

// Segments over a database in memory, one transaction at a time.
struct Rig {
    explicit Rig(SegmentsOptions options = {.table = "body"}) : segments(options) {
        db = *Database::open(":memory:", Access::write);
        REQUIRE(db.run(Segments::schema(options.table).c_str()));
        REQUIRE(segments.open(db));
    }
    void put(std::uint64_t from, std::uint64_t to, std::size_t bytes, WallTime at = {}) {
        const std::string body(bytes, 'b');
        std::vector<BodyView> bodies;
        for (std::uint64_t n = from; n < to; ++n) bodies.push_back({.task = id(n), .bytes = body});
        REQUIRE(segments.put(bodies, 1, at));
    }
    void end() {
        REQUIRE(segments.delete_empty());
        segments.commit();
    }
    std::int64_t rows() { return *db.integer("SELECT count(*) FROM body_segment"); }

    Database db;
    Segments segments;
};

}  // namespace

TEST_CASE("a transaction makes one segment, split by size") {
    Rig rig({.table = "body", .segment_bytes_max = 1'000});
    rig.put(1, 11, 100);
    rig.end();
    CHECK_EQ(rig.rows(), 1);
    rig.put(11, 31, 100);
    rig.end();
    CHECK_EQ(rig.rows(), 3);
    rig.put(31, 33, 5'000);
    rig.end();
    CHECK_EQ(rig.rows(), 5);
    CHECK_EQ(rig.segments.totals().bodies, 32);
}

TEST_CASE("the last drop deletes the row, and a roll back brings everything back") {
    Rig rig;
    rig.put(1, 4, 10);
    rig.end();
    REQUIRE(rig.segments.drop(id(1)));
    REQUIRE(rig.segments.drop(id(2)));
    CHECK_FALSE(rig.segments.drop(id(2)));
    rig.end();
    CHECK_EQ(rig.rows(), 1);

    REQUIRE(rig.db.run("BEGIN"));
    REQUIRE(rig.segments.drop(id(3)));
    rig.put(7, 9, 10);
    REQUIRE(rig.segments.delete_empty());
    CHECK_FALSE(rig.segments.find(id(3)));
    rig.db.rollback();
    rig.segments.roll_back();
    CHECK(rig.segments.find(id(3)));
    CHECK_FALSE(rig.segments.find(id(7)));
    CHECK_EQ(rig.segments.totals().bodies, 1);
    CHECK_EQ(rig.segments.totals().live_bytes, 10);
    CHECK_EQ(rig.segments.totals().dead_bytes, 20);

    REQUIRE(rig.segments.drop(id(3)));
    rig.end();
    CHECK_EQ(rig.rows(), 0);
    CHECK_EQ(rig.segments.totals().dead_bytes, 0);
}

TEST_CASE("one old task per segment does not pin the others' bytes") {
    Rig rig;
    constexpr std::uint64_t kSegments = 400, kBodies = 100;
    for (std::uint64_t s = 0; s < kSegments; ++s) {
        rig.put(s * kBodies + 1, (s + 1) * kBodies + 1, 1'000);
        for (std::uint64_t n = s * kBodies + 2; n <= (s + 1) * kBodies; ++n)
            REQUIRE((s == 0 || rig.segments.drop(id(n - kBodies))));
        REQUIRE(rig.segments.compact());
        rig.end();
    }
    for (int idle = 0; idle < 50; ++idle) {
        REQUIRE(rig.segments.compact());
        rig.end();
    }
    const auto totals = rig.segments.totals();
    CHECK_EQ(totals.bodies, kSegments + kBodies - 1);
    CHECK_LE(totals.dead_bytes, 5 << 20);
    CHECK_LT(rig.rows(), 100);
    const std::string stored(1'000, 'b');
    for (std::uint64_t s = 0; s < kSegments; ++s) {
        const auto found = rig.segments.find(id(s * kBodies + 1));
        REQUIRE(found);
        auto select = *rig.db.prepare("SELECT bytes FROM body_segment WHERE id = ?");
        select.bind(found->place.segment);
        REQUIRE(*select.step());
        CHECK_EQ(select.bytes(0).substr(found->place.offset, found->place.length), stored);
    }
}

TEST_CASE("folded deaths survive a new start, others come back") {
    Rig rig;
    rig.put(1, 20, 10);
    rig.end();
    for (const std::uint64_t n : {3, 8, 9, 19}) REQUIRE(rig.segments.drop(id(n)));
    REQUIRE(rig.segments.fold_deaths());
    rig.end();
    REQUIRE(rig.segments.drop(id(1)));
    rig.end();
    Segments again({.table = "body"});
    REQUIRE(again.open(rig.db));
    CHECK_EQ(again.totals().bodies, 15);
    CHECK_EQ(again.totals().dead_bytes, 40);
    CHECK(again.find(id(1)));
    CHECK_FALSE(again.find(id(8)));
    CHECK_EQ(again.find(id(2))->place.offset, 10);
    CHECK_EQ(again.find(id(18))->place.offset, 170);
}

TEST_CASE("the cache holds what was used last, up to its limit") {
    Rig rig({.table = "body", .cache_bytes_max = 300});
    for (std::uint64_t n = 1; n <= 3; ++n) {
        rig.put(n, n + 1, 100);
        rig.end();
    }
    CHECK(rig.segments.find(id(1))->segment);
    rig.put(4, 5, 100);
    rig.end();
    CHECK(rig.segments.find(id(1))->segment);
    CHECK_FALSE(rig.segments.find(id(2))->segment);
    CHECK_EQ(rig.segments.totals().cached_bytes, 300);
    rig.segments.cache(rig.segments.find(id(2))->place.segment, std::make_shared<const std::string>(100, 'b'));
    CHECK(rig.segments.find(id(2))->segment);
    CHECK_EQ(rig.segments.totals().cached_bytes, 300);
}

TEST_CASE("expiry goes by age and by bytes, oldest first") {
    Rig rig({.table = "body", .expires = true});
    for (std::uint64_t n = 1; n <= 10; ++n) {
        rig.put(n, n + 1, 100, {static_cast<std::int64_t>(n)});
        rig.end();
    }
    REQUIRE(rig.segments.expire({4}, 1'000));
    rig.end();
    CHECK_EQ(rig.segments.totals().bodies, 7);
    CHECK_FALSE(rig.segments.find(id(3)));
    REQUIRE(rig.segments.expire({0}, 250));
    rig.end();
    CHECK_EQ(rig.segments.totals().bodies, 2);
    CHECK(rig.segments.find(id(9)));
    CHECK_EQ(rig.rows(), 2);
}
