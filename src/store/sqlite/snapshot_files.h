#pragma once
// Snapshots as files "snapshot-<sequence>.nxs" beside the database: a snapshot may be hundreds of megabytes, and
// writing it through the database would hold up the journal. A file appears whole (written aside, synced, renamed) or
// not at all.

#include <string>
#include <vector>

#include "base/result.h"
#include "store/journal_store.h"

namespace nexus::store {

Result<void> write_snapshot_file(const std::string& directory, Sequence at, const SnapshotSource& source);
// Where they stand, ascending.
Result<std::vector<Sequence>> snapshot_files(const std::string& directory);
Result<void> read_snapshot_file(const std::string& directory, Sequence at, const SnapshotSink& sink);
// Removes all but the newest two, and what an interrupted write left; returns those that stay, ascending.
Result<std::vector<Sequence>> delete_old_snapshot_files(const std::string& directory);

}  // namespace nexus::store
