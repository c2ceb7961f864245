#pragma once
// Makes snapshots away from the loop: a Replica of its own follows the stored journal from the last snapshot and saves
// itself. The digests of every batch are checked on the way, so a stored snapshot is proof that the journal can be read.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "journal/codec.h"
#include "store/journal_store.h"

namespace nexus::engine {

struct SnapshotMade {
    Sequence at;
    std::uint64_t bytes = 0;  // of the stored snapshot; 0 when nothing had happened since the last one
};

// Stores a snapshot of the journal up to and including the batch that ends at or before `upto`, with the predictor's
// bytes; the store trims what its snapshots cover. What ended up to there must have reached the history: a replay cannot
// fill it in any more. `audited`: so far the history has the audit; what comes later is kept in the snapshot. Faults: those
// of the store; corrupt when a digest differs; unavailable when `stop` was set.
Result<SnapshotMade> make_snapshot(store::JournalStore& store, const std::string& predictor, Sequence upto,
                                   Sequence audited = {}, const std::atomic<bool>* stop = nullptr);

// Stores a snapshot that is complete; the same must hold of the history.
Result<SnapshotMade> store_snapshot(store::JournalStore& store, const journal::Snapshot& snapshot,
                                    const std::atomic<bool>* stop = nullptr);

// The thread that makes them. order() never blocks; what is ordered while one is made becomes one more.
class Snapshotter {
public:
    struct Options {
        std::function<Sequence()> released;  // up to where everything has been given to the history
        std::function<void()> before;        // writes the history; from the thread
        std::function<void(Result<SnapshotMade>, Duration took)> made;
    };
    Snapshotter(store::JournalStore& store, Options options);
    ~Snapshotter();  // leaves off what is under way

    // `recovered`: the state itself, where it is at hand; stored when everything up to it is released.
    void order(std::string predictor, Sequence audited, std::optional<journal::Snapshot> recovered = {});
    // Leaves off what is under way and ends the thread; false: it has not ended within `limit`.
    bool end(Duration limit);

private:
    void run();
    store::JournalStore& store_;
    Options options_;
    std::mutex mutex_;  // guards the next six
    std::condition_variable wake_, over_;
    bool wanted_ = false, end_ = false, ended_ = false;
    std::string predictor_;
    Sequence audited_;
    std::optional<journal::Snapshot> recovered_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

}  // namespace nexus::engine
