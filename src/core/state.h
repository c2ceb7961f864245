#pragma once
// The scheduler's whole state and the steps that change it. One struct, because one event may touch everything; the
// steps are grouped by the file that holds them. Every step runs inside apply(); settle() ends each event by giving all
// freed capacity to waiting work, so that between events no worker idles while a task waits that it may run.

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "core/day_pattern.h"
#include "core/forecast.h"
#include "core/records.h"
#include "core/scheduler.h"
#include "core/size_bands.h"
#include "core/work_ahead.h"

namespace nexus::core {

// Adds (sign 1) or removes (sign -1) an amount.
void take_resources(Resources& used, const Resources& amount, int sign);
// What is asked for beyond an amount.
Resources less(Resources asked, const Resources& amount);

struct Scheduler::State {
    explicit State(Config initial) : config(std::move(initial)) {}

    Config config;
    Instant now;
    Duration wall_offset;
    std::uint64_t digest = 0x6E65787573ULL;
    Rng rng{1};
    Counters counters;
    std::uint32_t epoch = 0, shard = 0;  // as EngineStarted told them
    std::uint64_t fence = 0;             // of the last attempt
    std::uint64_t sequence = 0;          // of submissions
    std::uint32_t last_ticket = 0;

    // Tasks, by index.
    std::vector<Task> tasks;
    std::vector<TaskId> ids;
    std::vector<Index> free_tasks;
    IndexTable task_table;
    std::vector<Side> sides;
    std::vector<Index> free_sides;
    Index ttl_oldest = kNone, ttl_newest = kNone;

    // What was, for a bounded time.
    std::vector<IdempotencyEntry> idempotency;
    std::vector<Index> free_idempotency;
    std::deque<Index> ended_keys;  // in order of their end
    IndexTable idempotency_table;
    std::vector<std::pair<TaskId, bool>> ended;  // ring: task, succeeded
    std::size_t ended_next = 0;
    IndexTable ended_table;
    std::vector<AttemptId> settled;  // ring: attempts whose report was taken
    std::size_t settled_next = 0;
    IndexTable settled_table;

    // Classes and what they share.
    std::vector<Class> classes;
    std::vector<Index> free_classes;
    std::deque<Index> idle_classes;  // lost their last reference, the oldest first
    std::uint64_t class_stamp = 0;   // of the newest of them; each before it has one less
    IndexTable class_table;
    std::vector<Group> groups;
    std::vector<Index> free_groups;
    std::vector<Index> active_groups;  // with a head
    Directory<TypeRecord> types{4096};
    Directory<TenantRecord> tenants{4096};
    Directory<QueueRecord> queues{1024};
    Directory<KeyRecord> ordering_keys{0}, concurrency_keys{0}, rate_keys{1024};

    // Workers, by number.
    struct Hot {  // what placement reads of every worker: one array each, padded to whole blocks of 64
        std::vector<std::int32_t> utilization;          // Q16
        std::vector<std::int32_t> free_load;            // the load of balance.cc while ready, else prohibitive
        std::vector<std::int32_t> band_low, band_high;  // Q16 place among the workers, fastest first, by capacity
    };
    static constexpr std::int32_t kNotReady = 1 << 29;
    std::vector<Worker> workers;
    std::vector<Index> free_workers;
    Instant forget_at = kNever;  // when somebody who is gone may be forgotten
    Hot hot;
    bool bands_differ = false;         // some workers are faster than others
    SizeBands size_bands;              // which of them tasks of each size prefer
    std::vector<std::uint64_t> ready;  // bit per worker: may take a task now
    std::vector<std::uint64_t> open;   // bit per worker: could, but its breaker is not closed
    std::unordered_map<std::string, Index> worker_names;
    std::unordered_map<std::uint64_t, Index> sessions;
    std::vector<std::vector<std::string>> typesets{{}};  // 0 = any type
    struct Signature {
        std::vector<Index> typesets;  // that list the type; workers that take any type are always meant
        std::vector<Index> excluded;  // workers
        bool operator==(const Signature&) const = default;
    };
    std::vector<Signature> signatures{{}};
    std::vector<std::string> hardware;  // values of the label "hw"
    std::vector<Index> reserved;        // workers kept free for one task
    std::uint32_t rotation = 0;         // round-robin pointer
    bool affinity_known = false;

