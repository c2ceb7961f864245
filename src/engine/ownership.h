#pragma once
// Who may own the journal, judged by what was confirmed and what was observed, on this process' own monotonic clock: no
// clock of the store, no calendar, no key that expires. Pure: times come in, nothing is called. Not thread-safe.
//
//   owner      is sure for unsure_after, counted from the *sending* of the last thing that the store confirmed (append,
//              claim or renewal); a store whose claims need no renewal keeps it sure for good
//   follower   claims when it saw nothing move for claim_after without a gap: a failed read, another connection, or
//              observe_gap between two looks begin the observation anew, so nobody claims because the store was away
//
// An owner that stopped being sure after U has nothing that it told after U; others act C after its last movement, C > U.

#include <optional>

#include "base/units.h"
#include "store/journal_store.h"

namespace nexus::engine {

struct OwnershipTimes {
    Duration renew_every = milliseconds(500);
    Duration unsure_after = milliseconds(1500);
    Duration claim_after = seconds(2);
    Duration observe_gap = milliseconds(500);
    Duration resume_after = seconds(1);  // unsure for longer: a resumption, see Engine::resume
};

class Ownership {
public:
    enum class Stance : std::uint8_t { following, owning, unsure, superseded };

    explicit Ownership(OwnershipTimes times = {}) : times_(times) {}

    // ---- the owner
    void claimed(Instant sent, bool renews);
    void confirmed(Instant sent);
    void superseded();
    Stance stance(Instant now) const;
    bool renewal_due(Instant now) const;
    // Until when it is sure if nothing more is confirmed.
    Instant sure_until() const;

    // ---- whoever follows
    void observed(const store::Head& head, Instant at);
    void lost_sight() { seen_.reset(); }
    // What to pass to JournalStore::claim; none: not yet.
    const store::Head* may_claim(Instant now) const;

private:
    struct Seen {
        store::Head head;
        Instant since, last;
    };
    OwnershipTimes times_;
    bool owns_ = false, renews_ = false, superseded_ = false;
    Instant confirmed_;
    std::optional<Seen> seen_;
};

}  // namespace nexus::engine
