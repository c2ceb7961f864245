#pragma once
// The records the scheduler's state is made of. Indices are dense and reused; a `serial` names one life of a task
// record, a `ticket` one stay of a task in a queue or one life of an attempt record, so that anything left behind in a
// heap can be told from the living.

#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/directory.h"
#include "core/event.h"
#include "core/heap.h"
#include "core/usage.h"
#include "core/work_ahead.h"

namespace nexus::core {

using Index = std::uint32_t;  // kNone = none

// Where a live task is: in exactly one of these places.
enum class Place : std::uint8_t {
    nowhere = 0,
    not_before,   // calendar timer
    backoff,      // engine timer
    dependency,   // its dependencies know it
    held,         // by an override
    ordering,     // queue of its ordering key
    concurrency,  // heap of its concurrency key
    rate,         // heap of its rate key
    ready,        // heap of its class
    bound,        // first-in-first-out queue of one worker (push policies)
    running,      // has a current attempt
};
inline constexpr std::size_t kPlaces = static_cast<std::size_t>(Place::running) + 1;

struct HeapEntry {  // of a class or a key; smaller keys first, then smaller tickets
    std::int64_t key = 0;
    std::uint32_t ticket = 0;
    Index task = 0;
    bool operator<(const HeapEntry& other) const { return key != other.key ? key < other.key : ticket < other.ticket; }
};

struct Task {
    std::int64_t key = 0;   // order among waiting tasks, microseconds
    std::int64_t base = 0;  // the part of it that a new estimate does not change
    Instant submitted;
    Instant since;  // of its present place
    Duration p50, p90, mean;
    Instant told = kNever;     // when it would end with 90 %, as said at its submission; the rest is a Promise
    std::uint32_t serial = 0;  // 0 = vacant record
    std::uint32_t ticket = 0;
    Index cls = kNone;
    Index run = kNone;   // current attempt
    Index copy = kNone;  // speculative second attempt
    Index side = kNone;
    Index idempotency = kNone;
    Index older = kNone;  // neighbours in submission order, of tasks living by the default ttl
    Index newer = kNone;
    Index worker = kNone;  // bound to it, or else: where it last crashed
    Index avoid = kNone;   // where it last failed, crashed or was given back: it goes elsewhere when it can
    std::uint16_t confidence_permille = 0;
    std::uint16_t attempts = 0;
    std::uint16_t failures = 0;
    std::uint8_t crashes = 0;
    std::uint8_t rejections = 0;
    std::uint8_t preemptions = 0;
    std::uint8_t rounds = 0;  // how often all that may run it gave it back
    bool charged = false;     // `avoid` is in doubt because of it
    EstimateSource source = EstimateSource::none;
    Place place = Place::nowhere;
    bool keyed = false;               // `base` is set
    ToldAs told_as = ToldAs::placed;  // how it stood when it was told
    bool several_workers = false;     // crashed on two different ones
    bool concurrency_token = false;
    bool rate_turn = false;
    bool lost_ahead = false;  // its worker was lost while it held it ready, and perhaps by it: never prefetched again