    std::vector<Run> runs;
    std::vector<Index> free_runs;
    std::vector<std::int64_t> run_ends;  // by run: expected end while it might be paused, else 0
    IndexTable run_table;                // by attempt; small and hot where the table of tasks is neither
    std::uint32_t copies_running = 0;

    // When slots come free (forecast.cc).
    static constexpr std::int64_t kNoEnd = INT64_MAX;
    std::array<std::vector<std::int64_t>, kWorlds> slot_ends;  // by run: its end as drawn, 0 not yet, kNoEnd no slot
    std::vector<Forecast> forecasts;                           // in force, the oldest first
    DayPattern day_pattern;                                    // of total_slots
    std::vector<Told> told;                                    // by task, as far as any was told: see promise_of()
    mutable std::optional<Forecast> looked;  // made for a question and no part of the state, which was then
    mutable std::uint64_t looked_digest = 0;

    Heap<Timer> timers;
    Heap<WallTimer> wall_timers;
    std::size_t timers_stale = 0, wall_timers_stale = 0;
    std::uint32_t timer_order = 0;
    Instant announced = kNever;       // the WakeAt in force
    std::vector<Override> overrides;  // by number, at most kOverridesMax
    std::vector<Forced> forced;       // by type, at most kForcedMax

    // Order (docs/scheduling.md).
    std::int64_t mean_us = 0;  // mean estimate
    std::uint32_t mean_count = 0;
    std::int64_t ran_mean_us = 0;  // mean run that ended, at average speed
    std::uint32_t ran_count = 0;
    std::int64_t tau_us = 0;  // mean virtual wait of arrivals that found work waiting
    std::uint32_t tau_count = 0;
    std::uint32_t trust_ppm = 1'000'000;
    std::int64_t ready_work_us = 0;                 // predicted work in class heaps and worker lines
    std::int64_t running_us = 0;                    // predicted run times of all that workers hold
    std::vector<Index> stuck_classes;               // those that have work of which nothing can start: see is_stuck()
    WorkAhead::Sum stuck_work;                      // of all of them
    std::array<std::uint64_t, kPlaces> at_place{};  // live tasks, by where they are
    std::int64_t capacity_q16 = 0;                  // slots of connected workers, each worth 1 / speed factor
    std::uint64_t total_slots = 0, busy_slots = 0;
    std::uint32_t active_shares = 0;
    Instant balanced_at;  // utilisations stand at
    Instant bands_at;     // bands stand at
    bool bands_stale = true;
    bool fleet_moved = true;  // a worker came, went, or has another speed or size than when its band was laid
    std::int64_t median_speed_ln = 0;
    std::uint32_t median_speed_ppm = 1'000'000;
    std::uint32_t prediction_failures = 0;  // in a row
    static constexpr std::int64_t kEtaWideMost = 64 * 65'536;
    std::int64_t eta_wide_placed =
        65'536;  // factors on the 90 % bound of the finish, Q16: told when a worker was free,
    std::int64_t eta_wide_queued = 65'536;                              // and when the task had to wait
    std::int64_t eta_early_placed = 65'536, eta_early_queued = 65'536;  // the same of the 10 % bound
    WorkAhead ahead;

    // Alive during one event only.
    std::vector<Command>* out = nullptr;
    bool deferred = false;  // queue new work instead of placing it at once
    bool dispatch_everything = false;
    std::vector<Index> freed;                                // workers with a slot more than before
    std::vector<std::pair<Index, std::uint32_t>> newcomers;  // task, ticket: ready since this event
    std::vector<std::pair<TaskId, TaskId>> doomed;           // dependents to cancel, and why

    // The steps. Records are named by index, and an index stays good for as long as its record lives. A reference does
    // not: these words say what a step may do to one that its caller holds:
    //
    // - places: a task may be given to a worker, which makes a run: no Run& survives, a Run by value does
    // - makes X: it may make a record of X, and move all others: no reference into X survives
    // - ends: a task may end: its Task and Side are vacant afterwards, and its class may be dropped
    // - frees X: it may leave a record of X vacant; the others stay where they are
    //
    // A step that says none of it moves no record; a const one changes nothing. "Requires" is the caller's to see to:
    // most of it is checked by MUST or by check(). `deferred` turns every placing into queueing: settle() places.

