#include "http/live.h"

#include <nexus/v1/nexus.pb.h>

#include <memory>
#include <utility>
#include <vector>

#include "api/view.h"
#include "engine/read_model.h"
#include "http/json.h"

namespace nexus::http {
namespace {

constexpr std::size_t kTasksMax = 60;

// Handed from answer to answer; the last one sends it.
struct Frame {
    std::string text;
    std::vector<engine::TaskInfo> tasks;
    std::move_only_function<void(std::string)> done;

    void add(const char* name, const google::protobuf::Message& message) {
        text += std::string("event: ") + name + "\ndata: " + json_of(message) + "\n\n";
    }
};

Caller the_page() {
    return {.name = "page", .tenant = {}, .roles = kAllRoles, .credential = {}, .from = "http:live"};
}

using States = std::vector<core::TaskState>;

// Adds the first tasks in those states, then goes on with `next`.
void add_tasks(api::Door& door, const std::shared_ptr<Frame>& frame, States states,
               std::move_only_function<void()> next) {
    engine::ListTasks request{.limit = kTasksMax - frame->tasks.size()};
    if (request.limit == 0) return next();
    request.filter.states = std::move(states);
    door.engine.ask(the_page(), std::move(request),
                    [frame, next = std::move(next)](Result<engine::TaskPage>&& page) mutable {
                        if (page)
                            for (engine::TaskInfo& task : page->tasks) frame->tasks.push_back(std::move(task));
                        next();
                    });
}

}  // namespace

void live_frame(api::Door& door, std::move_only_function<void(std::string)> done) {
    auto frame = std::make_shared<Frame>();
    frame->done = std::move(done);
    using State = engine::ReadState::Answer;
    door.engine.ask(the_page(), engine::ReadState{}, [&door, frame](Result<State>&& state) {
        if (!state) return frame->done(": not ready\n\n");
        v1::Status status;
        api::to_message((*state)->status, door, status);
        frame->add("status", status);
        v1::ListWorkersResponse workers;
        api::to_message((*state)->workers, workers);
        frame->add("workers", workers);
        // What runs first, then what waits.
        using enum core::TaskState;
        add_tasks(door, frame, {running, assigned, paused}, [&door, frame] {
            add_tasks(door, frame, {waiting}, [&door, frame] {
                v1::ListTasksResponse list;
                api::to_message(engine::TaskPage{.tasks = std::move(frame->tasks)}, list);
                // One frame serves all, also those who may not read what programs wrote.
                if (door.guard->asks())
                    for (v1::Task& task : *list.mutable_tasks()) api::hide_what_programs_wrote(task);
                frame->add("tasks", list);
                frame->done(std::move(frame->text));
            });
        });
    });
}

}  // namespace nexus::http
