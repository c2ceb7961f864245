#include "engine/commit_line.h"

#include <algorithm>
#include <utility>

#include "base/must.h"
#include "engine/body.h"

namespace nexus::engine {
namespace {

const Error kUnknown{Fault::unreachable, "the store does not answer; the outcome is unknown, retry with the same key"};

std::uint64_t bytes_of(const PendingBatch& batch) {
    std::uint64_t bytes = batch.journal.bytes.size() + 1;  // even one with nothing to store is under way
    for (const store::BodyPut& put : batch.journal.puts) bytes += put.body.size();
    return bytes;
}

}  // namespace

CommitLine::CommitLine(store::JournalStore& store, store::Claim claim, Options options)
    : store_(store), claim_(claim), options_(std::move(options)) {}

void CommitLine::tell(std::vector<PendingBatch::Reply> replies, const Error* error) {
    for (PendingBatch::Reply& reply : replies) reply(error);
    answers_ -= replies.size();
}

void CommitLine::answer_next(const Error* error) {
    std::vector<PendingBatch::Reply> replies;
    {
        const std::lock_guard lock(mutex_);
        replies = std::move(open_.front().replies);
        open_.pop_front();
    }
    tell(std::move(replies), error);
}

void CommitLine::take(PendingBatch batch, Instant now) {
    batch.bytes = bytes_of(batch);
    bytes_ += batch.bytes;
    answers_ += batch.replies.size();
    const std::lock_guard lock(mutex_);
    open_.push_back({.since = now, .replies = std::move(batch.replies)});
    taken_.push_back(std::move(batch));
}

void CommitLine::expire(Instant now) {
    std::vector<PendingBatch::Reply> late;
    {
        const std::lock_guard lock(mutex_);
        for (Open& open : open_) {
            if (now - open.since < options_.ack_timeout) break;
            std::ranges::move(std::exchange(open.replies, {}), std::back_inserter(late));
        }
    }
    tell(std::move(late), &kUnknown);
}

bool CommitLine::prepare(Instant now) {
    if (!prepared_) {
        if (group_.empty()) {
            const std::lock_guard lock(mutex_);
            group_.swap(taken_);
        }
        if (group_.empty() || !keep_bodies(now)) return false;
        for (PendingBatch& batch : group_)
            if (batch.journal.count > 0) journal_.push_back(std::move(batch.journal));
        prepared_ = true;
    }
    return true;
}

CommitLine::Outcome CommitLine::append(Instant now) {
    MUST(!confirmed_);
    if (!prepare(now)) {
        expire(now);
        return {.step = group_.empty() ? Step::idle : Step::wait, .error = kUnknown};
    }
    Outcome outcome{.step = Step::confirmed, .error = {}};
    if (!journal_.empty()) {
        auto done = store_.append(claim_, journal_);
        if (!done) {
            outcome.error = std::move(done).error();
            const Fault fault = outcome.error.fault;
            outcome.step = fault == Fault::unreachable  ? Step::wait
                           : fault == Fault::no_space   ? Step::no_space
                           : fault == Fault::superseded ? Step::superseded
                                                        : Step::failed;
            expire(now);
            return outcome;
        }
        outcome.again = done->again;
        outcome.low_on_space = done->low_on_space;
        confirmed_at_ = now;
    }
    confirmed_ = true;
    return outcome;
}

Result<void> CommitLine::renew(Instant now) {
    auto done = store_.renew(claim_, {});
    if (done) confirmed_at_ = now;
    return done;
}

// Bodies of tasks that ended without success become results, for a re-drive. False: no answer yet.
bool CommitLine::keep_bodies(Instant now) {
    std::vector<TaskId> asked;
    for (const PendingBatch& batch : group_) asked.insert(asked.end(), batch.keep.begin(), batch.keep.end());
    if (asked.empty()) return true;
    std::unordered_map<TaskId, const std::string*, IdHash> fresh;
    for (const PendingBatch& batch : group_)
        for (const store::BodyPut& put : batch.journal.puts) fresh.emplace(put.task, &put.body);
    std::erase_if(asked, [&](TaskId task) { return fresh.contains(task); });
    std::vector<store::Body> stored = store_.bodies(store::BodyKind::body, asked);
    const bool silent = std::ranges::any_of(
        stored, [](const store::Body& body) { return body.state == store::Body::State::unreachable; });
    if (!silent) silent_since_ = kNever;
    if (silent && silent_since_ == kNever) silent_since_ = now;
    if (silent && now - silent_since_ < options_.body_wait) return false;
    std::unordered_map<TaskId, std::string*, IdHash> found;
    for (std::size_t i = 0; i < asked.size(); ++i)
        if (stored[i].state == store::Body::State::found) found.emplace(asked[i], &stored[i].bytes);
    for (PendingBatch& batch : group_) {
        for (const TaskId task : std::exchange(batch.keep, {})) {
            if (const auto put = fresh.find(task); put != fresh.end())
                batch.journal.results.push_back({.task = task, .body = marked(LeftBehind::What::body, *put->second)});
            else if (const auto body = found.find(task); body != found.end())
                batch.journal.results.push_back({.task = task, .body = marked(LeftBehind::What::body, *body->second)});
        }
    }
    return true;
}

// The bodies that the group's assignments lack, in one question; those that the group itself brought are at hand. False:
// the store is silent, ask again.
bool CommitLine::fetch_bodies(Instant now) {
    std::vector<TaskId> asked;
    for (const PendingBatch& batch : group_)
        for (const PendingBatch::Outgoing& out : batch.orders)
            for (const Assignment& assignment : out.orders.assign)
                if (!assignment.body) asked.push_back(assignment.order.task);
    if (asked.empty()) return true;
    std::ranges::sort(asked);
    asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
    for (const store::JournalBatch& batch : journal_)
        for (const store::BodyPut& put : batch.puts)
            if (std::ranges::binary_search(asked, put.task))
                bodies_[put.task] = {.state = store::Body::State::found, .bytes = put.body, .why = {}};
    std::erase_if(asked, [&](TaskId task) { return bodies_.contains(task); });
    std::vector<store::Body> stored = store_.bodies(store::BodyKind::body, asked);
    const bool silent = !stored.empty() && std::ranges::all_of(stored, [](const store::Body& body) {
        return body.state == store::Body::State::unreachable;
    });
    if (!silent) silent_since_ = kNever;
    if (silent && silent_since_ == kNever) silent_since_ = now;
    if (silent && now - silent_since_ < options_.body_wait) return false;
    for (std::size_t i = 0; i < asked.size(); ++i) bodies_[asked[i]] = std::move(stored[i]);
    return true;
}

// Gives each assignment its body. Without one no worker can be given it: a body that is proven lost makes the task dead,
// one that cannot be read now gives the assignment back.
void CommitLine::complete(PendingBatch& batch) {
    for (PendingBatch::Outgoing& out : batch.orders) {
        std::erase_if(out.orders.assign, [&](Assignment& assignment) {
            if (assignment.body) return false;
            const TaskId task = assignment.order.task;
            const AttemptId attempt = assignment.order.attempt;
            store::Body& stored = bodies_[task];
            if (stored.state == store::Body::State::unreachable) {
                options_.post([task, attempt](Engine& engine) { engine.give_back(task, attempt); });
                return true;
            }
            auto body = stored.state == store::Body::State::found
                            ? decode_body(stored.bytes)
                            : Result<TaskBody>(fail(Fault::not_found, stored.why));
            if (!body) {
                options_.post([task, attempt, why = std::move(body).error().what](Engine& engine) {
                    engine.fail_unreadable(task, attempt, why);
                });
                return true;
            }
            assignment.body = std::make_shared<const TaskBody>(std::move(*body));  // owned by the order alone
            return false;
        });
        out.link->send(std::move(out.orders));
    }
    batch.orders.clear();
}

// A body that is lost has nothing to tell; its task fails when it is to be given to a worker.
void CommitLine::recall(PendingBatch& batch) {
    std::vector<TaskId> asked = std::exchange(batch.recall, {}), again;
    std::vector<Engine::Recalled> found;
    std::vector<store::Body> bodies = store_.bodies(store::BodyKind::body, asked);
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if (bodies[i].state == store::Body::State::unreachable) again.push_back(asked[i]);
        if (bodies[i].state != store::Body::State::found) continue;
        auto body = decode_body(bodies[i].bytes);
        if (!body || (body->hint.us == 0 && body->features.empty())) continue;
        found.push_back({.task = asked[i], .hint = body->hint, .features = std::move(body->features)});
    }
    options_.post([asked = std::move(asked), found = std::move(found), again = std::move(again)](
                      Engine& engine) mutable { engine.remember(asked, std::move(found), std::move(again)); });
}

