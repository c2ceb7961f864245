// What the journal port promises, for every adapter.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "conformance/journal_rig.h"

using namespace nexus;
using namespace nexus::test;
using store::JournalBatch;

namespace {

// Runs the body of a test once per adapter.
void each_rig(const std::function<void(JournalRig&)>& run) {
    for (const NamedRig& named : journal_rigs()) {
        CAPTURE(named.name);
        run(*named.make());
    }
}

JournalBatch with_body(JournalBatch batch, std::uint64_t n, std::size_t bytes = 40) {
    batch.puts.push_back({.task = task_of(n), .body = body_of(n, bytes)});
    return batch;
}

bool has_body(store::JournalStore& store, std::uint64_t n) {
    const auto body = store.body(task_of(n));
    CHECK_EQ(store.has_body(task_of(n)), body.has_value());
    if (!body) {
        CHECK(body.error().fault == Fault::not_found);
        return false;
    }
    return body->starts_with("body " + std::to_string(n) + " ");
}

Result<void> append(store::JournalStore& store, const std::vector<JournalBatch>& batches) {
    return store.append(batches);
}

}  // namespace

TEST_SUITE_BEGIN("journal");

TEST_CASE("batches come back as they were written, in order, also after a restart") {
    each_rig([](JournalRig& rig) {
        CHECK(read_all(rig.store()).empty());
        BatchMaker maker;
        std::vector<std::pair<std::uint64_t, std::string>> want;
        for (int i = 0; i < 20; ++i) {
            std::vector<JournalBatch> group;
            for (int k = 0; k <= i % 3; ++k) {
                group.push_back(maker.next(1 + k));
                want.emplace_back(group.back().first.n, group.back().bytes);
            }
            REQUIRE(rig.store().append(group));
        }
        CHECK(read_all(rig.store()) == want);
        rig.reopen();
        CHECK(read_all(rig.store()) == want);
        const std::uint64_t middle = want[7].first;
        CHECK(read_all(rig.store(), middle - 1).front().first == middle);
        CHECK(read_all(rig.store(), middle).front().first == want[8].first);
        CHECK(read_all(rig.store(), maker.last().n).empty());
        REQUIRE(append(rig.store(), {maker.next()}));
    });
}

TEST_CASE("reading stops with the visitor's error") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        for (int i = 0; i < 3; ++i) REQUIRE(append(rig.store(), {maker.next()}));
        int visits = 0;
        const auto stopped = rig.store().read({0}, [&](Sequence, std::string_view) -> Result<void> {
            if (++visits == 2) return fail(Fault::failed_state, "enough");
            return {};
        });
        REQUIRE_FALSE(stopped);
        CHECK(stopped.error().fault == Fault::failed_state);
        CHECK_EQ(visits, 2);
    });
}

TEST_CASE("a batch that does not follow is refused whole, and the store goes on") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        const JournalBatch first = maker.next();
        const JournalBatch second = maker.next();
        const JournalBatch third = maker.next();
        REQUIRE(append(rig.store(), {first}));
        const auto gap = append(rig.store(), {with_body(third, 1)});
        REQUIRE_FALSE(gap);
        CHECK(gap.error().fault == Fault::invalid);
        CHECK_FALSE(append(rig.store(), {with_body(second, 2), first}));
        CHECK_FALSE(has_body(rig.store(), 1));
        CHECK_FALSE(has_body(rig.store(), 2));
        CHECK_EQ(read_all(rig.store()).size(), 1);
        CHECK(append(rig.store(), {second, third}));
    });
}

TEST_CASE("bodies live from their batch to their drop") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        JournalBatch batch = maker.next();
        for (std::uint64_t n = 1; n <= 10; ++n) batch = with_body(std::move(batch), n, n * 10);
        REQUIRE(append(rig.store(), {batch}));
        for (std::uint64_t n = 1; n <= 10; ++n) CHECK(*rig.store().body(task_of(n)) == body_of(n, n * 10));
        JournalBatch drops = maker.next();
        for (std::uint64_t n = 1; n <= 10; n += 2) drops.drops.push_back(task_of(n));
        REQUIRE(append(rig.store(), {drops}));
        for (int round = 0; round < 2; ++round) {
            for (std::uint64_t n = 1; n <= 10; ++n) CHECK_EQ(has_body(rig.store(), n), n % 2 == 0);
            rig.reopen();
        }
        CHECK_FALSE(has_body(rig.store(), 99));
    });
}

