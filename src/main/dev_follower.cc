#include "main/dev_follower.h"

#include "main/job.h"

namespace nexus::dev {

void Follower::follow() {
    pb::WatchTasksRequest request;
    request.set_tenant(kJobTenant);
    while (!over_) {
        const auto done = session_.watch_tasks(request, [this](const pb::TaskEvent& event) {
            const std::lock_guard lock(mutex_);
            changed_.push_back(event.task());
            return !over_.load();
        });
        missed_ = true;
        if (interrupt_.wait(milliseconds(200))) return;
    }
}

}  // namespace nexus::dev
