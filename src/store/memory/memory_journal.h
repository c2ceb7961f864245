#pragma once
// A journal that lives in memory: for simulations, tests, and servers started without a data directory. It keeps the
// promises of the port except surviving the end of the process.
//
// Threads: all methods may be called by any thread.

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/units.h"
#include "store/journal_store.h"

namespace nexus::store {

struct MemoryJournalOptions {
    Durability level = Durability::process;  // what level() claims; simulations claim what they simulate
    Duration result_age_max = hours(24);
    std::uint64_t result_bytes_max = 256ULL << 20;  // the oldest go first
    std::function<WallTime()> now;                  // for the age of results; empty: they age by bytes only
};

class MemoryJournal final : public JournalStore {
public:
    explicit MemoryJournal(MemoryJournalOptions options = {}) : options_(std::move(options)) {}
    // Copies what is stored; no thread may use `other` meanwhile.
    MemoryJournal(const MemoryJournal& other)
        : options_(other.options_),
          batches_(other.batches_),
          next_(other.next_),
          snapshot_(other.snapshot_),
          bodies_(other.bodies_),
          results_(other.results_),
          results_by_age_(other.results_by_age_),
          result_bytes_(other.result_bytes_) {}
    MemoryJournal& operator=(const MemoryJournal&) = delete;

    Result<void> append(std::span<const JournalBatch> batches) override;
    Result<void> read(Sequence after,
                      const std::function<Result<void>(Sequence first, std::string_view bytes)>& visit) override;
    Result<void> put_snapshot(const StoredSnapshot& snapshot) override;
    Result<std::optional<StoredSnapshot>> get_snapshot() override;
    Result<void> trim(Sequence upto) override;
    Result<std::string> body(TaskId task) override;
    Result<std::string> result(TaskId task) override;
    bool has_body(TaskId task) override;
    Durability level() const override { return options_.level; }

private:
    struct StoredBatch {
        std::uint64_t count = 0;
        std::string bytes;
    };
    struct StoredResult {
        WallTime at;
        std::string body;
    };
    WallTime now() const { return options_.now ? options_.now() : WallTime{}; }
    void expire_results();
    void drop_oldest_result();

    MemoryJournalOptions options_;
    std::mutex mutex_;  // guards everything below
    std::map<Sequence, StoredBatch> batches_;
    std::uint64_t next_ = 0;  // the sequence the next batch must start with; 0 = any
    std::optional<StoredSnapshot> snapshot_;
    std::unordered_map<TaskId, std::string, IdHash> bodies_;
    std::unordered_map<TaskId, StoredResult, IdHash> results_;
    std::deque<std::pair<WallTime, TaskId>> results_by_age_;
    std::uint64_t result_bytes_ = 0;
};

}  // namespace nexus::store
