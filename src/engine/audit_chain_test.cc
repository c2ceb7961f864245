#include "engine/audit_chain.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "engine/audit.h"
#include "engine/world_test.h"
#include "history/memory/memory_history.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

using Rows = std::vector<history::AuditRow>;

Rows chain(std::size_t count) {
    Rows rows;
    std::string head;
    for (std::size_t i = 1; i <= count; ++i) {
        history::AuditRow row{.place = {.at = {static_cast<std::int64_t>(1'000 * i)}, .number = 10 * i},
                              .caller = "ops",
                              .author = "ann",
                              .action = "cordon worker w" + std::to_string(i),
                              .reason = "r",
                              .before = {},
                              .after = {},
                              .hash = {}};
        row.hash = head = chain_hash(head, row);
        rows.push_back(std::move(row));
    }
    return rows;
}

AuditVerdict verdict_of(const Rows& rows, const std::string& head) {
    history::MemoryHistory history;
    history::HistoryBatch batch;
    batch.audit = rows;
    REQUIRE(history.write(batch).has_value());
    const auto verdict = verify_audit([&](const history::AuditQuery& query) { return history.audit(query); }, head);
    REQUIRE(verdict.has_value());
    return *verdict;
}

}  // namespace

TEST_CASE("U2: a changed, deleted, moved or inserted entry is found, and so is a cut end by its head") {
    const Rows whole = chain(2500);  // more than a page
    const std::string head = whole.back().hash;
    const AuditVerdict good = verdict_of(whole, head);
    CHECK(good.good);
    CHECK(good.entries == 2500);
    CHECK(good.head == head);
    CHECK(good.oldest.us == 1'000);
    CHECK(verdict_of(whole, "").good);
    CHECK(verdict_of(whole, whole[7].hash).good);  // a head that was written down earlier

    const auto found = [&](Rows rows, std::uint64_t number) {
        const AuditVerdict verdict = verdict_of(rows, head);
        CHECK_FALSE(verdict.good);
        CHECK(verdict.problem_number == number);
        CHECK_FALSE(verdict.problem.empty());
    };
    for (auto text : {&history::AuditRow::caller, &history::AuditRow::author, &history::AuditRow::action,
                      &history::AuditRow::reason, &history::AuditRow::before, &history::AuditRow::after,
                      &history::AuditRow::hash}) {
        Rows changed = whole;
        changed[1200].*text += "x";
        found(changed, 12'010);
    }
    Rows later = whole;
    later[3].place.at.us += 1;
    found(later, 40);
    Rows deleted = whole;
    deleted.erase(deleted.begin() + 5);
    found(deleted, 70);
    Rows beheaded = whole;
    beheaded.erase(beheaded.begin());
    found(beheaded, 20);
    Rows moved = whole;
    std::swap(moved[8].place, moved[9].place);
    found(moved, 90);
    Rows inserted = whole;
    history::AuditRow forged = whole[4];
    forged.place.number += 1;
    forged.hash = chain_hash(whole[4].hash, forged);
    inserted.push_back(forged);
    found(inserted, 60);
    Rows cut = whole;
    cut.resize(2400);
    found(cut, 24'000);
    found({}, 0);
    // Who can make hashes can forge all that follows; the head that stands elsewhere tells.
    Rows again = whole;
    again[2499].reason = "another";
    again[2499].hash = chain_hash(whole[2498].hash, again[2499]);
    found(again, 25'000);
}

TEST_CASE("U2: entries that stand outside of the chain are counted") {
    Rows rows = chain(3);
    history::AuditRow old = rows[0];
    old.place = {.at = {500}, .part = 1};
    rows.push_back(old);
    const AuditVerdict verdict = verdict_of(rows, rows[2].hash);
    CHECK(verdict.good);
    CHECK(verdict.entries == 3);
    CHECK(verdict.unchained == 1);
}

TEST_CASE("U5: a clock that was set back breaks lists in no way, and the chain neither") {
    World world;
    REQUIRE(world.call(PauseQueue{"a", true, "ann", ""}).has_value());
    world.now.wall = world.now.wall - hours(5);
    REQUIRE(world.call(PauseQueue{"b", true, "ann", ""}).has_value());
    world.now.wall = world.now.wall + hours(50);
    REQUIRE(world.call(PauseQueue{"c", true, "ann", ""}).has_value());
    const auto verdict = world.call(VerifyAudit{});
    REQUIRE(verdict.has_value());
    CHECK_MESSAGE(verdict->good, verdict->problem);
    CHECK(verdict->entries == 3);
    CHECK(world.call(ListAudit{})->entries.size() == 3);
    CHECK(world.call(ListAudit{})->entries.front().action == "pause queue c");
}

TEST_CASE("U1, U2: the server compares the chain with the head that it holds") {
    World world;
    const auto empty = world.call(VerifyAudit{});
    REQUIRE(empty.has_value());
    CHECK(empty->good);
    CHECK(empty->entries == 0);
    REQUIRE(world.call(PauseQueue{"a", true, "ann", "why"}).has_value());
    REQUIRE(world.call(PauseQueue{"b", true, "ann", ""}).has_value());
    const auto row = world.call(ListAudit{})->entries.back();
    CHECK(row.author == "ann");
    CHECK(row.caller == "ops at here");
    CHECK(row.reason == "why");
    CHECK(row.place.at.us > 0);
    CHECK(row.place.number > 0);
    CHECK(row.before == "version = 1\n");
    CHECK(row.after.find("queues.a.paused = true") != std::string::npos);
    CHECK(world.call(VerifyAudit{})->good);
    world.history_lost = true;
    REQUIRE(world.call(PauseQueue{"c", true, "ann", ""}).has_value());
    const auto cut = world.call(VerifyAudit{});
    CHECK_FALSE(cut->good);
    CHECK(cut->problem.find("the newest entries are gone") != std::string::npos);
}

TEST_CASE("the audit is searched by text and time") {
    World world;
    REQUIRE(world.call(PauseQueue{"mail", true, "ann", "provider is down"}).has_value());
    world.pass(seconds(60));
    const WallTime middle = world.now.wall;
    REQUIRE(world.call(PauseQueue{"bulk", true, "bob", ""}).has_value());
    const auto count = [&](history::AuditQuery query) {
        return world.call(ListAudit{.query = std::move(query), .page = {}})->entries.size();
    };
    CHECK(count({}) == 2);
    CHECK(count({.search = "provider"}) == 1);
    CHECK(count({.search = "bob"}) == 1);
    CHECK(count({.search = "queues.bulk"}) == 1);
    CHECK(count({.search = "nobody"}) == 0);
    CHECK(count({.from = middle}) == 1);
    CHECK(count({.to = middle}) == 1);
    CHECK(count({.from = middle, .to = middle}) == 0);
}