TEST_CASE("drops of unknown tasks, repeated drops and drops within one call are harmless") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        JournalBatch one = with_body(with_body(maker.next(), 1), 2);
        one.drops = {task_of(77)};
        JournalBatch two = with_body(maker.next(), 3);
        two.drops = {task_of(1), task_of(1), task_of(3)};
        REQUIRE(append(rig.store(), {one, two}));
        CHECK_FALSE(has_body(rig.store(), 1));
        CHECK(has_body(rig.store(), 2));
        CHECK_FALSE(has_body(rig.store(), 3));
        JournalBatch again = maker.next();
        again.drops = {task_of(1), task_of(3), task_of(77)};
        REQUIRE(append(rig.store(), {again}));
        rig.reopen();
        CHECK_FALSE(has_body(rig.store(), 1));
        CHECK(has_body(rig.store(), 2));
        CHECK_FALSE(has_body(rig.store(), 3));
    });
}

TEST_CASE("a batch without events changes bodies only, for good") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        REQUIRE(append(rig.store(), {with_body(with_body(maker.next(), 1), 2)}));
        JournalBatch only_drops;
        only_drops.drops = {task_of(1)};
        REQUIRE(append(rig.store(), {only_drops}));
        rig.reopen();
        CHECK_FALSE(has_body(rig.store(), 1));
        CHECK(has_body(rig.store(), 2));
        CHECK_EQ(read_all(rig.store()).size(), 1);
    });
}

TEST_CASE("bodies of every size, empty to two megabytes") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        std::vector<std::size_t> sizes = {0, 1, 4'000, 5'000, 65'536, 1 << 20, (2 << 20) + 1};
        JournalBatch batch = maker.next();
        for (std::size_t i = 0; i < sizes.size(); ++i)
            batch.puts.push_back({.task = task_of(i + 1), .body = std::string(sizes[i], static_cast<char>('a' + i))});
        REQUIRE(append(rig.store(), {batch}));
        for (int round = 0; round < 2; ++round) {
            for (std::size_t i = 0; i < sizes.size(); ++i)
                CHECK(rig.store().body(task_of(i + 1)) == std::string(sizes[i], static_cast<char>('a' + i)));
            rig.reopen();
        }
    });
}

TEST_CASE("the newest snapshot counts, also after a restart") {
    each_rig([](JournalRig& rig) {
        REQUIRE(rig.store().get_snapshot());
        CHECK_FALSE(*rig.store().get_snapshot());
        REQUIRE(rig.store().put_snapshot({.at = {9}, .bytes = "nine"}));
        REQUIRE(rig.store().put_snapshot({.at = {120}, .bytes = std::string(5 << 20, 'x')}));
        rig.reopen();
        const auto newest = rig.store().get_snapshot();
        REQUIRE(newest);
        REQUIRE(*newest);
        CHECK_EQ((*newest)->at.n, 120);
        CHECK((*newest)->bytes == std::string(5 << 20, 'x'));
    });
}

TEST_CASE("trim drops whole batches up to the snapshot and nothing else") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        for (std::uint64_t n = 1; n <= 100; ++n) {  // sequences 1..300, three each
            JournalBatch batch = with_body(with_body(maker.next(), 2 * n), 2 * n + 1);
            if (n > 1) batch.drops = {task_of(2 * n - 2)};
            REQUIRE(append(rig.store(), {batch}));
        }
        const auto early = rig.store().trim({3});
        REQUIRE_FALSE(early);
        CHECK(early.error().fault == Fault::invalid);
        REQUIRE(rig.store().put_snapshot({.at = {151}, .bytes = "s"}));
        REQUIRE(rig.store().trim({151}));  // 151 is in the middle of the batch 151..153... which stays
        for (int round = 0; round < 2; ++round) {
            const auto left = read_all(rig.store());
            REQUIRE_EQ(left.size(), 50);
            CHECK_EQ(left.front().first, 151);
            for (std::uint64_t n = 1; n < 100; ++n) {
                CHECK_FALSE(has_body(rig.store(), 2 * n));
                CHECK(has_body(rig.store(), 2 * n + 1));
            }
            rig.reopen();
        }
        REQUIRE(append(rig.store(), {maker.next()}));
        REQUIRE(rig.store().put_snapshot({.at = maker.last(), .bytes = "t"}));
        REQUIRE(rig.store().trim(maker.last()));
        rig.reopen();
        CHECK(read_all(rig.store()).empty());
        REQUIRE(append(rig.store(), {maker.next()}));
        CHECK_EQ(read_all(rig.store()).size(), 1);
    });
}