    Estimate estimate() const {
        return {.p50 = p50, .p90 = p90, .mean = mean, .confidence_permille = confidence_permille, .source = source};
    }
};

// What a Promise has beside Task::told and told_as, which are all of it that is asked often.
struct Told {
    Instant p10 = kNever, p50 = kNever;
};

// What few tasks have.
struct Side {
    WallTime run_at, deadline;
    Instant released = kNever;                                // when run_at came: its time to live begins
    Instant refused = kNever;                                 // when all that may run it first gave it back
    std::uint64_t sequence = 0;                               // commit order, for ordering keys
    std::uint32_t dependencies = 0;                           // not yet ended
    std::vector<std::pair<Index, std::uint32_t>> dependents;  // task, serial
    std::vector<Index> after;                                 // the live tasks that it waits for
    Index ordering = kNone, concurrency = kNone, rate = kNone;
    Index plain_class = kNone;  // the class it returns to when its pin is lifted
    std::uint32_t holds = 0;
    std::uint32_t overrides = 0;  // in force that name it
    std::int64_t boost_us = 0;
    bool vacant = false;
};

// All tasks that constraints cannot tell apart.
struct Class {
    TaskSpec spec;                   // only the fields that make the class
    bool alone = false;              // suspects of killing workers run alone
    std::vector<SessionId> refused;  // those that gave it back, sorted: it is for others
    std::uint64_t hash = 0;
    Index type = kNone, tenant = kNone, queue = kNone, group = kNone;
    std::uint32_t references = 0;  // live tasks
    std::uint64_t idle_stamp = 0;
    Heap<HeapEntry> heap;
    std::uint32_t waiting = 0;  // valid entries of the heap
    std::int64_t work_us = 0;   // of them
    std::int64_t key_last = 0;  // the largest since none waited
    Index head_at = kNone;      // position in the group's heads
    Index stuck_at = kNone;     // position in the list of classes of which nothing can start
    bool blocked = false;       // by a limit of its queue, tenant or type; parked there
    bool vacant = false;
};

struct Head {
    std::int64_t key = 0;
    std::uint32_t ticket = 0;
    Index cls = kNone;
    bool operator<(const Head& other) const { return key != other.key ? key < other.key : ticket < other.ticket; }
};

// All classes with equal demands on a worker.
struct Group {
    Labels required, forbidden;
    std::string pinned;
    Resources resources;
    bool needs_resources = false;
    bool alone = false;
    std::vector<SessionId> refused;
    Index signature = 0;  // of the task types: which worker offers list them
    std::uint32_t classes = 0;
    std::uint32_t waiting = 0;            // ready tasks of them
    std::uint32_t reach = 0;              // connected workers among the eligible
    std::vector<std::uint64_t> eligible;  // bit per worker: labels, type, pin and total resources match
    std::vector<Head> heads;              // binary heap of the unblocked classes with waiting tasks
    Index active_at = kNone;              // position in the list of groups with heads
    bool vacant = false;
};

// A limit on running tasks, and the classes parked because of it.
struct Limit {
    std::uint32_t running = 0;
    std::uint32_t running_max = 0;  // 0 = none
    WorkAhead::Sum waiting;         // ready tasks under it
    std::vector<Index> parked;
    bool full() const { return running_max != 0 && running >= running_max; }
};

struct AffinityFactor {
    Index hardware = kNone;
    std::int64_t ln_q16 = 0;
    std::uint32_t factor_ppm = 1'000'000;
};

struct TypeRecord : Named {
    Limit limit;
    Index signature = 0;
    std::uint64_t succeeded = 0, failed = 0;
    std::uint64_t in_time = 0, late = 0;         // of the successful ones
    Index good_at = kNone, good_before = kNone;  // the last two workers on which it succeeded
    std::int64_t boost_us = 0;
    std::uint32_t holds = 0;
    std::uint32_t copies = 0, copies_won = 0;
    std::vector<AffinityFactor> affinity;
    std::vector<Index> excluded;  // workers, sorted
};
struct TenantRecord : Named {
    Limit limit;
    std::uint32_t share = 1;
    std::uint32_t waiting_max = 0;
    std::uint32_t waiting = 0;  // live and not running
    WorkAhead::Own own;         // of its last task in the order: the start, and what lies near it
};
struct QueueRecord : Named {
    Limit limit;
    bool paused = false;
    bool count_fair = false;
};
// One ordering, concurrency or rate key. References: tasks that carry it.
struct KeyRecord : Named {
    std::deque<std::pair<Index, std::uint64_t>> line;  // ordering: task, sequence
    Heap<HeapEntry> parked;                            // concurrency, rate
    std::uint32_t holders = 0;  // concurrency: tokens out; rate: 1 while one is released and not started
    std::uint32_t most = 0;     // concurrency
    Instant next;               // rate: earliest start of the next
    bool timer = false;         // rate: a timer for `next` is set
};

// One attempt that a worker holds: in a slot, or paused. Without a task it is a ghost: revoked, its worker has not
// confirmed the end.
struct Run {
    AttemptId attempt;
    std::uint64_t fence = 0;
    Instant assigned;
    Instant started = kNever;
    Instant ends_at = kNever;  // lease of a lost session, or when a ghost is given up
    Duration predicted;
    Instant paused_at = kNever;  // kNever = it is in a slot
    Duration paused_for;         // in all, this pause excepted
    std::int64_t charged = 0;    // utilisation charged to the worker so far
    std::uint32_t ticket = 0;    // 0 = vacant
    Index task = kNone;
    Index cls = kNone;
    Index worker = kNone;
    Index at = 0;  // position in the worker's list
    std::uint32_t number = 0;
    std::uint32_t turn = 0;    // pause and resume orders so far
    std::uint32_t yields = 0;  // how often it gave way to a shorter one
    bool speculative = false;
    bool orphan = false;      // its session is over, its lease not yet
    bool company = false;     // others ran beside it when its session was lost: the death points at none in particular
    bool unpausable = false;  // its worker said so
    bool notice = false;      // it was told to stop for `rival`, and is current until its worker confirms
    TaskId rival;
    bool prefetched = false;       // it waits for a slot on its worker
    bool recalled = false;         // it was asked back at some time
    Instant recalled_at = kNever;  // while prefetched: since when it is asked back
    std::int64_t rate = 0;         // in a slot: its part of the worker's rate
    Duration p50, p90, mean;       // of its run on its worker, as last estimated

