#include "store/memory/faulty_journal.h"

#include <doctest/doctest.h>

#include "journal/codec.h"

using namespace nexus;
using namespace nexus::store;

namespace {

JournalBatch batch_at(std::uint64_t first, bool with_body = false) {
    journal::BatchWriter writer({first}, 0, 1);
    writer.add({.at = {1}, .what = core::TimePassed{}});
    JournalBatch batch{.first = {first}, .count = 1, .bytes = writer.finish(0)};
    if (with_body) batch.puts = {{.task = {1, first}, .body = "body"}};
    return batch;
}

std::uint64_t last_of(JournalStore& store) {
    std::uint64_t last = 0;
    REQUIRE(store.read({0}, [&](Sequence first, std::string_view) -> Result<void> {
        last = first.n;
        return {};
    }));
    return last;
}

Result<void> append(FaultyJournal& journal, const JournalBatch& batch) {
    return journal.append({&batch, 1});
}

}  // namespace

TEST_CASE("a full disk refuses bodies only") {
    FaultyJournal journal(1, {});
    REQUIRE(append(journal, batch_at(1, true)));
    journal.full(true);
    CHECK(append(journal, batch_at(2, true)).error().fault == Fault::no_space);
    CHECK(append(journal, batch_at(2)));
    journal.full(false);
    CHECK(append(journal, batch_at(3, true)));
    CHECK_EQ(last_of(journal), 3);
}

TEST_CASE("a failed sync stops the journal, its batch may or may not be there") {
    bool stored[2] = {false, false};
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        FaultyJournal journal(seed, {.sync_failure_one_in = 4});
        std::uint64_t next = 1;
        while (append(journal, batch_at(next))) ++next;
        CHECK(journal.failed());
        CHECK(append(journal, batch_at(next)).error().fault == Fault::failed);
        CHECK(journal.put_snapshot({.at = {1}, .bytes = {}}).error().fault == Fault::failed);
        journal.crash(true);
        const std::uint64_t last = last_of(journal);
        REQUIRE((last == next || last == next - 1));
        stored[last == next] = true;
        journal.set_faults({});
        CHECK(append(journal, batch_at(last + 1)));
    }
    CHECK(stored[0]);
    CHECK(stored[1]);
}

TEST_CASE("a power loss takes the unsynced end at level process and nothing at level disk") {
    for (const Durability level : {Durability::process, Durability::disk}) {
        std::uint64_t lost = 0;
        for (std::uint64_t seed = 1; seed < 40; ++seed) {
            FaultyJournal journal(seed, {}, {.level = level});
            for (std::uint64_t n = 1; n <= 10; ++n) REQUIRE(append(journal, batch_at(n, true)));
            journal.sync_all();
            for (std::uint64_t n = 11; n <= 20; ++n) REQUIRE(append(journal, batch_at(n, true)));
            journal.crash(false);
            CHECK_EQ(last_of(journal), 20);
            journal.crash(true);
            const std::uint64_t last = last_of(journal);
            CHECK_GE(last, 10);
            CHECK_LE(last, 20);
            lost += 20 - last;
            CHECK_EQ(journal.body({1, 20}).has_value(), last == 20);
            CHECK(journal.body({1, 10}));
            CHECK(append(journal, batch_at(last + 1)));
        }
        CHECK_EQ(lost > 0, level == Durability::process);
    }
}

TEST_CASE("a crash in flight keeps none, some or all, in order") {
    bool seen[4] = {};
    std::uint64_t torn = 0;
    for (std::uint64_t seed = 1; seed < 60; ++seed) {
        FaultyJournal journal(seed, {});
        const std::vector<JournalBatch> flight = {batch_at(1), batch_at(2), batch_at(3)};
        journal.crash_during(flight);
        seen[last_of(journal)] = true;
        torn += journal.counts().batches_torn;
    }
    for (const bool each : seen) CHECK(each);
    CHECK_GT(torn, 0);
}

TEST_CASE("a flipped bit is something the codec notices") {
    FaultyJournal journal(9, {.bit_flip_one_in = 3});
    for (std::uint64_t n = 1; n <= 30; ++n) REQUIRE(append(journal, batch_at(n, true)));
    std::uint64_t damaged = 0;
    REQUIRE(journal.read({0}, [&](Sequence, std::string_view bytes) -> Result<void> {
        if (!journal::check_batch(bytes)) ++damaged;
        return {};
    }));
    CHECK_GT(damaged, 3);
    CHECK_EQ(damaged, journal.counts().bit_flips);
    for (std::uint64_t n = 1; n <= 30; ++n)
        if (const auto body = journal.body({1, n}); !body) CHECK(body.error().fault == Fault::corrupt);
    CHECK_GT(journal.counts().bit_flips, damaged);
}