std::optional<PendingBatch> CommitLine::release_next(Instant now) {
    if (!confirmed_) return std::nullopt;
    if (!fetched_) {
        if (!fetch_bodies(now)) return std::nullopt;
        fetched_ = true;
        std::size_t next = 0;
        for (PendingBatch& batch : group_)
            if (next < journal_.size() && batch.journal.count > 0) batch.journal = std::move(journal_[next++]);
        journal_.clear();
    }
    if (group_.empty()) {
        prepared_ = confirmed_ = fetched_ = false;
        bodies_.clear();
        return std::nullopt;
    }
    PendingBatch batch = std::move(group_.front());
    group_.pop_front();
    complete(batch);
    answer_next(nullptr);
    if (!batch.recall.empty()) recall(batch);
    for (PendingBatch::Notice& notice : std::exchange(batch.notices, {}))
        if (!notice.watcher->changed(notice.at, notice.task))
            options_.post([watch = notice.watch](Engine& engine) { engine.unwatch(watch); });
    bytes_ -= batch.bytes;
    return batch;
}

std::vector<PendingBatch> CommitLine::refuse_all(const Error& error) {
    {
        const std::lock_guard lock(mutex_);
        for (PendingBatch& batch : taken_) group_.push_back(std::move(batch));
        taken_.clear();
    }
    std::vector<PendingBatch> left;
    for (PendingBatch& batch : group_) {
        answer_next(&error);
        bytes_ -= batch.bytes;
        left.push_back(std::move(batch));
    }
    group_.clear();
    journal_.clear();
    bodies_.clear();
    prepared_ = confirmed_ = fetched_ = false;
    return left;
}

}  // namespace nexus::engine