    // scheduler.cc: one event
    void apply(const Event& event, std::vector<Command>& commands);  // everything below happens inside it
    void settle();                       // places, makes all, ends. Requires: no step is under way but fire_timers()
    void measure_idle(Duration passed);  // before the event changes anything
    template <class C>
    void emit(C&& command) {
        out->emplace_back(std::forward<C>(command));
    }
    std::uint32_t new_ticket();                // never 0
    void mix_event(const Event& event);        // digest.cc
    void mix_command(const Command& command);  // digest.cc

    // facts.cc: small facts. Each on(fact) is called by apply() alone, and makes what its fact names
    void on(const EngineStarted&);
    void on(const WallMoved&);
    void on(const ConfigChanged&);
    void on(const WorkerSpeedLearned&);
    void on(const AffinityLearned&);
    void on(const TrustLearned&);
    void on(const TimePassed&) {}
    void apply_limits();                  // onto all records of types, tenants, queues
    void limit_type(TypeRecord& record);  // takes its limits from the configuration, by name; the same below
    void limit_tenant(TenantRecord& record);
    void limit_queue(QueueRecord& record);

    // tasks.cc: the life of a task outside an attempt. `task` is a live one wherever a step takes it
    void on(const TaskSubmitted&);
    void on(const EstimateRevised&);
    void estimate_run(Index task, const Estimate& estimate);  // Requires: it runs
    void on(const CancelRequested&);
    Index find_task(TaskId task) const;  // kNone: not live
    void prefetch_task(Index task) const;
    Side& side_of(Index task);                                 // makes sides. Good until the next call
    void link_dependencies(Index task, const TaskSpec& spec);  // makes sides
    void advance(Index task);              // through its gates, as far as it gets; places. Requires: it is nowhere
    bool gate_closed(Index task);          // and parks it there. Requires: it is nowhere
    void enqueue(Index task);              // into the heap of its class. Requires: it is nowhere, and keyed
    void leave_place(Index task);          // out of whatever queue it is in. Requires: it is not running
    bool awaits_run_at(Index task) const;  // its time to live has not begun
    Instant lives_from(Index task) const;
    struct Ending {
        TaskState state = TaskState::succeeded;
        AttemptOutcome outcome = AttemptOutcome::succeeded;
        Instant started = kNever;
        Duration run{-1};
        Index worker = kNone;
        std::uint64_t result_bytes = 0;
        TaskId cause;
    };
    void end_task(Index task, const Ending& ending);  // ends, frees classes. Requires: no attempt, in no queue
    // Cancels or expires it, wherever it is; ends, frees runs and classes.
    void stop_task(Index task, TaskState state, RevokeReason reason, TaskId cause);
    void release_dependents(Index task, bool succeeded);  // Requires: it has a side
    void count_waiting(Index task, int change);           // +1 or -1

    // memory.cc: idempotency keys, ended tasks, settled attempts, workers that are gone
    Index find_key(std::uint64_t hi, std::uint64_t lo) const;
    bool key_expired(const IdempotencyEntry& entry) const;
    void remember_key(Index task, const TaskSpec& spec);  // makes idempotency; nothing when the spec has no key
    void forget_old_keys();                               // frees idempotency
    void remember_ended(TaskId task, bool succeeded);
    int ended_state(TaskId task) const;  // -1 unknown, 0 not succeeded, 1 succeeded
    void remember_settled(AttemptId attempt);
    bool was_settled(AttemptId attempt) const;
    void note_gone(Index worker, Instant since);
    void plan_forgetting();              // after the retention changed
    bool removable(Index worker) const;  // nothing of it is under way, and no override names it
    void forget_gone();
    void forget(const std::vector<Index>& gone);  // frees workers. Requires: they are removable

