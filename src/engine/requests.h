#pragma once
// Every call that the engine answers: one struct per request, plain values only, so that it can be carried out here or
// sent to the engine of another process. `author` and `reason` are what the caller says; who it is comes with the call
// (base/caller.h).
//
// A new request is a struct here, an alternative of Call below, and an Engine::answer of it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/caller.h"
#include "engine/messages.h"
#include "engine/read_model.h"
#include "identity/tokens.h"

namespace nexus::engine {

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

// Whether a request only looks: it changes nothing, and may wait in a line of its own.
template <class Request>
inline constexpr bool kLooks = requires { Request::looks; };

// ---- tasks. A caller who is bound to a tenant reaches its tasks only: of others every call says not_found, as of what
// never was; a request that names another tenant is denied

// Fault denied when the caller is bound to another tenant.
Result<void> check_tenant(const Caller& caller, const std::string& tenant);
// A filter that names no tenant is for the caller's own. Fault denied as above.
Result<void> keep_to_tenant(const Caller& caller, TaskFilter& filter);

// All or nothing. Faults: invalid (names the field and item), conflict (idempotency key with another body), not_found
// (an `after` task), exhausted (admission limits; retry later), unavailable (stopping, or store too slow).
struct SubmitTasks {
    std::vector<Submission> items;
    std::vector<TaskId> untaken{};  // of entries that their queue does not hold any more: their marks are dropped
    using Answer = std::vector<Submitted>;
};
struct CancelTask {  // not_found | failed_state (it has ended otherwise)
    TaskId task;
    std::string reason;
    using Answer = TaskInfo;
};
struct RetryTask {  // re-drive of a task that ended without success
    TaskId task;
    using Answer = Submitted;
};
// All that the filter finds, or those that are named: at most `limit`, the newest first. Each is judged by itself. Of a
// filter: tasks that have not ended for a cancellation; for a retry those that ended without success, by their end, but no
// cancelled one unless it asks for them, and what such a call has submitted again already is refused with `conflict`.
struct ManyTasks {
    TaskFilter filter;
    std::vector<TaskId> tasks;  // these alone, then without filter
    std::string page;           // ChangedMany::next of the call before
    std::string reason;
    bool dry_run = false;  // tells what would be changed
    std::size_t limit = 1000;
};
struct CancelMany : ManyTasks {
    using Answer = ChangedMany;
};
struct RetryMany : ManyTasks {
    using Answer = ChangedMany;
};
struct GetTask {
    TaskId task;
    bool with_result = false;
    using Answer = TaskInfo;
    static constexpr bool looks = true;
};
// What an attempt wrote. Of a running one, asked of its worker: from the places that were asked on. Of one that has
// ended: all that is kept of it, as it reported it.
struct OutputText {
    std::uint32_t number = 0;  // of the attempt
    bool running = false;      // more may follow; false with an empty result too when its handler does not tell
    std::string out, err;
    std::uint64_t out_from = 0, err_from = 0;  // where they begin
    std::string result;
    std::string worker;
};
// Faults: not_found (the task, or an attempt of that number), failed_state (no attempt has started yet, or ever did),
// unreachable (its worker is not connected, or does not answer; ask again), exhausted (too many such questions wait).
struct ReadOutput {
    TaskId task;
    std::uint32_t attempt = 0;  // its number; 0 = the latest
    std::uint64_t out_from = 0, err_from = 0;
    using Answer = OutputText;
    static constexpr bool looks = true;
};
// Newest first: by submission, so that a task keeps its place when it ends, and pages neither repeat nor skip one
// meanwhile; those of ended states only by their end. Faults: invalid (an invalid `page`), unreachable (the history).
struct ListTasks {
    TaskFilter filter;
    std::size_t limit = 100;  // 1 to 1000
    std::string page;         // TaskPage::next of the page before
    using Answer = TaskPage;
    static constexpr bool looks = true;
};
struct ExplainTask {
    TaskId task;
    using Answer = Explanation;
    static constexpr bool looks = true;
};

// ---- operators: what they see

struct ReadState {  // what is looked at all the time, shared by everybody who asks: read_model.h
    using Answer = std::shared_ptr<const ReadModel>;
    static constexpr bool looks = true;
};
struct ListQueues {
    using Answer = std::vector<QueueInfo>;  // by name
    static constexpr bool looks = true;
};
struct GetQueue {  // not_found: no task is in it, and no setting names it
    std::string queue;
    using Answer = QueueInfo;
    static constexpr bool looks = true;
};
struct GetWorker {  // not_found
    std::string name;
    using Answer = WorkerDetail;
    static constexpr bool looks = true;
};
// What happened to a worker, or to a type, since the start: newest first. not_found: it is not known either.
struct ListHappened {
    bool of_type = false;
    std::string about;
    using Answer = std::vector<Happened>;
    static constexpr bool looks = true;
};
struct ReadSeries {  // invalid
    SeriesQuery query;
    using Answer = SeriesInfo;
    static constexpr bool looks = true;
};
struct ListTenants {
    using Answer = std::vector<TenantInfo>;  // by name
    static constexpr bool looks = true;
};
struct ListLimits {
    using Answer = std::vector<LimitInfo>;  // most waiting first
    static constexpr bool looks = true;
};
struct GetFreeSlots {
    std::string type;     // empty = any
    core::Labels labels;  // that a worker must have
    using Answer = FreeSlotsInfo;
    static constexpr bool looks = true;
};
struct ListTypeRuns {  // of those that succeeded, newest first
    std::string type;
    std::size_t limit = 500;
    using Answer = std::vector<TypeRunInfo>;
    static constexpr bool looks = true;
};
struct ListTypes {
    using Answer = TypesInfo;
    static constexpr bool looks = true;
};
struct GetType {
    std::string type;
    using Answer = TypeInfo;
    static constexpr bool looks = true;
};
struct GetConfig {
    using Answer = core::Config;
    static constexpr bool looks = true;
};
struct ListOverrides {
    using Answer = std::vector<OverrideInfo>;  // those in force, by number
    static constexpr bool looks = true;
};
struct ListDecisions {
    history::DecisionQuery query;  // its place is told by `page`
    WallTime to;                   // only before; 0 = no bound
    std::string page;
    using Answer = DecisionPage;
    static constexpr bool looks = true;
};
struct ListAudit {
    history::AuditQuery query;  // its place is told by `page`
    std::string page;
    using Answer = AuditPage;
    static constexpr bool looks = true;
};
// Follows the chain of the whole audit and compares its end with the head that the engine holds.
struct VerifyAudit {
    using Answer = AuditVerdict;
    static constexpr bool looks = true;
};
// Changes of the configuration, newest first. Asked for one `version` (0 = all), the answer has that configuration whole;
// not_found: it is older than kVersionsBack versions, or what came after it is not kept.
struct ListConfigVersions {
    static constexpr std::size_t kVersionsBack = 1000;
    std::size_t limit = 100;
    std::string page;
    std::uint32_t version = 0;
    using Answer = ConfigVersionsPage;
    static constexpr bool looks = true;
};

// ---- operators: what they change; each becomes an event and is in the audit

struct ControlWorker {
    std::string name;
    core::WorkerOrder order = core::WorkerOrder::cordon;
    std::string author, reason;
    using Answer = WorkerInfo;
};
struct ResetType {
    std::string type;
    std::string author, reason;
    using Answer = TypeInfo;
};
struct ForceEstimate {
    std::string type;
    Duration estimate;  // 0 = none any more
    WallTime expires;   // 0 = never
    std::string author, reason;
    using Answer = TypeInfo;
};
// An edit of the live configuration (config/toml.h says what a text may hold), or all of it anew. conflict when `version`
// is not the current one (0 = do not care). What changes nothing makes no version.
struct Configure {
    std::uint32_t version = 0;
    std::string toml;
    std::string author, reason;
    bool dry_run = false;                 // tells what would change
    std::optional<core::Config> whole{};  // instead of `toml`
    using Answer = Reconfigured;
};
// The configuration of an earlier version becomes a new one. Faults: as Configure, and as of ListConfigVersions.
struct RollBackConfig {
    std::uint32_t to = 0;
    std::uint32_t version = 0;  // the current one; 0 = do not care
    std::string author, reason;
    bool dry_run = false;
    using Answer = Reconfigured;
};
struct SetPolicy {
    core::PolicyKind policy{};
    std::string author, reason;
    using Answer = core::Config;
};
struct PauseQueue {
    std::string queue;
    bool paused = true;  // false: it goes on
    std::string author, reason;
    using Answer = StatusInfo;
};
struct SetOverride {
    core::OverrideSet set;  // the engine numbers it
    WallTime expires;       // 0 = never
    std::string author, reason;
    using Answer = OverrideInfo;
};
struct ClearOverride {
    std::uint64_t number = 0;
    std::string author;
    using Answer = std::uint64_t;  // its number
};

// ---- credentials: each change is an event and is in the audit. The secret of a token never comes here

// Faults: invalid (names the field), conflict (the id is taken), exhausted (as many tokens as there may be).
struct IssueToken {
    identity::Token token;  // created and created_by are the engine's to fill in
    std::string author, reason;
    using Answer = identity::Token;
};
struct RevokeToken {  // not_found
    std::string id;
    std::string author, reason;
    using Answer = identity::Token;
};
struct ListTokens {
    using Answer = std::shared_ptr<const identity::Tokens>;
    static constexpr bool looks = true;
};
// The caller signs in at the page.
struct SignIn {
    using Answer = std::uint64_t;  // the number of the event
};

// ---- one call

// A request and where its answer goes. `done` runs exactly once.
template <class Request>
struct Asked {
    Request request;
    Done<typename Request::Answer> done;
};

template <class... Requests>
using AnyOf = std::variant<Asked<Requests>...>;
using Call =
    AnyOf<SubmitTasks, CancelTask, RetryTask, CancelMany, RetryMany, GetTask, ReadOutput, ListTasks, ExplainTask,
          ReadState, GetWorker, ListHappened, ReadSeries, ListTenants, ListLimits, GetFreeSlots, ListTypeRuns,
          ListQueues, GetQueue, ListTypes, GetType, GetConfig, ListOverrides, ListDecisions, ListAudit, VerifyAudit,
          ListConfigVersions, ControlWorker, ResetType, ForceEstimate, Configure, RollBackConfig, SetPolicy, PauseQueue,
          SetOverride, ClearOverride, IssueToken, RevokeToken, ListTokens, SignIn>;

// The call is not carried out.
inline void refuse(Call& call, const Error& error) {
    std::visit([&](auto& asked) { asked.done(std::unexpected(error)); }, call);
}

}  // namespace nexus::engine
