#pragma once
// Makes snapshots away from the loop: its own core replays the stored journal from the last snapshot and saves itself. The
// digests of every batch are checked on the way, so a stored snapshot is proof that the journal can be read.

#include <string>

#include "base/result.h"
#include "store/journal_store.h"

namespace nexus::engine {

// Stores a snapshot of the journal up to and including the batch that ends at or before `upto`, with the predictor's
// bytes, and trims what it covers. What ended up to there must have reached the history: a replay cannot fill it in any
// more. Returns where the snapshot stands. Faults: those of the store; corrupt when a digest differs.
Result<Sequence> make_snapshot(store::JournalStore& store, const std::string& predictor, Sequence upto);

}  // namespace nexus::engine
