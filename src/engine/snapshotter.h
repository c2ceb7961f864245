#pragma once
// Makes snapshots away from the loop: its own core replays the stored journal from the last snapshot and saves itself.
// The digests of every batch are checked on the way, so a stored snapshot is proof that the journal can be read.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "journal/codec.h"
#include "store/journal_store.h"

namespace nexus::engine {

struct SnapshotMade {
    Sequence at;
    std::uint64_t bytes = 0;  // of the stored snapshot; 0 when nothing had happened since the last one
};

// Stores a snapshot of the journal up to and including the batch that ends at or before `upto`, with the predictor's
// bytes, and trims what it covers. What ended up to there must have reached the history: a replay cannot fill it in any
// more. `audited`: so far the history has the audit; what comes later is kept in the snapshot. Faults: those of the
// store; corrupt when a digest differs.
Result<SnapshotMade> make_snapshot(store::JournalStore& store, const std::string& predictor, Sequence upto,
                                   Sequence audited = {});

// Stores a snapshot that is complete, and trims what it covers; the same must hold of the history.
Result<SnapshotMade> store_snapshot(store::JournalStore& store, const journal::Snapshot& snapshot);

}  // namespace nexus::engine
