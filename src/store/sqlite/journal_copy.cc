// Of SqliteJournal: what a move to another store, and a copy from one, need.
#include <filesystem>

#include "base/must.h"
#include "store/sqlite/journal_schema.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::store {
namespace {

constexpr const char* kClosedFile = "/journal.closed";
constexpr const char* kAside = "/journal.before";

Result<void> write_closed(const std::string& directory, std::string_view why) {
    const std::string path = directory + kClosedFile, unfinished = path + ".unfinished";
    std::error_code error;
    if (why.empty()) {
        std::filesystem::remove(path, error);
    } else {
        if (auto ok = write_file_durably(unfinished, why); !ok) return ok;
        std::filesystem::rename(unfinished, path, error);
    }
    if (error) return fail(Fault::failed, path + ": " + error.message());
    return sync_directory(directory);
}

}  // namespace

Result<std::string> closed_journal(const std::string& directory) {
    if (!std::filesystem::exists(directory + kClosedFile)) return std::string();
    return read_file(directory + kClosedFile);
}

bool holds_journal(const std::string& directory) {
    return std::filesystem::exists(directory + "/" + kJournalFile);
}

Result<std::string> put_journal_aside(const std::string& directory) {
    const std::string aside = directory + kAside;
    std::error_code error;
    std::filesystem::remove_all(aside, error);
    if (auto ok = make_private_directory(aside); !ok) return std::unexpected(std::move(ok).error());
    std::vector<std::filesystem::path> files;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with(kJournalFile) || name.starts_with("snapshot-")) files.push_back(at->path());
    }
    for (const auto& file : files)
        if (!error) std::filesystem::rename(file, aside / file.filename(), error);
    if (error) return fail(Fault::failed, "moving the files of the journal to " + aside + ": " + error.message());
    if (auto ok = sync_directory(directory); !ok) return std::unexpected(std::move(ok).error());
    return aside;
}

Result<std::string> SqliteJournal::closed() {
    return closed_journal(options_.directory);
}

Result<void> SqliteJournal::close(const Claim& claim, std::string_view why) {
    const std::lock_guard lock(writer_mutex_);
    if (auto ok = check(claim); !ok) return ok;
    return write_closed(options_.directory, why);
}

Result<Claim> SqliteJournal::begin_copy(const CopyStart& start, const Claimant& me, std::string_view why) {
    MUST(!why.empty());
    {
        const std::lock_guard lock(writer_mutex_);
        if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
        if (end_.last.n != 0 || claim_.epoch != 0) return fail(Fault::conflict, "the journal is not empty");
        if (auto ok = write_closed(options_.directory, why); !ok) return std::unexpected(std::move(ok).error());
        const std::uint32_t epoch = start.epoch + 1;
        if (auto ok = begin_.run(); !ok) return std::unexpected(std::move(ok).error());
        Result<void> done = put_meta_.run(Text{"epoch"}, epoch);
        if (done) done = put_meta_.run(Text{"history"}, start.history.n);
        if (done && start.last) done = put_meta_.run(Text{"trimmed"}, start.last.n);
        if (done = stop_unless_harmless(end_transaction(std::move(done))); !done)
            return std::unexpected(std::move(done).error());
        claim_ = {.token_hi = me.token_hi, .token_lo = me.token_lo, .epoch = epoch};
        stored_epoch_ = epoch;
        owner_ = me.name;
        address_ = me.address;
        ++beat_;
        history_ = start.history;
        trimmed_ = start.last.n;
        end_ = {.last = start.last, .chain = start.chain};
    }
    const std::lock_guard lock(upkeep_mutex_);
    appended_ = start.last.n;
    return claim_;
}

Result<void> SqliteJournal::each_kept(BodyKind kind, const KeptVisitor& visit) {
    MUST(kind != BodyKind::body);
    auto db = Database::open(path(kJournalFile), Access::read, options_.vfs);
    if (!db) return std::unexpected(std::move(db).error());
    auto rows =
        db->prepare(kind == BodyKind::taken ? "SELECT hi, lo, entry FROM taken"
                                            : "SELECT id, at_us, directory, bytes FROM result_segment ORDER BY id");
    if (!rows) return std::unexpected(std::move(rows).error());
    for (;;) {
        const auto row = rows->step();
        if (!row) return std::unexpected(row.error());
        if (!*row) return {};
        if (kind == BodyKind::taken) {
            const TaskId task{.hi = static_cast<std::uint64_t>(rows->integer(0)),
                              .lo = static_cast<std::uint64_t>(rows->integer(1))};
            if (auto ok = visit(task, rows->bytes(2), {}); !ok) return ok;
            continue;
        }
        const std::string name = "result_segment " + std::to_string(rows->integer(0)) + ": ";
        const auto entries = Segments::read_directory(rows->bytes(2));
        Result<void> whole = entries ? Segments::check_bytes(rows->bytes(2), rows->bytes(3))
                                     : Result<void>(std::unexpected(entries.error()));
        if (!whole) return fail(whole.error().fault, name + whole.error().what);
        std::size_t offset = 0;
        for (const Segments::Entry& entry : *entries) {
            const std::string_view bytes = rows->bytes(3).substr(std::min(offset, rows->bytes(3).size()), entry.length);
            const auto found = results_.find(entry.task);
            const bool alive = found && found->place.segment == static_cast<std::uint64_t>(rows->integer(0)) &&
                               found->place.offset == offset;
            offset += entry.length;
            if (!alive) continue;
            if (auto ok = visit(entry.task, bytes, {rows->integer(1)}); !ok) return ok;
        }
    }
}

}  // namespace nexus::store
