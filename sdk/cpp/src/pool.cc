#include "pool.h"

#include <thread>
#include <utility>

namespace nexus::sdk {

void Pool::run(Job job) {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->stopping) return;
    shared_->jobs.push_back(std::move(job));
    if (shared_->jobs.size() > shared_->idle && shared_->threads < shared_->threads_max) {
        ++shared_->threads;
        std::thread([shared = shared_] { work(shared); }).detach();
    } else {
        shared_->changed.notify_one();
    }
}

void Pool::work(const std::shared_ptr<Shared>& shared) {
    std::unique_lock lock(shared->mutex);
    while (true) {
        ++shared->idle;
        shared->changed.wait(lock, [&] { return shared->stopping || !shared->jobs.empty(); });
        --shared->idle;
        if (shared->stopping) break;
        Job job = std::move(shared->jobs.front());
        shared->jobs.pop_front();
        lock.unlock();
        job();
        job = nullptr;  // what it held ends before the thread counts as idle
        lock.lock();
        if (shared->stopping) break;
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
