#pragma once
// A decision, from the loop to history and back: noted by the loop, made a record of some seventy bytes by the thread
// that writes history, read by whoever asks. The bytes of a record are documented in docs/journal.md.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/estimate.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/command.h"
#include "core/config.h"
#include "history/history_store.h"

namespace nexus::history {

// A decision as the loop saw it; made readable later, off the loop.
struct DecisionNote {
    EventPlace place;
    TaskId task;
    core::Decision decision;
    std::string type;
    std::string worker;
    std::string baseline;
    std::string others[2];
};

// As it is read: with names instead of numbers.
struct CandidateInfo {
    std::string worker;
    double score = 0;
    std::vector<std::pair<std::string, double>> factors;
};
struct DecisionInfo {
    EventPlace place;
    TaskId task;
    std::string policy, model, worker, reason, baseline_worker;
    std::vector<CandidateInfo> candidates;
    Estimate estimate;
    bool fallback = false;
    std::uint32_t eligible_free = 0;
    std::uint64_t waiting = 0;
    TaskId rival;  // see core::Decision
    Duration remaining, lost, saved;
    double ratio = 0;
    std::vector<core::RunnerUp> runner_ups;
    // Of the attempt that it led to, when that has ended; only where it is asked for.
    struct Outcome {
        Duration run;
        std::uint8_t outcome = 0;  // core::AttemptOutcome
        WallTime ended;
        Duration predicted;  // at dispatch
        Duration regret;     // see DecisionOutcome of the protocol
    };
    std::optional<Outcome> outcome;
};

DecisionRow row_of(const DecisionNote& note);
// Faults: corrupt (the bytes are no record of a decision).
Result<DecisionInfo> decision_of(const DecisionRow& row);

}  // namespace nexus::history