TEST_CASE("results are kept for their time and their bytes") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        const auto put = [&](std::uint64_t n, std::size_t bytes) {
            JournalBatch batch = maker.next();
            batch.results.push_back({.task = task_of(n), .body = body_of(n, bytes)});
            REQUIRE(append(rig.store(), {batch}));
        };
        put(1, 100);
        rig.now = rig.now + hours(1);
        put(2, 100);
        rig.reopen();
        CHECK(rig.store().result(task_of(1)) == body_of(1, 100));
        CHECK(rig.store().result(task_of(2)) == body_of(2, 100));
        CHECK(rig.store().body(task_of(1)).error().fault == Fault::not_found);
        CHECK(rig.store().result(task_of(3)).error().fault == Fault::not_found);
        rig.now = rig.now + hours(23) + seconds(1);
        REQUIRE(rig.store().put_snapshot({.at = {1}, .bytes = "s"}));
        REQUIRE(rig.store().trim({1}));
        CHECK_FALSE(rig.store().result(task_of(1)));
        CHECK(rig.store().result(task_of(2)));
        for (std::uint64_t n = 10; n < 60; ++n) put(n, 1'000);
        CHECK_FALSE(rig.store().result(task_of(2)));
        CHECK_FALSE(rig.store().result(task_of(20)));
        CHECK(rig.store().result(task_of(59)));
    });
}

TEST_CASE("random histories of puts and drops agree with a plain model, over restarts and trims") {
    each_rig([](JournalRig& rig) {
        Rng rng(7);
        BatchMaker maker;
        std::map<std::uint64_t, std::string> model;
        std::uint64_t next_task = 1;
        for (int step = 0; step < 400; ++step) {
            JournalBatch batch = maker.next(1);
            for (std::uint64_t i = rng.below(6); i > 0; --i) {
                const std::string body = body_of(next_task, rng.one_in(10) ? 30'000 : rng.below(200));
                batch.puts.push_back({.task = task_of(next_task), .body = body});
                model[next_task++] = body;
            }
            for (std::uint64_t i = rng.below(7); i > 0 && !model.empty(); --i) {
                auto victim = model.lower_bound(rng.below(next_task));
                if (victim == model.end()) victim = model.begin();
                batch.drops.push_back(task_of(victim->first));
                model.erase(victim);
            }
            REQUIRE(append(rig.store(), {batch}));
            if (rng.one_in(60)) {
                REQUIRE(rig.store().put_snapshot({.at = maker.last(), .bytes = "s"}));
                if (rng.one_in(2)) REQUIRE(rig.store().trim(maker.last()));
            }
            if (rng.one_in(40)) rig.reopen();
            if (!rng.one_in(20)) continue;
            for (std::uint64_t n = 1; n < next_task; ++n) {
                const auto body = rig.store().body(task_of(n));
                const auto want = model.find(n);
                REQUIRE_EQ(body.has_value(), want != model.end());
                if (body) REQUIRE(*body == want->second);
            }
        }
    });
}

TEST_CASE("bodies can be read by other threads while the committer appends, drops, snapshots and trims") {
    each_rig([](JournalRig& rig) {
        constexpr std::uint64_t kSteps = 400, kLiving = 50;
        std::atomic<std::uint64_t> appended = 0;
        std::atomic<std::uint64_t> wrong = 0;
        const auto read = [&](std::uint64_t seed) {
            Rng rng(seed);
            while (appended < kSteps) {
                const std::uint64_t newest = appended;
                if (newest == 0) continue;
                const std::uint64_t n = newest - rng.below(std::min(newest, kLiving / 2));
                const auto body = rig.store().body(task_of(n));
                // It may have been dropped since `newest` was read, never changed.
                if (body ? *body != body_of(n, 300) : body.error().fault != Fault::not_found || appended < n + kLiving)
                    ++wrong;
            }
        };
        std::thread readers[2] = {std::thread(read, 1), std::thread(read, 2)};
        BatchMaker maker;
        std::uint64_t failed = 0;
        for (std::uint64_t n = 1; n <= kSteps; ++n) {
            JournalBatch batch = with_body(maker.next(1), n, 300);
            if (n > kLiving) batch.drops = {task_of(n - kLiving)};
            if (!append(rig.store(), {batch})) ++failed;
            if (n % 100 == 0 && !rig.store().put_snapshot({.at = maker.last(), .bytes = "s"})) ++failed;
            if (n % 100 == 0 && !rig.store().trim(maker.last())) ++failed;
            appended = n;
        }
        for (std::thread& reader : readers) reader.join();
        CHECK_EQ(failed, 0);
        CHECK_EQ(wrong, 0);
    });
}

TEST_SUITE_END();
