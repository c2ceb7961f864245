#pragma once
// Follows the chain of the audit: the hash of each entry is of its texts and of the hash before it, so an entry that was
// changed, deleted, moved or put in between does not follow from the one before it; that the newest were cut off, only a
// head that is kept elsewhere can tell.
//
// The clock orders lists, the journal orders the chain: a clock that was set back does not break it.

#include <functional>
#include <string>
#include <vector>

#include "engine/messages.h"
#include "history/history_store.h"

namespace nexus::engine {

using ReadAudit = std::function<Result<std::vector<history::AuditRow>>(const history::AuditQuery&)>;

// Reads all of it, a page at a time. `head`: a hash that must be in the chain; empty = none is known.
Result<AuditVerdict> verify_audit(const ReadAudit& read, const std::string& head);

}  // namespace nexus::engine
