#pragma once
// A journal that fails as disks and machines do, for simulations: over a MemoryJournal, decided by a seed, without any
// clock. How long a call takes is for the caller to simulate.
//
//   Full disk      while full(true), new bodies are stored from the reserve and low_on_space is told
//   Exhausted      while exhausted(true), every batch is refused with no_space: not even the reserve is left
//   Silence        while silent(true), and by chance for one append, there is no answer: unreachable. Whether the append
//                  was carried out is drawn
//   Failed sync    by chance an append fails for good; whether its batches are stored is unknown. Everything is
//                  refused from then on, until the machine restarts (crash())
//   Crash          crash() ends the process. At level process, a power loss also loses a seeded part of what was
//                  appended since the last sync_all(); at level disk it loses nothing that append() accepted
//   In flight      crash_during(batches): the power fails while these are being written: none, some or all of them stay
//   Bit flips      by chance a byte that is read differs: batches come back damaged, bodies as corrupt
//
// Not thread-safe.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "store/memory/memory_journal.h"

namespace nexus::store {

// Chances are one in n; 0 = never.
struct JournalFaults {
    std::uint64_t lost_reply_one_in = 0;
    std::uint64_t sync_failure_one_in = 0;
    std::uint64_t bit_flip_one_in = 0;
};

struct JournalFaultCounts {  // so that a test can insist that each thing happened
    std::uint64_t refused_full = 0, unanswered = 0, failed_syncs = 0, crashes = 0, batches_lost = 0, batches_torn = 0,
                  bit_flips = 0;
};

class FaultyJournal : public JournalStore {
public:
    FaultyJournal(std::uint64_t seed, JournalFaults faults, MemoryJournalOptions options = {.level = Durability::disk});

    Result<Head> head() override;
    Result<Claim> claim(const Head& observed, const Claimant& me) override;
    Result<void> renew(const Claim& claim, std::string_view wish) override;
    Result<Appended> append(const Claim& claim, std::span<const JournalBatch> batches) override;
    Result<void> read(Sequence after, Duration wait, const BatchVisitor& visit) override;
    std::vector<Body> bodies(BodyKind kind, std::span<const TaskId> tasks) override;
    Result<void> put_snapshot(Sequence at, const SnapshotSource& source) override;
    Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) override;

    void set_faults(JournalFaults faults) { faults_ = faults; }
    void full(bool is_full) { full_ = is_full; }
    void exhausted(bool is_exhausted) { exhausted_ = is_exhausted; }
    void silent(bool is_silent) { silent_ = is_silent; }
    // The process ends and may start again: what follows is a new start on what is left. `power` = the machine too.
    void crash(bool power);
    void crash_during(std::span<const JournalBatch> batches);
    // What was appended so far survives a power loss at level process too.
    void sync_all();
    bool failed() const { return failed_; }
    const JournalFaultCounts& counts() const { return counts_; }

private:
    bool chance(std::uint64_t one_in) { return one_in != 0 && rng_.one_in(one_in); }
    Result<void> refuse_if_failed() const;
    Result<Appended> store(const Claim& claim, std::span<const JournalBatch> batches);
    // Starts again from what is durable plus the first `kept` batches that were not synced.
    void restart(std::size_t kept);

    Rng rng_;
    JournalFaults faults_;
    JournalFaultCounts counts_;
    MemoryJournalOptions options_;
    std::unique_ptr<MemoryJournal> present_;
    std::unique_ptr<MemoryJournal> durable_;  // level process only: what a power loss leaves
    std::vector<JournalBatch> unsynced_;      // level process only: appended since
    bool full_ = false;
    bool exhausted_ = false;
    bool silent_ = false;
    bool failed_ = false;
};

}  // namespace nexus::store
