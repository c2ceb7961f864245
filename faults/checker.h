#pragma once
// The independent witness. It knows what clients submitted and were told, what workers physically ran, and the journal
// as it became durable; from these it judges the promises of the contract (numbers in brackets). It keeps its own books
// and a twin core that follows the journal; it never asks the engine.
//
// Every method throws Violation when a promise is broken.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/scheduler.h"
#include "engine/messages.h"
#include "faults/operators.h"
#include "faults/violation.h"
#include "journal/codec.h"
#include "store/journal_store.h"

namespace nexus::faults {

// One task as its submitter meant it.
struct Work {
    std::uint64_t number = 0;
    engine::Submission submission;  // the payload names the number
    Duration run;
    bool poison = false;   // its handler kills the worker
    bool invalid = false;  // must be refused
    bool keyed = false;
    std::vector<std::uint64_t> key_others;  // works with the same key and another body
    // What the submitter was told.
    TaskId acked;
    bool cancel_asked = false;
    TaskId cancel_acked;  // the task of that time: a key that was forgotten begins another
    bool stored = false;  // its submission is in the journal, with its body
};

std::string payload_of(std::uint64_t number);
std::uint64_t number_of(std::string_view payload);  // UINT64_MAX when it is none of ours

// What happened, how often.
using Seen = std::map<std::string, std::uint64_t, std::less<>>;

class Checker {
public:
    // `thorough`: everything is recounted after every event, and the twin goes on from its own snapshot after every
    // batch.
    // `story`: every durable event and physical run is printed.
    Checker(bool thorough, bool story) : thorough_(thorough), story_(story) {}

    // ---- clients
    Work& new_work(Work work);
    Work& work(std::uint64_t number) { return works_.at(number); }
    const std::deque<Work>& works() const { return works_; }  // by number
    void submit_acked(std::uint64_t number, const engine::Submitted& answer);
    void cancel_acked(std::uint64_t number, TaskId task);
    void shown(const engine::TaskInfo& info);

    // ---- the store: a batch became durable (again after a crash that kept it: the same sequence is passed over)
    void committed(const store::JournalBatch& batch);
    // What a crash left of a batch that was being appended: its bodies are read back.
    void found(Sequence first, std::string_view bytes, store::JournalStore& store);
    bool stored(std::uint64_t work) const { return works_.at(work).stored; }
    // Whether the server may have forgotten the key of this task: it ended, and its time is over or there are too many.
    bool may_forget_key(TaskId task) const;
    // A decision as it is told to people [S17].
    void decision_told(std::string_view record);
    // The engine recovered to this state: what is durable, no more and no less [S1, S31].
    void recovered(const core::Scheduler& core, Sequence last);

    // ---- the server. For so long, in engine time, it does nothing; a later start of it knows nothing of that.
    void server_stands(Instant from, Instant until);
    void server_started() { stood_.clear(); }

    // ---- workers. A run is physical: from the handler's start to its end.
    void run_started(TaskId task, AttemptId attempt, std::uint64_t fence, std::uint64_t process);
    void run_ended(AttemptId attempt);
    std::uint64_t new_process() { return ++processes_; }
    void process_paused(std::uint64_t process) { paused_.insert(process); }
    void process_disobeys(std::uint64_t process) { paused_.insert(process); }

    // ---- the quiet time
    // From now on a task of this tenant may wait for the work that arrived before it, done on `slots` slots, and for
    // the ageing bound, no longer [L4].
    void expect_fair(std::string tenant, std::uint64_t slots);
    Estimate told(std::uint64_t work) const { return tasks_.at(works_.at(work).acked).estimate; }
    Duration fair_done() const { return fair_done_; }  // work of its tasks that succeeded

    // ---- the end
    bool all_ended() const { return live_ == 0; }
    std::string first_left() const;
    Instant last_end() const { return last_end_; }
    void finish();
    std::string text() const;  // how things stand, for a failure's message
    const core::Scheduler& twin() const { return twin_; }
    // Whether its policy chooses workers when slots are free; the others bind tasks to workers as they arrive.
    bool late_binding() const { return twin_.config().policy <= core::PolicyKind::fcfs; }
    std::uint64_t digest() const { return digest_; }
    std::uint64_t events() const { return sequence_; }
    const Operators& operators() const { return operators_; }
    bool thorough() const { return thorough_; }
    void saw(std::string_view what);
    const Seen& seen() const { return seen_; }
    // Attempts some worker held at some time, for late and repeated reports.
    const std::vector<std::pair<TaskId, AttemptId>>& attempts() const { return attempt_log_; }
    std::string holder(AttemptId attempt) const;  // the worker that has it now; empty: it is not current

private:
    struct Attempt {
        AttemptId id;
        std::uint64_t fence = 0;
        WorkerNo worker;
        bool started = false;
        bool copy = false;
        bool ahead = false;                 // assigned beyond the slots
        Instant lease_end = kNever;         // its worker is gone: not to be given up earlier
        Instant lease_end_before = kNever;  // as it was before event number
        std::uint64_t lease_changed_by = 0;
    };
    struct TaskFact {
        std::uint64_t work = UINT64_MAX;  // none: its body never became durable
        core::TaskSpec spec;
        Estimate estimate;
        Instant submitted;
        std::uint64_t serial = 0;
        std::vector<Attempt> current;
        std::set<AttemptId> over;
        std::set<AttemptId> timed_out;  // given up without waiting for their workers
        std::uint32_t attempts = 0;
        std::uint32_t rejected = 0, lost = 0, crashed = 0, failed = 0, superseded = 0, preempted = 0;
        bool ended = false;
        core::TaskState state = core::TaskState::waiting;
        Instant fair_by = kNever;  // the latest that its first attempt may be assigned
    };
    struct WorkerFact {
        core::WorkerJoined joined;
        bool connected = false, suspect = false, leaving = false, cordoned = false, draining = false;
    };
    struct Run {
        TaskId task;
        std::uint64_t fence = 0;
        std::uint64_t process = 0;
    };

