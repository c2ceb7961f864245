// Appending, reading and trimming. Opening and recovery are in journal_open.cc.
#include "store/sqlite/sqlite_journal.h"

#include <algorithm>
#include <chrono>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"
#include "base/system_clock.h"
#include "store/sqlite/batch_sequence.h"
#include "store/sqlite/journal_schema.h"
#include "store/sqlite/snapshot_files.h"

namespace nexus::store {
namespace {

// Trimmed batches are deleted a slice per append: the pages of a long journal take too long to free at once.
constexpr std::int64_t kBatchesPerSlice = 32;
constexpr std::size_t kPrefetched = 16;  // bodies, of which the places are fetched into the cache at once
constexpr const char* kFailed = "the journal failed before; the process must end";

}  // namespace

SqliteJournal::SqliteJournal(SqliteJournalOptions options)
    : options_(std::move(options)),
      bodies_({.table = "body", .cache_bytes_max = options_.body_cache_bytes_max}),
      results_({.table = "result", .cache_bytes_max = options_.result_cache_bytes_max, .expires = true}),
      reserve_(path("journal.reserve"), options_.reserve_bytes) {}

SqliteJournal::~SqliteJournal() {
    {
        const std::lock_guard lock(upkeep_mutex_);
        ending_ = true;
    }
    upkeep_wake_.notify_all();
    appended_wake_.notify_all();
    if (upkeep_thread_.joinable()) upkeep_thread_.join();
}

WallTime SqliteJournal::now() const {
    return options_.now ? options_.now() : system_wall();
}

Result<Head> SqliteJournal::head() {
    Head head;
    {
        const std::lock_guard lock(writer_mutex_);
        if (failed_) return fail(Fault::failed, kFailed);
        if (disk_full_ && reserve_.hold()) disk_full_ = false;
        head.claim = claim_;
        head.owner = owner_;
        head.address = address_;
        head.wish = wish_;
        head.beat = beat_;
        head.last = end_.last;
        head.chain = end_.chain.value_or(0);
        head.history = history_;
    }
    head.level = options_.level;
    head.low_on_space = disk_full_;
    // A body is written to the WAL and then to the database.
    if (options_.reserve_bytes != 0) head.reserve_bytes = options_.reserve_bytes / 2;
    const std::lock_guard lock(snapshot_mutex_);
    const auto kept = snapshot_files(options_.directory);
    if (!kept) return std::unexpected(kept.error());
    if (!kept->empty()) head.snapshot = kept->back();
    return head;
}

Result<Claim> SqliteJournal::claim(const Head& observed, const Claimant& me) {
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, kFailed);
    const auto why = closed_journal(options_.directory);
    if (!why) return std::unexpected(why.error());
    if (!why->empty()) return fail(Fault::failed_state, "the journal is closed: " + *why);
    const bool wished = !wish_.empty() && (wish_ == me.name || wish_ == "any");
    const bool unmoved = claim_ == observed.claim && end_.last == observed.last && beat_ == observed.beat;
    if (claim_.epoch != observed.claim.epoch || (!unmoved && !wished))
        return fail(Fault::conflict, "the journal has moved since it was observed; its owner is " + owner_);
    claim_ = {.token_hi = me.token_hi, .token_lo = me.token_lo, .epoch = claim_.epoch + 1};
    owner_ = me.name;
    address_ = me.address;
    wish_.clear();
    ++beat_;
    return claim_;
}

Result<void> SqliteJournal::check(const Claim& claim) const {
    if (failed_) return fail(Fault::failed, kFailed);
    if (claim && claim == claim_) return {};
    return fail(Fault::superseded, "the journal belongs to " + owner_ + " since epoch " + std::to_string(claim_.epoch));
}

Result<void> SqliteJournal::renew(const Claim& claim, std::string_view wish) {
    const std::lock_guard lock(writer_mutex_);
    if (auto ok = check(claim); !ok) return ok;
    wish_ = wish;
    ++beat_;
    return {};
}

Result<Appended> SqliteJournal::append(const Claim& claim, std::span<const JournalBatch> batches) {
    Appended appended;
    std::uint64_t last = 0;
    bool due = false;
    {
        const std::lock_guard lock(writer_mutex_);
        if (auto ok = check(claim); !ok) return std::unexpected(std::move(ok).error());
        const auto how = joins(batches, end_);
        if (!how) return std::unexpected(how.error());
        if (disk_full_ && reserve_.hold()) disk_full_ = false;
        if (*how == Joins::again) return Appended{.again = true, .low_on_space = disk_full_};
        Result<void> done = append_once(batches);
        if (!done && done.error().fault == Fault::no_space && reserve_.held()) {
            reserve_.release();
            disk_full_ = true;
            done = append_once(batches);
        }
        if (done) done = checkpoint_from(2 * options_.checkpoint_bytes);
        if (done = stop_unless_harmless(std::move(done)); !done) return std::unexpected(std::move(done).error());
        appended.low_on_space = disk_full_;
        last = end_.last.n;
        due = checkpoint_due(options_.checkpoint_bytes);
    }
    {
        const std::lock_guard lock(upkeep_mutex_);
        appended_ = last;
        if (waiting_ > 0) appended_wake_.notify_all();
        upkeep_due_ = upkeep_due_ || due;
    }
    if (due) upkeep_wake_.notify_one();
    return appended;
}

