// What happens with a batch once it is stored, or could not be.

#include <algorithm>

#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {

void keep_bodies(PendingBatch& batch, store::JournalStore& store) {
    for (const TaskId task : batch.keep) {
        const auto fresh = std::find_if(batch.journal.puts.begin(), batch.journal.puts.end(),
                                        [&](const auto& put) { return put.task == task; });
        if (fresh != batch.journal.puts.end()) {
            batch.journal.results.push_back({.task = task, .body = fresh->body});
        } else if (auto body = store.body(task)) {
            batch.journal.results.push_back({.task = task, .body = std::move(*body)});
        }
    }
    batch.keep.clear();
}

void release(PendingBatch& batch, store::JournalStore& store, const std::function<void(WatchId)>& dropped_watch) {
    for (PendingBatch::Outgoing& out : batch.orders) {
        std::erase_if(out.orders.assign, [&](Assignment& assignment) {
            if (assignment.body) return false;
            auto bytes = store.body(assignment.order.task);
            auto body = bytes ? decode_body(*bytes) : Result<TaskBody>(std::unexpected(std::move(bytes).error()));
            // Without its body a task cannot run: the attempt ends by its lease, the store has said why.
            if (!body) return true;
            assignment.body = std::make_shared<const TaskBody>(std::move(*body));  // owned by the order alone
            return false;
        });
        out.link->send(std::move(out.orders));
    }
    for (PendingBatch::Reply& reply : batch.replies) reply(nullptr);
    for (PendingBatch::Notice& notice : batch.notices)
        if (!(*notice.watcher)(notice.at, notice.task)) dropped_watch(notice.watch);
}

void refuse(PendingBatch& batch, const Error& error) {
    for (PendingBatch::Reply& reply : batch.replies) reply(&error);
    batch.replies.clear();
}

}  // namespace nexus::engine
