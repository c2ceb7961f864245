#pragma once
// What is asked of the history and of what the journal keeps of ended tasks: plain values with their answers, so that
// they can be answered on any thread, by any store, or sent to another process.
//
// Faults of all: unreachable (the history does not answer now: that says nothing of the task; ask again), not_found.

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/messages.h"
#include "engine/page_token.h"
#include "engine/requests.h"
#include "history/decision.h"
#include "history/history_store.h"
#include "store/journal_store.h"

namespace nexus::history {
class WholeHistory;
}

namespace nexus::engine {

struct EndedTask {
    history::TaskRow row;
    std::vector<history::AttemptRow> attempts;      // by number
    std::string result;                             // only when asked for
    Metadata metadata;                              // the same, and only of a task that did not succeed
    std::shared_ptr<const core::TaskSpec> spec;     // likewise
    std::optional<history::DecisionInfo> decision;  // the last one; only when asked for
};

struct AskTask {
    using Answer = EndedTask;
    TaskId task;
    std::string tenant;  // of another's it is answered as of one that never was; empty = any. So below
    bool with_result = false;
    bool with_decision = false;
};
// What is kept of what an attempt wrote. Faults besides: not_found (no such attempt), failed_state (none was made).
struct AskOutput {
    using Answer = OutputText;
    TaskId task;
    std::uint32_t number = 0;  // 0 = the last
    AttemptId attempt;         // of a live task: that of the number, where the engine knows it; one without success
    std::uint32_t made = 0;    // of a live task: how many there were; 0 = the task has ended
    std::string tenant;
};
struct AskTasks {
    using Answer = std::vector<EndedTask>;
    history::TaskQuery query;
};
struct AskDecisions {
    using Answer = std::vector<history::DecisionInfo>;
    history::DecisionQuery query;
    bool with_outcome = false;
};
struct AskAudit {
    using Answer = std::vector<history::AuditRow>;
    history::AuditQuery query;
    bool written = false;  // only what the store has, not what is on its way: for whoever lets go of the rows
};
TaskInfo info_of_ended(EndedTask ended);
// What a filter asks the history for, from a place on.
history::TaskQuery history_query(const TaskFilter& filter, const TaskPlace& place, std::size_t limit);
// The chain of the audit, and whether it comes to the head that the engine holds.
struct AskChain {
    using Answer = AuditVerdict;
    std::string head;
};
// What the body of a live task tells beside its payload. Faults: not_found (its body is lost).
struct ToldByBody {
    Metadata metadata;
    std::shared_ptr<const core::TaskSpec> spec;  // what it asked for; null: not kept
};
struct AskMetadata {
    using Answer = ToldByBody;
    TaskId task;
};
// The body of a task that ended without success, for a re-drive. It is found by the journal's store alone: the history
// is asked only when there is none, for why. Faults: failed_state (the task succeeded), not_found.
struct AskKeptBody {
    using Answer = std::string;
    TaskId task;
    std::string tenant;
};

// The same of several tasks, each with its own fault.
struct AskKeptBodies {
    using Answer = std::vector<Result<std::string>>;
    std::vector<TaskId> tasks;
    std::string tenant;
};
// The states in which tasks ended; none: not known. Those of other tenants are not known to who may touch one only.
struct AskStates {
    using Answer = std::vector<std::optional<std::uint8_t>>;
    std::vector<TaskId> tasks;
    std::string tenant;
};

Error no_task(TaskId task);

using HistoryQuestion =
    std::variant<Asked<AskTask>, Asked<AskOutput>, Asked<AskTasks>, Asked<AskDecisions>, Asked<AskAudit>,
                 Asked<AskChain>, Asked<AskMetadata>, Asked<AskKeptBody>, Asked<AskKeptBodies>, Asked<AskStates>>;

// Answers on this thread.
void answer(HistoryQuestion question, history::WholeHistory& history, store::JournalStore& journal);
// Answers with the error.
void refuse(HistoryQuestion question, const Error& error);

}  // namespace nexus::engine
