#pragma once
// The engine as a running service: recovery at start, the threads, and the stop.
//
//     callers --> inbox --> loop thread (engine::Engine, core::Scheduler) --> committer thread --> release
//                                                                        \--> history writer, reader, snapshot threads
//
//   loop       owns all state; takes everything in the inbox per turn; never waits for I/O
//   committer  appends every finished batch in one store call (natural group commit), then releases in order:
//              callbacks, WorkerLink::send, watchers. Nothing leaves before its events are durable
//   history    writes ended tasks, attempts, decisions and audit in batches; bounded, drops are counted
//   readers    two, answer what needs the stores (ended tasks, results, old decisions); never wait for the writer
//   snapshots  replays the journal into its own core, checks its digests, stores snapshots
//
// While the store does not answer, everything waits and nothing is lost: submitters hear "unknown" after 2 s. Where claims
// must be renewed (a store that others may claim) the loop stands still while the Runner is not sure of its own.
//
// Calls of Service may come from any thread from start() until the Runner is destroyed; after stop() they are answered
// `unavailable`.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "engine/ownership.h"
#include "engine/service.h"
#include "history/history_store.h"
#include "identity/tokens.h"
#include "store/journal_store.h"

namespace nexus::engine {

enum class LogLevel : std::uint8_t { debug = 1, info, warning, error };
struct LogLine {
    LogLevel level = LogLevel::info;
    std::string event;  // stable identifier, e.g. "worker_lost"
    std::string text;   // one sentence; never a payload
};

struct Options {
    core::Config config;            // of an empty journal; a journal with events brings its own
    bool config_wins = false;       // true: `config` replaces the journal's at start, as a new version
    std::string model = "mixture";  // predict::make_model
    std::string nexus_snapshot;     // JSON of the old key scheduler:predictions; read when the journal is empty
    std::string version = "0.1.0";  // of the server, for status and metrics

    Duration heartbeat = seconds(1);      // told to workers
    Duration suspect_after = seconds(2);  // C12
    Duration lost_after = seconds(3);

    std::uint64_t snapshot_events = 1'000'000;  // at the latest; sooner while the state is small
    std::uint64_t snapshot_bytes = 512ULL << 20;
    std::uint64_t commit_queue_bytes_max = 32ULL << 20;    // beyond it new submissions are refused (C16, C21)
    std::uint64_t history_buffer_bytes_max = 64ULL << 20;  // beyond it history rows are dropped and counted (C22)
    Duration history_retention = hours(24 * 30);
    std::uint64_t history_bytes_max = 0;  // 0 = no limit

    OwnershipTimes ownership;
    std::string name = "nexus";             // of this instance, for those who share the store
    std::string address;                    // where it can be reached, for the same
    std::int64_t (*steady_ns)() = nullptr;  // a monotonic clock; null = the system's

    Sequence skip_event;  // sets one event of the journal aside at recovery; loud, see docs/journal.md

    // Told the table of tokens at the start and whenever it changes; from the loop's thread. May be empty.
    std::function<void(std::shared_ptr<const identity::Tokens>)> publish_tokens;

    // The store failed for good (C17): nothing is acknowledged any more; end the process within a second. Called once,
    // from the committer thread.
    std::function<void(const Error&)> on_fatal;
    std::function<void(const LogLine&)> log;  // from any thread; must not block for long
};

// What start() found.
struct Recovery {
    bool fresh = true;     // the journal was empty
    Sequence snapshot_at;  // 0 = none
    std::uint64_t events_replayed = 0;
    std::uint64_t tasks_live = 0;
    Duration took;
};

class Runner : public Service {
public:
    // Recovers the state from `journal` and starts the threads. Both stores must outlive the Runner. Faults: corrupt (a
    // digest differs: names the sequence; or a store's own), unsupported (another core or format version), invalid,
    // conflict (somebody else has just claimed the journal).
    static Result<std::unique_ptr<Runner>> start(Options options, store::JournalStore& journal,
                                                 history::HistoryStore& history);
    // Equal to stop() when it was not called before.
    ~Runner() override = default;

    // C24: refuses new submissions, tells workers to reconnect, finishes commits, writes history and a snapshot.
    // Returns within `limit`, of which the snapshot and the history get what the commits leave; an error says what was
    // left out (never an acknowledged change). Idempotent.
    virtual Result<void> stop(Duration limit = seconds(5)) = 0;

    virtual const Recovery& recovery() const = 0;
    // All checks() (store, owner, space, commits, running) are good; else why not. Thread-safe, never blocks.
    bool ready(std::string* why_not = nullptr) const;
};

}  // namespace nexus::engine
