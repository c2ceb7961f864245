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
//   Full disk    no_space, nothing stored. Batches without new bodies may use a reserve of disk space, given back to
//                the file system when the disk is full and taken again when it is not; until then new bodies are
//                refused
//   Fail-stop    after any other failed write or sync every method answers failed: the process must end (C17)

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sqlite/database.h"
#include "store/journal_store.h"
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

class SqliteJournal final : public JournalStore {
public:
    // Faults: conflict (another process holds it: names the pid), unsupported (newer format), corrupt (damage before
    // the end, with its place), denied, no_space, failed.
    static Result<std::unique_ptr<SqliteJournal>> open(SqliteJournalOptions options);
    ~SqliteJournal() override;

    Result<void> append(std::span<const JournalBatch> batches) override;
    // Checkpoints when checkpoint_bytes of WAL have gathered. append() does so itself when it finds twice as much.
    Result<void> tidy() override;
    Result<void> read(Sequence after,
                      const std::function<Result<void>(Sequence first, std::string_view bytes)>& visit) override;
    Result<void> put_snapshot(const StoredSnapshot& snapshot) override;
    Result<std::optional<StoredSnapshot>> get_snapshot() override;
    Result<void> trim(Sequence upto) override;
    Result<std::string> body(TaskId task) override;
    Result<std::string> result(TaskId task) override;
    bool has_body(TaskId task) override;
    Durability level() const override { return options_.level; }

    const OpenReport& open_report() const { return report_; }
    Segments::Totals body_totals() { return bodies_.totals(); }
    // True while the reserve is given away: new bodies are refused.
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
    Result<void> check_sequence(std::span<const JournalBatch> batches, std::uint64_t& next) const;
    Result<void> end_transaction(Result<void> changes);
    Result<void> delete_trimmed();
    static int note_wal_frames(void* self, sqlite3* db, const char* name, int frames);
    Result<void> checkpoint_from(std::uint64_t wal_bytes);
    Result<void> stop_unless_harmless(Result<void> done);
    Result<std::string> stored(Segments& segments, Statement& select, TaskId task, const char* what);
    std::string path(const std::string& name) const { return options_.directory + "/" + name; }
    WallTime now() const;

    SqliteJournalOptions options_;
    OpenReport report_;
    std::optional<DirectoryLock> lock_;
    Segments bodies_;
    Segments results_;

    std::mutex writer_mutex_;  // guards the writer connection and all down to the next mutex
    Database writer_;
    Statement begin_, commit_, insert_batch_, delete_batches_, put_trimmed_;
    SpaceReserve reserve_;
    std::uint64_t next_ = 0;            // the sequence the next batch must start with; 0 = any
    int wal_frames_ = 0;                // in the WAL since it started again
    int checkpointed_frames_ = 0;       // of these, copied to the database
    bool trim_left_ = false;            // trimmed batches are still stored
    std::vector<std::string> drops_;    // scratch: the drops of each batch as stored
    std::vector<BodyView> body_views_;  // scratch

    std::mutex reader_mutex_;  // guards the reader connection
    Database reader_;
    Statement select_body_, select_result_;

    std::mutex snapshot_mutex_;               // one snapshot is written or read at a time
    std::atomic<std::uint64_t> trimmed_ = 0;  // batches up to here are dropped
    std::atomic<bool> failed_ = false;
    std::atomic<bool> disk_full_ = false;
};

}  // namespace nexus::store
