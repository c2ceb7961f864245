#include "store/memory/memory_journal.h"

#include <algorithm>
#include <chrono>

namespace nexus::store {

Result<Head> MemoryJournal::head() {
    const std::lock_guard lock(mutex_);
    Head head = stored_.head;
    head.level = options_.level;
    head.renews = options_.renews;
    head.snapshot = stored_.snapshots.empty() ? Sequence{} : stored_.snapshots.rbegin()->first;
    return head;
}

Result<Claim> MemoryJournal::claim(const Head& observed, const Claimant& me) {
    const std::lock_guard lock(mutex_);
    Head& head = stored_.head;
    const bool wished = !head.wish.empty() && (head.wish == me.name || head.wish == "any");
    const bool unmoved = head.claim == observed.claim && head.last == observed.last && head.beat == observed.beat;
    if (head.claim.epoch != observed.claim.epoch || (!unmoved && !wished))
        return fail(Fault::conflict, "the journal has moved since it was observed; its owner is " + head.owner);
    head.claim = {.token_hi = me.token_hi, .token_lo = me.token_lo, .epoch = head.claim.epoch + 1};
    head.owner = me.name;
    head.address = me.address;
    head.wish.clear();
    ++head.beat;
    return head.claim;
}

Result<void> MemoryJournal::check(const Claim& claim) const {
    if (claim && claim == stored_.head.claim) return {};
    return fail(Fault::superseded, "the journal belongs to " + stored_.head.owner + " since epoch " +
                                       std::to_string(stored_.head.claim.epoch));
}

Result<void> MemoryJournal::renew(const Claim& claim, std::string_view wish) {
    const std::lock_guard lock(mutex_);
    if (auto ok = check(claim); !ok) return ok;
    ++stored_.head.beat;
    stored_.head.wish = wish;
    return {};
}

Result<Appended> MemoryJournal::append(const Claim& claim, std::span<const JournalBatch> batches) {
    const std::lock_guard lock(mutex_);
    if (auto ok = check(claim); !ok) return std::unexpected(std::move(ok).error());
    const auto how = joins(batches, {.last = stored_.head.last, .chain = stored_.head.chain});
    if (!how) return std::unexpected(how.error());
    if (*how == Joins::again) return Appended{.again = true};
    for (const JournalBatch& batch : batches) {
        if (batch.count > 0) {
            stored_.batches[batch.first] = {.count = batch.count, .bytes = batch.bytes};
            stored_.head.last = {batch.first.n + batch.count - 1};
            stored_.head.chain = batch.chain;
        }
        for (const BodyPut& put : batch.puts) stored_.bodies[put.task] = put.body;
        for (const TaskId task : batch.drops) stored_.bodies.erase(task);
        for (const BodyPut& put : batch.taken) stored_.taken[put.task] = put.body;
        for (const TaskId task : batch.untaken) stored_.taken.erase(task);
        for (const BodyPut& put : batch.results) {
            StoredResult& stored = stored_.results[put.task];
            stored_.result_bytes += put.body.size();
            stored_.result_bytes -= stored.body.size();
            stored = {.at = now(), .body = put.body};
            stored_.results_by_age.emplace_back(stored.at, put.task);
        }
        stored_.head.history = std::max(stored_.head.history, batch.history_upto);
    }
    while (stored_.result_bytes > options_.result_bytes_max && !stored_.results_by_age.empty()) drop_oldest_result();
    appended_.notify_all();
    return Appended{};
}

Result<void> MemoryJournal::read(Sequence after, Duration wait, const BatchVisitor& visit) {
    if (wait.us > 0) {
        std::unique_lock lock(mutex_);
        appended_.wait_for(lock, std::chrono::microseconds(wait.us), [&] { return stored_.head.last > after; });
    }
    // One batch at a time is copied out, so that `visit` may call the store.
    for (Sequence at = after;;) {
        Sequence first;
        std::string bytes;
        {
            const std::lock_guard lock(mutex_);
            const auto found = stored_.batches.upper_bound(at);
            if (found == stored_.batches.end()) return {};
            first = found->first;
            bytes = found->second.bytes;
        }
        if (auto ok = visit(first, bytes); !ok) return ok;
        at = first;
    }
}

std::vector<Body> MemoryJournal::bodies(BodyKind kind, std::span<const TaskId> tasks) {
    const std::lock_guard lock(mutex_);
    std::vector<Body> answers(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const std::string* bytes = nullptr;
        if (kind == BodyKind::result) {
            const auto found = stored_.results.find(tasks[i]);
            if (found != stored_.results.end()) bytes = &found->second.body;
        } else {
            const auto& table = kind == BodyKind::body ? stored_.bodies : stored_.taken;
            const auto found = table.find(tasks[i]);
            if (found != table.end()) bytes = &found->second;
        }
        if (bytes != nullptr)
            answers[i] = {.state = Body::State::found, .bytes = *bytes, .why = {}};
        else
            answers[i].why = "it is not stored";
    }
    return answers;
}

Result<void> MemoryJournal::put_snapshot(Sequence at, const SnapshotSource& source) {
    std::string bytes;
    for (;;) {
        const auto part = source();
        if (!part) return std::unexpected(part.error());
        if (part->empty()) break;
        bytes += *part;
    }
    const std::lock_guard lock(mutex_);
    if (!stored_.snapshots.empty() && at < stored_.snapshots.rbegin()->first) return {};
    stored_.snapshots[at] = std::move(bytes);
    while (stored_.snapshots.size() > 2) stored_.snapshots.erase(stored_.snapshots.begin());
    trim();
    return {};
}

Result<Sequence> MemoryJournal::get_snapshot(Kept which, const SnapshotSink& sink) {
    Sequence at;
    std::string bytes;
    {
        const std::lock_guard lock(mutex_);
        const auto& kept = stored_.snapshots;
        if (kept.size() < (which == Kept::newest ? 1U : 2U)) return Sequence{};
        const auto& one = which == Kept::newest ? *kept.rbegin() : *kept.begin();
        at = one.first;
        bytes = one.second;
    }
    if (auto ok = sink(bytes); !ok) return std::unexpected(std::move(ok).error());
    return at;
}

void MemoryJournal::trim() {
    const std::uint64_t upto = stored_.snapshots.size() < 2 ? 0 : stored_.snapshots.begin()->first.n;
    while (!stored_.batches.empty()) {
        const auto& [first, batch] = *stored_.batches.begin();
        if (first.n + batch.count - 1 > upto) break;
        stored_.batches.erase(stored_.batches.begin());
    }
    if (!options_.now) return;
    const WallTime oldest = now() - options_.result_age_max;
    while (!stored_.results_by_age.empty() && stored_.results_by_age.front().first < oldest) drop_oldest_result();
}

void MemoryJournal::drop_oldest_result() {
    const auto [at, task] = stored_.results_by_age.front();
    stored_.results_by_age.pop_front();
    const auto found = stored_.results.find(task);
    // A result put again has a younger entry further back.
    if (found == stored_.results.end() || found->second.at != at) return;
    stored_.result_bytes -= found->second.body.size();
    stored_.results.erase(found);
}

}  // namespace nexus::store
