#include "store/memory/faulty_journal.h"

#include <doctest/doctest.h>

#include "journal/codec.h"

using namespace nexus;
using namespace nexus::store;

namespace {

// Batches of one event that follow each other, from the place where the journal ends.
JournalBatch next_batch(FaultyJournal& journal, bool with_body = false) {
    const auto head = journal.head();
    REQUIRE(head);
    journal::BatchWriter writer({head->last.n + 1}, head->chain, 1);
    writer.add({.at = {1}, .what = core::TimePassed{}});
    JournalBatch batch = finish_batch(writer, 0);
    if (with_body) batch.puts = {{.task = {1, batch.first.n}, .body = "body"}};
    return batch;
}

bool has_body(JournalStore& store, std::uint64_t n) {
    return read_body(store, BodyKind::body, {1, n}).state == Body::State::found;
}

std::uint64_t last_of(JournalStore& store) {
    std::uint64_t last = 0;
    REQUIRE(store.read({0}, {}, [&](Sequence first, std::string_view) -> Result<void> {
        last = first.n;
        return {};
    }));
    return last;
}

// As the owner; whoever has none claims it.
Result<Appended> append(FaultyJournal& journal, std::span<const JournalBatch> batches) {
    auto head = journal.head();
    if (!head) return std::unexpected(std::move(head).error());
    if (!head->claim) head->claim = claim_now(journal, {.name = "test"}).value();
    return journal.append(head->claim, batches);
}
Result<Appended> append(FaultyJournal& journal, bool with_body = false) {
    const JournalBatch batch = next_batch(journal, with_body);
    return append(journal, {&batch, 1});
}

}  // namespace

TEST_CASE("a full disk takes what comes from its reserve and says so; without a reserve it refuses everything") {
    FaultyJournal journal(1, {});
    CHECK_FALSE(append(journal, true)->low_on_space);
    journal.full(true);
    CHECK(append(journal, true)->low_on_space);
    CHECK(journal.head()->low_on_space);
    journal.exhausted(true);
    CHECK(append(journal).error().fault == Fault::no_space);
    journal.exhausted(false);
    journal.full(false);
    CHECK_FALSE(append(journal, true)->low_on_space);
    CHECK_EQ(last_of(journal), 3);
}

TEST_CASE("a failed sync stops the journal, its batch may or may not be there") {
    bool stored[2] = {false, false};
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        FaultyJournal journal(seed, {.sync_failure_one_in = 4});
        std::uint64_t next = 1;
        JournalBatch batch = next_batch(journal);
        while (append(journal, {&batch, 1})) {
            ++next;
            batch = next_batch(journal);
        }
        CHECK(journal.failed());
        CHECK(append(journal, {&batch, 1}).error().fault == Fault::failed);
        CHECK(put_snapshot(journal, {1}, "s").error().fault == Fault::failed);
        journal.crash(true);
        const std::uint64_t last = last_of(journal);
        REQUIRE((last == next || last == next - 1));
        stored[last == next] = true;
        journal.set_faults({});
        CHECK(append(journal));
    }
    CHECK(stored[0]);
    CHECK(stored[1]);
}

TEST_CASE("a lost answer leaves open whether the batch is stored; sent again it is stored once") {
    bool stored[2] = {false, false};
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        FaultyJournal journal(seed, {});
        REQUIRE(append(journal));
        const JournalBatch batch = next_batch(journal, true);
        const Claim claim = journal.head()->claim;
        journal.silent(true);
        CHECK(journal.append(claim, {&batch, 1}).error().fault == Fault::unreachable);
        CHECK(read_body(journal, BodyKind::body, {1, 2}).state == Body::State::unreachable);
        CHECK(journal.head().error().fault == Fault::unreachable);
        journal.silent(false);
        const auto again = journal.append(claim, {&batch, 1});
        REQUIRE(again);
        stored[again->again] = true;
        CHECK_EQ(last_of(journal), 2);
        CHECK(has_body(journal, 2));
    }
    CHECK(stored[0]);
    CHECK(stored[1]);
}

TEST_CASE("a power loss takes the unsynced end at level process and nothing at level disk") {
    for (const Durability level : {Durability::process, Durability::disk}) {
        std::uint64_t lost = 0;
        for (std::uint64_t seed = 1; seed < 40; ++seed) {
            FaultyJournal journal(seed, {}, {.level = level});
            for (std::uint64_t n = 1; n <= 10; ++n) REQUIRE(append(journal, true));
            journal.sync_all();
            for (std::uint64_t n = 11; n <= 20; ++n) REQUIRE(append(journal, true));
            journal.crash(false);
            CHECK_EQ(last_of(journal), 20);
            journal.crash(true);
            const std::uint64_t last = last_of(journal);
            CHECK_GE(last, 10);
            CHECK_LE(last, 20);
            lost += 20 - last;
            CHECK_EQ(has_body(journal, 20), last == 20);
            CHECK(has_body(journal, 10));
            CHECK(append(journal));
        }
        CHECK_EQ(lost > 0, level == Durability::process);
    }
}

TEST_CASE("a crash in flight keeps none, some or all, in order") {
    bool seen[4] = {};
    std::uint64_t torn = 0;
    for (std::uint64_t seed = 1; seed < 60; ++seed) {
        FaultyJournal journal(seed, {});
        REQUIRE(claim_now(journal, {.name = "test"}));
        journal::BatchWriter writer({1}, 0, 1);
        std::vector<JournalBatch> flight;
        for (int n = 0; n < 3; ++n) {
            writer.add({.at = {1}, .what = core::TimePassed{}});
            flight.push_back(finish_batch(writer, 0));
        }
        journal.crash_during(flight);
        seen[last_of(journal)] = true;
        torn += journal.counts().batches_torn;
    }
    for (const bool each : seen) CHECK(each);
    CHECK_GT(torn, 0);
}

TEST_CASE("a flipped bit is something the codec notices") {
    FaultyJournal journal(9, {.bit_flip_one_in = 3});
    for (std::uint64_t n = 1; n <= 30; ++n) REQUIRE(append(journal, true));
    std::uint64_t damaged = 0;
    REQUIRE(journal.read({0}, {}, [&](Sequence, std::string_view bytes) -> Result<void> {
        if (!journal::check_batch(bytes)) ++damaged;
        return {};
    }));
    CHECK_GT(damaged, 3);
    CHECK_EQ(damaged, journal.counts().bit_flips);
    for (std::uint64_t n = 1; n <= 30; ++n)
        CHECK(read_body(journal, BodyKind::body, {1, n}).state != Body::State::unreachable);
    CHECK_GT(journal.counts().bit_flips, damaged);
}
