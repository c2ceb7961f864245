// Damage: what opening does with it, and what verification says of it. The promises of the port are tested in
// test/conformance.
#include "store/sqlite/sqlite_journal.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/hash.h"
#include "journal/codec.h"
#include "store/sqlite/journal_inspect.h"

using namespace nexus;
using namespace nexus::store;

namespace {

// A journal of ten batches of two events; batch i (from 0) has first sequence 2i + 1 and puts the body of task i + 1.
struct Damaged {
    Damaged() {
        std::string pattern = (std::filesystem::temp_directory_path() / "nexus-damage-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory = pattern;
        auto journal = open();
        REQUIRE(journal);
        const auto claim = claim_now(**journal, {.name = "test"});
        REQUIRE(claim);
        journal::BatchWriter writer({1}, 0, 1);
        for (std::uint64_t i = 0; i < 10; ++i) {
            for (int n = 0; n < 2; ++n) writer.add({.at = {5}, .what = core::TimePassed{}});
            JournalBatch batch = finish_batch(writer, i);
            batch.puts = {{.task = {1, i + 1}, .body = "body"}};
            if (i > 4) batch.drops = {{1, i}};
            REQUIRE((*journal)->append(*claim, {&batch, 1}));
        }
    }
    ~Damaged() { std::filesystem::remove_all(directory); }

    Result<std::unique_ptr<SqliteJournal>> open(bool cut_damage = false) const {
        return SqliteJournal::open({.directory = directory, .reserve_bytes = 0, .cut_damage = cut_damage});
    }
    void change(const std::string& sql) const {
        auto db = Database::open(directory + "/journal.db", Access::write);
        REQUIRE(db);
        REQUIRE(db->run(sql.c_str()));
    }
    // The problems that verification finds, as one text.
    std::string problems() const {
        const auto verdict = verify_journal(directory);
        if (!verdict) return verdict.error().what;
        std::string all;
        for (const std::string& problem : verdict->problems) all += problem + "\n";
        return all;
    }
    std::string directory;
};

std::size_t batches_in(JournalStore& store) {
    std::size_t n = 0;
    REQUIRE(store.read({0}, {}, [&](Sequence, std::string_view) -> Result<void> {
        ++n;
        return {};
    }));
    return n;
}

bool has_body(JournalStore& store, std::uint64_t n) {
    return read_body(store, BodyKind::body, {1, n}).state == Body::State::found;
}

constexpr const char* kFlip =
    "UPDATE batch SET bytes = CAST(substr(bytes, 1, 40) || x'7e' || substr(bytes, 42) AS BLOB)";

}  // namespace

TEST_CASE("a sound journal has no problems, and verification counts it") {
    const Damaged rig;
    const auto verdict = verify_journal(rig.directory);
    REQUIRE(verdict);
    CHECK(verdict->problems.empty());
    CHECK_EQ(verdict->first.n, 1);
    CHECK_EQ(verdict->last.n, 20);
    CHECK_EQ(verdict->batches, 10);
    CHECK_EQ(verdict->events, 20);
    CHECK_EQ(verdict->bodies, 5);
}

TEST_CASE("a torn last batch is cut off and reported, with the bodies it brought") {
    const Damaged rig;
    rig.change("UPDATE batch SET bytes = substr(bytes, 1, 45) WHERE first = 19");
    CHECK(rig.problems().find("at sequence 19: batch has a wrong checksum") != std::string::npos);
    auto journal = rig.open();
    REQUIRE(journal);
    CHECK_EQ((*journal)->open_report().batches_cut, 1);
    CHECK_EQ((*journal)->open_report().cut_from.n, 19);
    CHECK_EQ((*journal)->open_report().last.n, 18);
    CHECK_EQ(batches_in(**journal), 9);
    CHECK_FALSE(has_body(**journal, 10));
    CHECK(has_body(**journal, 4));
    journal->reset();
    CHECK_EQ((*rig.open())->open_report().batches_cut, 0);
    CHECK_EQ(verify_journal(rig.directory)->cut_batches, 1);
}

TEST_CASE("damage in the middle is refused with its place, and cut only when asked") {
    static constexpr struct {
        const char* name;
        const char* sql;
        const char* said;
    } rows[] = {
        {"a changed byte", "", "at sequence 9: batch has a wrong checksum at byte"},
        {"a missing batch", "DELETE FROM batch WHERE first = 9", "at sequence 11: the batch does not follow"},
        {"a batch in another's place",
         "UPDATE batch SET bytes = (SELECT bytes FROM batch WHERE first = 7) WHERE first = 9",
         "at sequence 9: the batch names another sequence"},
        {"an emptied batch", "UPDATE batch SET bytes = x'' WHERE first = 9",
         "at sequence 9: batch is cut off at byte 0"},
        {"a changed list of drops", "UPDATE batch SET drops = zeroblob(20) WHERE first = 9",
         "at sequence 9: the list of dropped"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Damaged rig;
        rig.change(row.sql[0] != '\0' ? std::string(row.sql) : std::string(kFlip) + " WHERE first = 9");
        CHECK(rig.problems().find(row.said) != std::string::npos);
        const auto refused = rig.open();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().fault == Fault::corrupt);
        CHECK(refused.error().what.find(row.said) != std::string::npos);
        auto journal = rig.open(true);
        REQUIRE(journal);
        CHECK_EQ(batches_in(**journal), 4);
        CHECK_EQ((*journal)->open_report().last.n, 8);
        CHECK_GE((*journal)->open_report().batches_cut, 5);
        CHECK(has_body(**journal, 4));
        CHECK_FALSE(has_body(**journal, 10));
    }
}

TEST_CASE("what a newer release wrote is refused and never cut") {
    const Damaged rig;
    SUBCASE("a newer schema") {
        rig.change("PRAGMA user_version = 2");
    }
    SUBCASE("a newer batch format") {
        // The next version with a checksum that fits: only its writer could have made it.
        journal::BatchWriter writer({19}, 0, 1);
        writer.add({.at = {5}, .what = core::TimePassed{}});
        std::string bytes = writer.finish(0);
        bytes[4] = static_cast<char>(journal::kFormatVersion + 1);
        const std::uint32_t crc = crc32c(std::string_view(bytes).substr(0, bytes.size() - 4));
        for (int i = 0; i < 4; ++i)
            bytes[bytes.size() - 4 + static_cast<std::size_t>(i)] = static_cast<char>(crc >> (8 * i));
        auto db = Database::open(rig.directory + "/journal.db", Access::write);
        REQUIRE(db);
        REQUIRE(db->prepare("UPDATE batch SET bytes = ? WHERE first = 19")->run(bytes));
    }
    for (const bool cut_damage : {false, true}) {
        const auto refused = rig.open(cut_damage);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().fault == Fault::unsupported);
    }
}

