// Appending, reading and trimming. Opening and recovery are in journal_open.cc.
#include "store/sqlite/sqlite_journal.h"

#include <algorithm>
#include <chrono>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"
#include "store/sqlite/batch_sequence.h"
#include "store/sqlite/journal_schema.h"
#include "store/sqlite/snapshot_files.h"

namespace nexus::store {
namespace {

// Trimmed batches are deleted a slice per append: the pages of a long journal take too long to free at once.
constexpr std::int64_t kBatchesPerSlice = 32;

}  // namespace

SqliteJournal::SqliteJournal(SqliteJournalOptions options)
    : options_(std::move(options)),
      bodies_({.table = "body", .cache_bytes_max = options_.body_cache_bytes_max}),
      results_({.table = "result", .cache_bytes_max = options_.result_cache_bytes_max, .expires = true}),
      reserve_(path("journal.reserve"), options_.reserve_bytes) {}

SqliteJournal::~SqliteJournal() = default;

WallTime SqliteJournal::now() const {
    if (options_.now) return options_.now();
    const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count()};
}

Result<void> SqliteJournal::append(std::span<const JournalBatch> batches) {
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
    const bool has_puts = std::ranges::any_of(batches, [](const JournalBatch& b) { return !b.puts.empty(); });
    if (disk_full_ && reserve_.hold()) disk_full_ = false;
    if (disk_full_ && has_puts) return fail(Fault::no_space, "the disk is full: no new tasks until it is not");
    Result<void> done = append_once(batches);
    if (!done && done.error().fault == Fault::no_space && !has_puts && reserve_.held()) {
        reserve_.release();
        disk_full_ = true;
        done = append_once(batches);
    }
    if (done) done = checkpoint_from(2 * options_.checkpoint_bytes);
    return stop_unless_harmless(std::move(done));
}

Result<void> SqliteJournal::tidy() {
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
    return stop_unless_harmless(checkpoint_from(options_.checkpoint_bytes));
}

Result<void> SqliteJournal::stop_unless_harmless(Result<void> done) {
    if (!done && done.error().fault != Fault::no_space && done.error().fault != Fault::invalid) failed_ = true;
    return done;
}

Result<void> SqliteJournal::append_once(std::span<const JournalBatch> batches) {
    std::uint64_t next = next_;
    if (auto ok = check_sequence(batches, next); !ok) return ok;
    if (auto ok = begin_.run(); !ok) return ok;
    Result<void> ok = write_bodies(batches);
    if (ok) ok = write_results(batches);
    if (ok) ok = write_batches(batches);
    if (ok && trim_left_) ok = delete_trimmed();
    ok = end_transaction(std::move(ok));
    if (ok) next_ = next;
    return ok;
}

Result<void> SqliteJournal::check_sequence(std::span<const JournalBatch> batches, std::uint64_t& next) const {
    for (const JournalBatch& batch : batches) {
        if (batch.count == 0) continue;
        if (batch.first.n == 0 || (next != 0 && batch.first.n != next))
            return fail(Fault::invalid, "batch starts at sequence " + std::to_string(batch.first.n) + ", expected " +
                                            std::to_string(next));
        next = batch.first.n + batch.count;
    }
    return {};
}

// Commits when all went well; otherwise nothing of the transaction remains, neither on disk nor in memory.
Result<void> SqliteJournal::end_transaction(Result<void> changes) {
    if (changes) changes = commit_.run();
    if (changes) {
        bodies_.commit();
        results_.commit();
    } else {
        writer_.rollback();
        bodies_.roll_back();
        results_.roll_back();
    }
    return changes;
}

