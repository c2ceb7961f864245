#pragma once
// The server process on simulated time: the production engine, its recovery, its commits and its snapshots, over a
// journal that fails on purpose. What the Runner does with threads happens here in steps of the timeline, so that a
// crash can come between any two of them.

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "engine/commit_line.h"
#include "engine/engine.h"
#include "faults/checker.h"
#include "faults/plan.h"
#include "faults/timeline.h"
#include "history/memory/memory_history.h"
#include "store/memory/faulty_journal.h"

namespace nexus::faults {

class Server {
public:
    using Call = std::move_only_function<void(engine::Engine&)>;

    Server(const Plan& plan, Timeline& timeline, Checker& checker);

    void start();
    // From now on nothing fails any more.
    void heal();
    // Something arrived. Dropped when the process is down; else carried out in the next turn.
    void call(Call call);
    bool up() const { return engine_ != nullptr; }
    // Grows with each process; a stream belongs to one.
    std::uint64_t process() const { return process_; }
    // Told when the process ends: all connections are gone.
    std::function<void()> on_down;

    void jump_clock(Duration by) {
        wall_skew_ = wall_skew_ + by;
        skew_most_ = std::max(skew_most_, wall_skew_);
    }
    void freeze_clock(Duration length);
    void stop();  // in order: refuses new work, finishes commits, tells the workers, ends
    void pause(Duration length);
    void crash();
    void fill_disk(bool full) { journal_.full(full); }
    void silence_store(bool silent) { journal_.silent(silent); }
    void exhaust_disk(bool exhausted) { journal_.exhausted(exhausted); }
    const store::JournalFaultCounts& journal_counts() const { return journal_.counts(); }
    WallTime wall() const;
    // All that the history has of the audit, newest first.
    std::vector<history::AuditRow> audit() { return *history_.audit({.before = {}, .limit = SIZE_MAX}); }

private:
    enum class CrashPoint : std::uint8_t { before_append, during_append, after_append, during_release };

    void recover();
    void snapshot();
    void wake(Instant at);
    void turn();
    void take_batches();
    void commit();
    void append();
    void tell(std::optional<std::size_t> crash_at);
    void note_space(bool low);
    void look_for_space();
    void end_process();
    void end_in_order();
    void ask(engine::HistoryQuestion question);
    void write_history(engine::PendingBatch& batch);
    engine::Now now() const;
    Rng& rng() { return rng_; }
    bool chance(std::uint64_t one_in) { return !healed_ && one_in != 0 && rng_.one_in(one_in); }
    // Runs the step unless the process has ended meanwhile.
    void later(Duration delay, Timeline::Step step);

    const Plan& plan_;
    Timeline& timeline_;
    Checker& checker_;
    Rng rng_;
    store::FaultyJournal journal_;
    history::MemoryHistory history_;
    std::unique_ptr<engine::Engine> engine_;
    std::uint64_t process_ = 0;
    bool healed_ = false;
    Duration wall_skew_, skew_most_;
    Instant base_;      // of the engine's clock
    Instant base_sim_;  // the same moment on the timeline
    Instant paused_until_;
    Instant wake_at_ = kNever;
    std::uint64_t wake_number_ = 0;
    std::vector<Call> inbox_;
    std::unique_ptr<engine::CommitLine> line_;
    bool low_on_space_ = false;
    Sequence released_;
    std::size_t told_ = 0;  // batches of the present group
    bool committing_ = false;
    bool stopping_ = false;
    std::optional<WallTime> wall_frozen_;
};

}  // namespace nexus::faults