Result<void> SqliteJournal::upkeep() {
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, kFailed);
    return stop_unless_harmless(checkpoint_from(options_.checkpoint_bytes));
}

// What goes wrong here is told by the next append: the store has failed.
void SqliteJournal::upkeep_loop() {
    for (;;) {
        {
            std::unique_lock lock(upkeep_mutex_);
            upkeep_wake_.wait(lock, [&] { return ending_ || upkeep_due_; });
            if (ending_) return;
            upkeep_due_ = false;
        }
        if (!upkeep()) return;
    }
}

Result<void> SqliteJournal::stop_unless_harmless(Result<void> done) {
    if (!done && done.error().fault != Fault::no_space && done.error().fault != Fault::invalid) failed_ = true;
    return done;
}

Result<void> SqliteJournal::append_once(std::span<const JournalBatch> batches) {
    if (auto ok = begin_.run(); !ok) return ok;
    Result<void> ok = write_bodies(batches);
    if (ok) ok = write_results(batches);
    if (ok) ok = write_batches(batches);
    if (ok) ok = write_marks(batches);
    if (ok && trim_left_) ok = delete_trimmed();
    ok = end_transaction(std::move(ok));
    if (!ok) return ok;
    stored_epoch_ = claim_.epoch;
    for (const JournalBatch& batch : batches) {
        if (batch.count > 0) end_ = {.last = {batch.first.n + batch.count - 1}, .chain = batch.chain};
        history_ = std::max(history_, batch.history_upto);
    }
    return ok;
}