Result<void> SqliteJournal::write_bodies(std::span<const JournalBatch> batches) {
    // The drops of each batch, as they are stored with it, and those of bodies that this very call brings.
    std::vector<TaskId> not_stored_yet;
    drops_.resize(std::max(drops_.size(), batches.size()));
    bool loose_drops = false;
    for (std::size_t i = 0; i < batches.size(); ++i) {
        drops_[i].clear();
        Writer w(drops_[i]);
        for (const TaskId task : batches[i].drops) {
            if (!bodies_.drop(task)) {
                not_stored_yet.push_back(task);
                continue;
            }
            w.u64(task.hi);
            w.u64(task.lo);
        }
        if (!drops_[i].empty()) {
            w.u32(crc32c(drops_[i]));
            loose_drops = loose_drops || batches[i].count == 0;
        }
    }
    if (auto ok = bodies_.compact(); !ok) return ok;
    std::ranges::sort(not_stored_yet);
    body_views_.clear();
    std::uint64_t first = 0;
    for (const JournalBatch& batch : batches) {
        if (first == 0) first = batch.first.n;
        for (const BodyPut& put : batch.puts)
            if (!std::ranges::binary_search(not_stored_yet, put.task))
                body_views_.push_back({.task = put.task, .bytes = put.body});
    }
    if (auto ok = bodies_.put(body_views_, first, {}); !ok) return ok;
    // Drops without a batch to be stored with are made durable in their segments.
    if (loose_drops)
        if (auto ok = bodies_.fold_deaths(); !ok) return ok;
    return bodies_.delete_empty();
}

Result<void> SqliteJournal::write_results(std::span<const JournalBatch> batches) {
    body_views_.clear();
    std::uint64_t first = 0;
    for (const JournalBatch& batch : batches) {
        if (first == 0) first = batch.first.n;
        for (const ResultPut& put : batch.results) body_views_.push_back({.task = put.task, .bytes = put.body});
    }
    if (body_views_.empty()) return {};
    const WallTime at = now();
    if (auto ok = results_.expire(at - options_.result_age_max, options_.result_bytes_max); !ok) return ok;
    return results_.put(body_views_, first, at);
}

Result<void> SqliteJournal::write_batches(std::span<const JournalBatch> batches) {
    for (std::size_t i = 0; i < batches.size(); ++i) {
        const JournalBatch& batch = batches[i];
        if (batch.count == 0) continue;
        if (auto ok = insert_batch_.run(batch.first.n, batch.count, drops_[i], batch.bytes); !ok) return ok;
    }
    return {};
}

Result<void> SqliteJournal::delete_trimmed() {
    if (auto ok = delete_batches_.run(trimmed_.load(), kBatchesPerSlice); !ok) return ok;
    trim_left_ = writer_.changes() == kBatchesPerSlice;
    return {};
}

int SqliteJournal::note_wal_frames(void* self, sqlite3*, const char*, int frames) {
    static_cast<SqliteJournal*>(self)->wal_frames_ = frames;
    return SQLITE_OK;
}

// A failed checkpoint loses nothing: the WAL still has all. A full disk ends here quietly; a broken one fails the next
// sync of the WAL, which stops the store.
Result<void> SqliteJournal::checkpoint_from(std::uint64_t wal_bytes) {
    // The WAL starts again from its first frame when a checkpoint has copied it all and no reader needs it.
    if (wal_frames_ < checkpointed_frames_) checkpointed_frames_ = 0;
    const auto due = static_cast<int>(wal_bytes / kPageBytes);
    if (wal_frames_ - checkpointed_frames_ < due) return {};
    const int code = sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    checkpointed_frames_ = wal_frames_;
    // Beside a reader, or without space, it is made up for by a later one. After a failed sync a later one would
    // believe pages to be on disk that are not, and let go of their copies in the WAL.
    if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED) return {};
    if (sqlite::fault_of(code, sqlite3_system_errno(writer_.handle())) == Fault::no_space) return {};
    return fail(Fault::failed,
                "checkpoint: " + std::string(sqlite3_errstr(code)) + " (code " + std::to_string(code) + ")");
}

Result<void> SqliteJournal::read(Sequence after, const std::function<Result<void>(Sequence, std::string_view)>& visit) {
    auto db = Database::open(path(kJournalFile), Access::read, options_.vfs);
    if (!db) return std::unexpected(std::move(db).error());
    auto rows = db->prepare(kSelectBatches);
    if (!rows) return std::unexpected(std::move(rows).error());
    rows->bind(after.n, trimmed_.load());
    for (;;) {
        const auto row = rows->step();
        if (!row) return std::unexpected(row.error());
        if (!*row) return {};
        const StoredBatch batch = stored_batch(*rows);
        if (auto ok = visit(batch.first, batch.bytes); !ok) return ok;
    }
}