TEST_CASE("another program's database, a directory and garbage are refused") {
    const Damaged rig;
    SUBCASE("another application id") {
        rig.change("PRAGMA application_id = 5");
        CHECK(rig.open().error().fault == Fault::invalid);
    }
    SUBCASE("a directory in the database's place") {
        for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(rig.directory + "/journal.db" + suffix);
        std::filesystem::create_directory(rig.directory + "/journal.db");
        CHECK_FALSE(rig.open());
    }
    SUBCASE("garbage") {
        std::filesystem::remove(rig.directory + "/journal.db-wal");
        REQUIRE(write_file_durably(rig.directory + "/journal.db", std::string(9'000, 'x')));
        CHECK(rig.open().error().fault == Fault::corrupt);
    }
    SUBCASE("cut short") {
        std::filesystem::remove(rig.directory + "/journal.db-wal");
        std::filesystem::resize_file(rig.directory + "/journal.db", 5'000);
        const auto refused = rig.open();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().fault == Fault::corrupt);
    }
}

TEST_CASE("a changed body is noticed when it is read and when it is verified") {
    const Damaged rig;
    rig.change("UPDATE body_segment SET bytes = CAST('bxdy' AS BLOB)");
    CHECK(rig.problems().find("body_segment 1: segment has a wrong checksum") != std::string::npos);
    auto journal = rig.open();
    REQUIRE(journal);
    const Body body = read_body(**journal, BodyKind::body, {1, 1});
    CHECK(body.state == Body::State::missing);  // for good: no later reading will help
    CHECK(body.why.find("checksum") != std::string::npos);
}

TEST_CASE("verification joins snapshot and batches") {
    const Damaged rig;
    const auto put = [&](journal::Snapshot snapshot) {
        auto journal = rig.open();
        REQUIRE(journal);
        REQUIRE(put_snapshot(**journal, snapshot.at, journal::encode_snapshot(snapshot)));
    };
    put({.at = {8}, .chain = 77});
    CHECK(rig.problems().find("snapshot 8: its chain hash is not the journal's") != std::string::npos);
    rig.change("DELETE FROM batch WHERE first < 13; INSERT INTO meta VALUES('trimmed', 12)");
    CHECK(rig.problems().find("the events from 9 to 12 are missing") != std::string::npos);
}

TEST_CASE("the export has one line per event, with its sequence") {
    const Damaged rig;
    std::vector<std::string> lines;
    const auto collect = [&](std::string_view line) -> Result<void> {
        lines.emplace_back(line);
        return {};
    };
    REQUIRE(export_journal(rig.directory, {0}, collect));
    REQUIRE_EQ(lines.size(), 20);
    CHECK_EQ(lines[6], R"({"sequence":7,"at_us":5,"event":"TimePassed"})");
    lines.clear();
    REQUIRE(export_journal(rig.directory, {5}, collect));
    CHECK_EQ(lines.size(), 15);
    rig.change(std::string(kFlip) + " WHERE first = 9");
    CHECK(export_journal(rig.directory, {0}, collect).error().fault == Fault::corrupt);
}

TEST_CASE("a directory of the release before is opened: without an epoch, marks or a second snapshot") {
    const Damaged rig;
    rig.change("DROP TABLE taken; DELETE FROM meta");
    auto journal = rig.open();
    REQUIRE(journal);
    const auto head = (*journal)->head();
    REQUIRE(head);
    CHECK_EQ(head->claim.epoch, 0);
    CHECK_EQ(head->last.n, 20);
    const auto claim = claim_now(**journal, {.name = "test"});
    REQUIRE(claim);
    CHECK_EQ(claim->epoch, 1);
    journal::BatchWriter writer({21}, head->chain, 1);
    writer.add({.at = {6}, .what = core::TimePassed{}});
    JournalBatch batch = finish_batch(writer, 0);
    batch.taken = {{.task = {1, 30}, .body = "entry"}};
    REQUIRE((*journal)->append(*claim, {&batch, 1}));
    CHECK(read_body(**journal, BodyKind::taken, {1, 30}).bytes == "entry");
    journal->reset();
    CHECK_EQ((*rig.open())->head()->claim.epoch, 1);
    CHECK(rig.problems().empty());
}

TEST_CASE("a claim of the embedded store never needs renewal") {
    const Damaged rig;
    auto journal = rig.open();
    REQUIRE(journal);
    CHECK_FALSE((*journal)->head()->renews);
    CHECK_FALSE((*journal)->head()->low_on_space);
}
