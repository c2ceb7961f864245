#include "engine/snapshotter.h"

#include <unordered_map>

#include "base/bytes.h"
#include "core/scheduler.h"
#include "journal/codec.h"

namespace nexus::engine {
namespace {

// Sizes of payloads, which the core does not keep: for learning after a restart.
using Sizes = std::unordered_map<TaskId, std::uint64_t, IdHash>;

Result<void> replay_into(core::Scheduler& core, journal::Snapshot& at, Sizes& sizes, std::string_view bytes,
                         std::vector<core::Command>& commands) {
    auto batch = journal::decode_batch(bytes, at.chain);
    if (!batch) return std::unexpected(std::move(batch).error());
    for (const core::Event& event : batch->events) {
        if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what))
            if (submitted->spec.payload_bytes > 0) sizes[submitted->task] = submitted->spec.payload_bytes;
        commands.clear();
        core.apply(event, commands);
        for (const core::Command& command : commands)
            if (const auto* ended = std::get_if<core::TaskEnded>(&command)) sizes.erase(ended->task);
    }
    if (core.digest() != batch->digest)
        return fail(Fault::corrupt, "events " + std::to_string(batch->first.n) + "…: the replay's digest differs");
    at.at = Sequence{batch->first.n + batch->events.size() - 1};
    at.chain = batch->chain;
    at.digest = batch->digest;
    return {};
}

}  // namespace

Result<Sequence> make_snapshot(store::JournalStore& store, const std::string& predictor) {
    core::Scheduler core;
    journal::Snapshot snapshot;
    Sizes sizes;
    auto stored = store.get_snapshot();
    if (!stored) return std::unexpected(std::move(stored).error().during("snapshot"));
    if (*stored) {
        auto last = journal::decode_snapshot((*stored)->bytes);
        if (!last) return std::unexpected(std::move(last).error().during("snapshot"));
        if (auto ok = core.load(last->core); !ok) return std::unexpected(std::move(ok).error().during("snapshot"));
        snapshot = std::move(*last);
        Reader reader(snapshot.engine);
        for (std::uint64_t n = snapshot.engine.empty() ? 0 : reader.count(17); n > 0; --n) {
            TaskId id;
            id.hi = reader.u64();
            id.lo = reader.u64();
            sizes[id] = reader.varint();
        }
    }
    std::vector<core::Command> commands;
    auto replayed = store.read(snapshot.at, [&](Sequence, std::string_view bytes) {
        return replay_into(core, snapshot, sizes, bytes, commands);
    });
    if (!replayed) return std::unexpected(std::move(replayed).error().during("snapshot"));
    if (snapshot.at.n == 0) return snapshot.at;
    snapshot.core_version = core::kCoreVersion;
    snapshot.core.clear();
    core.save(snapshot.core);
    snapshot.predictor = predictor;
    snapshot.engine.clear();
    Writer writer(snapshot.engine);
    writer.varint(sizes.size());
    for (const auto& [id, bytes] : sizes) {
        writer.u64(id.hi);
        writer.u64(id.lo);
        writer.varint(bytes);
    }
    const Sequence at = snapshot.at;
    if (auto ok = store.put_snapshot({.at = at, .bytes = journal::encode_snapshot(snapshot)}); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot"));
    if (auto ok = store.trim(at); !ok) return std::unexpected(std::move(ok).error().during("snapshot, trimming"));
    return at;
}

}  // namespace nexus::engine
