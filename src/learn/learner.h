#pragma once
// The learning loop around a core: who owns the predictor asks it when a task is submitted and dispatched, teaches it
// what became of each attempt, and tells the core what it learned. Written once, for the server, for `nexus simulate`
// and for whatever else drives a core; without threads, clock or I/O: time and tasks are the caller's.
//
//     submitted()   a first estimate, to plan with
//     dispatched()  the estimate that the run will be judged by
//     refined()     the same for the core, which took the run for what the task was estimated at before
//     started()     from here on the attempt may be overdue
//     ended()       the lesson
//     look()        every kBeat: counts overdue runs; when something was learned, begins a round of facts
//     next_fact()   the facts of that round, one by one, each from the state that the one before has led to
//     recall()      after a restart: the tasks whose bodies are to be read next
//
// Facts are what replaces the model in a replay, so all of them are to be applied as events:
//
//     learner.look(core, tasks, now);
//     while (auto fact = learner.next_fact(core, tasks, now)) apply(std::move(*fact));
//
// A round publishes speeds, affinities and trust, then estimates again: the waiting tasks that would start soonest, and
// others in turn, since ETAs and the time to drain rest on every one of them: those of types that were taught since, or
// never. An estimate that moved by a tenth or less is no fact. Each lesson pays for some looks of either kind, each
// estimate that had moved for some more: where little is learned little is looked at, and a change is soon told to all.
// What starts within the next beat is estimated before, so that no decision rests on what was known when it came. A beat
// costs at most kNextMost + kTurn estimates, whatever waits.
//
// Deterministic. Not thread-safe. No method fails.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <vector>

#include "core/command.h"
#include "core/event.h"
#include "core/scheduler.h"
#include "predict/predictor.h"

namespace nexus::learn {

// How often look() is to be called while there is anything to learn from.
inline constexpr Duration kBeat = milliseconds(200);

inline constexpr std::size_t kNext = 64;        // that would start soonest; more where more start within a beat,
inline constexpr std::size_t kNextMost = 4096;  // up to so many
inline constexpr std::size_t kTurn = 1000;
inline constexpr std::size_t kLooksPerLesson = 16;
inline constexpr std::size_t kLooksPerMove = 16;
inline constexpr std::size_t kRecallMax = 64;  // bodies asked for at a time: below a millisecond of the committer

// The live tasks, as whoever drives the core keeps them.
class Tasks {
public:
    struct Known {
        predict::Features features;  // for no worker in particular; its views stay valid until the next change
        bool complete = true;  // false: what was told with its body is not read yet, so an older estimate knows more
    };
    virtual ~Tasks() = default;
    // Of a live task; nothing of any other.
    virtual std::optional<Known> known(TaskId task) const = 0;
    // For going round all of them: each sits in one of the slots 0 to slot_count() - 1 for as long as it lives. A zero
    // id where none sits.
    virtual std::size_t slot_count() const = 0;
    virtual TaskId in_slot(std::size_t slot) const = 0;
};

class Learner {
public:
    // What an experiment makes of each estimate before anybody sees it.
    using Distortion = std::function<Estimate(TaskId, Estimate, Instant now)>;

    // Null: the default model.
    explicit Learner(std::unique_ptr<predict::Model> champion);
    void distort(Distortion distortion) { distortion_ = std::move(distortion); }

    predict::Predictor& predictor() { return predictor_; }
    const predict::Predictor& predictor() const { return predictor_; }

    // `features` may name no worker.
    Estimate submitted(TaskId task, predict::Features features, Instant now);
    // Carried out with the order. That of the decision when no model answered then, or not all is known of the task.
    Estimate dispatched(const core::AssignAttempt& order, const core::Scheduler& core, const Tasks& tasks, Instant now);
    // The estimate of dispatched() as a fact, when it differs from what the core took the run for by enough to be told.
    static std::optional<core::Fact> refined(const core::AssignAttempt& order, const Estimate& predicted);
    // After the start was applied; told again it changes nothing. `predicted` by dispatched().
    void started(TaskId task, AttemptId attempt, const Estimate& predicted, const core::Scheduler& core, Instant now);
    // Before the task is forgotten. Attempts that never started or were rejected teach nothing.
    void ended(const core::AttemptEnded& ended, const core::Scheduler& core, const Tasks& tasks,
               const Estimate& predicted, Instant now);
    // An operator forced the estimates of a type, or made it be forgotten: what waits is to be estimated again.
    void changed(std::string_view type);
    // Of a task that succeeded: by the p90 that was told?
    void finished(bool by_p90) { predictor_.note_eta(by_p90); }

    void look(const core::Scheduler& core, const Tasks& tasks, Instant now);
    // Nothing: the round is over. Applying a fact may call any other method but look().
    std::optional<core::Fact> next_fact(const core::Scheduler& core, const Tasks& tasks, Instant now);
    // When look() has something to do: at once after a lesson, else when the next run may be overdue; else kNever.
    Instant wanted_at() const;

    // Of the tasks that are live now, those that are not completely known are to be recalled.
    void restarted(const Tasks& tasks) { recall_end_ = tasks.slot_count(); }
    // At most kRecallMax; none while the answer for earlier ones is awaited.
    std::vector<TaskId> recall(const Tasks& tasks);
    // What recall() named is complete now.
    void recalled() { recalling_ = false; }

private:
    struct Due {  // a running attempt reaches a mark: its p50 and each quarter more, and its P90
        Instant at;
        TaskId task;
        AttemptId attempt;
        Duration mark;
        Duration p50, p90;
        bool overdue = false;  // it was counted as beyond its P90
        bool operator>(const Due& other) const { return at > other.at; }
    };
    struct Round {
        std::vector<core::Fact> learned;
        std::vector<TaskId> next;
        std::size_t lessons = 0;  // that it is made for
        std::size_t at = 0;       // in the list that is gone through
        std::size_t turn = 0;     // slots still to be gone through in turn
        std::size_t looks = 0;    // estimates paid for and not yet made
        enum class Part : std::uint8_t { over, learned, next, turn } part = Part::over;
    };

    void see_marks(const core::Scheduler& core, const Tasks& tasks, Instant now);
    void see_mark(Due& due, const predict::Features& features, Duration ran, Instant now);
    void plan(Due due, Duration ran, Instant now);
    std::vector<core::Fact> take_learned(const core::Scheduler& core);
    // Whether anything was learned since it was looked at last that its estimate rests on.
    bool may_have_moved(std::string_view type, const Tasks& tasks) const;
    std::optional<core::Fact> look_at(TaskId task, const core::Scheduler& core, const Tasks& tasks, Instant now);
    Estimate told(TaskId task, Estimate estimate, Instant now) const {
        return distortion_ ? distortion_(task, estimate, now) : estimate;
    }

    predict::Predictor predictor_;
    Distortion distortion_;
    std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
    std::size_t lessons_ = 0;  // since the last round
    double told_trust_ = 1;
    std::uint64_t decisions_ = 0;  // of the core, at the last round
    Round round_;
    std::size_t turned_ = 0;                         // the slot that is next in turn
    std::uint64_t steps_ = 0;                        // slots gone through in turn, ever
    std::map<std::uint64_t, std::uint64_t> taught_;  // steps_ at the last lesson, by hash of the type
    std::size_t recall_at_ = 0, recall_end_ = 0;
    bool recalling_ = false;
};

}  // namespace nexus::learn
