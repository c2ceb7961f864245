#include "store/memory/faulty_journal.h"

#include <algorithm>
#include <memory>

#include "base/must.h"

namespace nexus::store {

FaultyJournal::FaultyJournal(std::uint64_t seed, JournalFaults faults, MemoryJournalOptions options)
    : rng_(seed), faults_(faults), options_(std::move(options)), present_(std::make_unique<MemoryJournal>(options_)) {
    if (options_.level == Durability::process) durable_ = std::make_unique<MemoryJournal>(options_);
}

Result<void> FaultyJournal::refuse_if_failed() const {
    if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
    return {};
}

void FaultyJournal::store(const JournalBatch& batch) {
    MUST(present_->append({&batch, 1}).has_value());
    if (durable_) unsynced_.push_back(batch);
}

Result<void> FaultyJournal::append(std::span<const JournalBatch> batches) {
    if (auto ok = refuse_if_failed(); !ok) return ok;
    const bool has_puts = std::ranges::any_of(batches, [](const JournalBatch& b) { return !b.puts.empty(); });
    if (exhausted_ || (has_puts && (full_ || chance(faults_.no_space_one_in)))) {
        ++counts_.refused_full;
        return fail(Fault::no_space, "the disk is full: no new tasks until it is not");
    }
    if (chance(faults_.sync_failure_one_in)) {
        ++counts_.failed_syncs;
        failed_ = true;
        if (rng_.one_in(2))
            for (const JournalBatch& batch : batches) store(batch);
        return fail(Fault::failed, "sync failed");
    }
    if (auto ok = present_->append(batches); !ok) return ok;
    if (durable_) unsynced_.insert(unsynced_.end(), batches.begin(), batches.end());
    return {};
}

Result<void> FaultyJournal::read(Sequence after, const std::function<Result<void>(Sequence, std::string_view)>& visit) {
    return present_->read(after, [&](Sequence first, std::string_view bytes) {
        if (!chance(faults_.bit_flip_one_in) || bytes.empty()) return visit(first, bytes);
        ++counts_.bit_flips;
        std::string damaged(bytes);
        const std::uint64_t bit = rng_.below(damaged.size() * 8);
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        return visit(first, damaged);
    });
}

Result<void> FaultyJournal::put_snapshot(const StoredSnapshot& snapshot) {
    if (auto ok = refuse_if_failed(); !ok) return ok;
    // A snapshot must never be more durable than the batches it includes.
    sync_all();
    if (durable_) MUST(durable_->put_snapshot(snapshot).has_value());
    return present_->put_snapshot(snapshot);
}

Result<std::optional<StoredSnapshot>> FaultyJournal::get_snapshot() {
    return present_->get_snapshot();
}

Result<void> FaultyJournal::trim(Sequence upto) {
    if (auto ok = refuse_if_failed(); !ok) return ok;
    sync_all();
    if (durable_)
        if (auto ok = durable_->trim(upto); !ok) return ok;
    return present_->trim(upto);
}

Result<std::string> FaultyJournal::body(TaskId task) {
    auto body = present_->body(task);
    if (!body || !chance(faults_.bit_flip_one_in)) return body;
    ++counts_.bit_flips;
    return fail(Fault::corrupt, "body of task " + to_text(task) + ": segment has a wrong checksum");
}

Result<std::string> FaultyJournal::result(TaskId task) {
    return present_->result(task);
}

bool FaultyJournal::has_body(TaskId task) {
    return present_->has_body(task);
}

void FaultyJournal::sync_all() {
    if (!durable_) return;
    MUST(durable_->append(unsynced_).has_value());
    unsynced_.clear();
}

void FaultyJournal::restart(std::size_t kept) {
    counts_.batches_lost += unsynced_.size() - kept;
    unsynced_.resize(kept);
    sync_all();
    present_ = std::make_unique<MemoryJournal>(*durable_);
}

void FaultyJournal::crash(bool power) {
    ++counts_.crashes;
    failed_ = false;
    if (power && durable_) restart(rng_.below(unsynced_.size() + 1));
}

void FaultyJournal::crash_during(std::span<const JournalBatch> batches) {
    // Batches reach the disk in order; a torn one is cut off when the store is opened again.
    const std::uint64_t kept = rng_.below(batches.size() + 1);
    if (!failed_)
        for (const JournalBatch& batch : batches.first(kept)) store(batch);
    if (kept < batches.size() && rng_.one_in(2)) ++counts_.batches_torn;
    crash(true);
}

}  // namespace nexus::store
