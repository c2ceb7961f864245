#pragma once
// The threads that handlers run on, and the hand-over between them and the worker's loop. Thread-safe.
//
//     loop --> jobs    attempts that have begun and wait for a thread
//          --> offers  attempts that wait for a slot, oldest first
//     notes --> loop   what has ended, what began in its slot, what joined a batch; in the order in which it happened
//
// One lock guards the three. When a handler ends, the first offer becomes a job in the slot that is free now, in the same
// step that notes the end: the next handler begins without a word of the loop, and whether an attempt has begun is
// decided here alone. withdraw() takes back those that have not. Nothing can be offered while there are notes, since the
// end that they tell may have freed a slot already; so an offer never waits beside a free slot.
//
// The loop is called once for all notes that gather until it takes them, and only when it asked for that.
//
// Threads are made on demand, at most `threads_max`, and ended together. Jobs that take long get a thread each, at once.
// While jobs take a moment one thread at a time is woken or made; it takes a job and, while others wait, calls for the
// next thread before it begins: few threads do them one after the other, without a wake for each of them.
//
// A handler that never returns must not keep the process from ending: stop() joins the idle threads and lets the busy
// ones go. Those still share ownership of the pool, which therefore ends with the last of them.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "attempt.h"
#include "clock.h"

namespace nexus::sdk {

class Pool : public std::enable_shared_from_this<Pool> {
public:
    using Job = std::shared_ptr<Attempt>;

    struct Note {
        Job attempt;
        std::optional<Outcome> outcome;  // unset: it joined the batch of another, and gave up its slot, if it had one
        Micros run{0};
        Micros at{0};  // when it ended or joined, and `next` began
        Job next;      // the offer that began in its slot
    };

    // `call_loop` is called on any thread, without a lock, after a note that the loop wants to be called for.
    Pool(std::size_t threads_max, std::shared_ptr<Clock> clock, std::function<void()> call_loop)
        : threads_max_(threads_max), clock_(std::move(clock)), call_loop_(std::move(call_loop)) {}

    // Unless there are notes (then false): runs `jobs`, which it leaves empty, and asks `top_up(offers)` to add to the end
    // of the offers. They may begin before `until`, and each before its own Attempt::start_by(). One step, so that a
    // batch finds all that can go with its first.
    template <class TopUp>
    bool run_and_offer(std::vector<Job>& jobs, Micros until, TopUp top_up) {
        const std::lock_guard lock(mutex_);
        if (!notes_.empty()) return false;
        until_ = until;
        top_up(offers_);
        run(jobs);
        return true;
    }
    // Replaces `notes` by those not yet taken. Returns whether the offers were dropped because their time had passed.
    bool take_notes(std::vector<Note>& notes);
    // The same, after which there are no offers.
    void withdraw(std::vector<Note>& notes);
    // True when there are notes. Otherwise the loop is called for the next one.
    bool call_for_notes();
    // Until call_for_notes() no note calls the loop.
    void expect_no_call();

    // Waits for threads without a job; jobs not begun are dropped. Nothing runs after it but handlers already begun.
    void stop();

private:
    static constexpr std::int64_t kMomentNs = 100'000;  // waking a thread takes a good part of it

    void work();
    void run(std::vector<Job>& jobs);      // Requires: the lock
    void call_thread();                    // the same
    bool wants_call();                     // the same
    Job begin_next(Micros now);            // the same
    void gather(std::vector<Job>& batch);  // the same

    const std::size_t threads_max_;
    const std::shared_ptr<Clock> clock_;
    const std::function<void()> call_loop_;

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::deque<Job> jobs_;
    std::deque<Job> offers_;
    Micros until_{0};
    std::vector<Note> notes_;
    bool offers_dropped_ = false;
    bool loop_wants_call_ = false;
    std::size_t threads_ = 0;
    std::size_t idle_ = 0;
    std::size_t called_ = 0;             // threads that were woken or made, and have not looked yet
    std::int64_t usual_ns_ = kMomentNs;  // that jobs took lately
    bool stopping_ = false;
};

}  // namespace nexus::sdk
