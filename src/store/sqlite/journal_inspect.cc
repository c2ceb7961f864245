#include "store/sqlite/journal_inspect.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "journal/codec.h"
#include "sqlite/database.h"
#include "store/sqlite/batch_sequence.h"
#include "store/sqlite/data_directory.h"
#include "store/sqlite/journal_schema.h"
#include "store/sqlite/segments.h"
#include "store/sqlite/snapshot_files.h"

namespace nexus::store {
namespace {

using sqlite::Access, sqlite::Text;

constexpr std::size_t kProblemsMax = 100;

Result<Database> open_to_read(const std::string& directory, const std::string& vfs) {
    auto db = Database::open(directory + "/" + kJournalFile, Access::read, vfs);
    if (!db) return db;
    const auto application = db->integer("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    if (*application != kJournalApplicationId) return fail(Fault::invalid, directory + " does not hold a journal");
    const auto version = db->integer("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    if (*version > kJournalSchemaVersion)
        return fail(Fault::unsupported, "the journal has schema version " + std::to_string(*version));
    // One read transaction: everything after this line sees one state.
    if (auto ok = db->run("BEGIN; SELECT count(*) FROM meta"); !ok) return std::unexpected(std::move(ok).error());
    return db;
}

Result<std::string> read_snapshot_bytes(const std::string& directory, Sequence at) {
    std::string bytes;
    const auto read = read_snapshot_file(directory, at, [&](std::string_view part) -> Result<void> {
        bytes += part;
        return {};
    });
    if (!read) return std::unexpected(read.error());
    return bytes;
}

class Verifier {
public:
    Verifier(Database& db, std::string directory) : db_(db), directory_(std::move(directory)) {}

    Result<JournalVerdict> run() {
        using Step = Result<void> (Verifier::*)();
        for (const Step step : {&Verifier::structure, &Verifier::batches, &Verifier::segments, &Verifier::snapshot}) {
            auto ok = (this->*step)();
            if (ok) continue;
            // What SQLite itself calls corrupt is a finding, not a reason to stop looking at the rest.
            if (ok.error().fault != Fault::corrupt) return std::unexpected(std::move(ok).error());
            problem(ok.error().what);
        }
        return std::move(verdict_);
    }

private:
    void problem(std::string what) {
        if (verdict_.problems.size() < kProblemsMax) verdict_.problems.push_back(std::move(what));
    }

    template <class Visit>
    Result<void> each(const std::string& sql, Visit&& visit) {
        auto rows = db_.prepare(sql.c_str());
        if (!rows) return std::unexpected(std::move(rows).error());
        if (sql == kSelectBatches) rows->bind(std::int64_t{0}, std::int64_t{0});
        for (;;) {
            const auto row = rows->step();
            if (!row) return std::unexpected(row.error());
            if (!*row) return {};
            visit(*rows);
        }
    }

    Result<void> structure() {
        return each("PRAGMA integrity_check(20)", [&](const Statement& row) {
            if (row.bytes(0) != "ok") problem("database: " + std::string(row.bytes(0)));
        });
    }

    Result<void> batches() {
        const auto trimmed = db_.integer("SELECT value FROM meta WHERE name = 'trimmed'");
        if (!trimmed) return std::unexpected(trimmed.error());
        trimmed_ = static_cast<std::uint64_t>(*trimmed);
        const auto cut = db_.integer("SELECT count(*) FROM cut");
        if (!cut) return std::unexpected(cut.error());
        verdict_.cut_batches = static_cast<std::uint64_t>(*cut);
        BatchSequence sequence(trimmed_);
        return each(kSelectBatches, [&](const Statement& row) {
            const StoredBatch stored = stored_batch(row);
            if (auto ok = sequence.follow(stored); !ok) return problem(ok.error().what);
            const auto batch = journal::decode_batch(stored.bytes, sequence.chain_before());
            if (!batch) return problem("at sequence " + std::to_string(stored.first.n) + ": " + batch.error().what);
            if (!verdict_.first) verdict_.first = stored.first;
            verdict_.last = {stored.first.n + stored.count - 1};
            ++verdict_.batches;
            verdict_.events += batch->events.size();
            verdict_.bytes += stored.bytes.size();
            ends_.emplace_back(verdict_.last, batch->chain);
        });
    }

    Result<void> segments() {
        for (const char* table : {"body", "result"}) {
            const std::string name = std::string(table) + "_segment";
            auto ok = each("SELECT id, directory, bytes FROM " + name, [&](const Statement& row) {
                const std::string place = name + " " + std::to_string(row.integer(0)) + ": ";
                const auto entries = Segments::read_directory(row.bytes(1));
                if (!entries) return problem(place + entries.error().what);
                if (auto whole = Segments::check_bytes(row.bytes(1), row.bytes(2)); !whole)
                    return problem(place + whole.error().what);
                std::uint64_t bytes = 0;
                for (const auto& entry : *entries) bytes += entry.length;
                if (bytes != row.bytes(2).size()) return problem(place + "lengths do not add up");
                (table == std::string_view("body") ? verdict_.bodies : verdict_.results) += entries->size();
            });
            if (!ok) return ok;
        }
        return {};
    }

    Result<void> snapshot() {
        const auto kept = snapshot_files(directory_);
        if (!kept) return std::unexpected(kept.error());
        if (kept->empty() && verdict_.first.n > 1)
            problem("no snapshot, and the journal starts at sequence " + std::to_string(verdict_.first.n));
        for (const Sequence at : *kept) {
            verdict_.snapshot = at;
            const auto bytes = read_snapshot_bytes(directory_, at);
            if (!bytes) return std::unexpected(bytes.error());
            check_snapshot(at, *bytes);
        }
        return {};
    }

    void check_snapshot(Sequence at, std::string_view bytes) {
        const std::string place = "snapshot " + std::to_string(at.n) + ": ";
        const auto snapshot = journal::decode_snapshot(bytes);
        if (!snapshot) return problem(place + snapshot.error().what);
        if (snapshot->at != at) problem(place + "it stands at sequence " + std::to_string(snapshot->at.n));
        if (verdict_.first && verdict_.first.n > snapshot->at.n + 1)
            problem(place + "the events from " + std::to_string(snapshot->at.n + 1) + " to " +
                    std::to_string(verdict_.first.n - 1) + " are missing");
        if (trimmed_ > snapshot->at.n) problem(place + "the journal is trimmed beyond it");
        for (const auto& [end, chain] : ends_)
            if (end == snapshot->at && chain != snapshot->chain) problem(place + "its chain hash is not the journal's");
    }

    Database& db_;
    std::string directory_;
    JournalVerdict verdict_;
    std::uint64_t trimmed_ = 0;
    std::vector<std::pair<Sequence, std::uint64_t>> ends_;  // last sequence and chain of each batch
};

}  // namespace

Result<JournalVerdict> verify_journal(const std::string& directory, const std::string& vfs) {
    auto db = open_to_read(directory, vfs);
    if (!db) return std::unexpected(std::move(db).error());
    return Verifier(*db, directory).run();
}

namespace {

class StoredJournal final : public JournalStore {
public:
    StoredJournal(Database db, std::string directory) : db_(std::move(db)), directory_(std::move(directory)) {}

    Result<Head> head() override { return refused(); }
    Result<Claim> claim(const Head&, const Claimant&) override { return refused(); }
    Result<void> renew(const Claim&, std::string_view) override { return refused(); }
    Result<Appended> append(const Claim&, std::span<const JournalBatch>) override { return refused(); }
    Result<void> put_snapshot(Sequence, const SnapshotSource&) override { return refused(); }
    std::vector<Body> bodies(BodyKind, std::span<const TaskId> tasks) override {
        return std::vector<Body>(tasks.size(), Body{.state = Body::State::unreachable, .bytes = {}, .why = "not read"});
    }
    Result<void> read(Sequence after, Duration, const BatchVisitor& visit) override {
        const auto trimmed = db_.integer("SELECT value FROM meta WHERE name = 'trimmed'");
        if (!trimmed) return std::unexpected(trimmed.error());
        auto rows = db_.prepare(kSelectBatches);
        if (!rows) return std::unexpected(std::move(rows).error());
        rows->bind(after.n, *trimmed);
        for (;;) {
            const auto row = rows->step();
            if (!row) return std::unexpected(row.error());
            if (!*row) return {};
            const StoredBatch stored = stored_batch(*rows);
            if (auto ok = visit(stored.first, stored.bytes); !ok) return ok;
        }
    }
    Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) override {
        const auto kept = snapshot_files(directory_);
        if (!kept) return std::unexpected(kept.error());
        const std::size_t from_end = which == Kept::newest ? 1 : 2;
        if (kept->size() < from_end) return Sequence{};
        const Sequence at = (*kept)[kept->size() - from_end];
        if (auto ok = read_snapshot_file(directory_, at, sink); !ok) return std::unexpected(std::move(ok).error());
        return at;
    }

private:
    static std::unexpected<Error> refused() { return fail(Fault::unsupported, "the journal is open for reading only"); }
    Database db_;
    std::string directory_;
};

}  // namespace

Result<std::unique_ptr<JournalStore>> open_journal_to_read(const std::string& directory, const std::string& vfs) {
    auto db = open_to_read(directory, vfs);
    if (!db) return std::unexpected(std::move(db).error());
    return std::make_unique<StoredJournal>(*std::move(db), directory);
}

Result<void> export_events(JournalStore& journal, Sequence after,
                           const std::function<Result<void>(std::string_view line)>& line) {
    std::optional<journal::BatchHead> before;
    // From the first one on: the batch that holds `after` may hold more.
    return journal.read({}, {}, [&](Sequence first, std::string_view bytes) -> Result<void> {
        const auto head = journal::check_batch(bytes);
        if (!head) return std::unexpected(head.error());
        if (before && before->first.n + before->count != first.n)
            return fail(Fault::corrupt, "event " + std::to_string(before->first.n + before->count) + " is missing");
        const auto batch = journal::decode_batch(bytes, before ? before->chain : head->chain_before);
        if (!batch) return std::unexpected(batch.error());
        before = *head;
        for (std::size_t i = 0; i < batch->events.size(); ++i) {
            const std::uint64_t number = first.n + i;
            if (number <= after.n) continue;
            std::string text = journal::describe(batch->events[i]);
            text.replace(0, 1, "{\"sequence\":" + std::to_string(number) + ",");
            if (auto ok = line(text); !ok) return ok;
        }
        return {};
    });
}

Result<void> export_journal(const std::string& directory, Sequence after,
                            const std::function<Result<void>(std::string_view line)>& line, const std::string& vfs) {
    const auto journal = open_journal_to_read(directory, vfs);
    if (!journal) return std::unexpected(journal.error());
    return export_events(**journal, after, line);
}

Result<Sequence> backup_journal(const std::string& directory, const std::string& to) {
    std::error_code error;
    if (std::filesystem::exists(to, error)) return fail(Fault::conflict, to + " exists already");
    // A snapshot taken before the database is copied can only be older than the copy; it is too old when the journal
    // was trimmed beyond it meanwhile.
    constexpr int kTries = 5;
    for (int attempt = 0; attempt < kTries; ++attempt) {
        const auto kept = snapshot_files(directory);
        if (!kept) return std::unexpected(kept.error());
        const Sequence snapshot = kept->empty() ? Sequence{} : kept->back();
        auto bytes = snapshot ? read_snapshot_bytes(directory, snapshot) : Result<std::string>();
        if (!bytes) return std::unexpected(std::move(bytes).error());
        if (auto ok = make_private_directory(to); !ok) return std::unexpected(std::move(ok).error());
        auto db = Database::open(directory + "/" + kJournalFile, Access::read);
        if (!db) return std::unexpected(std::move(db).error());
        auto copy = db->prepare("VACUUM INTO ?1");
        if (!copy) return std::unexpected(std::move(copy).error());
        const std::string path = to + "/" + kJournalFile;
        if (auto ok = copy->run(Text{path}); !ok)
            return std::unexpected(std::move(ok).error().during("copying to " + to));
        if (auto ok = sqlite::make_private_file(path); !ok) return std::unexpected(std::move(ok).error());
        auto copied = open_to_read(to, {});
        if (!copied) return std::unexpected(std::move(copied).error());
        const auto trimmed = copied->integer("SELECT value FROM meta WHERE name = 'trimmed'");
        const auto last = copied->integer("SELECT coalesce(max(first + count - 1), 0) FROM batch");
        if (!trimmed || !last) return std::unexpected(trimmed ? last.error() : trimmed.error());
        const std::uint64_t at = snapshot.n;
        if (at >= static_cast<std::uint64_t>(*trimmed)) {
            std::string_view left = *bytes;
            const auto whole = [&]() -> Result<std::string_view> { return std::exchange(left, {}); };
            if (snapshot)
                if (auto ok = write_snapshot_file(to, snapshot, whole); !ok)
                    return std::unexpected(std::move(ok).error());
            if (auto ok = sync_directory(to); !ok) return std::unexpected(std::move(ok).error());
            return Sequence{std::max(at, static_cast<std::uint64_t>(*last))};
        }
        std::filesystem::remove_all(to, error);
    }
    return fail(Fault::unavailable, "the journal was trimmed each time while it was copied; try again");
}

}  // namespace nexus::store
