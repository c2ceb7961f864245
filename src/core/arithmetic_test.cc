#include <algorithm>
#include <cmath>
#include <vector>

#include "core/backoff.h"
#include "core/fixed_ln.h"
#include "core/heap.h"
#include "core/index_table.h"
#include "core/size_bands.h"
#include "core/work_ahead.h"
#include "doctest/doctest.h"

using namespace nexus;
using namespace nexus::core;

TEST_CASE("ln_q16 equals the logarithm, rounded") {
    static constexpr struct {
        std::uint64_t x;
        std::int64_t want;
    } rows[] = {
        {0, 0}, {1, 0}, {2, 45'426}, {3, 71'999}, {10, 150'902}, {1'000'000, 905'413}, {UINT64_MAX, 2'907'270},
    };
    for (const auto& row : rows) {
        CAPTURE(row.x);
        CHECK(ln_q16(row.x) == row.want);
    }
    Rng rng(1);
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t bits = rng.below(63);
        const std::uint64_t x = (rng.next() >> bits) | 1;
        CAPTURE(x);
        CHECK(std::abs(static_cast<double>(ln_q16(x)) - std::log(static_cast<double>(x)) * 65'536) < 1.0);
    }
    CHECK(ln_ratio_q16(3, 6) == -ln_ratio_q16(6, 3));
}

TEST_CASE("scale multiplies before it divides and saturates") {
    CHECK(scale(INT64_MAX, 3, 3) == INT64_MAX);
    CHECK(scale(INT64_MAX, 3, 2) == INT64_MAX);
    CHECK(scale(INT64_MIN, 3, 2) == INT64_MIN);
    CHECK(scale(7, 10, 3) == 23);
    CHECK(scale(-7, 10, 3) == -23);
}

TEST_CASE("size bands: the smallest sizes first, then from the longest down, each as wide as its share of the work") {
    SizeBands bands;
    bands.lay();
    CHECK(bands.of(seconds(1)) == SizeBands::Band{0, kQ16One});  // nothing arrived: no preference
    for (int i = 0; i < 100; ++i) bands.add(milliseconds(10));   // 1 s of work
    for (int i = 0; i < 33; ++i) bands.add(seconds(1));
    for (int i = 0; i < 11; ++i) bands.add(seconds(6));
    bands.lay();
    CHECK(bands.of(milliseconds(10)) == SizeBands::Band{0, kQ16One / 100});
    CHECK(bands.of(seconds(6)) == SizeBands::Band{kQ16One / 100, kQ16One * 67 / 100});
    CHECK(bands.of(seconds(1)) == SizeBands::Band{kQ16One * 67 / 100, kQ16One});
    CHECK(bands.of(seconds(6), milliseconds(10)) == SizeBands::Band{0, kQ16One * 67 / 100});
    // A size that never came lies between its neighbours: longer than 1 s, shorter than 6 s.
    CHECK(bands.of(seconds(3)) == SizeBands::Band{kQ16One * 67 / 100, kQ16One * 67 / 100});
    CHECK(bands.of({INT64_MAX}).low == kQ16One / 100);
    CHECK(bands.of({0}) == SizeBands::Band{0, 0});
    // What came long ago fades.
    for (int i = 0; i < 100'000; ++i) bands.add(seconds(60));
    bands.lay();
    CHECK(bands.of(seconds(60)).high - bands.of(seconds(60)).low > kQ16One * 99 / 100);
}

TEST_CASE("backoff doubles from first up to most") {
    static constexpr struct {
        const char* name;
        std::uint32_t failures;
        std::int64_t want_s;
    } rows[] = {
        {"the first retry", 1, 1},
        {"the second", 2, 2},
        {"the last below the ceiling", 6, 32},
        {"clipped", 7, 60},
        {"a huge count does not overflow", 4'000'000'000U, 60},
    };
    Rng rng(9);
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(backoff_ceiling(seconds(1), seconds(60), row.failures) == seconds(row.want_s));
        for (int i = 0; i < 100; ++i) {
            const Duration delay = backoff_delay(seconds(1), seconds(60), row.failures, rng);
            CHECK(delay.us >= 0);
            CHECK(delay <= seconds(row.want_s));
        }
    }
    CHECK(backoff_delay({0}, seconds(60), 3, rng).us == 0);
}

TEST_CASE("the heap gives back what was pushed in order, also after compaction") {
    Rng rng(4);
    for (int round = 0; round < 200; ++round) {
        Heap<std::uint64_t> heap;
        std::vector<std::uint64_t> kept;
        const std::uint64_t count = rng.below(60);
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t value = rng.below(20);
            heap.push(value);
            if (value % 3 != 0) kept.push_back(value);
        }
        heap.compact([](std::uint64_t value) { return value % 3 != 0; });
        std::sort(kept.begin(), kept.end());
        std::vector<std::uint64_t> got;
        for (; !heap.empty(); heap.pop()) got.push_back(heap.top());
        CHECK(got == kept);
    }
}

TEST_CASE("the index table finds what is in it and nothing else") {
    Rng rng(5);
    IndexTable table;
    std::vector<bool> present(300);
    const auto hash = [](std::uint32_t i) { return std::uint64_t{i % 7} * 0x100000001ULL; };  // many collisions
    for (int step = 0; step < 20'000; ++step) {
        const auto i = static_cast<std::uint32_t>(rng.below(present.size()));
        if (present[i])
            table.erase(hash(i), i);
        else
            table.insert(hash(i), i);
        present[i] = !present[i];
        const auto asked = static_cast<std::uint32_t>(rng.below(present.size()));
        const std::uint32_t found = table.find(hash(asked), [&](std::uint32_t k) { return k == asked; });
        REQUIRE(found == (present[asked] ? asked : kNone));
    }
}

TEST_CASE("work ahead is exact to one bucket while keys drift and spread") {
    Rng rng(6);
    for (const std::int64_t spread :
         std::initializer_list<std::int64_t>{1'000, 1'000'000, 100'000'000, 5'000'000'000}) {
        CAPTURE(spread);
        WorkAhead ahead;
        std::vector<std::pair<std::int64_t, std::int64_t>> all;
        std::int64_t now = 0;
        for (int step = 0; step < 3'000; ++step) {
            now += static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(spread / 10)));
            if (all.size() > 50 || (!all.empty() && rng.one_in(3))) {
                const std::size_t at = rng.below(all.size());
                ahead.remove(all[at].first, all[at].second);
                all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
            }
            const std::int64_t offset = rng.between(-spread, spread);
            all.emplace_back(now + offset, static_cast<std::int64_t>(rng.below(100)));
            ahead.add(all.back().first, all.back().second);
        }
        std::int64_t total = 0;
        for (const auto& item : all) total += item.second;
        CHECK(ahead.total().work_us == total);
        CHECK(ahead.total().tasks == static_cast<std::int64_t>(all.size()));
        CHECK(ahead.before(INT64_MAX / 2).work_us == total);
        CHECK(ahead.before(INT64_MIN / 2).tasks == 0);
        std::int64_t last = 0;
        for (std::int64_t key = now - 2 * spread; key < now + 2 * spread; key += spread / 64) {
            const WorkAhead::Sum sum = ahead.before(key);
            std::int64_t exact_low = 0, exact_high = 0;
            const std::int64_t tolerance = std::max<std::int64_t>(spread / 32, 4096);
            for (const auto& item : all) {
                if (item.first < key - tolerance) exact_low += item.second;
                if (item.first < key + tolerance) exact_high += item.second;
            }
            CHECK(sum.work_us >= exact_low);
            CHECK(sum.work_us <= exact_high);
            last = std::max(last, sum.work_us);
        }
        CHECK(last <= total);
    }
}