Result<void> SqliteJournal::write_marks(std::span<const JournalBatch> batches) {
    Sequence history = history_;
    for (const JournalBatch& batch : batches) {
        for (const BodyPut& put : batch.taken)
            if (auto ok = put_taken_.run(put.task.hi, put.task.lo, put.body); !ok) return ok;
        for (const TaskId task : batch.untaken)
            if (auto ok = drop_taken_.run(task.hi, task.lo); !ok) return ok;
        history = std::max(history, batch.history_upto);
    }
    // A claim is stored with the first thing that its owner appends: a start on a full disk writes nothing.
    if (stored_epoch_ != claim_.epoch)
        if (auto ok = put_meta_.run(Text{"epoch"}, claim_.epoch); !ok) return ok;
    if (history == history_) return {};
    return put_meta_.run(Text{"history"}, history.n);
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
        const std::span<const TaskId> drops = batches[i].drops;
        for (std::size_t n = 0; n < drops.size(); ++n) {
            if (n % kPrefetched == 0) bodies_.prefetch(drops.subspan(n, std::min(kPrefetched, drops.size() - n)));
            const TaskId task = drops[n];
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
        for (const BodyPut& put : batch.results) body_views_.push_back({.task = put.task, .bytes = put.body});
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

bool SqliteJournal::checkpoint_due(std::uint64_t wal_bytes) {
    // The WAL starts again from its first frame when a checkpoint has copied it all and no reader needs it.
    if (wal_frames_ < checkpointed_frames_) checkpointed_frames_ = 0;
    return wal_frames_ - checkpointed_frames_ >= static_cast<int>(wal_bytes / kPageBytes);
}

// A failed checkpoint loses nothing: the WAL still has all. A full disk ends here quietly; a broken one fails the next
// sync of the WAL, which stops the store.
Result<void> SqliteJournal::checkpoint_from(std::uint64_t wal_bytes) {
    if (!checkpoint_due(wal_bytes)) return {};
    const int code = sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    checkpointed_frames_ = wal_frames_;
    // Beside a reader, or without space, it is made up for by a later one. After a failed sync a later one would
    // believe pages to be on disk that are not, and let go of their copies in the WAL.
    if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED) return {};
    if (sqlite::fault_of(code, sqlite3_system_errno(writer_.handle())) == Fault::no_space) return {};
    return fail(Fault::failed,
                "checkpoint: " + std::string(sqlite3_errstr(code)) + " (code " + std::to_string(code) + ")");
}

Result<void> SqliteJournal::read(Sequence after, Duration wait, const BatchVisitor& visit) {
    if (wait.us > 0) {
        std::unique_lock lock(upkeep_mutex_);
        ++waiting_;
        appended_wake_.wait_for(lock, std::chrono::microseconds(wait.us),
                                [&] { return appended_ > after.n || ending_; });
        --waiting_;
    }
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

Result<void> SqliteJournal::put_snapshot(Sequence at, const SnapshotSource& source) {
    if (options_.level == Durability::process) {
        // A snapshot is synced, so the batches it includes must be: a checkpoint syncs the WAL first.
        const std::lock_guard lock(writer_mutex_);
        if (failed_) return fail(Fault::failed, kFailed);
        const int code =
            sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
        if (code != SQLITE_OK)
            return fail(sqlite::fault_of(code, sqlite3_system_errno(writer_.handle())), "syncing the journal");
        checkpointed_frames_ = wal_frames_;
    }
    {
        const std::lock_guard lock(snapshot_mutex_);
        const auto kept = snapshot_files(options_.directory);
        if (!kept) return std::unexpected(kept.error());
        if (!kept->empty() && at < kept->back()) return {};
        if (auto ok = write_snapshot_file(options_.directory, at, source); !ok) return ok;
    }
    return trim();
}

Result<Sequence> SqliteJournal::get_snapshot(Kept which, const SnapshotSink& sink) {
    const std::lock_guard lock(snapshot_mutex_);
    const auto kept = snapshot_files(options_.directory);
    if (!kept) return std::unexpected(kept.error());
    const std::size_t from_end = which == Kept::newest ? 1 : 2;
    if (kept->size() < from_end) return Sequence{};
    const Sequence at = (*kept)[kept->size() - from_end];
    if (auto ok = read_snapshot_file(options_.directory, at, sink); !ok) return std::unexpected(std::move(ok).error());
    return at;
}

// Drops the batches that both snapshots cover.
Result<void> SqliteJournal::trim() {
    std::uint64_t upto = 0;
    {
        const std::lock_guard lock(snapshot_mutex_);
        const auto kept = delete_old_snapshot_files(options_.directory);
        if (!kept) return std::unexpected(kept.error());
        if (kept->size() > 1) upto = kept->front().n;
    }
    const std::lock_guard lock(writer_mutex_);
    if (failed_) return fail(Fault::failed, kFailed);
    if (auto ok = begin_.run(); !ok) return stop_unless_harmless(std::move(ok));
    Result<void> ok = results_.expire(now() - options_.result_age_max, options_.result_bytes_max);
    if (upto > trimmed_.load()) {
        // The batches that go are the only place where their drops are written down.
        if (ok) ok = bodies_.fold_deaths();
        if (ok) ok = put_meta_.run(Text{"trimmed"}, upto);
    }
    ok = stop_unless_harmless(end_transaction(std::move(ok)));
    if (!ok || upto <= trimmed_.load()) return ok;
    trimmed_ = upto;
    trim_left_ = true;
    if (end_.last.n < upto) end_ = {.last = {upto}, .chain = {}};
    return {};
}

std::vector<Body> SqliteJournal::bodies(BodyKind kind, std::span<const TaskId> tasks) {
    std::vector<Body> answers(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (kind != BodyKind::taken) {
            if (i % kPrefetched == 0)
                (kind == BodyKind::body ? bodies_ : results_)
                    .prefetch(tasks.subspan(i, std::min(kPrefetched, tasks.size() - i)));
            answers[i] = kind == BodyKind::body ? stored(bodies_, select_body_, tasks[i])
                                                : stored(results_, select_result_, tasks[i]);
            continue;
        }
        const std::lock_guard lock(reader_mutex_);
        select_taken_.bind(tasks[i].hi, tasks[i].lo);
        const auto row = select_taken_.step();
        if (!row)
            answers[i] = {.state = Body::State::unreachable, .bytes = {}, .why = row.error().what};
        else if (*row)
            answers[i] = {.state = Body::State::found, .bytes = std::string(select_taken_.bytes(0)), .why = {}};
        else
            answers[i].why = "it is not stored";
        select_taken_.reset();
    }
    return answers;
}

Body SqliteJournal::stored(Segments& segments, Statement& select, TaskId task) {
    const auto missing = [](std::string why) { return Body{.bytes = {}, .why = std::move(why)}; };
    const auto found_body = [](std::string bytes) {
        return Body{.state = Body::State::found, .bytes = std::move(bytes), .why = {}};
    };
    for (;;) {
        const auto found = segments.find(task);
        if (!found) return missing("it is not stored");
        const Place& place = found->place;
        const std::string name = "segment " + std::to_string(place.segment);
        if (found->segment) return found_body(found->segment->substr(place.offset, place.length));

        const std::lock_guard lock(reader_mutex_);
        select.bind(place.segment);
        const auto row = select.step();
        Result<void> ok;
        std::shared_ptr<const std::string> bytes;
        if (row && *row) {
            ok = Segments::check_bytes(select.bytes(0), select.bytes(1));
            if (ok) bytes = std::make_shared<const std::string>(select.bytes(1));
        }
        select.reset();
        if (!row && row.error().fault == Fault::corrupt) return missing(name + ": " + row.error().what);
        if (!row) return {.state = Body::State::unreachable, .bytes = {}, .why = name + ": " + row.error().what};
        if (!ok) return missing(name + ": " + ok.error().what);
        // The segment may have been rewritten between the two looks: then the index already tells the new place.
        if (!bytes) {
            const auto again = segments.find(task);
            if (again && again->place == place && !again->segment) return missing(name + " has vanished");
            continue;
        }
        if (place.offset + std::uint64_t{place.length} > bytes->size())
            return missing(name + " is shorter than its directory");
        std::string body = bytes->substr(place.offset, place.length);
        segments.cache(place.segment, std::move(bytes));
        return found_body(std::move(body));
    }
}

}  // namespace nexus::store
