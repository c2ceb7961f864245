#include "store/journal_store.h"

#include <algorithm>

namespace nexus::store {

const char* name_of(Durability level) {
    switch (level) {
        case Durability::process: return "process";
        case Durability::disk: return "disk";
        case Durability::replicated: return "replicated";
    }
    return "unknown";
}

JournalBatch finish_batch(journal::BatchWriter& writer, std::uint64_t digest) {
    JournalBatch batch;
    batch.first = writer.first();
    batch.count = writer.count();
    batch.chain_before = writer.chain();
    batch.bytes = writer.finish(digest);
    batch.chain = writer.chain();
    return batch;
}

Result<Claim> claim_now(JournalStore& store, const Claimant& me) {
    const auto head = store.head();
    if (!head) return std::unexpected(head.error());
    return store.claim(*head, me);
}

Body read_body(JournalStore& store, BodyKind kind, TaskId task) {
    return std::move(store.bodies(kind, {&task, 1}).front());
}

Result<void> put_snapshot(JournalStore& store, Sequence at, std::string_view bytes) {
    return store.put_snapshot(at, [&bytes]() -> Result<std::string_view> {
        const std::string_view part = bytes.substr(0, kSnapshotPartBytes);
        bytes.remove_prefix(part.size());
        return part;
    });
}

Result<std::optional<StoredSnapshot>> get_snapshot(JournalStore& store, Kept which) {
    StoredSnapshot snapshot;
    const auto at = store.get_snapshot(which, [&](std::string_view part) -> Result<void> {
        snapshot.bytes += part;
        return {};
    });
    if (!at) return std::unexpected(at.error());
    if (!*at) return std::nullopt;
    snapshot.at = *at;
    return snapshot;
}

Result<Joins> joins(std::span<const JournalBatch> batches, const Position& end) {
    const JournalBatch* first = nullptr;
    const JournalBatch* last = nullptr;
    for (const JournalBatch& batch : batches) {
        if (batch.count == 0) continue;
        if (last != nullptr && (batch.first.n != last->first.n + last->count || batch.chain_before != last->chain))
            return fail(Fault::invalid, "the batch at sequence " + std::to_string(batch.first.n) +
                                            " does not follow the one before it");
        if (first == nullptr) first = &batch;
        last = &batch;
    }
    if (first == nullptr) return Joins::next;
    if (first->first.n == end.last.n + 1 && (!end.chain || first->chain_before == *end.chain)) return Joins::next;
    if (end.last.n != 0 && last->first.n + last->count - 1 == end.last.n && end.chain && last->chain == *end.chain)
        return Joins::again;
    return fail(Fault::conflict, "the batches begin at sequence " + std::to_string(first->first.n) +
                                     ", but the journal ends at " + std::to_string(end.last.n));
}

}  // namespace nexus::store