    bool paused() const { return paused_at != kNever; }
    bool in_slot() const { return ticket != 0 && !paused() && !prefetched; }
    // Time in a slot since `from`, up to `now`.
    Duration spent(Instant from, Instant now) const { return (paused() ? paused_at : now) - from - paused_for; }
    Duration ran(Instant now) const { return started == kNever ? Duration{} : spent(started, now); }
};

enum class Breaker : std::uint8_t { closed = 0, open, probing };

struct Worker {
    std::string name;  // empty = vacant record
    SessionId session;
    Labels labels;
    Resources offered, used;
    std::vector<std::string> types;
    Index typeset = 0;
    Index hardware = kNone;
    bool connected = false, suspect = false, cordoned = false, draining = false, can_pause = false;
    bool leaving = false;  // the worker itself asks for nothing more
    std::uint32_t slots = 0;
    std::uint32_t alone = 0;   // attempts that run alone here
    std::vector<Index> runs;   // all that it holds
    std::uint32_t paused = 0;  // of them: in no slot
    bool owes = false;         // a paused run has waited for room for too long: nothing new until it goes on
    std::uint32_t speed_ppm = 1'000'000, deviation_ppm = 0;
    std::int64_t speed_ln = 0;  // Q16
    std::int64_t work_us = 0;   // slot time used, decaying: the utilisation that placement balances
    Usage usage;                // the same of the last minute: what people are shown
    Breaker breaker = Breaker::closed;
    bool failing = false;  // opened by failures or rejections
    bool late = false;     // opened by runs that were late one after the other
    Instant breaker_next;  // when the next probe may go
    std::uint32_t failures_in_row = 0;
    std::int64_t doubt = 0;     // evidence in Q16 nats that this worker, not its tasks, fails
    std::int64_t lateness = 0;  // the same, that it is slow
    std::uint64_t succeeded = 0, failed = 0;
    std::deque<std::pair<Index, std::uint32_t>> line;  // push policies: task, ticket
    std::int64_t bound_work_us = 0;
    std::uint32_t bound = 0;
    Index reserved_task = kNone;  // kept free for this task
    std::uint32_t reserved_ticket = 0;
    TaskId reserved_rival;  // stopped to make the room
    Instant gone = kNever;  // since when it is not connected
    // Prefetch: what it holds beyond its slots, the oldest first, part of `runs`.
    std::uint32_t prefetch_max = 0;
    std::vector<Index> prefetched;
    std::int64_t prefetched_us = 0;  // predicted work of them
    std::int64_t turnaround_us = 0;  // from an assignment to its reported start, less the wait there; 0 = unknown
    std::int64_t rate = 0;           // how many of its slots become free, per microsecond, Q32
    Instant prefetch_due = kNever;   // the timer that looks whether they have waited for too long

    std::uint32_t occupied() const { return static_cast<std::uint32_t>(runs.size() - prefetched.size()) - paused; }
};

struct IdempotencyEntry {
    std::uint64_t hi = 0, lo = 0;
    std::uint64_t body_hash = 0;
    TaskId task;
    Instant submitted;
    Instant ended = kNever;
    bool vacant = false;
};

enum class TimerKind : std::uint8_t {
    task,
    ttl,
    timeout,
    lease,
    rate,
    override_end,
    breaker,
    straggler,
    forced_end,
    prefetch
};
struct Timer {
    std::int64_t at = 0;
    std::uint32_t order = 0;  // ties fire in the order they were set
    std::uint32_t ticket = 0;
    Index index = kNone;
    TimerKind kind = TimerKind::task;
    bool operator<(const Timer& other) const { return at != other.at ? at < other.at : order < other.order; }
};
struct WallTimer {  // run_at and deadline, by the calendar
    std::int64_t at = 0;
    std::uint32_t serial = 0;
    Index task = kNone;
    bool operator<(const WallTimer& other) const { return at != other.at ? at < other.at : serial < other.serial; }
};

// An operator's word that is in force; the ticket is its timer's.
struct Override {
    OverrideSet set;
    std::uint32_t ticket = 0;
};
struct Forced {
    EstimateForced set;
    std::uint32_t ticket = 0;
};

}  // namespace nexus::core
