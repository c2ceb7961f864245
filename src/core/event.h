#pragma once
// Events: the facts that enter the core. Past tense, stamped by the engine, numbered by the journal, never refused.
// Their byte format is docs/journal.md; a new field or kind bumps journal::kFormatVersion.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/estimate.h"
#include "base/ids.h"
#include "base/units.h"
#include "core/config.h"
#include "core/task.h"

namespace nexus::core {

// Who is behind an operator's act, and why: it stands in the event, so the audit follows from the journal. It decides
// nothing. The engine bounds its texts.
struct Act {
    std::string caller;  // who it is, as the transport proved it: Caller::name; empty in journals of format 1 and 2
    std::string author;  // who they say they are
    std::string reason;  // why, in their words
    bool operator==(const Act&) const = default;
};

// A server process took over this journal. Every session of before is gone; workers have reconnect_grace to return.
struct EngineStarted {
    std::uint64_t seed = 0;   // feeds attempt ids and jitter from here on
    Duration wall_offset;     // calendar time = Instant + wall_offset
    std::uint32_t epoch = 0;  // grows with each start; part of the ids of its sessions
    std::uint32_t shard = 0;  // which journal this is, below 1024; part of sessions and fences
};

// The calendar moved against the engine's clock by more than was worth ignoring.
struct WallMoved {
    Duration wall_offset;
};

struct ConfigChanged {  // a queue's pause is one, too
    Config config;
    Act act;
};

struct TaskSubmitted {
    TaskId task;
    TaskSpec spec;
    Estimate estimate;     // source none: the predictor failed
    bool promise = false;  // who submitted it is told when it will be done, and what is told is kept and judged
};

// A better estimate of a waiting task; or of the run of one that was given to a worker, on that worker.
struct EstimateRevised {
    TaskId task;
    Estimate estimate;
};

struct CancelRequested {
    TaskId task;
    Act act;
};

struct HeldAttempt {
    TaskId task;
    AttemptId attempt;
    bool paused = false;
    bool waiting = false;  // not begun: it waits for a slot there
    bool operator==(const HeldAttempt&) const = default;
};

struct WorkerJoined {
    std::string name;
    SessionId session;
    Labels labels;
    std::uint32_t slots = 1;
    Resources offered;               // -1 = unlimited
    std::vector<std::string> types;  // sorted; empty = any
    std::vector<HeldAttempt> held;
    bool can_pause = false;
    std::uint32_t prefetch_max =
        0;  // assignments that it can hold beyond its slots, and begin by itself in their order
};

struct WorkerCapacityChanged {
    SessionId session;
    std::uint32_t slots = 1;
    Resources offered;
    bool draining = false;  // the worker asks for nothing more
};

struct WorkerSuspected {  // silent for the suspect time: gets no new work
    SessionId session;
};
struct WorkerRecovered {  // heard again in the same session
    SessionId session;
};
struct WorkerLeft {  // the stream closed; `planned` when it said goodbye and holds nothing
    SessionId session;
    bool planned = false;
};
struct WorkerLost {  // silent beyond the limit; attempts may go elsewhere at last_contact + lease
    SessionId session;
    Instant last_contact;
};

enum class WorkerOrder : std::uint8_t { cordon = 1, uncordon, drain, forget, close_breaker };
struct WorkerControlled {
    std::string name;
    WorkerOrder order = WorkerOrder::cordon;
    Act act;
};

// An operator's word on how long the tasks of a type run, against whatever was learned. It replaces the one before it;
// an estimate of 0 takes it back. The predictor is told of it from the event, live and at replay.
struct EstimateForced {
    std::string type;
    Duration estimate;
    Instant expires = kNever;
    Act act;
    bool operator==(const EstimateForced&) const = default;
};
// What was learned of the type is forgotten, by the predictor; the core keeps nothing of it.
struct TypeReset {
    std::string type;
    Act act;
};

// Learned by the predictor: run times on this worker are the estimate x speed_ppm / 1e6.
struct WorkerSpeedLearned {
    WorkerNo worker;
    std::uint32_t speed_ppm = 1'000'000;
    std::uint32_t deviation_ppm = 0;  // one standard deviation of ln(speed), ppm
};
// Learned: type x hardware class interaction on top of the worker's own speed.
struct AffinityLearned {
    std::string type;
    std::string hardware;  // value of the worker label "hw"
    std::uint32_t factor_ppm = 1'000'000;
};
// Learned: how far predictions may be trusted for ordering (slope of ln actual on ln predicted, 0..1).
struct TrustLearned {
    std::uint32_t trust_ppm = 1'000'000;
};

struct AttemptStarted {
    TaskId task;
    AttemptId attempt;
    SessionId session;
    Duration waited;  // between the assignment's arrival at the worker and this start, by the worker's clock
};
struct AttemptFinished {
    TaskId task;
    AttemptId attempt;
    SessionId session;
    AttemptOutcome outcome = AttemptOutcome::succeeded;
    bool retryable = true;
    Duration run;  // measured by the worker; < 0 = unknown
    std::uint64_t result_bytes = 0;
    std::uint64_t peak_memory_bytes = 0;
};

// A worker's answer to the pause or resume order number `turn` of this attempt.
struct AttemptPaused {
    TaskId task;
    AttemptId attempt;
    SessionId session;
    std::uint32_t turn = 0;
    bool paused = false;  // what it is now: false after a pause order when the worker cannot pause it
    Duration run{-1};     // run time so far, pauses excluded; < 0 = unknown
};

// Credentials and their use. The core carries them through and keeps nothing of them; the engine keeps the table.
struct TokenIssued {
    std::string id;          // names it, is no secret
    std::string hash;        // hex SHA-256 of the secret, which is nowhere
    std::string name;        // who has it
    std::uint8_t roles = 0;  // nexus::Roles
    std::string tenant;      // the only one it may touch; empty = any
    WallTime expires;        // 0 = never
    Act act;
};
struct TokenRevoked {
    std::string id;
    std::string name;
    Act act;
};
// Somebody signed in at the page.
struct SignedIn {
    std::string id;  // of the token
    std::string name;
    Act act;
};

enum class OverrideKind : std::uint8_t { pin = 1, hold, boost, exclude };
struct OverrideSet {
    std::uint64_t number = 0;  // issued by the engine
    OverrideKind kind = OverrideKind::pin;
    TaskId task;         // pin, hold, boost
    std::string type;    // exclude; or hold/boost of a whole type
    std::string worker;  // pin, exclude
    Duration boost;      // boost: credit on the ordering key
    Instant expires = kNever;
    Act act;
    bool operator==(const OverrideSet&) const = default;
};
struct OverrideCleared {
    std::uint64_t number = 0;
    Act act;
};

struct TimePassed {};  // nothing happened but the clock; leases, backoffs and timeouts may fall due

using Fact = std::variant<EngineStarted, WallMoved, ConfigChanged, TaskSubmitted, EstimateRevised, CancelRequested,
                          WorkerJoined, WorkerCapacityChanged, WorkerSuspected, WorkerRecovered, WorkerLeft, WorkerLost,
                          WorkerControlled, WorkerSpeedLearned, AffinityLearned, TrustLearned, AttemptStarted,
                          AttemptFinished, OverrideSet, OverrideCleared, TimePassed, AttemptPaused, EstimateForced,
                          TypeReset, TokenIssued, TokenRevoked, SignedIn>;

struct Event {
    Instant at;  // never earlier than the event before it
    Fact what;
};

}  // namespace nexus::core
