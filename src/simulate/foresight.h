#pragma once
// What the scheduler of one run is told of the future: by the production learning loop, spoiled where the contender
// asks for it, or by an oracle that knows true work, speeds and affinities and learns nothing.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "learn/learner.h"
#include "simulate/contender.h"
#include "simulate/world.h"

namespace nexus::simulate {

// Task ids are (this, index + 1): in order of submission.
inline constexpr std::uint64_t kTaskIdHigh = 0x7;
inline TaskId id_of(std::uint32_t task) {
    return {.hi = kTaskIdHigh, .lo = task + 1ULL};
}
inline std::uint32_t task_of(TaskId id) {
    return static_cast<std::uint32_t>(id.lo - 1);
}

// Of one run, over the core of that run. Not thread-safe.
class Foresight final : private learn::Tasks {
public:
    // An unknown model: invalid. `contender`, `world` and `core` outlive it.
    static Result<std::unique_ptr<Foresight>> make(const Contender& contender, const World& world,
                                                   const core::Scheduler& core);

    // The task is live from here until finished().
    Estimate submitted(std::uint32_t task, Instant now);
    Estimate dispatched(const core::AssignAttempt& order, Instant now);
    void started(TaskId task, AttemptId attempt, Instant now);
    void ended(const core::AttemptEnded& ended, Instant now);
    // `by_p90`: by the p90 that was told at submission; nothing when none was.
    void finished(std::uint32_t task, std::optional<bool> by_p90);

    // When look() is due next, a beat of the loop after the one at `looked`; kNever: nothing to look for.
    Instant look_at(Instant looked, Instant now) const;
    void look(Instant now);
    std::optional<core::Fact> next_fact(Instant now);
    // What an oracle knows of one worker at a time; empty for learners.
    std::vector<core::Fact> oracle_facts(std::uint32_t worker, Instant now) const;

private:
    Foresight(const Contender& contender, const World& world, const core::Scheduler& core,
              std::unique_ptr<learn::Learner> learner);
    Estimate spoiled(TaskId task, Estimate estimate, Instant now);
    Estimate truth(std::uint32_t task, double factor, Instant now);
    predict::Features features(std::uint32_t task) const;
    std::optional<Known> known(TaskId task) const override;
    std::size_t slot_count() const override { return slots_.size(); }
    TaskId in_slot(std::size_t slot) const override { return slots_[slot]; }

    const Contender& contender_;
    const World& world_;
    const core::Scheduler& core_;
    std::unique_ptr<learn::Learner> learner_;  // null: an oracle
    std::vector<Estimate> dispatched_;         // by task: of its latest attempt on its worker
    std::vector<TaskId> slots_;                // the live tasks
    std::vector<std::uint32_t> slot_of_;       // by task
    std::vector<std::uint32_t> free_slots_;
    double ln_mean_ = 0;  // running mean of ln(estimate), the mirror of `reverse`
    std::uint64_t ln_count_ = 0;
};

}  // namespace nexus::simulate
