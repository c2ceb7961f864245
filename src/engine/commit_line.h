#pragma once
// The way of a batch from the engine to the world, in steps and without threads:
//
//     take() -> append() -> confirmed   -> release_next() until nothing is left
//                        -> wait        no answer: the same batches are sent again; the store knows them by their place
//                        -> no_space    not even the reserve has room: as wait
//                        -> superseded, failed: nothing of ours will be stored any more; refuse_all()
//
// Nothing leaves before its batch is confirmed (C1, C21). Whoever has waited for longer than ack_timeout hears that the
// outcome is unknown; everything else (orders, notices, history) stays and is told when the store confirms it.
//
// The Runner drives it with a thread, the simulator with simulated time. take(), expire(), bytes_in_flight() and
// answers_waiting() may be called from another thread than the rest: a store that is asked and silent holds that one.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace nexus::engine {

class CommitLine {
public:
    struct Options {
        Duration ack_timeout = seconds(2);
        Duration body_wait = seconds(2);  // for bodies that no answer comes for; then the assignment is given back
        // Takes what the engine must hear of a release.
        std::function<void(std::move_only_function<void(Engine&)>)> post;
    };
    CommitLine(store::JournalStore& store, store::Claim claim, Options options);

    // In the order in which the engine gave them.
    void take(PendingBatch batch, Instant now);
    // Who waited too long hears that the outcome is unknown.
    void expire(Instant now);
    // Of everything taken and not yet told.
    std::uint64_t bytes_in_flight() const { return bytes_; }
    bool empty() const { return bytes_ == 0; }
    std::size_t answers_waiting() const { return answers_; }

    enum class Step : std::uint8_t { idle, confirmed, wait, no_space, superseded, failed };
    struct Outcome {
        Step step = Step::idle;
        bool again = false;  // it had been stored before
        bool low_on_space = false;
        Error error;  // of the last four
    };
    // One store call for everything taken, or for what the last one left open. Must not be called while a confirmed
    // group is not told.
    Outcome append(Instant now);
    // What append() will send or has sent, for simulations of crashes. prepare() is part of append().
    bool prepare(Instant now);
    std::span<const store::JournalBatch> batches() const { return journal_; }

    // Tells what the next confirmed batch allows and returns what is left of it: history, questions, position. None:
    // all are told, or (confirmed_left()) bodies cannot be read just now.
    std::optional<PendingBatch> release_next(Instant now);
    bool confirmed_left() const { return confirmed_ && !group_.empty(); }
    std::size_t batches_left() const { return group_.size(); }

    // When the last thing that the store confirmed was sent.
    Instant confirmed_at() const { return confirmed_at_; }
    Result<void> renew(Instant now);

    // The store will not take them any more: every reply says so. Returns them for their questions.
    std::vector<PendingBatch> refuse_all(const Error& error);

private:
    // The answers of one batch that was taken; none are left once they were told "unknown".
    struct Open {
        Instant since;
        std::vector<PendingBatch::Reply> replies;
    };
    void answer_next(const Error* error);
    void tell(std::vector<PendingBatch::Reply> replies, const Error* error);
    bool keep_bodies(Instant now);
    bool fetch_bodies(Instant now);
    void complete(PendingBatch& batch);
    void recall(PendingBatch& batch);

    store::JournalStore& store_;
    const store::Claim claim_;
    Options options_;

    std::mutex mutex_;  // guards taken_ and open_
    std::deque<PendingBatch> taken_;
    std::deque<Open> open_;  // of the batches in group_ and taken_, in that order
    std::atomic<std::uint64_t> bytes_ = 0;
    std::atomic<std::size_t> answers_ = 0;

    // The group that one call of the store stores: its batches, and of those with events what is stored.
    std::deque<PendingBatch> group_;
    std::vector<store::JournalBatch> journal_;
    bool prepared_ = false;
    bool confirmed_ = false;
    Instant confirmed_at_;
    Instant silent_since_ = kNever;  // bodies are asked for and no answer comes
    bool fetched_ = false;
    std::unordered_map<TaskId, store::Body, IdHash> bodies_;  // of the group's assignments
};

}  // namespace nexus::engine
