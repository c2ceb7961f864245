#pragma once
// A history whose store may be away, slow, or a black hole: every write is taken at once. What the store does not take
// within a moment goes into files of the spool and from there to the store as soon as it answers, in the order in which it
// came; nobody waits for that. Rows are lost only when the spool is full: the oldest decisions first, then the oldest tasks
// and attempts, never the audit; all that is dropped is counted.
//
// What waits is read with what the store has as long as it fits into memory. Beyond that a task that is not found is
// answered `unreachable`, not "there is none", and so is the audit; lists lag behind.
//
// The files are not synced: as with the embedded history a power cut may lose the last rows, the end of the process none.
//
// Threads: write() and expire() by one thread at a time; everything else by any. One thread of its own sends.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "history/history_store.h"
#include "history/whole_history.h"

namespace nexus::history {

struct SpoolOptions {
    std::string directory;                      // made when it is not there
    std::uint64_t bytes_max = 1ULL << 30;       // of its files
    std::uint64_t memory_bytes_max = 64 << 20;  // of what waits and can be read meanwhile, about
    Duration patience = milliseconds(250);      // that write() waits for the store
    Duration retry_min = milliseconds(500), retry_max = seconds(5);
    // Told when the store goes away (with why) and comes back (without), by the sending thread; it may not call the
    // history. May be empty.
    std::function<void(const Error* why)> changed;
    // Asks whether the store is there; called at the start and while it is away and nothing waits for it. May be empty.
    std::function<Result<void>()> probe;
};

class SpooledHistory final : public HistoryStore {
public:
    // `store` must outlive it. What an earlier process left in the directory is sent first. Faults: denied, invalid (the
    // directory).
    static Result<std::unique_ptr<SpooledHistory>> open(SpoolOptions options, HistoryStore& store);
    // Waits for the store to answer what it is being asked; what waits stays in its files.
    ~SpooledHistory() override;

    // Faults: no_space (the spool's disk is full).
    using HistoryStore::write;
    Result<void> write(std::span<const HistoryBatch* const> batches) override;
    Result<std::optional<TaskRow>> task(TaskId task) override;
    Result<std::vector<AttemptRow>> attempts(std::span<const TaskId> tasks) override;
    Result<std::vector<TaskRow>> tasks(const TaskQuery& query) override;
    Result<std::vector<DecisionRow>> decisions(const DecisionQuery& query) override;
    Result<std::vector<AuditRow>> audit(const AuditQuery& query) override;
    // By the sending thread, when nothing waits; returns when it is done, or after a moment.
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

    std::uint64_t dropped() const override { return health().dropped; }
    HistoryHealth health() const;  // never waits for the store or a disk
    // Returns when nothing waits any more; false: not within the limit.
    bool flush(Duration limit);

private:
    using Clock = std::chrono::steady_clock;
    // What lies in one file; a write is taken apart, so that the bound can take its parts in this order.
    enum class Kind : std::uint8_t { decisions, rows, audit };
    static constexpr Kind kKinds[] = {Kind::decisions, Kind::rows, Kind::audit};
    static const char* suffix_of(Kind kind);
    // One write.
    struct Entry {
        std::uint64_t id = 0;
        std::shared_ptr<const UnwrittenRows> rows;  // null: in files alone
        std::uint64_t count = 0, audit = 0;
    };
    struct Waiting {
        Entry entry;
        int parts = 0;  // files that it lies in
    };
    struct Segment {
        std::string path;
        Kind kind = Kind::rows;
        bool closed = false;  // nothing may follow: its end may be torn
        std::uint64_t bytes = 0, rows = 0;
        std::vector<std::uint64_t> ids;  // of its entries, in order
    };
    SpooledHistory(SpoolOptions options, HistoryStore& store) : options_(std::move(options)), store_(store) {}
    Result<void> find_segments();
    Result<void> keep(const Entry& entry);  // with the lock
    Result<void> append(const Entry& entry, Kind kind, const HistoryBatch& rows);
    void keep_within_bounds();
    void forget(const Segment& segment, bool dropped);
    void send();
    Result<std::uint64_t> send_segment(const Segment& segment);  // rows that could be read
    void tell(const Result<void>& sent);
    Unwritten waiting() const;
    template <class Change>
    void note(Change change) {
        const std::lock_guard lock(health_mutex_);
        change(health_);
    }
    bool lacks(bool audit) const;  // something waits that cannot be read

    const SpoolOptions options_;
    HistoryStore& store_;
    mutable std::mutex mutex_;  // guards all below
    std::condition_variable wake_, sent_;
    std::optional<Entry> direct_;  // to be sent without a file, or being sent
    std::optional<Result<void>> direct_end_;
    std::optional<std::pair<WallTime, std::uint64_t>> expiry_;  // to be done
    std::optional<Result<void>> expiry_end_;
    bool behind_ = false;           // what comes goes into files until these are sent
    std::deque<Segment> segments_;  // oldest first
    std::string sending_;           // the file that is being sent
    std::map<std::uint64_t, Waiting> waiting_;
    std::set<std::uint64_t> arrived_;  // lie in files, and the store has taken them all the same
    std::uint64_t next_id_ = 1;
    std::uint64_t memory_bytes_ = 0;
    std::uint64_t unreadable_ = 0, unreadable_audit_ = 0;  // rows that lie in files alone
    bool stop_ = false;
    Clock::time_point retry_at_{};
    Duration retry_{};

    mutable std::mutex health_mutex_;  // guards health_, for moments; taken last
    HistoryHealth health_;
    std::thread thread_;
};

}  // namespace nexus::history
