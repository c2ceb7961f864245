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
    const store::Body stored = body(store, task_of(n));
    if (!found(stored)) {
        CHECK(stored.state == store::Body::State::missing);
        CHECK_FALSE(stored.why.empty());
        return false;
    }
    return stored.bytes.starts_with("body " + std::to_string(n) + " ");
}

void keep(store::JournalStore& store, Sequence at, std::string_view bytes) {
    REQUIRE(store::put_snapshot(store, at, bytes));
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
            REQUIRE(append(rig.store(), group));
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
        const auto stopped = rig.store().read({0}, {}, [&](Sequence, std::string_view) -> Result<void> {
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
        CHECK(gap.error().fault == Fault::conflict);
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
        for (std::uint64_t n = 1; n <= 10; ++n) CHECK(body(rig.store(), task_of(n)).bytes == body_of(n, n * 10));
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
                CHECK(body(rig.store(), task_of(i + 1)).bytes == std::string(sizes[i], static_cast<char>('a' + i)));
            rig.reopen();
        }
    });
}

TEST_CASE("the newest two snapshots are kept, also after a restart") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        for (int i = 0; i < 100; ++i) REQUIRE(append(rig.store(), {maker.next()}));
        REQUIRE(store::get_snapshot(rig.store()));
        CHECK_FALSE(*store::get_snapshot(rig.store()));
        keep(rig.store(), {3}, "three");
        CHECK_FALSE(*store::get_snapshot(rig.store(), store::Kept::older));
        keep(rig.store(), {9}, "nine");
        keep(rig.store(), {120}, std::string(5 << 20, 'x'));
        keep(rig.store(), {60}, "too late");
        rig.reopen();
        CHECK_EQ(rig.store().head()->snapshot.n, 120);
        const auto newest = store::get_snapshot(rig.store());
        REQUIRE(newest);
        REQUIRE(*newest);
        CHECK_EQ((*newest)->at.n, 120);
        CHECK((*newest)->bytes == std::string(5 << 20, 'x'));
        const auto older = store::get_snapshot(rig.store(), store::Kept::older);
        REQUIRE(older);
        REQUIRE(*older);
        CHECK_EQ((*older)->at.n, 9);
        CHECK((*older)->bytes == "nine");
    });
}

TEST_CASE("a snapshot whose source ends with an error is not stored") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        for (int i = 0; i < 10; ++i) REQUIRE(append(rig.store(), {maker.next()}));
        keep(rig.store(), {3}, "three");
        int parts = 0;
        const auto refused = rig.store().put_snapshot({9}, [&]() -> Result<std::string_view> {
            if (++parts > 3) return fail(Fault::unavailable, "left off");
            return "part";
        });
        REQUIRE_FALSE(refused);
        CHECK(refused.error().fault == Fault::unavailable);
        rig.reopen();
        CHECK_EQ((*store::get_snapshot(rig.store()))->at.n, 3);
    });
}

TEST_CASE("what both snapshots cover is dropped, whole batches and nothing else") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        for (std::uint64_t n = 1; n <= 100; ++n) {  // sequences 1..300, three each
            JournalBatch batch = with_body(with_body(maker.next(), 2 * n), 2 * n + 1);
            if (n > 1) batch.drops = {task_of(2 * n - 2)};
            REQUIRE(append(rig.store(), {batch}));
        }
        keep(rig.store(), {151}, "s");
        CHECK_EQ(read_all(rig.store()).size(), 100);
        keep(rig.store(), {300}, "t");  // 151 is in the middle of the batch 151..153... which stays
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
        keep(rig.store(), maker.last(), "u");
        REQUIRE(append(rig.store(), {maker.next()}));
        keep(rig.store(), maker.last(), "v");
        rig.reopen();
        CHECK_EQ(read_all(rig.store()).size(), 1);
        REQUIRE(append(rig.store(), {maker.next()}));
        CHECK_EQ(read_all(rig.store()).size(), 2);
    });
}

TEST_CASE("an append that is sent again is stored once; one that begins elsewhere is refused") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker, other_maker;
        const std::vector<JournalBatch> group = {with_body(maker.next(), 1), with_body(maker.next(), 2)};
        REQUIRE(append(rig.store(), group));
        for (int round = 0; round < 2; ++round) {
            const auto again = append(rig.store(), group);
            REQUIRE(again);
            CHECK(again->again);
            CHECK_EQ(read_all(rig.store()).size(), 2);
            rig.reopen();
        }
        // The right place, another history: its chain tells.
        (void)other_maker.next(4);
        (void)other_maker.next(2);
        JournalBatch other = other_maker.next();
        CHECK_EQ(other.first.n, rig.store().head()->last.n + 1);
        const auto elsewhere = append(rig.store(), {with_body(other, 3)});
        REQUIRE_FALSE(elsewhere);
        CHECK(elsewhere.error().fault == Fault::conflict);
        CHECK_FALSE(has_body(rig.store(), 3));
        const JournalBatch next = maker.next();
        CHECK_FALSE(append(rig.store(), {next})->again);
        CHECK_EQ(rig.store().head()->last, maker.last());
        CHECK_EQ(rig.store().head()->chain, next.chain);
    });
}

