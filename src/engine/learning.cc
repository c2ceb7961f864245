// The live tasks as the learner sees them, and what it asked for of their bodies.

#include <utility>

#include "engine/engine.h"

namespace nexus::engine {

std::optional<learn::Tasks::Known> Engine::known(TaskId task) const {
    const Live* const live = live_.find(task);
    if (live == nullptr) return std::nullopt;
    Known known{.features = {.type = type_of(*live),
                             .tenant = tenant_of(*live),
                             .queue = queue_of(*live),
                             .payload_bytes = live->payload_bytes,
                             .provisional = true},
                .complete = !live->unread};
    if (const Rare* const rare = live->rare(); rare != nullptr) {
        known.features.hint = rare->hint;
        known.features.cpu_milli = rare->resources.cpu_milli;
        known.features.memory_bytes = rare->resources.memory_bytes;
        known.features.gpu_milli = rare->resources.gpu_milli;
        if (!rare->features.empty()) known.features.numbers = &rare->features;
    }
    return known;
}

void Engine::remember(const std::vector<TaskId>& asked, std::vector<Recalled> found, std::vector<TaskId> again) {
    learner_.recalled();
    for (Recalled& one : found)
        if (Live* live = live_.find(one.task)) {
            live->make_rare().hint = one.hint;
            live->make_rare().features = std::move(one.features);
        }
    for (const TaskId task : asked)
        if (Live* live = live_.find(task)) live->unread = false;
    for (const TaskId task : again)
        if (Live* live = live_.find(task)) live->unread = true;
    if (!again.empty()) recall_at_ = now_.at + seconds(1);
    recall_again_ = std::move(again);
}

}  // namespace nexus::engine
