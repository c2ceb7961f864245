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
    if (silent_) return fail(Fault::unreachable, "no answer");
    return {};
}

Result<Head> FaultyJournal::head() {
    if (auto ok = refuse_if_failed(); !ok) return std::unexpected(std::move(ok).error());
    auto head = present_->head();
    if (head) head->low_on_space = full_ || exhausted_;
    return head;
}

Result<Claim> FaultyJournal::claim(const Head& observed, const Claimant& me) {
    if (auto ok = refuse_if_failed(); !ok) return std::unexpected(std::move(ok).error());
    sync_all();
    if (durable_) MUST(claim_now(*durable_, me).has_value());
    return present_->claim(observed, me);
}

Result<void> FaultyJournal::renew(const Claim& claim, std::string_view wish) {
    if (auto ok = refuse_if_failed(); !ok) return ok;
    return present_->renew(claim, wish);
}

Result<Appended> FaultyJournal::store(const Claim& claim, std::span<const JournalBatch> batches) {
    auto done = present_->append(claim, batches);
    if (done && !done->again && durable_) unsynced_.insert(unsynced_.end(), batches.begin(), batches.end());
    return done;
}

Result<Appended> FaultyJournal::append(const Claim& claim, std::span<const JournalBatch> batches) {
    if (failed_) return fail(Fault::failed, "the journal failed before; the process must end");
    if (exhausted_) {
        ++counts_.refused_full;
        return fail(Fault::no_space, "the disk is full, and so is the reserve");
    }
    if (chance(faults_.sync_failure_one_in)) {
        ++counts_.failed_syncs;
        failed_ = true;
        if (rng_.one_in(2)) (void)store(claim, batches);
        return fail(Fault::failed, "sync failed");
    }
    if (silent_ || chance(faults_.lost_reply_one_in)) {
        ++counts_.unanswered;
        if (rng_.one_in(2)) (void)store(claim, batches);
        return fail(Fault::unreachable, "no answer");
    }
    auto done = store(claim, batches);
    if (done) done->low_on_space = full_;
    return done;
}

Result<void> FaultyJournal::read(Sequence after, Duration wait, const BatchVisitor& visit) {
    return present_->read(after, wait, [&](Sequence first, std::string_view bytes) {
        if (!chance(faults_.bit_flip_one_in) || bytes.empty()) return visit(first, bytes);
        ++counts_.bit_flips;
        std::string damaged(bytes);
        const std::uint64_t bit = rng_.below(damaged.size() * 8);
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        return visit(first, damaged);
    });
}

std::vector<Body> FaultyJournal::bodies(BodyKind kind, std::span<const TaskId> tasks) {
    std::vector<Body> answers = present_->bodies(kind, tasks);
    for (Body& body : answers) {
        if (silent_) {
            body = {.state = Body::State::unreachable, .bytes = {}, .why = "no answer"};
        } else if (kind == BodyKind::body && body.state == Body::State::found && chance(faults_.bit_flip_one_in)) {
            ++counts_.bit_flips;
            body = {.state = Body::State::missing, .bytes = {}, .why = "its segment has a wrong checksum"};
        }
    }
    return answers;
}

Result<void> FaultyJournal::put_snapshot(Sequence at, const SnapshotSource& source) {
    if (auto ok = refuse_if_failed(); !ok) return ok;
    // A snapshot must never be more durable than the batches it includes.
    sync_all();
    if (auto ok = present_->put_snapshot(at, source); !ok) return ok;
    if (!durable_) return {};
    const auto copy = nexus::store::get_snapshot(*present_);
    if (!copy || !*copy || (*copy)->at != at) return {};
    return nexus::store::put_snapshot(*durable_, at, (*copy)->bytes);
}

Result<Sequence> FaultyJournal::get_snapshot(Kept which, const SnapshotSink& sink) {
    return present_->get_snapshot(which, sink);
}

void FaultyJournal::sync_all() {
    if (!durable_) return;
    const auto head = durable_->head();
    MUST(unsynced_.empty() || durable_->append(head->claim, unsynced_).has_value());
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
    if (!failed_) (void)store(present_->head()->claim, batches.first(kept));
    if (kept < batches.size() && rng_.one_in(2)) ++counts_.batches_torn;
    crash(true);
}

}  // namespace nexus::store
