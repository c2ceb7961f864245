#pragma once
// What a journal that lasts offers beyond the port, so that it can be copied to another store and made from a copy: both
// keep the same bytes, so a move is a copy of batches, snapshots and bodies, and the place where they begin.
//
//   Closed   a journal that nobody may own, with the reason in words: it was moved, or is a copy that is not finished.
//            claim() refuses (failed_state, with the reason) until it is opened again
//
// Threads and faults as of the port.

#include <functional>
#include <string>
#include <string_view>

#include "store/journal_store.h"

namespace nexus::store {

// Where a copy begins, and whom it follows.
struct CopyStart {
    Sequence last;  // its first batch follows this one; 0 = from the beginning
    std::uint64_t chain = 0;
    std::uint32_t epoch = 0;  // of the journal that is copied: the copy's is larger, so that no session repeats
    Sequence history;         // the history has everything up to here
};

class MovableJournal : public JournalStore {
public:
    using KeptVisitor = std::function<Result<void>(TaskId task, std::string_view bytes, WallTime at)>;
    // Calls `visit` with all of this kind (result: the oldest first; or taken, without a time), until it returns an error.
    // What comes or goes meanwhile may be among them or not.
    virtual Result<void> each_kept(BodyKind kind, const KeptVisitor& visit) = 0;

    // Why it is closed; empty = it is open.
    virtual Result<std::string> closed() = 0;
    // Closes it, or opens it again with an empty `why`. By its owner; of a closed journal by anybody, with the claim of
    // head(). Fault superseded.
    virtual Result<void> close(const Claim& claim, std::string_view why) = 0;

    // Makes an empty journal one that begins there, claimed and closed. Fault conflict: it is not empty.
    virtual Result<Claim> begin_copy(const CopyStart& start, const Claimant& me, std::string_view why) = 0;
};

}  // namespace nexus::store
