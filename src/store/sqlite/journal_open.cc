// Opening a journal: who holds it, which format it has, what a crash left.
#include "base/bytes.h"
#include "store/sqlite/batch_sequence.h"
#include "store/sqlite/journal_schema.h"
#include "store/sqlite/snapshot_files.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::store {
namespace {

// Creates the tables of an empty database; refuses other people's databases and newer formats.
Result<void> take_schema(Database& db) {
    const auto application = db.integer("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    const auto version = db.integer("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    const auto tables = db.integer("SELECT count(*) FROM sqlite_schema");
    if (!tables) return std::unexpected(tables.error());
    if (*application == 0 && *version == 0 && *tables == 0) {
        const std::string create = "BEGIN IMMEDIATE;" + journal_schema() +
                                   "PRAGMA application_id=" + std::to_string(kJournalApplicationId) +
                                   ";PRAGMA user_version=" + std::to_string(kJournalSchemaVersion) + ";COMMIT";
        if (auto ok = db.run(create.c_str()); !ok) {
            db.rollback();
            return ok;
        }
        return {};
    }
    if (*application != kJournalApplicationId)
        return fail(Fault::invalid,
                    "this database is not a journal (application id " + std::to_string(*application) + ")");
    if (*version > kJournalSchemaVersion)
        return fail(Fault::unsupported, "the journal has schema version " + std::to_string(*version) +
                                            ", this release knows up to " + std::to_string(kJournalSchemaVersion));
    // Came later, and is of no concern to releases that do not know it.
    if (auto ok = db.run(kTakenTable); !ok) return ok;
    if (*version < 1) return fail(Fault::corrupt, "the journal has schema version " + std::to_string(*version));
    return {};
}

}  // namespace

Result<std::unique_ptr<SqliteJournal>> SqliteJournal::open(SqliteJournalOptions options) {
    if (options.level == Durability::replicated)
        return fail(Fault::invalid, "an embedded journal cannot promise durability 'replicated'");
    const std::string directory = options.directory;
    std::unique_ptr<SqliteJournal> journal(new SqliteJournal(std::move(options)));
    if (auto ok = journal->start(); !ok)
        return std::unexpected(std::move(ok).error().during("journal in " + directory));
    return journal;
}

Result<void> SqliteJournal::start() {
    if (auto ok = make_private_directory(options_.directory); !ok) return ok;
    auto lock = DirectoryLock::take(path("journal.lock"));
    if (!lock) return std::unexpected(std::move(lock).error());
    lock_ = *std::move(lock);
    // SQLite gives its other files the mode of this one.
    if (auto ok = sqlite::make_private_file(path(kJournalFile)); !ok) return ok;
    auto writer = Database::open(path(kJournalFile), Access::write, options_.vfs);
    if (!writer) return std::unexpected(std::move(writer).error());
    writer_ = *std::move(writer);
    const char* pragmas = options_.level == Durability::disk
                              ? "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL"
                              : "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL";
    if (auto ok = writer_.run(pragmas); !ok) return ok;
    sqlite3_wal_hook(writer_.handle(), &SqliteJournal::note_wal_frames, this);
    if (auto ok = take_schema(writer_); !ok) return ok;
    if (auto ok = recover(); !ok) return ok;
    auto reader = Database::open(path(kJournalFile), Access::read, options_.vfs);
    if (!reader) return std::unexpected(std::move(reader).error());
    reader_ = *std::move(reader);
    const std::tuple<Database*, Statement*, const char*> statements[] = {
        {&writer_, &begin_, "BEGIN IMMEDIATE"},
        {&writer_, &commit_, "COMMIT"},
        {&writer_, &insert_batch_, "INSERT INTO batch(first, count, drops, bytes) VALUES(?, ?, ?, ?)"},
        {&writer_, &delete_batches_,
         "DELETE FROM batch WHERE first IN (SELECT first FROM batch WHERE first + count - 1 <= ? ORDER BY first LIMIT "
         "?)"},
        {&writer_, &put_meta_, "INSERT OR REPLACE INTO meta(name, value) VALUES(?, ?)"},
        {&writer_, &put_taken_, "INSERT OR REPLACE INTO taken(hi, lo, entry) VALUES(?, ?, ?)"},
        {&writer_, &drop_taken_, "DELETE FROM taken WHERE hi = ? AND lo = ?"},
        {&reader_, &select_body_, "SELECT directory, bytes FROM body_segment WHERE id = ?"},
        {&reader_, &select_result_, "SELECT directory, bytes FROM result_segment WHERE id = ?"},
        {&reader_, &select_taken_, "SELECT entry FROM taken WHERE hi = ? AND lo = ?"},
    };
    for (const auto& [db, statement, sql] : statements) {
        auto prepared = db->prepare(sql);
        if (!prepared) return std::unexpected(std::move(prepared).error());
        *statement = *std::move(prepared);
    }
    disk_full_ = !reserve_.hold();
    appended_ = end_.last.n;
    if (options_.upkeep_thread) upkeep_thread_ = std::thread([this] { upkeep_loop(); });
    return {};
}

Result<void> SqliteJournal::recover() {
    const auto trimmed = writer_.integer("SELECT value FROM meta WHERE name = 'trimmed'");
    if (!trimmed) return std::unexpected(trimmed.error());
    trimmed_ = static_cast<std::uint64_t>(*trimmed);
    trim_left_ = trimmed_ != 0;
    const auto epoch = writer_.integer("SELECT value FROM meta WHERE name = 'epoch'");
    const auto history = writer_.integer("SELECT value FROM meta WHERE name = 'history'");
    if (!epoch || !history) return std::unexpected(epoch ? history.error() : epoch.error());
    claim_.epoch = stored_epoch_ = static_cast<std::uint32_t>(*epoch);
    history_ = {static_cast<std::uint64_t>(*history)};
    if (auto ok = recover_batches(); !ok) return ok;
    if (auto ok = bodies_.open(writer_); !ok) return ok;
    if (auto ok = results_.open(writer_); !ok) return ok;
    if (auto ok = repeat_drops(); !ok) return ok;
    report_.bodies = bodies_.totals().bodies;
    report_.results = results_.totals().bodies;
    return {};
}

// Every stored batch must be whole and follow the one before it. The last one may be torn: it was never acknowledged.
Result<void> SqliteJournal::recover_batches() {
    auto rows = writer_.prepare(kSelectBatches);
    if (!rows) return std::unexpected(std::move(rows).error());
    rows->bind(std::int64_t{0}, trimmed_.load());
    BatchSequence sequence(trimmed_.load());
    Result<void> damage;
    while (damage) {
        const auto row = rows->step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        damage = sequence.follow(stored_batch(*rows));
        if (damage) ++report_.batches;
    }
    const std::uint64_t next = sequence.next();
    end_ = {.last = {next == 0 ? 0 : next - 1}, .chain = sequence.chain()};
    if (next == 0) end_.chain = 0;
    report_.last = end_.last;
    if (damage) return {};
    // A newer format is not damage: it must never be cut.
    if (damage.error().fault == Fault::unsupported) return damage;
    const Sequence bad{static_cast<std::uint64_t>(rows->integer(0))};
    const auto more = rows->step();
    if (!more) return std::unexpected(more.error());
    if (*more && !options_.cut_damage)
        return std::unexpected(std::move(damage).error().during("whole batches follow the damage; it starts"));
    rows->reset();
    return cut(bad, damage.error().what);
}

Result<void> SqliteJournal::cut(Sequence from, const std::string& reason) {
    if (auto ok = writer_.run("BEGIN IMMEDIATE"); !ok) return ok;
    static constexpr const char* kSteps[] = {
        "INSERT OR REPLACE INTO cut SELECT first, count, drops, bytes FROM batch WHERE first >= ?",
        "DELETE FROM batch WHERE first >= ?",
        "DELETE FROM body_segment WHERE first >= ?",
        "DELETE FROM result_segment WHERE first >= ?",
    };
    Result<void> ok;
    for (const char* sql : kSteps) {
        auto step = writer_.prepare(sql);
        if (!step)
            ok = std::unexpected(std::move(step).error());
        else
            ok = step->run(from.n);
        if (!ok) break;
        if (sql == kSteps[1]) report_.batches_cut = static_cast<std::uint64_t>(writer_.changes());
    }
    if (ok) ok = writer_.run("COMMIT");
    if (!ok) writer_.rollback();
    report_.cut_from = from;
    report_.cut_reason = reason;
    return ok;
}

// The drops since the last trim are written with their batches only. The events beside them have been read once; they
// stand last in their rows, so they are not read again.
Result<void> SqliteJournal::repeat_drops() {
    auto rows = writer_.prepare("SELECT drops FROM batch WHERE first + count - 1 > ? ORDER BY first");
    if (!rows) return std::unexpected(std::move(rows).error());
    rows->bind(trimmed_.load());
    for (;;) {
        const auto row = rows->step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        const std::string_view drops = rows->bytes(0);
        Reader r(drops);
        for (std::size_t n = drops.size() / kTaskIdBytes; n > 0; --n) {
            TaskId task;
            task.hi = r.u64();
            task.lo = r.u64();
            bodies_.drop(task);
        }
    }
    bodies_.commit();
    return {};
}

}  // namespace nexus::store