TEST_CASE("the holder of the claim appends, whoever held it before is refused, also after a restart") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        const auto first = store::claim_now(rig.store(), {.name = "a", .address = "here", .token_hi = 1});
        REQUIRE(first);
        CHECK(rig.store().head()->owner == "a");
        CHECK(rig.store().head()->address == "here");
        REQUIRE(rig.store().append(*first, std::vector{maker.next()}));
        REQUIRE(rig.store().renew(*first, {}));
        const auto second = store::claim_now(rig.store(), {.name = "b", .token_hi = 2});
        REQUIRE(second);
        CHECK_GT(second->epoch, first->epoch);
        const JournalBatch batch = maker.next();
        CHECK(rig.store().append(*first, std::vector{batch}).error().fault == Fault::superseded);
        CHECK(rig.store().renew(*first, {}).error().fault == Fault::superseded);
        CHECK(rig.store().append({}, std::vector{batch}).error().fault == Fault::superseded);
        REQUIRE(rig.store().append(*second, std::vector{batch}));
        rig.reopen();
        const auto third = store::claim_now(rig.store(), {.name = "c", .token_hi = 3});
        REQUIRE(third);
        CHECK_GT(third->epoch, second->epoch);
        CHECK(rig.store().append(*second, std::vector{maker.next()}).error().fault == Fault::superseded);
    });
}

TEST_CASE("a claim needs an observation that still holds, or the owner's wish") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        const auto owner = store::claim_now(rig.store(), {.name = "a", .token_hi = 1});
        REQUIRE(owner);
        auto seen = *rig.store().head();
        REQUIRE(rig.store().renew(*owner, {}));
        CHECK(rig.store().claim(seen, {.name = "b", .token_hi = 2}).error().fault == Fault::conflict);
        seen = *rig.store().head();
        REQUIRE(rig.store().append(*owner, std::vector{maker.next()}));
        CHECK(rig.store().claim(seen, {.name = "b", .token_hi = 2}).error().fault == Fault::conflict);
        REQUIRE(rig.store().renew(*owner, "c"));
        CHECK(rig.store().claim(seen, {.name = "b", .token_hi = 2}).error().fault == Fault::conflict);
        REQUIRE(rig.store().claim(seen, {.name = "c", .token_hi = 3}));
        CHECK(rig.store().claim(seen, {.name = "b", .token_hi = 2}).error().fault == Fault::conflict);
        CHECK(rig.store().head()->wish.empty());
    });
}

TEST_CASE("of two writers that race, each position goes to one, and a zombie never writes again") {
    each_rig([](JournalRig& rig) {
        std::atomic<int> wrong = 0;
        std::atomic<std::uint64_t> stored = 0;
        const auto race = [&](std::uint64_t seed) {
            Rng rng(seed);
            for (int round = 0; round < 40; ++round) {
                const auto claim = store::claim_now(
                    rig.store(), {.name = "w", .token_hi = seed, .token_lo = std::uint64_t(round) + 1});
                if (!claim) {
                    wrong += claim.error().fault != Fault::conflict;
                    continue;
                }
                const auto head = *rig.store().head();
                if (!(head.claim == *claim)) continue;
                journal::BatchWriter writer({head.last.n + 1}, head.chain, 1);
                for (std::uint64_t i = rng.below(4) + 1; i > 0; --i) {
                    writer.add({.at = {static_cast<std::int64_t>(seed)}, .what = core::TimePassed{}});
                    const auto done = rig.store().append(*claim, std::vector{store::finish_batch(writer, seed)});
                    if (done) ++stored;
                    if (done) continue;
                    wrong += done.error().fault != Fault::superseded && done.error().fault != Fault::conflict;
                    wrong += rig.store().renew(*claim, {}).has_value() && done.error().fault == Fault::superseded;
                    break;
                }
            }
        };
        std::thread writers[2] = {std::thread(race, 1), std::thread(race, 2)};
        for (std::thread& writer : writers) writer.join();
        CHECK_EQ(wrong, 0);
        std::uint64_t next = 1, chain = 0;
        for (const auto& [first, bytes] : read_all(rig.store())) {
            CHECK_EQ(first, next++);
            const auto head = journal::check_batch(bytes);
            REQUIRE(head);
            CHECK_EQ(head->chain_before, chain);
            chain = head->chain;
        }
        CHECK_EQ(next, stored + 1);
    });
}

