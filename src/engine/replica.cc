#include "engine/replica.h"

#include <utility>

namespace nexus::engine {

Result<void> Replica::load(const journal::Snapshot& snapshot) {
    if (!core::reads_snapshot(snapshot.core_version))
        return fail(Fault::unsupported, "the snapshot is of core version " + std::to_string(snapshot.core_version) +
                                            ", this release reads " + std::to_string(core::kOldestSnapshot) + " to " +
                                            std::to_string(core::kCoreVersion));
    if (auto ok = core_.load(snapshot.core); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot, core"));
    if (core_.digest() != snapshot.digest)
        return fail(Fault::corrupt, "snapshot: the core's digest differs from the recorded one");
    moved(snapshot.at, snapshot.chain);
    snapshot_at_ = snapshot.at;
    return follower_.loaded(snapshot);
}

Result<void> Replica::apply(std::string_view bytes) {
    auto batch = journal::decode_batch(bytes, chain_);
    if (!batch) return std::unexpected(std::move(batch).error());
    const std::string events = "events " + std::to_string(batch->first.n) + "…";
    if (batch->core_version != core::kCoreVersion)
        return fail(Fault::unsupported,
                    events + " were decided by core version " + std::to_string(batch->core_version) + ", this is " +
                        std::to_string(core::kCoreVersion) +
                        ": start the release that wrote them, stop it with SIGTERM, then start this one");
    if (batch->first.n != at_.n + 1)
        return fail(Fault::corrupt, "the journal goes on at " + std::to_string(batch->first.n) + " but " +
                                        std::to_string(at_.n + 1) + " is next");
    for (const core::Event& event : batch->events) {
        ++at_.n;
        if (at_ == skip_) {
            skipped_ = true;
            follower_.skipped(at_);
            continue;
        }
        follower_.event(at_, event, core_);
        commands_.clear();
        core_.apply(event, commands_);
        for (core::Command& command : commands_) follower_.command(command);
    }
    if (!skipped_ && core_.digest() != batch->digest)
        return fail(Fault::corrupt, events + ": replaying them gives another digest than the recorded one");
    chain_ = batch->chain;
    follower_.applied(at_);
    return {};
}

Result<bool> Replica::load_kept(store::JournalStore& store, store::Kept which) {
    auto stored = store::get_snapshot(store, which);
    if (!stored) return std::unexpected(std::move(stored).error());
    if (!*stored) return false;
    const auto snapshot = journal::decode_snapshot((*stored)->bytes);
    if (!snapshot) return std::unexpected(snapshot.error());
    if (auto ok = load(*snapshot); !ok) return std::unexpected(std::move(ok).error());
    snapshot_bytes_ = (*stored)->bytes.size();
    return true;
}

Result<void> Replica::recover(store::JournalStore& store, Sequence upto) {
    auto loaded = load_kept(store, store::Kept::newest);
    // A snapshot that cannot even be taken apart has changed nothing here.
    if (!loaded && loaded.error().fault == Fault::corrupt && at_.n == 0) {
        passed_over_ = loaded.error().what;
        auto older = load_kept(store, store::Kept::older);
        if (!older || *older) loaded = std::move(older);
    }
    if (!loaded) return std::unexpected(std::move(loaded).error().during("the stored snapshot"));
    return catch_up(store, upto);
}

Result<void> Replica::catch_up(store::JournalStore& store, Sequence upto) {
    bool reached = false;
    auto read = store.read(at_, {}, [&](Sequence, std::string_view bytes) -> Result<void> {
        if (stop_ != nullptr && *stop_) return fail(Fault::unavailable, "left off");
        if (upto.n != UINT64_MAX) {
            const auto head = journal::check_batch(bytes);
            if (!head) return std::unexpected(head.error());
            reached = head->first.n + head->count - 1 > upto.n;
            if (reached) return fail(Fault::conflict, "");  // ends the reading; told apart by `reached`
        }
        return apply(bytes);
    });
    if (!read && !reached) return std::unexpected(std::move(read).error().during("replaying the journal"));
    return {};
}

journal::Snapshot Replica::save(std::string predictor, const EngineSection& section) const {
    journal::Snapshot snapshot{.at = at_,
                               .chain = chain_,
                               .digest = core_.digest(),
                               .core_version = core::kCoreVersion,
                               .predictor = std::move(predictor),
                               .engine = section.encode()};
    core_.save(snapshot.core);
    return snapshot;
}

}  // namespace nexus::engine
