#pragma once
// Snapshots as files "snapshot-<sequence>.nxs" beside the database: a snapshot may be hundreds of megabytes, and
// writing it through the database would hold up the journal. A file appears whole (written aside, synced, renamed) or
// not at all.

#include <optional>
#include <string>

#include "base/result.h"
#include "store/journal_store.h"

namespace nexus::store {

Result<void> write_snapshot_file(const std::string& directory, const StoredSnapshot& snapshot);
// The sequence of the newest one; 0 = none.
Result<Sequence> newest_snapshot_file(const std::string& directory);
Result<std::optional<StoredSnapshot>> read_newest_snapshot_file(const std::string& directory);
// Removes all but the newest, and what an interrupted write left.
Result<void> delete_older_snapshot_files(const std::string& directory);

}  // namespace nexus::store