TEST_CASE("a reader can wait for what comes next") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        REQUIRE(append(rig.store(), {maker.next()}));
        const Sequence before = maker.last();
        std::thread writer([&] { (void)append(rig.store(), {maker.next()}); });
        std::uint64_t seen = 0;
        while (seen == 0)
            REQUIRE(rig.store().read(before, seconds(10), [&](Sequence first, std::string_view) -> Result<void> {
                seen = first.n;
                return {};
            }));
        writer.join();
        CHECK_EQ(seen, before.n + 1);
    });
}

TEST_CASE("marks of taken entries and the history's position are stored with their batch") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        JournalBatch batch = maker.next();
        batch.taken = {{.task = task_of(1), .body = "1-0"}, {.task = task_of(2), .body = "2-0"}};
        batch.history_upto = {2};
        REQUIRE(append(rig.store(), {batch}));
        rig.reopen();
        CHECK_EQ(rig.store().head()->history.n, 2);
        CHECK(body(rig.store(), task_of(1), store::BodyKind::taken).bytes == "1-0");
        JournalBatch next = maker.next();
        next.untaken = {task_of(1), task_of(7)};
        next.history_upto = {1};  // never backwards
        REQUIRE(append(rig.store(), {next}));
        rig.reopen();
        CHECK_EQ(rig.store().head()->history.n, 2);
        CHECK_FALSE(found(body(rig.store(), task_of(1), store::BodyKind::taken)));
        CHECK(found(body(rig.store(), task_of(2), store::BodyKind::taken)));
    });
}

TEST_CASE("many bodies are answered in one question, in its order") {
    each_rig([](JournalRig& rig) {
        BatchMaker maker;
        std::vector<TaskId> asked;
        for (std::uint64_t n = 1; n <= 50; ++n) {
            REQUIRE(append(rig.store(), {with_body(maker.next(1), n)}));
            asked.push_back(task_of(51 - n));
            asked.push_back(task_of(1'000 + n));
        }
        const auto answers = rig.store().bodies(store::BodyKind::body, asked);
        REQUIRE_EQ(answers.size(), asked.size());
        for (std::size_t i = 0; i < asked.size(); i += 2) {
            CHECK(answers[i].bytes == body_of(50 - i / 2));
            CHECK(answers[i + 1].state == store::Body::State::missing);
        }
        CHECK(rig.store().bodies(store::BodyKind::body, {}).empty());
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
        const auto result = [&](std::uint64_t n) { return body(rig.store(), task_of(n), store::BodyKind::result); };
        CHECK(result(1).bytes == body_of(1, 100));
        CHECK(result(2).bytes == body_of(2, 100));
        CHECK_FALSE(found(body(rig.store(), task_of(1))));
        CHECK_FALSE(found(result(3)));
        rig.now = rig.now + hours(23) + seconds(1);
        keep(rig.store(), {1}, "s");
        CHECK_FALSE(found(result(1)));
        CHECK(found(result(2)));
        for (std::uint64_t n = 10; n < 60; ++n) put(n, 1'000);
        CHECK_FALSE(found(result(2)));
        CHECK_FALSE(found(result(20)));
        CHECK(found(result(59)));
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
                keep(rig.store(), maker.last(), "s");
            }
            if (rng.one_in(40)) rig.reopen();
            if (!rng.one_in(20)) continue;
            for (std::uint64_t n = 1; n < next_task; ++n) {
                const store::Body stored = body(rig.store(), task_of(n));
                const auto want = model.find(n);
                REQUIRE_EQ(found(stored), want != model.end());
                if (found(stored)) REQUIRE(stored.bytes == want->second);
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
                const store::Body stored = body(rig.store(), task_of(n));
                // It may have been dropped since `newest` was read, by an append that is under way, never changed.
                if (found(stored) ? stored.bytes != body_of(n, 300) : appended + 1 < n + kLiving) ++wrong;
            }
        };
        std::thread readers[2] = {std::thread(read, 1), std::thread(read, 2)};
        BatchMaker maker;
        std::uint64_t failed = 0;
        for (std::uint64_t n = 1; n <= kSteps; ++n) {
            JournalBatch batch = with_body(maker.next(1), n, 300);
            if (n > kLiving) batch.drops = {task_of(n - kLiving)};
            if (!append(rig.store(), {batch})) ++failed;
            if (n % 100 == 0 && !store::put_snapshot(rig.store(), maker.last(), "s")) ++failed;
            appended = n;
        }
        for (std::thread& reader : readers) reader.join();
        CHECK_EQ(failed, 0);
        CHECK_EQ(wrong, 0);
    });
}

TEST_SUITE_END();
