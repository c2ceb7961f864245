// Cancelling and submitting again many tasks in one call, each judged by itself.

#include <algorithm>

#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kBodiesAtOnce = 32;  // of 256 KiB and more each; the next ones are read when these are done

// Of one call, while its tasks are looked up and submitted bit by bit.
std::vector<TaskId> next_of(std::vector<TaskId>& rest) {
    const std::size_t count = std::min(rest.size(), kBodiesAtOnce);
    std::vector<TaskId> taken(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count));
    rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count));
    return taken;
}

std::vector<TaskId> without_repeats(std::vector<TaskId> tasks) {
    std::vector<TaskId> once;
    std::vector<TaskId> sorted;
    for (const TaskId task : tasks) {
        const auto at = std::ranges::lower_bound(sorted, task);
        if (at != sorted.end() && *at == task) continue;
        sorted.insert(at, task);
        once.push_back(task);
    }
    return once;
}

}  // namespace

struct Engine::Retrying {
    std::vector<TaskId> rest;
    bool by_filter = false;
    bool dry_run = false;
    std::uint64_t would = 0;  // of a dry run
    std::string tenant;       // the only one that the caller may touch
    ChangedMany out;
    Done<ChangedMany> done;
};

void Engine::answer(const Caller& caller, CancelMany request, Done<ChangedMany> done) {
    const core::Act act = act_of(caller, "", std::move(request.reason));
    if (auto ok = check_act(act); !ok)
        return reply<ChangedMany>(std::move(done), std::unexpected(std::move(ok).error()));
    const auto place = task_place_of(request.page, history::TaskOrder::submitted);
    if (!place) return reply<ChangedMany>(std::move(done), std::unexpected(place.error()));
    if (auto ok = keep_to_tenant(caller, request.filter); !ok)
        return reply<ChangedMany>(std::move(done), std::unexpected(std::move(ok).error()));
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, 1000);
    ChangedMany out;
    std::vector<TaskId> ended;
    std::vector<TaskId> tasks = without_repeats(std::move(request.tasks));
    if (tasks.empty()) {
        tasks = live_ids(request.filter, place->task, limit + 1);
        if (tasks.size() > limit) {
            tasks.pop_back();
            out.next = page_token({.order = history::TaskOrder::submitted, .task = tasks.back(), .finished = {}});
        }
    }
    // All of them are there at this moment; one that another took with it is cancelled all the same.
    for (const TaskId task : tasks) {
        const Live* const live = live_.find(task);
        if (live == nullptr)
            ended.push_back(task);
        else if (!sees(caller.tenant, task))
            out.tasks.push_back({task, {}, no_task(task)});
        else
            out.tasks.push_back({task, {}, std::nullopt});
    }
    if (!request.dry_run)
        for (const Changed& one : out.tasks)
            if (!one.refused && live_.contains(one.task)) apply(core::CancelRequested{.task = one.task, .act = act});
    if (ended.empty()) return reply<ChangedMany>(std::move(done), std::move(out));
    // The history is asked by questions of this batch, which is durable by then.
    ask(AskStates{ended, caller.tenant}, [out = std::move(out), ended, done = std::move(done)](
                                             Result<std::vector<std::optional<std::uint8_t>>> states) mutable {
        for (std::size_t i = 0; i < ended.size(); ++i) {
            Changed& one = out.tasks.emplace_back(Changed{ended[i], {}, std::nullopt});
            const std::string name = "task " + to_text(ended[i]);
            if (!states)
                one.refused = states.error();
            else if (!(*states)[i])
                one.refused = no_task(ended[i]);
            else if (const auto state = static_cast<core::TaskState>(*(*states)[i]);
                     state != core::TaskState::cancelled)
                one.refused = Error{Fault::failed_state, name + " has already ended: " + core::name_of(state)};
        }
        done(std::move(out));
    });
}

