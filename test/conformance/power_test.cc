// What survives: power cuts at any write, a process killed at any moment, full disks, failed syncs, damaged files.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "conformance/journal_rig.h"
#include "conformance/power_vfs.h"
#include "conformance/scratch_directory.h"
#include "store/sqlite/journal_inspect.h"
#include "store/sqlite/sqlite_journal.h"

using namespace nexus;
using namespace nexus::test;
using namespace nexus::store;

namespace {

// What a journal must hold: its batches, and the bodies of the tasks that live; and who goes on writing it.
struct Model {
    BatchMaker maker;
    std::vector<std::pair<std::uint64_t, std::string>> batches;
    std::map<std::uint64_t, std::string> bodies;
    std::uint64_t next_task = 1;
    std::vector<Sequence> snapshots;

    // A snapshot of all is stored: what the one before it covers may go.
    void snapshot() {
        snapshots.push_back(maker.last());
        if (snapshots.size() < 2) return;
        const std::uint64_t upto = snapshots[snapshots.size() - 2].n;
        while (!batches.empty() && (batches.size() > 1 ? batches[1].first - 1 : maker.last().n) <= upto)
            batches.erase(batches.begin());
    }
};

// One random group of batches on top of `model`, which becomes what the journal must hold once it is appended.
std::vector<JournalBatch> random_group(Rng& rng, Model& model) {
    std::vector<JournalBatch> group;
    for (std::uint64_t i = rng.below(3) + 1; i > 0; --i) {
        JournalBatch batch = model.maker.next(static_cast<int>(rng.below(4)) + 1);
        for (std::uint64_t k = rng.below(5); k > 0; --k) {
            const std::uint64_t n = model.next_task++;
            model.bodies[n] = body_of(n, rng.one_in(8) ? 9'000 : 60);
            batch.puts.push_back({.task = task_of(n), .body = model.bodies[n]});
        }
        for (std::uint64_t k = rng.below(6); k > 0 && !model.bodies.empty(); --k) {
            auto victim = model.bodies.lower_bound(rng.below(model.next_task));
            if (victim == model.bodies.end()) victim = model.bodies.begin();
            batch.drops.push_back(task_of(victim->first));
            model.bodies.erase(victim);
        }
        model.batches.emplace_back(batch.first.n, batch.bytes);
        group.push_back(std::move(batch));
    }
    return group;
}

bool holds(JournalStore& store, const Model& model) {
    if (read_all(store) != model.batches) return false;
    for (std::uint64_t n = 1; n < model.next_task; ++n) {
        const Body stored = body(store, task_of(n));
        const auto want = model.bodies.find(n);
        if (found(stored) != (want != model.bodies.end())) return false;
        if (found(stored) && stored.bytes != want->second) return false;
    }
    return true;
}

SqliteJournalOptions options_for(const std::string& directory, const PowerDisk& disk) {
    return {.directory = directory,
            .reserve_bytes = 0,
            .checkpoint_bytes = 64 << 10,
            .upkeep_thread = false,
            .vfs = disk.name()};
}

std::unique_ptr<SqliteJournal> opened(SqliteJournalOptions options) {
    auto journal = SqliteJournal::open(std::move(options));
    if (!journal) FAIL(journal.error().what);
    return *std::move(journal);
}

}  // namespace

TEST_SUITE_BEGIN("power");

TEST_CASE("at level disk a power cut at any write loses nothing that was acknowledged") {
    std::uint64_t cuts = 0, in_flight_kept = 0, in_flight_lost = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        CAPTURE(seed);
        ScratchDirectory directory;
        PowerDisk disk("power-" + std::to_string(seed));
        Rng rng(seed);
        Model acknowledged;
        auto journal = opened(options_for(directory.file("data"), disk));
        for (int life = 0; life < 3; ++life) {
            disk.cut_at_operation(rng.below(600) + 1, rng.next());
            Model proposed = acknowledged;
            while (append(*journal, random_group(rng, proposed))) {
                acknowledged = proposed;
                if (!rng.one_in(20)) continue;
                proposed.snapshot();
                if (rng.one_in(2)) static_cast<void>(journal->upkeep());
                if (!put_snapshot(*journal, acknowledged.maker.last(), "s")) {
                    // The file is there; whether it was trimmed is open.
                    acknowledged.snapshots = proposed.snapshots;
                    break;
                }
                acknowledged = proposed;
            }
            REQUIRE(disk.off());
            ++cuts;
            Model after_the_end = proposed;
            const auto refused = append(*journal, random_group(rng, after_the_end));
            REQUIRE_FALSE(refused);
            CHECK(refused.error().fault == Fault::failed);

            journal.reset();
            disk.power_on();
            journal = opened(options_for(directory.file("data"), disk));
            CHECK_EQ(journal->open_report().batches_cut, 0);
            // What was in flight was not acknowledged: it may be there, whole, or not at all.
            const bool lost = holds(*journal, acknowledged);
            if (!lost) {
                REQUIRE(holds(*journal, proposed));
                acknowledged = proposed;
            }
            ++(lost ? in_flight_lost : in_flight_kept);
            const auto verdict = verify_journal(directory.file("data"), disk.name());
            REQUIRE(verdict);
            for (const std::string& problem : verdict->problems)
                CHECK_MESSAGE(problem.starts_with("snapshot"), problem);  // the snapshots here are one letter
        }
    }
    CHECK_EQ(cuts, 300);
    CHECK_GT(in_flight_lost, 50);
    CHECK_GT(in_flight_kept, 0);
}

