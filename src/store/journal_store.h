#pragma once
// The journal port: ordered, durable batches of events with what must become durable together with them, written by one
// owner at a time.
//
//   Claim      whoever wants to append claims the journal: a random token, and an epoch that grows. append() compares the
//              token, so an owner that was overtaken is refused (superseded), whenever it wakes up
//   Position   (last sequence, chain hash): where a journal ends. append() compares it, too, so sending an append again
//              after a lost answer is harmless, and a store that lost its end is noticed
//   Upkeep     trimming, expiring results, compacting and checkpointing are the store's own business
//
// Faults of every method: unreachable (no answer: the very same call may be sent again), failed or corrupt (the store is
// finished for this process, contract C17). Effects are durable at head().level when a method returns.
//
// Threads: append() and renew() by one thread; everything else by any thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "journal/codec.h"

namespace nexus::store {

struct BodyPut {
    TaskId task;
    std::string body;
};

// One batch of the journal with the changes that must become durable together with it.
struct JournalBatch {
    Sequence first;
    std::uint64_t count = 0;  // 0: changes of bodies only
    std::uint64_t chain_before = 0, chain = 0;
    std::string bytes;             // journal::BatchWriter::finish
    std::vector<BodyPut> puts;     // of new tasks: payload, metadata, trace context, as one opaque encoded body
    std::vector<TaskId> drops;     // bodies of finished tasks
    std::vector<BodyPut> results;  // what finished tasks left; kept for the result retention
    std::vector<BodyPut> taken;    // the entry of a foreign queue (its id as `body`) that became the task
    std::vector<TaskId> untaken;   // marks of `taken` that are not needed any more
    Sequence history_upto;         // the history has everything up to here; 0 = nothing new to say
};
// Ends the writer's batch, which must not be empty.
JournalBatch finish_batch(journal::BatchWriter& writer, std::uint64_t digest);

struct Claim {
    std::uint64_t token_hi = 0, token_lo = 0;
    std::uint32_t epoch = 0;  // 0 = never claimed
    explicit operator bool() const { return epoch != 0; }
    bool operator==(const Claim&) const = default;
};
// Who claims. The token is random and new for each claim.
struct Claimant {
    std::string name, address;
    std::uint64_t token_hi = 0, token_lo = 0;
};

enum class Durability : std::uint8_t { process = 1, disk, replicated };
const char* name_of(Durability level);

struct Head {
    Claim claim;  // of the present owner
    std::string owner, address;
    std::string wish;        // whom the owner wants to be claimed by: a name, or "any"; empty = nobody
    std::uint64_t beat = 0;  // grows with each claim and each renewal
    Sequence last;           // where the journal ends; 0 = empty
    std::uint64_t chain = 0;
    Sequence snapshot;                         // the newest; 0 = none
    Sequence history;                          // the largest history_upto appended
    Durability level = Durability::disk;       // in force now
    bool renews = false;                       // a claim must be renewed; where a lock holds it for good it need not
    bool low_on_space = false;                 // new bodies live off the reserve: take no new tasks
    std::uint64_t reserve_bytes = UINT64_MAX;  // of new bodies that find room even when the disk is full
};

struct Appended {
    bool again = false;  // it was stored before; nothing was done
    bool low_on_space = false;
};

enum class BodyKind : std::uint8_t { body, result, taken };
struct Body {
    enum class State : std::uint8_t {
        missing,      // proven not to be there, or damaged: asking again will not help
        unreachable,  // cannot be read now
        found,
    };
    State state = State::missing;
    std::string bytes;  // of found
    std::string why;    // of the others
};

enum class Kept : std::uint8_t { newest, older };                    // of the two snapshots that a store keeps
using SnapshotSource = std::function<Result<std::string_view>()>;    // the next part; empty = the end
using SnapshotSink = std::function<Result<void>(std::string_view)>;  // takes the next part
using BatchVisitor = std::function<Result<void>(Sequence first, std::string_view bytes)>;

class JournalStore {
public:
    virtual ~JournalStore() = default;

    virtual Result<Head> head() = 0;

    // Fault conflict: the journal is not as `observed` any more (claimed by another, appended to, renewed), unless its
    // owner wished to be claimed by `me`.
    virtual Result<Claim> claim(const Head& observed, const Claimant& me) = 0;

    // `wish`: see Head. Fault superseded.
    virtual Result<void> renew(const Claim& claim, std::string_view wish) = 0;

    // Stores all batches or none. Faults: superseded, conflict (the journal ends elsewhere than the first batch begins:
    // see head()), invalid (the batches do not follow each other), no_space (nothing was stored; may be tried again).
    virtual Result<Appended> append(const Claim& claim, std::span<const JournalBatch> batches) = 0;

    // Calls `visit` with each batch whose first sequence is > `after`, in order, until it returns an error. When there
    // is none, waits for one up to `wait`.
    virtual Result<void> read(Sequence after, Duration wait, const BatchVisitor& visit) = 0;

    // One answer per task, in their order. A body lives from its batch to its drop; an overwritten or repeated drop is
    // harmless.
    virtual std::vector<Body> bodies(BodyKind kind, std::span<const TaskId> tasks) = 0;

    // The newest two are kept; batches that both cover are dropped. Older than the newest one kept: not stored, no fault.
    virtual Result<void> put_snapshot(Sequence at, const SnapshotSource& source) = 0;
    // Answers where it stands; 0 = there is none.
    virtual Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) = 0;
};

// Claims the journal as it is now, whoever owned it: for whoever knows that the owner is gone, as the embedded store's
// lock proves.
Result<Claim> claim_now(JournalStore& store, const Claimant& me);

Body read_body(JournalStore& store, BodyKind kind, TaskId task);

struct StoredSnapshot {
    Sequence at;
    std::string bytes;  // journal::encode_snapshot
};
// How much of a snapshot is written at once: a larger part would hold up appends to a store that does one thing at a time.
inline constexpr std::size_t kSnapshotPartBytes = 64 << 10;
Result<void> put_snapshot(JournalStore& store, Sequence at, std::string_view bytes);
Result<std::optional<StoredSnapshot>> get_snapshot(JournalStore& store, Kept which = Kept::newest);

// How batches join a journal that ends at (last, chain): one rule for every adapter. Faults: invalid, conflict.
struct Position {
    Sequence last;
    std::optional<std::uint64_t> chain;  // none = not known, any will do
};
enum class Joins : std::uint8_t { next, again };
Result<Joins> joins(std::span<const JournalBatch> batches, const Position& end);

}  // namespace nexus::store
