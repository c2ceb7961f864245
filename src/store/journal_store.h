#pragma once
// The journal port: ordered, durable batches of events, with the task bodies beside them.
//
// Threads: append(), tidy() and trim() are called by one committer thread; payload() and result() by any thread; the
// rest before the engine starts or by the snapshot thread. Every method returns only when its effect is durable at
// level().

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace nexus::store {

// What a task carries besides its spec: payload, metadata, trace context, as one opaque encoded body.
struct BodyPut {
    TaskId task;
    std::string body;
};

struct ResultPut {  // what a finished task left; kept for the result retention
    TaskId task;
    std::string body;
};

// One batch of the journal with the changes that must become durable together with it.
struct JournalBatch {
    Sequence first;
    std::uint64_t count = 0;
    std::string bytes;  // journal::BatchWriter::finish
    std::vector<BodyPut> puts;
    std::vector<TaskId> drops;  // bodies of finished tasks
    std::vector<ResultPut> results;
};

struct StoredSnapshot {
    Sequence at;
    std::string bytes;  // journal::encode_snapshot
};

enum class Durability : std::uint8_t { process = 1, disk, replicated };
const char* name_of(Durability level);

class JournalStore {
public:
    virtual ~JournalStore() = default;

    // Appends all batches in one transaction. Faults: no_space (nothing was stored; may be tried again), failed or
    // corrupt (the store is finished: the caller must stop, contract C17), superseded (another owner has a newer epoch),
    // unreachable (no answer; the same batches may be appended again).
    virtual Result<void> append(std::span<const JournalBatch> batches) = 0;

    // Upkeep that nobody waits for: called after append(), when what it stored has been told. Faults as of append().
    virtual Result<void> tidy() { return {}; }

    // Calls `visit` with the bytes of each batch whose first sequence is > `after`, in order, until it returns an
    // error.
    virtual Result<void> read(Sequence after,
                              const std::function<Result<void>(Sequence first, std::string_view bytes)>& visit) = 0;

    virtual Result<void> put_snapshot(const StoredSnapshot& snapshot) = 0;
    virtual Result<std::optional<StoredSnapshot>> get_snapshot() = 0;  // the newest

    // Drops batches wholly at or before `upto`, older snapshots, and results older than their retention.
    virtual Result<void> trim(Sequence upto) = 0;

    // The body of a live task / the result of a finished one. Fault not_found when there is none.
    virtual Result<std::string> body(TaskId task) = 0;
    virtual Result<std::string> result(TaskId task) = 0;
    // Whether there is a body, without reading it.
    virtual bool has_body(TaskId task) = 0;

    virtual Durability level() const = 0;
};

}  // namespace nexus::store
