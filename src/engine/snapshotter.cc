#include "engine/snapshotter.h"

#include <utility>
#include <vector>

#include "core/scheduler.h"
#include "engine/engine_section.h"
#include "journal/codec.h"

namespace nexus::engine {
namespace {

// A core that follows the stored journal.
struct Follower {
    core::Scheduler core;
    EngineSection section;
    journal::Snapshot snapshot;  // where it stands; core and sections are filled in at the end
    std::vector<core::Command> commands;

    Result<void> load(std::string_view bytes);
    Result<void> replay(std::string_view bytes);
};

Result<void> Follower::load(std::string_view bytes) {
    auto last = journal::decode_snapshot(bytes);
    if (!last) return std::unexpected(std::move(last).error());
    if (auto ok = core.load(last->core); !ok) return ok;
    auto kept = decode_engine_section(last->engine);
    if (!kept) return std::unexpected(std::move(kept).error());
    section = std::move(*kept);
    snapshot = std::move(*last);
    return {};
}

Result<void> Follower::replay(std::string_view bytes) {
    auto batch = journal::decode_batch(bytes, snapshot.chain);
    if (!batch) return std::unexpected(std::move(batch).error());
    std::uint64_t number = batch->first.n;
    for (const core::Event& event : batch->events) {
        section.follow(Sequence{number++}, event, core);
        commands.clear();
        core.apply(event, commands);
        for (const core::Command& command : commands) section.follow(command);
    }
    if (core.digest() != batch->digest)
        return fail(Fault::corrupt, "events " + std::to_string(batch->first.n) + "…: the replay's digest differs");
    snapshot.at = Sequence{batch->first.n + batch->events.size() - 1};
    snapshot.chain = batch->chain;
    snapshot.digest = batch->digest;
    return {};
}

}  // namespace

Result<SnapshotMade> make_snapshot(store::JournalStore& store, const std::string& predictor, Sequence upto,
                                   Sequence audited) {
    Follower follower;
    auto stored = store.get_snapshot();
    if (!stored) return std::unexpected(std::move(stored).error().during("snapshot"));
    if (*stored)
        if (auto ok = follower.load((*stored)->bytes); !ok)
            return std::unexpected(std::move(ok).error().during("the last snapshot"));
    const Sequence before = follower.snapshot.at;
    bool reached = false;
    auto replayed = store.read(before, [&](Sequence, std::string_view bytes) -> Result<void> {
        auto head = journal::check_batch(bytes);
        if (!head) return std::unexpected(std::move(head).error());
        reached = head->first.n + head->count - 1 > upto.n;
        if (reached) return fail(Fault::conflict, "");  // ends the reading; told apart by `reached`
        return follower.replay(bytes);
    });
    if (!replayed && !reached) return std::unexpected(std::move(replayed).error().during("snapshot"));
    journal::Snapshot& snapshot = follower.snapshot;
    if (snapshot.at == before) return SnapshotMade{.at = before};
    snapshot.core_version = core::kCoreVersion;
    snapshot.core.clear();
    follower.core.save(snapshot.core);
    snapshot.predictor = predictor;
    follower.section.audit.confirm(audited);
    snapshot.engine = follower.section.encode();
    return store_snapshot(store, snapshot);
}

Result<SnapshotMade> store_snapshot(store::JournalStore& store, const journal::Snapshot& snapshot) {
    std::string bytes = journal::encode_snapshot(snapshot);
    const std::uint64_t size = bytes.size();
    if (auto ok = store.put_snapshot({.at = snapshot.at, .bytes = std::move(bytes)}); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot"));
    if (auto ok = store.trim(snapshot.at); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot, trimming"));
    return SnapshotMade{.at = snapshot.at, .bytes = size};
}

}  // namespace nexus::engine