    // classes.cc: classes, groups, heads
    using Refused = std::vector<SessionId>;
    static std::uint64_t class_hash(const TaskSpec& spec, bool alone, const Refused& refused);
    // Found or made: makes classes, groups, types, tenants, queues. The arguments may lie in a class only by value.
    Index class_of(const TaskSpec& spec, bool alone, const Refused& refused);
    Index type_named(const std::string& name);  // found or made: makes types
    void retain_class(Index cls);
    void release_class(Index cls);               // frees classes. Requires: retained
    void move_class(Index task, Index cls);      // frees classes. Requires: the task is in no heap
    void drop_class(Index cls);                  // frees classes, groups. Requires: no references
    Index group_of(const Class& cls);            // found or made: makes groups
    void join_group(Index cls);                  // makes groups
    void quit_group(Index cls);                  // frees groups
    Index signature_of(const TypeRecord& type);  // found or made: makes signatures
    void renew_signatures();                     // makes groups: after a set of types or an exclusion came or went
    bool matches(const Group& group, const Worker& worker) const;
    void renew_eligibility(Index worker);      // of it in all groups
    void count_reach(Index worker, int sign);  // Requires: it is connected
    bool is_stuck(const Class& cls) const;
    void update_stuck(Index cls);  // after anything that decides whether it is
    void update_all_stuck();
    void forget_refusals();          // where nobody else is left; queues only. Requires: late binding is settled later
    void drop_refusals(Index task);  // the same of one; makes classes. Requires: it is nowhere
    void count_ready(Index task, int sign);  // in what its class and its limits sum up
    WorkAhead::Sum startable_before(std::int64_t key) const;
    bool matches_otherwise(const Group& group, const Worker& worker) const;  // whatever memory it asks for
    std::int64_t most_memory(const Group& group) const;  // that a connected worker offers which may run it otherwise
    bool eligible(const Group& group, Index worker) const {
        return (group.eligible[worker / 64] >> (worker % 64) & 1) != 0;
    }
    void update_head(Index cls);  // after anything that changes the class's first task or whether it is blocked
    void head_rise(Group& group, std::size_t at);
    void head_sink(Group& group, std::size_t at);
    void push_ready(Index task);
    void pop_ready(Index task);  // by invalidation; also when it is not the head. Requires: it is ready
    void clean(Class& cls);      // drops stale entries from the top
    bool current(const HeapEntry& entry) const { return tasks[entry.task].ticket == entry.ticket; }

    // limits.cc: limits on running work; ordering, concurrency and rate keys
    Limit* full_limit(const Class& cls);  // the first of its limits that is full; null: none
    bool park_if_limited(Index cls);
    void unpark(Limit& limit);
    void count_running(Index cls, int change);         // +1 or -1
    void join_keys(Index task, const TaskSpec& spec);  // makes sides and keys
    void leave_keys(Index task);                       // frees keys. Requires: it has a side
    void give_back_tokens(Index task);                 // others may advance; queues only
    bool keys_closed(Index task);                      // parks the task when a key forbids it to go on
    void release_key(Index key);                       // the three below let others advance; queues only
    void release_rate(Index key);
    void rate_started(Index task);
    Instant rate_turn(Index task, Instant at) const;  // when it is likely to come; Requires: parked there
    void put_in(Task& task, Place place);             // and counts it there
    void park(Index task, Place place);               // Requires: it is nowhere
    void park_at(KeyRecord& key, Index task, Place place);
    void advance_parked(KeyRecord& key);  // places, unless deferred. Requires: something is parked

