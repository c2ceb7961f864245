// What happens with a batch once it is stored, or could not be.

#include <algorithm>
#include <utility>

#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {

void keep_bodies(PendingBatch& batch, store::JournalStore& store) {
    for (const TaskId task : batch.keep) {
        const auto fresh = std::find_if(batch.journal.puts.begin(), batch.journal.puts.end(),
                                        [&](const auto& put) { return put.task == task; });
        if (fresh != batch.journal.puts.end()) {
            batch.journal.results.push_back({.task = task, .body = marked(LeftBehind::What::body, fresh->body)});
        } else if (auto body = store.body(task)) {
            batch.journal.results.push_back({.task = task, .body = marked(LeftBehind::What::body, *body)});
        }
    }
    batch.keep.clear();
}

namespace {

constexpr std::size_t kGivenUpMax = 100'000;
const Error kUnknown{Fault::unreachable,
                     "the disk of the server is full; the outcome is unknown, retry with the same key"};

std::vector<TaskId> give_up_bodies(PendingBatch& batch) {
    for (PendingBatch::SubmitReply& submit : batch.submits) submit.reply(&kUnknown);
    batch.submits.clear();
    std::vector<TaskId> lost;
    for (const store::BodyPut& put : batch.journal.puts) lost.push_back(put.task);
    batch.journal.puts.clear();
    for (PendingBatch::Outgoing& out : batch.orders)
        std::erase_if(out.orders.assign, [&](const Assignment& assignment) {
            return std::find(lost.begin(), lost.end(), assignment.order.task) != lost.end();
        });
    return lost;
}

Result<void> append(std::vector<PendingBatch>& batches, store::JournalStore& store) {
    std::vector<store::JournalBatch> journal;
    for (PendingBatch& batch : batches)
        if (batch.journal.count > 0) journal.push_back(std::move(batch.journal));
    if (journal.empty()) return {};
    auto done = store.append(journal);
    std::size_t next = 0;
    for (PendingBatch& batch : batches)
        if (batch.journal.count > 0) batch.journal = std::move(journal[next++]);
    return done;
}

}  // namespace

Result<std::vector<TaskId>> store_batches(std::vector<PendingBatch>& batches, store::JournalStore& store,
                                          GivenUp& given_up) {
    for (PendingBatch& batch : batches) {
        if (!batch.keep.empty()) keep_bodies(batch, store);
        if (given_up.tasks.empty()) continue;
        std::erase_if(batch.submits, [&](PendingBatch::SubmitReply& submit) {
            const bool lost =
                std::ranges::any_of(submit.duplicates, [&](TaskId task) { return given_up.tasks.contains(task); });
            if (lost) submit.reply(&kUnknown);
            return lost;
        });
    }
    auto done = append(batches, store);
    if (!done && done.error().fault == Fault::no_space) {
        for (PendingBatch& batch : batches)
            for (const TaskId task : give_up_bodies(batch)) given_up.untold.push_back(task);
        if (given_up.tasks.size() > kGivenUpMax) given_up.tasks.clear();
        given_up.tasks.insert(given_up.untold.begin(), given_up.untold.end());
        done = append(batches, store);
    }
    if (!done) return std::unexpected(std::move(done).error());
    return std::exchange(given_up.untold, {});
}

namespace {

// A body that cannot be read has nothing to tell; its task fails when it is to be given to a worker.
void recall(std::vector<TaskId>& tasks, store::JournalStore& store, const Post& post) {
    std::vector<Engine::Recalled> found;
    for (const TaskId task : tasks) {
        auto bytes = store.body(task);
        if (!bytes) continue;
        auto body = decode_body(*bytes);
        if (!body || (body->hint.us == 0 && body->features.empty())) continue;
        found.push_back({.task = task, .hint = body->hint, .features = std::move(body->features)});
    }
    post([asked = std::move(tasks), found = std::move(found)](Engine& engine) mutable {
        engine.remember(asked, std::move(found));
    });
}

}  // namespace

void release(PendingBatch& batch, store::JournalStore& store, const Post& post) {
    for (PendingBatch::Outgoing& out : batch.orders) {
        std::erase_if(out.orders.assign, [&](Assignment& assignment) {
            if (assignment.body) return false;
            auto bytes = store.body(assignment.order.task);
            auto body = bytes ? decode_body(*bytes) : Result<TaskBody>(std::unexpected(std::move(bytes).error()));
            if (!body) {
                post([task = assignment.order.task, attempt = assignment.order.attempt](Engine& engine) {
                    engine.fail_unreadable(task, attempt);
                });
                return true;
            }
            assignment.body = std::make_shared<const TaskBody>(std::move(*body));  // owned by the order alone
            return false;
        });
        out.link->send(std::move(out.orders));
    }
    for (PendingBatch::SubmitReply& submit : batch.submits) submit.reply(nullptr);
    for (PendingBatch::Reply& reply : batch.replies) reply(nullptr);
    if (!batch.recall.empty()) recall(batch.recall, store, post);
    for (PendingBatch::Notice& notice : batch.notices)
        if (!(*notice.watcher)(notice.at, notice.task))
            post([watch = notice.watch](Engine& engine) { engine.unwatch(watch); });
}

void refuse(PendingBatch& batch, const Error& error) {
    for (PendingBatch::SubmitReply& submit : batch.submits) submit.reply(&error);
    for (PendingBatch::Reply& reply : batch.replies) reply(&error);
    batch.submits.clear();
    batch.replies.clear();
}

}  // namespace nexus::engine
