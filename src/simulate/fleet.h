#pragma once
// The simulated workers: what runs in their slots, until when, and how long their slots were busy or idle.

#include <cstdint>
#include <vector>

#include "core/command.h"
#include "core/scheduler.h"
#include "simulate/event_queue.h"
#include "simulate/record.h"
#include "simulate/world.h"

namespace nexus::simulate {

inline constexpr std::uint32_t kNoAttempt = UINT32_MAX;

// An attempt that runs on a simulated worker, or stands still there.
struct Running {
    std::uint32_t task = 0;
    std::uint32_t worker = 0;
    std::uint32_t next_of_task = kNoAttempt;  // another attempt of the same task; also the free list
    std::uint64_t plan = 0;                   // of its end; 0: it is gone
    AttemptId attempt;
    SessionId session;
    Instant start, ends;
    Instant busy_from;           // in its slot, for the books
    Instant paused_at = kNever;  // kNever: it runs
    Duration paused_for;         // before that
    bool fails = false;

    Duration ran(Instant now) const { return (paused_at == kNever ? now : paused_at) - start - paused_for; }
};

// Plans the ends of attempts in `queue` as Happening::run_ends, and keeps the books of slots in `record`.
class Fleet {
public:
    // All outlive it; the record's window is known.
    Fleet(const World& world, EventQueue& queue, RunRecord& record);

    void join(std::uint32_t worker, SessionId session);
    // The worker is gone, and with it what ran there: returned, in order of index, each dropped.
    std::vector<Running> leave(std::uint32_t worker, Instant now);
    SessionId session(std::uint32_t worker) const { return sessions_[worker]; }

    // Returns its index.
    std::uint32_t start(const core::AssignAttempt& order, std::uint32_t task, Duration run, bool fails, Instant now);
    // kNoAttempt: it is gone.
    std::uint32_t find(std::uint32_t task, AttemptId attempt) const;
    const Running& running(std::uint32_t index) const { return running_[index]; }
    // False for a plan that was overtaken by a pause or an end.
    bool ends_by(const Planned& planned) const { return running_[planned.index].plan == planned.number; }
    void pause(std::uint32_t index, Instant now);
    void resume(std::uint32_t index, Instant now);
    // Takes it out of the books, whatever became of it.
    Running drop(std::uint32_t index, Instant now);

    // Of workers whose breaker is closed, counted up to `most`.
    std::uint64_t idle_slots(const core::Scheduler& core, std::uint64_t most) const;

private:
    void take_slot(Running& here, Instant now);
    void leave_slot(const Running& here, Instant now);

    const World& world_;
    EventQueue& queue_;
    RunRecord& record_;
    std::vector<Running> running_;
    std::uint32_t free_ = kNoAttempt;
    std::vector<std::uint32_t> attempt_of_;  // by task: its first running attempt
    std::vector<SessionId> sessions_;        // by worker; 0 = down
    std::vector<std::uint32_t> free_slots_;  // by worker
    std::uint64_t free_total_ = 0;
};

}  // namespace nexus::simulate
