#pragma once
// The embedded journal: journal.db (SQLite, WAL) in a private directory, snapshots as files beside it. Formats, schema
// and recovery are in docs/journal.md.
//
//   One writer   one connection does all writes and all checkpoints (SQLite before 3.51.3 can corrupt a database when
//                two connections write and checkpoint at once); readers never checkpoint
//   Durability   level disk: synced before append() returns (synchronous=FULL); level process: survives the end of the
//                process, not of the machine (NORMAL)
//   Bodies       in segments (sqlite/segments.h): a bounded cache in memory, the rest read when asked for. Drops are
//                part of their batch, so a crash never brings a dropped body back
//   Full disk    a reserve of disk space is given back to the file system when the disk is full and taken again when it
//                is not; until then low_on_space is told. What finds no room in it either is refused (no_space)
//   Claim        the lock on the directory is the claim: it needs no renewal. The epoch is kept in the database
//   Upkeep       a thread of its own checkpoints when 4 MiB of WAL have gathered; put_snapshot() trims
//   Fail-stop    after any other failed write or sync every method answers failed: the process must end (C17)

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sqlite/database.h"
#include "store/movable_journal.h"
#include "store/sqlite/data_directory.h"
#include "store/sqlite/segments.h"

namespace nexus::store {

using sqlite::Access, sqlite::Database, sqlite::Statement, sqlite::Text;

struct SqliteJournalOptions {
    std::string directory;
    Durability level = Durability::disk;  // disk or process
    std::uint64_t body_cache_bytes_max = 64ULL << 20;
    std::uint64_t result_cache_bytes_max = 8ULL << 20;
    Duration result_age_max = hours(24);
    std::uint64_t result_bytes_max = 1ULL << 30;  // the oldest go first
    std::uint64_t reserve_bytes = 64ULL << 20;    // 0 = no reserve
    std::uint64_t checkpoint_bytes = 4ULL << 20;  // of WAL; see bench/store_bench.cc for what it costs
    bool upkeep_thread = true;                    // false: the owner calls upkeep() itself
    bool cut_damage = false;                      // open a damaged journal by cutting it before the damage
    std::function<WallTime()> now;                // for the age of results; empty = the system's clock
    std::string vfs;                              // empty = the system's
};

// What opening found and did.
struct OpenReport {
    std::uint64_t batches = 0;
    std::uint64_t bodies = 0;
    std::uint64_t results = 0;
    Sequence last;                  // of the journal; 0 = empty
    std::uint64_t batches_cut = 0;  // torn or damaged, moved to the table `cut`
    Sequence cut_from;
    std::string cut_reason;
};

// Why the journal in the directory is closed (see MovableJournal), as its file journal.closed says; empty = it is not.
Result<std::string> closed_journal(const std::string& directory);
bool holds_journal(const std::string& directory);
// Moves the files of a journal that nobody has open to `journal.before` in the directory, instead of what lies there.
// Answers where that is.
Result<std::string> put_journal_aside(const std::string& directory);

class SqliteJournal final : public MovableJournal {
public:
    // Faults: conflict (another process holds it: names the pid), unsupported (newer format), corrupt (damage before
    // the end, with its place), denied, no_space, failed.
    static Result<std::unique_ptr<SqliteJournal>> open(SqliteJournalOptions options);
    ~SqliteJournal() override;

    Result<Head> head() override;
    Result<Claim> claim(const Head& observed, const Claimant& me) override;
    Result<void> renew(const Claim& claim, std::string_view wish) override;
    Result<Appended> append(const Claim& claim, std::span<const JournalBatch> batches) override;
    Result<void> read(Sequence after, Duration wait, const BatchVisitor& visit) override;
    std::vector<Body> bodies(BodyKind kind, std::span<const TaskId> tasks) override;
    Result<void> put_snapshot(Sequence at, const SnapshotSource& source) override;
    Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) override;
    Result<void> each_kept(BodyKind kind, const KeptVisitor& visit) override;
    Result<std::string> closed() override;
    Result<void> close(const Claim& claim, std::string_view why) override;
    Result<Claim> begin_copy(const CopyStart& start, const Claimant& me, std::string_view why) override;

    // Checkpoints when checkpoint_bytes of WAL have gathered. append() does so itself when it finds twice as much.
    // Called by the store's own thread unless the options say otherwise. Faults as of append().
    Result<void> upkeep();
    const OpenReport& open_report() const { return report_; }
    Segments::Totals body_totals() { return bodies_.totals(); }
    // True while the reserve is given away.
    bool disk_full() const { return disk_full_; }

private:
    explicit SqliteJournal(SqliteJournalOptions options);
    Result<void> start();
    Result<void> recover();
    Result<void> recover_batches();
    Result<void> repeat_drops();
    Result<void> cut(Sequence from, const std::string& reason);

    Result<void> append_once(std::span<const JournalBatch> batches);
    Result<void> write_batches(std::span<const JournalBatch> batches);
    Result<void> write_bodies(std::span<const JournalBatch> batches);
    Result<void> write_results(std::span<const JournalBatch> batches);
    Result<void> write_marks(std::span<const JournalBatch> batches);
    Result<void> check(const Claim& claim) const;
    Result<void> end_transaction(Result<void> changes);
    Result<void> delete_trimmed();
    static int note_wal_frames(void* self, sqlite3* db, const char* name, int frames);
    bool checkpoint_due(std::uint64_t wal_bytes);
    Result<void> checkpoint_from(std::uint64_t wal_bytes);
    Result<void> stop_unless_harmless(Result<void> done);
    Result<void> trim();
    void upkeep_loop();
    Body stored(Segments& segments, Statement& select, TaskId task);
    std::string path(const std::string& name) const { return options_.directory + "/" + name; }
    WallTime now() const;

    SqliteJournalOptions options_;
    OpenReport report_;
    std::optional<DirectoryLock> lock_;
    Segments bodies_;
    Segments results_;

    std::mutex writer_mutex_;  // guards the writer connection and all down to the next mutex
    Database writer_;
    Statement begin_, commit_, insert_batch_, delete_batches_, put_meta_, put_taken_, drop_taken_;
    SpaceReserve reserve_;
    Position end_;
    Claim claim_;
    std::uint32_t stored_epoch_ = 0;
    std::string owner_, address_, wish_;
    std::uint64_t beat_ = 0;
    Sequence history_;
    int wal_frames_ = 0;                // in the WAL since it started again
    int checkpointed_frames_ = 0;       // of these, copied to the database
    bool trim_left_ = false;            // trimmed batches are still stored
    std::vector<std::string> drops_;    // scratch: the drops of each batch as stored
    std::vector<BodyView> body_views_;  // scratch

    std::mutex reader_mutex_;  // guards the reader connection
    Database reader_;
    Statement select_body_, select_result_, select_taken_;

    std::mutex upkeep_mutex_;  // guards the next five; never held together with another
    std::condition_variable upkeep_wake_, appended_wake_;
    std::uint64_t appended_ = 0;  // where the journal ends, for read()
    int waiting_ = 0;             // calls of read()
    bool upkeep_due_ = false;
    bool ending_ = false;
    std::thread upkeep_thread_;

    std::mutex snapshot_mutex_;               // one snapshot is written or read at a time
    std::atomic<std::uint64_t> trimmed_ = 0;  // batches up to here are dropped
    std::atomic<bool> failed_ = false;
    std::atomic<bool> disk_full_ = false;
};

}  // namespace nexus::store
