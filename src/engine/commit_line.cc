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

void CommitLine::answer(PendingBatch& batch, const Error* error) {
    for (PendingBatch::Reply& reply : batch.replies) reply(error);
    answers_ -= batch.replies.size();
    batch.replies.clear();
}

void CommitLine::take(PendingBatch batch, Instant now) {
    batch.bytes = bytes_of(batch);
    bytes_ += batch.bytes;
    answers_ += batch.replies.size();
    const std::lock_guard lock(mutex_);
    taken_.push_back({.batch = std::move(batch), .since = now});
}

bool CommitLine::prepare(Instant now) {
    if (!prepared_) {
        if (group_.empty()) {
            const std::lock_guard lock(mutex_);
            group_.swap(taken_);
        }
        if (group_.empty() || !keep_bodies(now)) return false;
        for (Waiting& waiting : group_)
            if (waiting.batch.journal.count > 0) journal_.push_back(std::move(waiting.batch.journal));
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

// Who waited too long hears that the outcome is unknown.
void CommitLine::expire(Instant now) {
    const auto tell = [&](std::deque<Waiting>& line) {
        for (Waiting& waiting : line) {
            if (waiting.answered || now - waiting.since < options_.ack_timeout) continue;
            waiting.answered = true;
            answer(waiting.batch, &kUnknown);
        }
    };
    tell(group_);
    std::deque<Waiting> taken;
    {
        const std::lock_guard lock(mutex_);
        taken.swap(taken_);
    }
    tell(taken);
    const std::lock_guard lock(mutex_);
    while (!taken.empty()) {
        taken_.push_front(std::move(taken.back()));
        taken.pop_back();
    }
}

// Bodies of tasks that ended without success become results, for a re-drive. False: no answer yet.
bool CommitLine::keep_bodies(Instant now) {
    std::vector<TaskId> asked;
    for (const Waiting& waiting : group_)
        asked.insert(asked.end(), waiting.batch.keep.begin(), waiting.batch.keep.end());
    if (asked.empty()) return true;
    std::unordered_map<TaskId, const std::string*, IdHash> fresh;
    for (const Waiting& waiting : group_)
        for (const store::BodyPut& put : waiting.batch.journal.puts) fresh.emplace(put.task, &put.body);
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
    for (Waiting& waiting : group_) {
        for (const TaskId task : std::exchange(waiting.batch.keep, {})) {
            if (const auto put = fresh.find(task); put != fresh.end())
                waiting.batch.journal.results.push_back(
                    {.task = task, .body = marked(LeftBehind::What::body, *put->second)});
            else if (const auto body = found.find(task); body != found.end())
                waiting.batch.journal.results.push_back(
                    {.task = task, .body = marked(LeftBehind::What::body, *body->second)});
        }
    }
    return true;
}

// The bodies that the group's assignments lack, in one question; those that the group itself brought are at hand. False:
// the store is silent, ask again.
bool CommitLine::fetch_bodies(Instant now) {
    std::vector<TaskId> asked;
    for (const Waiting& waiting : group_)
        for (const PendingBatch::Outgoing& out : waiting.batch.orders)
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
        for (Waiting& waiting : group_)
            if (next < journal_.size() && waiting.batch.journal.count > 0)
                waiting.batch.journal = std::move(journal_[next++]);
        journal_.clear();
    }
    if (group_.empty()) {
        prepared_ = confirmed_ = fetched_ = false;
        bodies_.clear();
        return std::nullopt;
    }
    PendingBatch batch = std::move(group_.front().batch);
    group_.pop_front();
    complete(batch);
    answer(batch, nullptr);
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
        for (Waiting& waiting : taken_) group_.push_back(std::move(waiting));
        taken_.clear();
    }
    std::vector<PendingBatch> left;
    for (Waiting& waiting : group_) {
        answer(waiting.batch, &error);
        bytes_ -= waiting.batch.bytes;
        left.push_back(std::move(waiting.batch));
    }
    group_.clear();
    journal_.clear();
    bodies_.clear();
    prepared_ = confirmed_ = fetched_ = false;
    return left;
}

}  // namespace nexus::engine
