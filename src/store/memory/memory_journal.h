#pragma once
// A journal that lives in memory: for simulations, tests, and servers started without a data directory. It keeps every
// promise of the port except surviving the end of the process, and serves several owners that claim it from each other:
// the model for stores that are shared.
//
// Threads: all methods may be called by any thread.

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/units.h"
#include "store/journal_store.h"

namespace nexus::store {

struct MemoryJournalOptions {
    Durability level = Durability::process;  // what head() claims; simulations claim what they simulate
    bool renews = false;                     // its claims must be renewed, as of a store that is shared
    Sequence after;                          // where it begins, when it goes on from another journal's snapshot…
    std::uint64_t chain = 0;                 // …and the chain there
    Duration result_age_max = hours(24);
    std::uint64_t result_bytes_max = 256ULL << 20;  // the oldest go first
    std::function<WallTime()> now;                  // for the age of results; empty: they age by bytes only
};

class MemoryJournal final : public JournalStore {
public:
    explicit MemoryJournal(MemoryJournalOptions options = {}) : options_(std::move(options)) {
        stored_.head.last = options_.after;
        stored_.head.chain = options_.chain;
    }
    // Copies what is stored; no thread may use `other` meanwhile.
    MemoryJournal(const MemoryJournal& other) : options_(other.options_), stored_(other.stored_) {}
    MemoryJournal& operator=(const MemoryJournal&) = delete;

    Result<Head> head() override;
    Result<Claim> claim(const Head& observed, const Claimant& me) override;
    Result<void> renew(const Claim& claim, std::string_view wish) override;
    Result<Appended> append(const Claim& claim, std::span<const JournalBatch> batches) override;
    Result<void> read(Sequence after, Duration wait, const BatchVisitor& visit) override;
    std::vector<Body> bodies(BodyKind kind, std::span<const TaskId> tasks) override;
    Result<void> put_snapshot(Sequence at, const SnapshotSource& source) override;
    Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) override;

private:
    struct StoredBatch {
        std::uint64_t count = 0;
        std::string bytes;
    };
    struct StoredResult {
        WallTime at;
        std::string body;
    };
    struct Stored {
        Head head;  // level and the like are filled in when it is asked for
        std::map<Sequence, StoredBatch> batches;
        std::map<Sequence, std::string> snapshots;  // at most two
        std::unordered_map<TaskId, std::string, IdHash> bodies, taken;
        std::unordered_map<TaskId, StoredResult, IdHash> results;
        std::deque<std::pair<WallTime, TaskId>> results_by_age;
        std::uint64_t result_bytes = 0;
    };
    WallTime now() const { return options_.now ? options_.now() : WallTime{}; }
    Result<void> check(const Claim& claim) const;
    void trim();
    void drop_oldest_result();

    MemoryJournalOptions options_;
    std::mutex mutex_;  // guards what is stored
    std::condition_variable appended_;
    Stored stored_;
};

}  // namespace nexus::store
