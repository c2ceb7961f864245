#include "pool.h"

#include <chrono>
#include <thread>
#include <utility>

namespace nexus::sdk {

void Pool::run(Job job) {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->stopping) return;
    shared_->jobs.push_back(std::move(job));
    call(shared_);
}

void Pool::call(const std::shared_ptr<Shared>& shared) {
    if (shared->called >= (shared->usual_ns < kMomentNs ? 1 : shared->jobs.size())) return;
    if (shared->idle > shared->called) {
        shared->changed.notify_one();
    } else if (shared->threads < shared->threads_max) {
        ++shared->threads;
        std::thread([shared] { work(shared); }).detach();
    } else {
        return;  // whoever is done next takes it
    }
    ++shared->called;
}

void Pool::work(const std::shared_ptr<Shared>& shared) {
    const auto looks = [&shared] { shared->called -= shared->called > 0 ? 1 : 0; };  // a wake may be nobody's call
    std::unique_lock lock(shared->mutex);
    looks();
    while (!shared->stopping) {
        if (shared->jobs.empty()) {
            ++shared->idle;
            shared->changed.wait(lock);
            --shared->idle;
            looks();
            continue;
        }
        Job job = std::move(shared->jobs.front());
        shared->jobs.pop_front();
        if (!shared->jobs.empty()) call(shared);
        lock.unlock();
        const auto began = std::chrono::steady_clock::now();
        job();
        job = nullptr;  // what it held ends before the thread counts as idle
        const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - began;
        lock.lock();
        shared->usual_ns += (took.count() - shared->usual_ns) / 8;
    }
    --shared->threads;
    shared->changed.notify_all();
}

void Pool::stop() {
    std::unique_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->jobs.clear();
    shared_->changed.notify_all();
    shared_->changed.wait(lock, [&] { return shared_->idle == 0; });
}

}  // namespace nexus::sdk