void Engine::answer(const Caller& caller, RetryMany request, Done<ChangedMany> done) {
    if (refusal_) return reply<ChangedMany>(std::move(done), std::unexpected(*refusal_));
    if (auto ok = keep_to_tenant(caller, request.filter); !ok)
        return reply<ChangedMany>(std::move(done), std::unexpected(std::move(ok).error()));
    auto all = std::make_shared<Retrying>();
    all->dry_run = request.dry_run;
    all->tenant = caller.tenant;
    all->done = std::move(done);
    if (!request.tasks.empty()) {
        all->rest = without_repeats(std::move(request.tasks));
        return retry_next(std::move(all));
    }
    TaskFilter& filter = request.filter;
    using enum core::TaskState;
    if (filter.states.empty())
        filter.states = {dead, expired};
    else
        std::erase_if(filter.states, [](auto state) { return !core::is_terminal(state) || state == succeeded; });
    if (filter.states.empty())
        return reply<ChangedMany>(
            std::move(all->done),
            fail(Fault::invalid, "filter.states: only dead, expired and cancelled tasks can be submitted again"));
    const auto place = task_place_of(request.page, history::TaskOrder::finished);
    if (!place) return reply<ChangedMany>(std::move(all->done), std::unexpected(place.error()));
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, 1000);
    all->by_filter = true;
    ask(AskTasks{history_query(filter, *place, limit + 1)},
        [post = post, limit, all = std::move(all)](Result<std::vector<EndedTask>> ended) mutable {
            if (!ended) return all->done(std::unexpected(std::move(ended).error()));
            if (ended->size() > limit) {
                ended->resize(limit);
                all->out.next = page_token({.order = history::TaskOrder::finished,
                                            .task = ended->back().row.task,
                                            .finished = ended->back().row.finished});
            }
            for (const EndedTask& one : *ended) all->rest.push_back(one.row.task);
            post([all = std::move(all)](Engine& engine) mutable { engine.retry_next(std::move(all)); });
        });
}

// Reads the next bodies and submits them again, until none is left. The answer goes with the last batch, so everything
// before it is durable by then.
void Engine::retry_next(std::shared_ptr<Retrying> all) {
    if (all->rest.empty()) {
        Done<ChangedMany> done = std::move(all->done);
        return reply<ChangedMany>(std::move(done), std::move(all->out));
    }
    std::vector<TaskId> asked;
    for (const TaskId task : next_of(all->rest)) {
        if (sees(all->tenant, task))
            all->out.tasks.push_back(
                {task, {}, Error{Fault::failed_state, "task " + to_text(task) + " has not ended yet"}});
        else if (live_.contains(task))
            all->out.tasks.push_back({task, {}, no_task(task)});
        else
            asked.push_back(task);
    }
    if (asked.empty()) return retry_next(std::move(all));
    AskKeptBodies bodies{asked, all->tenant};  // before the callback takes `all`
    ask(std::move(bodies),
        [post = post, asked, all = std::move(all)](Result<std::vector<Result<std::string>>> kept) mutable {
            if (!kept) return all->done(std::unexpected(std::move(kept).error()));
            post([asked = std::move(asked), kept = *std::move(kept), all = std::move(all)](Engine& engine) mutable {
                for (std::size_t i = 0; i < asked.size(); ++i)
                    all->out.tasks.push_back(engine.retry_one(*all, asked[i], std::move(kept[i])));
                engine.retry_next(std::move(all));
            });
        });
}

Changed Engine::retry_one(Retrying& all, TaskId task, Result<std::string> kept) {
    const auto refused = [task](Error why) { return Changed{task, {}, std::move(why)}; };
    if (!kept) return refused(std::move(kept).error());
    auto again = redriven(*std::move(kept), task);
    if (!again) return refused(std::move(again).error());
    if (!all.tenant.empty() && again->spec.tenant != all.tenant) return refused(no_task(task));
    if (all.by_filter) seal_redrive(again->spec, task);
    if (auto ok = admit_redrive(*again, all.would); !ok) return refused(std::move(ok).error());
    if (const auto before = admit(*again, {}); before.admission == core::Admission::duplicate)
        return {task, before.existing,
                Error{Fault::conflict, "was submitted again already, as task " + to_text(before.existing)}};
    if (all.dry_run) {
        ++all.would;
        return {task, {}, std::nullopt};
    }
    Submitted made;
    submit_one(*again, made);
    return {task, made.task, std::nullopt};
}

}  // namespace nexus::engine
