#pragma once
// The state that a journal leads to: the one way from stored bytes to a core, used by the server's recovery, the snapshot
// maker, `nexus journal verify` and the simulator.
//
// A Replica loads a snapshot, applies batch after batch and compares the core's digest after each one (C20). What else
// follows from the events (live tasks, predictor, history rows) belongs to a Follower that is told along. No threads, no
// clock; the store's faults pass through.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/scheduler.h"
#include "engine/engine_section.h"
#include "journal/codec.h"
#include "store/journal_store.h"

namespace nexus::engine {

class Replica {
public:
    class Follower {
    public:
        virtual ~Follower() = default;
        // The core has been loaded from this snapshot.
        virtual Result<void> loaded(const journal::Snapshot& snapshot) = 0;
        // Before the core applies it / of what the core answered.
        virtual void event(Sequence at, const core::Event& event, const core::Scheduler& before) = 0;
        virtual void command(core::Command& command) = 0;
        // A batch is applied.
        virtual void applied(Sequence) {}
        // Set aside by order instead of being applied.
        virtual void skipped(Sequence) {}
    };
    explicit Replica(Follower& follower) : follower_(follower) {}

    // Faults: unsupported (another core or format), corrupt.
    Result<void> load(const journal::Snapshot& snapshot);
    // A stored batch: it must follow the one before. Faults: corrupt (a gap, damage, another digest), unsupported.
    Result<void> apply(std::string_view batch);

    // The newest snapshot that can be read, then catch_up(). When the newest is damaged the one before it serves, with
    // the batches that the store keeps for this.
    Result<void> recover(store::JournalStore& store, Sequence upto = {UINT64_MAX});
    // Applies what the store has beyond at(), up to and including the batch that ends at or before `upto`.
    Result<void> catch_up(store::JournalStore& store, Sequence upto = {UINT64_MAX});

    // The state as load() takes it.
    journal::Snapshot save(std::string predictor, const EngineSection& section) const;

    // This event is set aside when its batch is applied. From there on digests are not compared; see docs/journal.md.
    void skip(Sequence event) { skip_ = event; }
    // catch_up() ends with the fault unavailable when this is set meanwhile; may be null.
    void stop_when(const std::atomic<bool>* stop) { stop_ = stop; }

    core::Scheduler& core() { return core_; }
    const core::Scheduler& core() const { return core_; }
    Sequence at() const { return at_; }  // the last event applied; 0 = none
    std::uint64_t chain() const { return chain_; }
    // The owner of the journal moves it on by itself: it stands at its own events.
    void moved(Sequence at, std::uint64_t chain) {
        at_ = at;
        chain_ = chain;
    }
    Sequence snapshot_at() const { return snapshot_at_; }  // of the snapshot that was loaded; 0 = none
    std::uint64_t snapshot_bytes() const { return snapshot_bytes_; }
    const std::string& passed_over() const { return passed_over_; }  // why the newest snapshot was; empty = it was not

private:
    Result<bool> load_kept(store::JournalStore& store, store::Kept which);

    Follower& follower_;
    core::Scheduler core_;
    Sequence at_, snapshot_at_, skip_;
    std::uint64_t chain_ = 0;
    std::uint64_t snapshot_bytes_ = 0;
    bool skipped_ = false;
    const std::atomic<bool>* stop_ = nullptr;
    std::string passed_over_;
    std::vector<core::Command> commands_;
};

}  // namespace nexus::engine