    void follow(Sequence first, std::string_view bytes);
    void event(const core::Event& event);
    void remember_before(const core::Event& event);
    void note(const core::Event& event);
    void command(const core::Event& cause, const core::Command& command);
    void paused(const core::PauseAttempt& order);
    void assigned(const core::Event& cause, const core::AssignAttempt& order);
    void check_everything();
    void recover_twin();
    void follow_stale(const core::Event& event);
    void tell(const core::Event& event) const;
    // constraints.cc: what an assignment rests on
    void check_constraints(const TaskFact& fact, const core::AssignAttempt& order);
    void check_keys(const TaskFact& fact);
    void check_limits(const TaskFact& fact);
    // Of a worker that was just given something that takes this much.
    void check_capacity(const core::AssignAttempt& order, const core::Resources& taken);
    void check_lease(const TaskFact& fact, const Attempt& attempt);
    void set_leases(const core::Event& event);
    Instant acts_on(Instant due) const;
    // Under which live tasks are found that share a key with one.
    static std::vector<std::string> keys_of(const core::TaskSpec& spec);
    static std::array<std::string, 3> limited_by(const core::TaskSpec& spec);

    void set_fair(TaskFact& fact, Instant now);
    void check_fair(const TaskFact& fact);

    void attempt_ended(const core::Event& cause, const core::AttemptEnded& ended);
    void task_ended(const core::TaskEnded& ended);
    TaskFact& fact(TaskId task, const char* where);
    std::string name(TaskId task) const;
    // The attempt is current, and the session is that of its worker; no session: the scheduler's own word.
    bool from_holder(AttemptId attempt, SessionId session) const;

    const bool thorough_, story_;
    std::deque<Work> works_;
    std::unordered_map<TaskId, std::uint64_t, IdHash> body_of_;  // put with the journal
    std::unordered_map<TaskId, TaskFact, IdHash> tasks_;
    std::vector<TaskId> submitted_;  // in order
    std::uint64_t live_ = 0;
    Instant last_end_;
    std::map<std::string, std::vector<TaskId>> sharing_;  // live tasks by ordering or concurrency key
    std::map<std::string, std::uint32_t> running_;        // tasks with an attempt, by type, tenant and queue
    std::map<std::uint32_t, std::vector<std::pair<TaskId, AttemptId>>> held_;  // current attempts by worker number
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<TaskId>> by_key_;
    std::map<std::string, WorkerFact, std::less<>> workers_;
    std::map<std::uint64_t, std::string> sessions_;
    std::unordered_map<AttemptId, TaskId, IdHash> attempts_;
    std::vector<std::pair<TaskId, AttemptId>> attempt_log_;
    std::map<AttemptId, Run> runs_;
    std::set<std::uint64_t> paused_;
    std::vector<std::pair<Instant, Instant>> stood_;  // the server's standstills, in order, apart
    std::set<AttemptId> still_;                       // attempts that stand paused
    std::map<AttemptId, std::uint32_t> turns_;        // of their last orders
    Seen seen_;

    Operators operators_;
    std::string fair_tenant_;
    std::uint64_t fair_slots_ = 0;
    Duration fair_work_;  // of this tenant's tasks that wait or run
    Duration fair_done_;
    Duration fair_longest_;   // of them so far
    Duration mean_estimate_;  // of what was submitted lately
    std::int64_t estimates_ = 0;

    std::string changed_;  // the worker that the present event is about
    WorkerFact before_;
    bool config_changes_ = false;  // by the present event

    core::Scheduler twin_;
    std::uint64_t chain_ = 0;
    std::uint64_t sequence_ = 0;
    std::uint64_t fence_ = 0;
    std::uint64_t serial_ = 0;
    std::int64_t wall_high_ = 0;   // the latest the calendar ever was
    std::int64_t event_wall_ = 0;  // the calendar just before the present event
    std::uint64_t batches_ = 0;
    std::uint64_t processes_ = 0;
    std::uint64_t digest_ = 0;
    std::vector<core::Command> commands_;
    std::string saved_, saved_again_;  // the twin's bytes, kept for their room
};

}  // namespace nexus::faults