TEST_CASE("a process killed at any moment loses nothing that it acknowledged") {
    ScratchDirectory directory;
    std::uint64_t acknowledged = 0;
    for (int kill_number = 0; kill_number < 20; ++kill_number) {
        int acks[2];
        REQUIRE_EQ(::pipe(acks), 0);
        const pid_t child = ::fork();
        REQUIRE_GE(child, 0);
        if (child == 0) {
            // The child appends one batch with one body after another and tells the sequence of each when it is done.
            ::close(acks[0]);
            auto journal = SqliteJournal::open(
                {.directory = directory.file("data"), .reserve_bytes = 0, .checkpoint_bytes = 32 << 10});
            if (!journal) ::_exit(3);
            const auto head = (*journal)->head();
            const auto claim = claim_now(**journal, {.name = "child"});
            if (!head || !claim) ::_exit(3);
            journal::BatchWriter writer({head->last.n + 1}, head->chain, 1);
            for (;;) {
                writer.add({.at = {1}, .what = core::TimePassed{}});
                JournalBatch batch = finish_batch(writer, 0);
                batch.puts = {{.task = task_of(batch.first.n), .body = body_of(batch.first.n)}};
                if (batch.first.n > 10) batch.drops = {task_of(batch.first.n - 10)};
                if (!(*journal)->append(*claim, {&batch, 1})) ::_exit(4);
                if (::write(acks[1], &batch.first.n, sizeof batch.first.n) != sizeof batch.first.n) ::_exit(5);
            }
        }
        ::close(acks[1]);
        // After a number of acknowledgements that differs each time, in the middle of whatever it does then.
        const int wanted = 20 + 37 * kill_number % 200;
        std::uint64_t last = 0;
        for (int i = 0; i < wanted; ++i) REQUIRE_EQ(::read(acks[0], &last, sizeof last), sizeof last);
        ::kill(child, SIGKILL);
        while (::read(acks[0], &last, sizeof last) == sizeof last) {
        }
        ::close(acks[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        REQUIRE(WIFSIGNALED(status));
        REQUIRE_GT(last, acknowledged);
        acknowledged = last;

        auto journal = SqliteJournal::open({.directory = directory.file("data"), .reserve_bytes = 0});
        REQUIRE(journal);
        const std::uint64_t end = (*journal)->open_report().last.n;
        CHECK_GE(end, acknowledged);
        CHECK_LE(end, acknowledged + 1);
        std::uint64_t next = 1;
        for (const auto& [first, bytes] : read_all(**journal)) CHECK_EQ(first, next++);
        CHECK_EQ(next, end + 1);
        for (std::uint64_t n = 1; n <= end; ++n) REQUIRE_EQ(found(body(**journal, task_of(n))), n + 10 > end);
    }
    const auto verdict = verify_journal(directory.file("data"));
    REQUIRE(verdict);
    CHECK(verdict->problems.empty());
}

TEST_CASE("a full disk is told, what comes then lives off the reserve, and it heals by itself") {
    ScratchDirectory directory;
    PowerDisk disk("full");
    SqliteJournalOptions options = options_for(directory.file("data"), disk);
    options.reserve_bytes = 2 << 20;
    options.checkpoint_bytes = 1 << 30;  // the WAL grows with every append, as it does behind a long read
    auto journal = opened(options);
    CHECK_EQ(journal->head()->reserve_bytes, options.reserve_bytes / 2);
    disk.set_capacity(6 << 20, directory.file("data/journal.reserve"));
    Model model;
    std::uint64_t stored = 0;
    const auto submit = [&](std::size_t bytes) {
        Model next = model;
        JournalBatch batch = next.maker.next(2);
        batch.puts = {{.task = task_of(stored + 1), .body = body_of(stored + 1, bytes)}};
        auto done = append(*journal, {&batch, 1});
        if (done) model = next;
        if (done) ++stored;
        return done;
    };
    Result<Appended> done;
    do {
        done = submit(20'000);
        REQUIRE(done);
    } while (!done->low_on_space);
    CHECK_GT(stored, 50);
    CHECK(journal->disk_full());
    // What was under way when it was told finds room, and the events after it.
    {
        JournalBatch batch = model.maker.next(2);
        for (std::uint64_t bytes = 0; bytes < options.reserve_bytes / 2; bytes += 20'000, ++stored)
            batch.puts.push_back({.task = task_of(stored + 1), .body = body_of(stored + 1, 20'000)});
        REQUIRE(append(*journal, {&batch, 1}));
    }
    std::uint64_t completed = 0;
    while (completed < 20) {
        JournalBatch batch = model.maker.next(2);
        batch.drops = {task_of(++completed)};
        REQUIRE(append(*journal, {&batch, 1}));
    }
    while ((done = submit(20'000))) CHECK(done->low_on_space);
    CHECK(done.error().fault == Fault::no_space);
    CHECK_FALSE(found(body(*journal, task_of(stored + 1))));
    disk.set_capacity(0, {});
    CHECK_FALSE(journal->head()->low_on_space);
    done = submit(100);
    REQUIRE(done);
    CHECK_FALSE(done->low_on_space);
    journal.reset();
    journal = opened(options);
    CHECK(body(*journal, task_of(stored)).bytes == body_of(stored, 100));
    CHECK_EQ(journal->body_totals().bodies, stored - completed);
    CHECK(verify_journal(directory.file("data"), disk.name())->problems.empty());
}

TEST_CASE("after a failed sync the store refuses everything, and a new process finds what was acknowledged") {
    ScratchDirectory directory;
    PowerDisk disk("sync");
    auto journal = opened(options_for(directory.file("data"), disk));
    Rng rng(5);
    Model model;
    for (int i = 0; i < 10; ++i) REQUIRE(append(*journal, random_group(rng, model)));
    disk.fail_syncs(true);
    Model proposed = model;
    const auto failed = append(*journal, random_group(rng, proposed));
    REQUIRE_FALSE(failed);
    CHECK(failed.error().fault == Fault::failed);
    disk.fail_syncs(false);
    Model again = model;
    CHECK(append(*journal, random_group(rng, again)).error().fault == Fault::failed);
    CHECK(journal->head().error().fault == Fault::failed);
    CHECK(put_snapshot(*journal, {1}, "s").error().fault == Fault::failed);
    disk.cut(3);
    journal.reset();
    disk.power_on();
    journal = opened(options_for(directory.file("data"), disk));
    CHECK((holds(*journal, model) || holds(*journal, proposed)));
}

TEST_CASE("a second process is told who holds the store") {
    ScratchDirectory directory;
    auto first = SqliteJournal::open({.directory = directory.file("data"), .reserve_bytes = 0});
    REQUIRE(first);
    const auto second = SqliteJournal::open({.directory = directory.file("data"), .reserve_bytes = 0});
    REQUIRE_FALSE(second);
    CHECK(second.error().fault == Fault::conflict);
    CHECK(second.error().what.find("process " + std::to_string(::getpid())) != std::string::npos);
    first->reset();
    CHECK(SqliteJournal::open({.directory = directory.file("data"), .reserve_bytes = 0}));
}

TEST_CASE("the files are private") {
    ScratchDirectory directory;
    const auto journal = opened({.directory = directory.file("data"), .reserve_bytes = 1 << 16});
    JournalBatch batch = BatchMaker().next();
    REQUIRE(append(*journal, {&batch, 1}));
    REQUIRE(put_snapshot(*journal, {1}, "s"));
    const auto mode = [](const std::filesystem::path& path) {
        return static_cast<unsigned>(std::filesystem::status(path).permissions());
    };
    CHECK_EQ(mode(directory.file("data")), 0700);
    for (const auto& entry : std::filesystem::directory_iterator(directory.file("data"))) {
        CAPTURE(entry.path().string());
        CHECK_EQ(mode(entry.path()), 0600);
    }
}

TEST_SUITE_END();
