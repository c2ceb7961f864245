#pragma once
// A journal copied from one store to another: the same batches, snapshots and bodies, so that what follows from them is the
// same. Used by `nexus store migrate` and by `nexus journal backup` of a journal in Redis.

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "engine/replica.h"
#include "store/movable_journal.h"

namespace nexus::journal_verbs {

// Follows nothing: the core and its digests are what is looked at.
struct Nobody final : engine::Replica::Follower {
    Result<void> loaded(const journal::Snapshot&) override { return {}; }
    void event(Sequence, const core::Event&, const core::Scheduler&) override {}
    void command(core::Command&) override {}
};

// How far it is, of how many; an error ends the work. Called often.
using Progress = std::function<Result<void>(std::string_view what, std::uint64_t done, std::uint64_t of)>;

struct CopyOptions {
    std::string why;  // the copy is closed meanwhile, and says so
    store::Claimant claimant;
    // Somebody goes on writing to what is copied: from its newest snapshot on, to a moment at which all bodies of tasks
    // that have not ended were there.
    bool live = false;
    std::atomic<std::int64_t>* clock =
        nullptr;  // what the copy's store takes for now, in microseconds; 0 = the calendar
    Progress progress;
};

// What was copied, and what the copy is compared with.
struct Copied {
    Sequence first, last;  // of the events copied, first > last: none after the snapshot
    std::uint64_t chain = 0, digest = 0;
    std::uint64_t batches = 0, bodies = 0, lost = 0;  // lost: the source itself lacks so many bodies
    std::uint64_t bytes = 0;                          // of all of it
    struct Snapshot {
        Sequence at;
        std::uint64_t hash = 0;
    };
    std::vector<Snapshot> snapshots;  // the older one first
    using Hashes = std::unordered_map<TaskId, std::uint64_t, IdHash>;
    Hashes body_hashes, results, taken;  // bodies also of tasks that ended meanwhile
};

// `to` must be empty; it stays closed and claimed. Faults of the stores; unsupported (another core decided what is stored),
// corrupt (what is stored cannot be replayed), unavailable (it changes faster than it can be copied), not_found (there is
// nothing).
Result<Copied> copy_journal(store::MovableJournal& from, store::MovableJournal& to, const CopyOptions& options);

// Reads all of the copy back, as a server would that starts from it, and compares. `expired`: so many results did not
// outlast the limits of the copy's store. Faults corrupt (it is no copy) and those of the store.
struct Compared {
    std::uint64_t events = 0, expired = 0;
};
Result<Compared> compare_copy(store::MovableJournal& copy, const Copied& with, const Progress& progress);

// Loads what is kept and replays the rest. False: there is no such snapshot, and nothing was done.
Result<bool> replay_from(store::JournalStore& journal, store::Kept which, engine::Replica& replica);

// All live tasks of a core, in order, so many at a time.
Result<void> each_live(const core::Scheduler& core, std::size_t at_once,
                       const std::function<Result<void>(std::span<const TaskId>)>& visit);

}  // namespace nexus::journal_verbs
