#pragma once
// The independent witness. It knows what clients submitted and were told, what workers physically ran, and the journal as
// it became durable; from these it judges the promises of the contract (numbers in brackets). It keeps its own books and
// a twin core that follows the journal; it never asks the engine.
//
// Every method throws Violation when a promise is broken.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/scheduler.h"
#include "engine/messages.h"
#include "journal/codec.h"
#include "sim/violation.h"
#include "store/journal_store.h"

namespace nexus::sim {

// One task as its submitter meant it.
struct Work {
    std::uint64_t number = 0;
    engine::Submission submission;  // the payload names the number
    Duration run;
    bool poison = false;            // its handler kills the worker
    bool keyed = false;
    std::vector<std::uint64_t> key_others;  // works with the same key and another body
    // What the submitter was told.
    TaskId acked;
    bool cancel_asked = false;
    bool cancel_acked = false;
    bool ended_seen = false;
    core::TaskState told_state = core::TaskState::waiting;  // the last terminal state somebody was told
};

std::string payload_of(std::uint64_t number);
std::uint64_t number_of(std::string_view payload);  // UINT64_MAX when it is none of ours

class Checker {
public:
    // ---- clients
    Work& new_work(Work work);
    Work& work(std::uint64_t number) { return works_.at(number); }
    std::map<std::uint64_t, Work>& works() { return works_; }
    void submit_acked(std::uint64_t number, const engine::Submitted& answer);
    void cancel_acked(std::uint64_t number, Instant now);
    void shown(const engine::TaskInfo& info);

    // ---- the store: a batch became durable (again after a crash that kept it: the same sequence is passed over)
    void committed(const store::JournalBatch& batch);
    // What a crash left of a batch that was being appended: its bodies are read back.
    void found(Sequence first, std::string_view bytes, store::JournalStore& store);
    bool stored(std::uint64_t work) const;
    // The engine recovered to this state: what is durable, no more and no less [S1, S31].
    void recovered(const core::Scheduler& core, Sequence last);

    // ---- workers. A run is physical: from the handler's start to its end.
    void run_started(TaskId task, AttemptId attempt, std::uint64_t fence, std::uint64_t process);
    void run_ended(AttemptId attempt);
    std::uint64_t new_process() { return ++processes_; }
    void process_paused(std::uint64_t process) { paused_.insert(process); }
    void process_disobeys(std::uint64_t process) { paused_.insert(process); }

    // ---- the end
    bool all_ended(std::string* first_left = nullptr) const;
    void finish();
    std::string text() const;  // how things stand, for a failure's message
    const core::Scheduler& twin() const { return twin_; }
    std::uint64_t digest() const { return digest_; }
    std::uint64_t events() const { return sequence_; }
    std::map<std::string, std::uint64_t>& seen() { return seen_; }
    // Attempts some worker held at some time, for late and repeated reports.
    const std::vector<std::pair<TaskId, AttemptId>>& attempts() const { return attempt_log_; }

private:
    struct Attempt {
        AttemptId id;
        std::uint64_t fence = 0;
        WorkerNo worker;
        bool started = false;
        bool copy = false;
    };
    struct TaskFact {
        std::uint64_t work = UINT64_MAX;  // none: its body never became durable
        core::TaskSpec spec;
        Estimate estimate;
        Instant submitted;
        std::uint64_t serial = 0;
        std::vector<Attempt> current;
        std::set<AttemptId> over;
        std::uint32_t attempts = 0;
        std::uint32_t preempted = 0, rejected = 0, lost = 0, failed = 0;
        bool ended = false;
        core::TaskState state = core::TaskState::waiting;
        std::uint64_t fence = 0;
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
    void assigned(const core::AssignAttempt& order);
    void check_constraints(const TaskFact& fact, const core::AssignAttempt& order);
    void check_capacity(WorkerNo worker);
    void attempt_ended(const core::AttemptEnded& ended);
    void task_ended(const core::TaskEnded& ended);
    TaskFact& fact(TaskId task, const char* where);
    std::string name(TaskId task) const;

    std::map<std::uint64_t, Work> works_;
    std::uint64_t next_work_ = 0;
    std::map<TaskId, std::uint64_t> body_of_;    // put with the journal
    std::map<TaskId, TaskFact> tasks_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<TaskId>> by_key_;
    std::map<std::string, WorkerFact> workers_;
    std::map<std::uint64_t, std::string> sessions_;
    std::map<AttemptId, TaskId> attempts_;
    std::vector<std::pair<TaskId, AttemptId>> attempt_log_;
    std::map<AttemptId, Run> runs_;
    std::set<std::uint64_t> paused_;
    std::map<std::string, std::uint64_t> seen_;

    std::string changed_;  // the worker that the present event is about
    WorkerFact before_;

    core::Scheduler twin_;
    std::uint64_t chain_ = 0;
    std::uint64_t sequence_ = 0;
    std::uint64_t fence_ = 0;
    std::uint64_t serial_ = 0;
    std::int64_t wall_high_ = 0;  // the latest the calendar ever was
    std::uint64_t batches_ = 0;
    std::uint64_t processes_ = 0;
    std::uint64_t digest_ = 0;
    std::vector<core::Command> commands_;
};

}  // namespace nexus::sim
