#include "store/memory/memory_journal.h"

namespace nexus::store {

Result<void> MemoryJournal::append(std::span<const JournalBatch> batches) {
    const std::lock_guard lock(mutex_);
    std::uint64_t next = next_;
    for (const JournalBatch& batch : batches) {
        if (batch.count == 0) continue;
        if (batch.first.n == 0 || (next != 0 && batch.first.n != next))
            return fail(Fault::invalid, "batch starts at sequence " + std::to_string(batch.first.n) + ", expected " +
                                            std::to_string(next));
        next = batch.first.n + batch.count;
    }
    next_ = next;
    for (const JournalBatch& batch : batches) {
        if (batch.count > 0) batches_[batch.first] = {.count = batch.count, .bytes = batch.bytes};
        for (const BodyPut& put : batch.puts) bodies_[put.task] = put.body;
        for (const TaskId task : batch.drops) bodies_.erase(task);
        for (const ResultPut& put : batch.results) {
            StoredResult& stored = results_[put.task];
            result_bytes_ += put.body.size();
            result_bytes_ -= stored.body.size();
            stored = {.at = now(), .body = put.body};
            results_by_age_.emplace_back(stored.at, put.task);
        }
    }
    while (result_bytes_ > options_.result_bytes_max && !results_by_age_.empty()) drop_oldest_result();
    return {};
}

Result<void> MemoryJournal::read(Sequence after, const std::function<Result<void>(Sequence, std::string_view)>& visit) {
    // One batch at a time is copied out, so that `visit` may call the store.
    for (Sequence at = after;;) {
        Sequence first;
        std::string bytes;
        {
            const std::lock_guard lock(mutex_);
            const auto found = batches_.upper_bound(at);
            if (found == batches_.end()) return {};
            first = found->first;
            bytes = found->second.bytes;
        }
        if (auto ok = visit(first, bytes); !ok) return ok;
        at = first;
    }
}

Result<void> MemoryJournal::put_snapshot(const StoredSnapshot& snapshot) {
    const std::lock_guard lock(mutex_);
    if (!snapshot_ || snapshot_->at <= snapshot.at) snapshot_ = snapshot;
    return {};
}

Result<std::optional<StoredSnapshot>> MemoryJournal::get_snapshot() {
    const std::lock_guard lock(mutex_);
    return snapshot_;
}

Result<void> MemoryJournal::trim(Sequence upto) {
    const std::lock_guard lock(mutex_);
    if (!snapshot_ || snapshot_->at < upto)
        return fail(Fault::invalid, "trim up to " + std::to_string(upto.n) + " is beyond the newest snapshot");
    while (!batches_.empty()) {
        const auto& [first, batch] = *batches_.begin();
        if (first.n + batch.count - 1 > upto.n) break;
        batches_.erase(batches_.begin());
    }
    if (next_ <= upto.n) next_ = upto.n + 1;
    expire_results();
    return {};
}

void MemoryJournal::expire_results() {
    if (!options_.now) return;
    const WallTime oldest = now() - options_.result_age_max;
    while (!results_by_age_.empty() && results_by_age_.front().first < oldest) drop_oldest_result();
}

void MemoryJournal::drop_oldest_result() {
    const auto [at, task] = results_by_age_.front();
    results_by_age_.pop_front();
    const auto found = results_.find(task);
    // A result put again has a younger entry further back.
    if (found == results_.end() || found->second.at != at) return;
    result_bytes_ -= found->second.body.size();
    results_.erase(found);
}

Result<std::string> MemoryJournal::body(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto found = bodies_.find(task);
    if (found == bodies_.end()) return fail(Fault::not_found, "no body of task " + to_text(task));
    return found->second;
}

bool MemoryJournal::has_body(TaskId task) {
    const std::lock_guard lock(mutex_);
    return bodies_.contains(task);
}

Result<std::string> MemoryJournal::result(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto found = results_.find(task);
    if (found == results_.end()) return fail(Fault::not_found, "no result of task " + to_text(task));
    return found->second.body;
}

}  // namespace nexus::store