Result<void> SqliteJournal::put_snapshot(const StoredSnapshot& snapshot) {
    if (options_.level == Durability::process) {
        // A snapshot is synced, so the batches it includes must be: a checkpoint syncs the WAL first.
        const std::lock_guard lock(writer_mutex_);
        if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
        const int code =
            sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
        if (code != SQLITE_OK)
            return fail(sqlite::fault_of(code, sqlite3_system_errno(writer_.handle())), "syncing the journal");
        checkpointed_frames_ = wal_frames_;
    }
    const std::lock_guard lock(snapshot_mutex_);
    return write_snapshot_file(options_.directory, snapshot);
}

Result<std::optional<StoredSnapshot>> SqliteJournal::get_snapshot() {
    const std::lock_guard lock(snapshot_mutex_);
    return read_newest_snapshot_file(options_.directory);
}

Result<void> SqliteJournal::trim(Sequence upto) {
    {
        const std::lock_guard lock(snapshot_mutex_);
        const auto newest = newest_snapshot_file(options_.directory);
        if (!newest) return std::unexpected(newest.error());
        if (*newest < upto)
            return fail(Fault::invalid, "trim up to " + std::to_string(upto.n) + " is beyond the newest snapshot");
    }
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
    if (upto.n > trimmed_.load()) {
        if (auto ok = begin_.run(); !ok) return stop_unless_harmless(std::move(ok));
        // The batches that go are the only place where their drops are written down.
        Result<void> ok = bodies_.fold_deaths();
        if (ok) ok = put_trimmed_.run(upto.n);
        if (ok) ok = results_.expire(now() - options_.result_age_max, options_.result_bytes_max);
        ok = stop_unless_harmless(end_transaction(std::move(ok)));
        if (!ok) return ok;
        trimmed_ = upto.n;
        trim_left_ = true;
        if (next_ <= upto.n) next_ = upto.n + 1;
    }
    const std::lock_guard snapshot_lock(snapshot_mutex_);
    return delete_older_snapshot_files(options_.directory);
}

Result<std::string> SqliteJournal::body(TaskId task) {
    return stored(bodies_, select_body_, task, "body");
}

Result<std::string> SqliteJournal::result(TaskId task) {
    return stored(results_, select_result_, task, "result");
}

bool SqliteJournal::has_body(TaskId task) {
    return bodies_.find(task).has_value();
}

Result<std::string> SqliteJournal::stored(Segments& segments, Statement& select, TaskId task, const char* what) {
    for (;;) {
        const auto found = segments.find(task);
        if (!found) return fail(Fault::not_found, std::string("no ") + what + " of task " + to_text(task));
        const Place& place = found->place;
        if (found->segment) return found->segment->substr(place.offset, place.length);

        const std::lock_guard lock(reader_mutex_);
        select.bind(place.segment);
        const auto row = select.step();
        if (!row) return std::unexpected(row.error());
        Result<void> ok;
        std::shared_ptr<const std::string> bytes;
        if (*row) {
            ok = Segments::check_bytes(select.bytes(0), select.bytes(1));
            if (ok) bytes = std::make_shared<const std::string>(select.bytes(1));
        }
        select.reset();
        if (!ok) return std::unexpected(std::move(ok).error().during(std::string(what) + " of task " + to_text(task)));
        // The segment may have been rewritten between the two looks: then the index already tells the new place.
        if (!bytes) {
            const auto again = segments.find(task);
            if (again && again->place == place && !again->segment)
                return fail(Fault::corrupt, "segment " + std::to_string(place.segment) + " has vanished");
            continue;
        }
        if (place.offset + std::uint64_t{place.length} > bytes->size())
            return fail(Fault::corrupt, "segment " + std::to_string(place.segment) + " is shorter than its directory");
        std::string body = bytes->substr(place.offset, place.length);
        segments.cache(place.segment, std::move(bytes));
        return body;
    }
}

}  // namespace nexus::store
