#include "pool.h"

#include <chrono>
#include <exception>
#include <span>
#include <string>
#include <thread>
#include <utility>

namespace nexus::sdk {
namespace {

std::string what_it_threw(const std::exception& error) {
    return std::string("the handler threw: ") + error.what();
}
constexpr const char* kThrewOther = "the handler threw something that is not a std::exception";

void run_one(Attempt& attempt, std::vector<Outcome>& outcomes) {
    try {
        Context context(attempt);
        outcomes.push_back(attempt.work().one(context));
    } catch (const std::exception& error) {
        outcomes.push_back(Outcome::failure(what_it_threw(error)));
    } catch (...) {
        outcomes.push_back(Outcome::failure(kThrewOther));
    }
}

void run_many(std::span<const Pool::Job> batch, std::vector<Outcome>& outcomes) {
    std::vector<Context> contexts;
    contexts.reserve(batch.size());
    for (const Pool::Job& attempt : batch) contexts.emplace_back(*attempt);
    std::string failure;
    try {
        outcomes = batch.front()->work().many(contexts);
        if (outcomes.size() != batch.size())
            failure = "the handler of a batch of " + std::to_string(batch.size()) + " tasks returned " +
                      std::to_string(outcomes.size()) + " outcomes";
    } catch (const std::exception& error) {
        failure = what_it_threw(error);
    } catch (...) {
        failure = kThrewOther;
    }
    if (!failure.empty()) outcomes.assign(batch.size(), Outcome::failure(failure));
}

}  // namespace

void Pool::run(std::vector<Job>& jobs) {
    if (!stopping_) {
        for (Job& job : jobs) {
            jobs_.push_back(std::move(job));
            call_thread();
        }
    }
    jobs.clear();
}

bool Pool::take_notes(std::vector<Note>& notes) {
    notes.clear();
    const std::lock_guard lock(mutex_);
    notes.swap(notes_);
    return std::exchange(offers_dropped_, false);
}

void Pool::withdraw(std::vector<Note>& notes) {
    notes.clear();
    const std::lock_guard lock(mutex_);
    notes.swap(notes_);
    offers_dropped_ = false;
    offers_.clear();
}

bool Pool::call_for_notes() {
    const std::lock_guard lock(mutex_);
    loop_wants_call_ = notes_.empty();
    return !loop_wants_call_;
}

bool Pool::wants_call() {
    return !notes_.empty() && std::exchange(loop_wants_call_, false);
}

void Pool::expect_no_call() {
    const std::lock_guard lock(mutex_);
    loop_wants_call_ = false;
}

void Pool::call_thread() {
    if (called_ >= (usual_ns_ < kMomentNs ? 1 : jobs_.size())) return;
    if (idle_ > called_) {
        changed_.notify_one();
    } else if (threads_ < threads_max_) {
        ++threads_;
        std::thread([self = shared_from_this()] { self->work(); }).detach();
    } else {
        return;  // whoever is done next takes it
    }
    ++called_;
}

Pool::Job Pool::begin_next(Micros now) {
    if (offers_.empty()) return nullptr;
    if (now >= until_ || now >= offers_.front()->start_by()) {
        offers_.clear();
        offers_dropped_ = true;
        return nullptr;
    }
    Job next = std::move(offers_.front());
    offers_.pop_front();
    jobs_.push_back(next);
    return next;
}

// Adds what can go with the first of `batch`: of the jobs, whose slots become free, and of the offers. The latter are
// noted first: a slot that is told to be free must find none of them waiting.
void Pool::gather(std::vector<Job>& batch) {
    const Work& work = batch.front()->work();
    const Micros now = clock_->now();
    const auto take_from = [&](std::deque<Job>& from, bool offered) {
        std::deque<Job> left;
        for (Job& job : from) {
            const bool in_time = !offered || (now < until_ && now < job->start_by());
            const bool joins = batch.size() < work.batch_max && &job->work() == &work && in_time;
            if (joins)
                batch.push_back(std::move(job));
            else
                left.push_back(std::move(job));
        }
        from.swap(left);
    };
    take_from(jobs_, false);
    const std::size_t with_slots = batch.size();
    take_from(offers_, true);
    for (std::size_t i = with_slots; i < batch.size(); ++i)
        notes_.push_back({.attempt = batch[i], .outcome = {}, .at = now, .next = nullptr});
    for (std::size_t i = 1; i < with_slots; ++i)
        notes_.push_back({.attempt = batch[i], .outcome = {}, .at = now, .next = begin_next(now)});
}

void Pool::work() {
    const auto looks = [this] { called_ -= called_ > 0 ? 1 : 0; };  // a wake may be nobody's call
    std::vector<Job> batch;
    std::vector<Outcome> outcomes;
    std::unique_lock lock(mutex_);
    looks();
    while (!stopping_) {
        if (jobs_.empty()) {
            ++idle_;
            changed_.wait(lock);
            --idle_;
            looks();
            continue;
        }
        batch.push_back(std::move(jobs_.front()));
        jobs_.pop_front();
        if (batch.front()->work().many) gather(batch);
        if (!jobs_.empty()) call_thread();
        const bool call = wants_call();  // after a batch was gathered
        lock.unlock();
        if (call) call_loop_();

        const Micros began = clock_->now();
        const auto real_begin = std::chrono::steady_clock::now();
        for (const Job& attempt : batch) attempt->began(real_begin);
        if (batch.front()->work().many)
            run_many(batch, outcomes);
        else
            run_one(*batch.front(), outcomes);
        bool had_slot = true;
        for (const Job& attempt : batch) had_slot = !attempt->ended() && had_slot;
        const Micros ended = clock_->now();
        const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - real_begin;

        lock.lock();
        usual_ns_ += (took.count() - usual_ns_) / 8;
        if (!stopping_) {
            // The first has the slot of the batch. One that stood still when it ended had none.
            for (std::size_t i = 0; i < batch.size(); ++i)
                notes_.push_back({.attempt = std::move(batch[i]),
                                  .outcome = std::move(outcomes[i]),
                                  .run = ended - began,
                                  .at = ended,
                                  .next = i == 0 && had_slot ? begin_next(ended) : nullptr});
            if (wants_call()) {
                lock.unlock();
                call_loop_();
                lock.lock();
            }
        }
        batch.clear();
        outcomes.clear();
    }
    --threads_;
    changed_.notify_all();
}

void Pool::stop() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    jobs_.clear();
    offers_.clear();
    changed_.notify_all();
    changed_.wait(lock, [&] { return idle_ == 0; });
}

}  // namespace nexus::sdk