    // order.cc: the key
    void note_arrival(const Task& task);
    void set_base(Index task);  // once: then it is keyed
    // Whether predictions order tasks; if not, they tell neither what is long nor who is late.
    bool trusted() const { return trust_ppm >= 500'000; }
    std::int64_t overtake_cap() const;
    std::int64_t overtake_bound() const;
    std::int64_t size_term(Index task) const;
    void set_key(Index task);  // Requires: keyed, in no heap
    std::int64_t tenant_start(Index task);
    void note_run(Duration run, Index worker);
    Duration virtual_wait() const;
    std::int64_t run_on(Index cls, std::int64_t mean, Index worker) const;  // predicted microseconds there
    std::int64_t on_hardware(Index cls, std::int64_t run, Index worker) const;
    std::int64_t usual_run(Index cls, std::int64_t time,
                           Index worker) const;               // at its speed or the median
    std::int64_t slowness_ln(Index cls, Index worker) const;  // Q16, speed and affinity

    // placement.cc: which worker
    bool fits(const Group& group, Index worker) const;  // its free resources suffice
    bool room_for(const Resources& need, Index worker) const;
    Index choose_worker(Index task, Decision& decision);  // kNone: nobody free may run it
    Candidate score(Index task, Index worker) const;
    void scan_plain(Index task, Decision& decision) const;
    void scan_scored(Index task, Decision& decision) const;
    Index rotate(const Group& group, const std::vector<std::uint64_t>& mask, std::uint32_t from) const;
    bool falls_back(const Task& task) const;

    // dispatch.cc: giving work out
    bool late_binding() const { return config.policy <= PolicyKind::fcfs; }
    void place_or_enqueue(Index task);                 // places. Requires: it is nowhere, through all gates
    void fill(Index worker);                           // places, until it is full or nothing is left for it
    void dispatch_all();                               // places
    Index next_for(Index worker, bool ahead = false);  // the task it should take, or hold ready, or none
    Index first_for(const Class& cls, Index worker) const;
    bool may_go_elsewhere(Index task, Index worker) const;
    Index sufferer(const Group& group, Index worker) const;
    void note_others(Index worker, Index task, Decision& decision) const;
    // Makes runs. Requires: the worker has a free slot, or the decision is to prefetch; the task is in no queue, or runs
    // and this is its copy.
    void start(Index task, Index worker, Decision decision, bool speculative);
    std::uint64_t next_fence();
    void update_ready(Index worker);  // after anything that decides whether it may take a task
    void reserve(Index worker, Index task);
    void check_reservations();
    bool takes_work(const Worker& worker) const;    // it is here, and nothing keeps new work from it
    bool may_take_new(const Worker& worker) const;  // the same, were a slot free: nor does what it has

    // pause.cc. `run` is a vacant or living index; `const Run&` a living one
    void on(const AttemptPaused&);
    bool pausing() const { return config.pause && config.policy == PolicyKind::predictive; }
    std::int64_t remaining(const Run& run, Instant at) const;  // expected microseconds, given how long it ran
    void note_end(Index run);
    void note_ends();
    bool may_pause(const Run& run) const;
    bool may_pass(Index cls, const Run& run) const;
    bool may_give_way(const Run& run, Index task) const;
    bool short_enough(Index task, const Run& run) const;
    void note_yield(Index run, Index newcomer, Decision& decision);
    Index shorter_than(Index run);
    Index make_room(Index task, Decision& decision);  // pauses a run for it: the worker, or kNone
    void place_newcomers();                           // places
    void pause_run(Index run, Index newcomer);        // Requires: it is in a slot
    void resume_run(Index run);                       // the two below: it is paused
    void go_on(Index run);
    Decision decision_about(const Run& run, DecisionReason reason) const;
    void tell_pause(Index run, Index newcomer);
    bool resumable(Index run) const;
    Index next_paused(Index worker) const;
    void judge_owing(Index worker);
    void reconcile_pause(Index run, bool held_paused);
    void use_slot(Index run, int sign);
    std::uint64_t& counted_in(const Run& run);

    // preempt.cc
    bool may_preempt(const Run& run, Index newcomer) const;
    void preempt_for(Index newcomer);  // Requires: it is ready
    Duration lost_by(const Run& run) const;
    void give_notice(Index run, Duration saved);
    void notice_ran_out(Index run);  // frees runs; places

    // prefetch.cc. `run` is a prefetched one, unless it says otherwise
    std::size_t room_ahead(Index worker) const;
    bool may_prefetch(Index task, Index worker) const;
    void prefetch(Index worker);  // places, until it holds enough
    void join_ahead(Index run);   // Requires: it is new
    void watch_ahead(Index worker, Instant due);
    void leave_ahead(Index run);     // it is in no slot and no line afterwards
    void enter_slot(Index run);      // Requires: it is in no line
    void leave_slot(Index run);      // Requires: it is in a slot, or paused
    void renew_rate(Index run);      // by what its run is expected to take now
    void take_slot(Index run);       // out of the line, into a slot
    void begin_ahead(Index worker);  // what it holds takes its free slots, as it does by itself
    Duration wait_ahead(Index run) const;
    void note_turnaround(const Run& run, Duration waited);
    void recall(Index run);
    void recall_all(Index worker);
    void recall_for(Index worker);    // what has waited elsewhere for too long, for its free slots
    void make_way(Index newcomer);    // recalls what is less urgent. Requires: the newcomer is ready
    void prefetch_due(Index worker);  // frees runs, classes; places, ends
    // `lost`: nobody says so, and it may have begun: its number is not used again.
    void unstarted(Index task, bool lost);  // its attempt ended before it began. Places, ends. Requires: it is over

    // binding.cc: push policies
    void bind(Index task);  // places. Requires: it is nowhere
    void bind_to(Index task, Index worker);
    Index pick_push(Index task);  // kNone: nobody may run it
    void count_bound(Index task, int change);
    void unbind_line(Index worker);
    void unbind_all();
    void drain_line(Index worker);  // places

    // attempts.cc. Whoever needs the run after one of these keeps it by value
    void on(const AttemptStarted&);
    void on(const AttemptFinished&);
    Index find_run(TaskId task, AttemptId attempt) const;  // kNone: not a current attempt of this task
    Index find_ghost(SessionId session, AttemptId attempt) const;
    // Takes it from its task; its slot is still taken. Requires: it has a task.
    void attempt_over(Index run, AttemptOutcome outcome, Duration ran, std::uint64_t memory);
    void vacate(Index run);                                           // the slot is free; frees runs, classes
    void make_ghost(Index run, RevokeReason reason, Duration grace);  // frees runs when nobody can answer
    void report_taken(Index run, AttemptFinished report);             // frees runs; places, ends
    // Requires: the attempt is over. Places, ends.
    void after_failure(Index task, Index run, const AttemptFinished& report);
    void lose_run(Index run, bool crash);      // frees runs; makes classes; places, ends
    void requeue(Index task, Duration delay);  // places, ends. Requires: it has no attempt
    void orphan(Index run, Instant until);     // as lose_run() when `until` is past
    void grow_memory(Index task, std::uint64_t peak_bytes);
    void given_back(Index task, Index worker, const AttemptFinished& report);  // as after_failure()

    // workers.cc
    void on(const WorkerJoined&);
    void on(const WorkerCapacityChanged&);
    void on(const WorkerSuspected&);
    void on(const WorkerRecovered&);
    void on(const WorkerLeft&);
    void on(const WorkerLost&);
    void on(const WorkerControlled&);
    Index session_worker(SessionId session) const;                   // kNone: the session is over
    Index worker_named(const std::string& name);                     // found or made: makes workers
    bool lost_too_often(Index task);                                 // counts it, too
    void welcome(Index worker, const std::vector<AttemptId>& kept);  // frees runs; places, ends
    void end_session(Index worker);                                  // Requires: connected
    void count_capacity(Index worker, int sign);
    void measure(Index worker);  // how used it was, before its slots or what is in them changes

    // balance.cc: utilisation and bands
    std::int64_t horizon_us() const;
    void charge(Index worker, std::int64_t work_us);
    std::int32_t load_of(Index worker) const;
    std::int32_t speed_taste(Index worker) const;
    void refresh_balance();
    void refresh_bands();

    // breaker.cc
    void judge_speed(Index worker);
    void judge_success(Index worker, Index type);
    void judge_failure(Index task, Index worker);
    void acquit(Index worker);
    bool ran_late(const Run& run, Duration expected, Duration ran) const;
    void judge_lateness(const Run& run, bool is_late);
    void judge_overtaken(Index run, Index winner, Duration ran);
    void breaker_due(Index worker);
    void set_breaker(Index worker, Breaker breaker);
    void close_breaker(Index worker);  // as an operator orders
    bool open_may_take(Index task, Index worker) const;
    bool other_closed_worker(const Group& group, Index worker) const;

    // stragglers.cc
    void watch_straggler(Index run);
    void straggler_due(Index run);  // a second copy: makes runs
    Duration straggler_limit(const Run& run) const;

    // forecast.cc
    void forget_end(Index run, bool holds_slot);  // what was drawn of it
    std::int64_t draw_end(std::size_t world, Index run, Instant at) const;
    std::uint64_t forecast_events() const;
    std::uint64_t pool_of(const Group& group) const;
    bool is_current(const Forecast& forecast, std::int64_t before) const;
    template <class Visit>
    void visit_waiting(const std::vector<Index>& of_groups, Visit visit) const;
    std::vector<Index> first_waiting(std::size_t limit) const;  // tasks that can start, smallest key first
    std::vector<std::int64_t> earliest_ends(std::size_t world, const Group& group, bool everywhere, Instant at,
                                            std::size_t most) const;
    std::size_t free_slots(const Group& group, std::size_t most) const;
    Forecast make_forecast(Index group, Instant at) const;
    void refresh_forecast(Index task);
    const Forecast& forecast_for(Index group, std::int64_t before, Instant at) const;  // good until the next question
    const Forecast& forecast_now(Index group, Instant at) const;
    // Nothing: never.
    std::optional<Forecast::Turn> slot_turn(Index cls, std::int64_t key, std::uint32_t ticket, Instant at) const;
    // As fast as slots come free now, from then on: with the slots that are usual at those times of the day.
    Instant as_usual(Instant from, Instant then) const;
    Forecast::Turn limit_turn(const Limit& limit, std::int64_t rank, const Task& task, Instant at,
                              const std::function<bool(const Run&)>& holds) const;

    // timers.cc. A timer names its record by index and ticket, so one that outlives the record is known by it
    void set_timer(Instant at, TimerKind kind, Index index, std::uint32_t ticket);
    bool timer_alive(const Timer& timer) const;
    void fire_timers();             // places, makes all, ends
    void fire(const Timer& timer);  // the same. Requires: alive
    void fire_wall(const WallTimer& timer);
    void set_wall_timer(WallTime at, Index task);
    bool wall_timer_alive(const WallTimer& timer) const;
    void expire_oldest();  // ends
    void announce_wake();  // last of an event
    void ttl_link(Index task);
    void ttl_unlink(Index task);

    // overrides.cc
    void on(const OverrideSet&);
    void on(const OverrideCleared&);
    void on(const EstimateForced&);
    void on(const TypeReset&) {}    // the predictor's
    void on(const TokenIssued&) {}  // the engine's, like the two below
    void on(const TokenRevoked&) {}
    void on(const SignedIn&) {}
    void clear_override(std::uint64_t number);  // as apply_override()
    void drop_overrides_of(Index task);         // frees classes. Requires: it ends, and has a side
    void drop_forced(const std::string& type);
    void apply_override(const OverrideSet& set, int sign);           // makes sides, types, workers, classes; places
    void pin_task(Index task, const std::string& worker, bool set);  // makes sides, classes; places
    void regate(Index task, std::int64_t shift);                     // places

    // views.cc. Views point into the records: good until the next apply()
    TaskView view(Index task) const;
    // `at`: not before now, as below.
    WaitingWhy why(Index task, Instant at) const;
    WaitingWhy why_ready(Index task, Instant at) const;
    std::string only_worker(const Group& group) const;
    std::vector<Unmet> unmet(const Class& cls) const;
    ExplainView explain(Index task) const;

    // eta.cc
    std::optional<EtaView> eta(Index task, Instant at) const;
    std::optional<EtaView> eta(Index task, Instant at, int& looks) const;  // of other tasks that are still allowed
    EtaView eta_running(Index task, Instant at) const;
    std::optional<Forecast::Turn> gate_turn(Index task, Instant at, int& looks) const;
    void wait_for_limits(Index task, Instant at, Forecast::Turn& turn) const;
    EtaView run_after(const Forecast::Turn& turn, const Task& task, Instant late) const;
    void tell_eta(Index task);
    Promise promise_of(Index task) const;
    void judge_eta(Index task);

    // whole.cc
    Backlog backlog(Instant at) const;
    void spread_backlog(Instant at, const Run* longest, Backlog& view) const;
    std::vector<WaitingBy> waiting_by(Instant at) const;
    enum class Hope : std::uint8_t { workers, breakers, nobody };  // for work of a group: who takes it, if not now
    Hope hope_of(const Group& group, std::size_t& looks) const;

    // check.cc, snapshot.cc
    void check() const;  // between events only
    void check_workers() const;
    template <class Archive>
    void archive(Archive& a);
    template <class Archive>
    void archive_ends(Archive& a);
    void rebuild_tables();  // the three after loading
    void recount();
    void guess_before_9();
    void guess_before_10();
    void guess_before_11();
};

}  // namespace nexus::core
