#include <fmt/format.h>

#include <algorithm>

#include "cli/submit.h"
#include "cli/task_change.h"
#include "cli/task_logs.h"
#include "cli/task_output.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::uint32_t kPageMax = 1000;

void put_task(const Shell& shell, const pb::Task& task) {
    put_one(shell, task, task_kind(), [&] { return task_page(task, shell.terminal.colour, now_unix_us()); });
}

struct GetFlags {
    std::string id;
    bool result = false;
    bool wait = false;
};

void add_get(CLI::App& task, int& exit_code) {
    const auto flags = std::make_shared<GetFlags>();
    const auto show = [flags](Shell& shell) -> Answer<int> {
        if (flags->wait) return wait_for_task(shell, flags->id, shell.limit);
        const auto answer = shell.session.get_task(flags->id, true);
        if (!answer) return std::unexpected(answer.error());
        const auto there = flags->result ? has_result(*answer) : Answer<void>();
        if (flags->result && !shell.wants_json()) {
            const auto written = there ? put_result(shell, *answer, false) : there;
            if (!written) return std::unexpected(written.error());
            return kExitOk;
        }
        put_task(shell, *answer);
        if (!there) return std::unexpected(there.error());
        return kExitOk;
    };
    CLI::App* verb = add_watched_verb(task,
                                      {.name = "get",
                                       .help = "One task: its state, prediction and attempts",
                                       .examples = "  nexus task get 0190c1d2-...\n"
                                                   "  nexus task get 0190c1d2-... --result > out.bin\n"
                                                   "  nexus task get 0190c1d2-... --wait --timeout 5m\n"
                                                   "  nexus task get 0190c1d2-... -o json",
                                       .columns = task_kind().names()},
                                      exit_code, show);
    verb->add_option("id", flags->id, "Task id")->required();
    verb->add_flag("--result", flags->result, "Write its result to standard output, whatever its outcome");
    verb->add_flag("--wait", flags->wait, "Wait until it has ended; then as submit --wait");
}

struct ListFlags {
    std::vector<std::string> states;
    std::string type, tenant, queue, worker, promise, page;
    std::uint32_t limit = 100;
};

Answer<pb::ListTasksRequest> list_request(const ListFlags& flags) {
    pb::ListTasksRequest request;
    for (const std::string& name : flags.states) {
        const pb::TaskState state = state_from_text(name);
        if (state == pb::TASK_STATE_UNSPECIFIED)
            return failure(kExitUsage, fmt::format("--state \"{}\": no such state", safe_text(name, 40)),
                           "one of waiting, assigned, running, paused, succeeded, dead, cancelled, expired");
        request.add_states(state);
    }
    request.set_type(flags.type);
    request.set_tenant(flags.tenant);
    request.set_queue(flags.queue);
    request.set_worker(flags.worker);
    request.set_promise(flags.promise);
    request.set_page_token(flags.page);
    return request;
}

// Pages until `limit` tasks are there.
Answer<pb::ListTasksResponse> list_all(Shell& shell, pb::ListTasksRequest request, std::uint32_t limit) {
    pb::ListTasksResponse all;
    while (true) {
        request.set_page_size(std::min(kPageMax, limit - static_cast<std::uint32_t>(all.tasks_size())));
        auto page = shell.session.list_tasks(request);
        if (!page) return page;
        for (pb::Task& task : *page->mutable_tasks()) *all.add_tasks() = std::move(task);
        all.set_next_page_token(page->next_page_token());
        if (page->next_page_token().empty() || static_cast<std::uint32_t>(all.tasks_size()) >= limit) return all;
        request.set_page_token(page->next_page_token());
    }
}

Answer<int> list(Shell& shell, const ListFlags& flags) {
    const auto request = list_request(flags);
    if (!request) return std::unexpected(request.error());
    const auto all = list_all(shell, *request, flags.limit);
    if (!all) return std::unexpected(all.error());
    const auto done = put_list(shell, *all, all->tasks(), task_kind(), "no tasks");
    shell.say_more(all->next_page_token());
    return done;
}

void add_list(CLI::App& task, int& exit_code) {
    const auto flags = std::make_shared<ListFlags>();
    CLI::App* verb = add_watched_verb(task,
                                      {.name = "list",
                                       .help = "Tasks, newest first",
                                       .examples = "  nexus task list\n"
                                                   "  nexus task list --state waiting --state running --watch\n"
                                                   "  nexus task list --type thumb --promise missed\n"
                                                   "  nexus task list --type thumb --limit 1000 -o jsonl\n"
                                                   "  nexus task list --columns id,state,worker -o csv",
                                       .columns = task_kind().names()},
                                      exit_code, [flags](Shell& shell) { return list(shell, *flags); });
    verb->add_option("--state", flags->states, "Only in this state; repeatable")->delimiter(',');
    verb->add_option("--type", flags->type, "Only this type");
    verb->add_option("--tenant", flags->tenant, "Only this tenant");
    verb->add_option("--queue", flags->queue, "Only this queue");
    verb->add_option("--worker", flags->worker, "Only with an attempt on this worker");
    verb->add_option("--promise", flags->promise,
                     "Only those that succeeded by the p90 told at submission (kept), or after it (missed)")
        ->check(CLI::IsMember({"kept", "missed"}));
    verb->add_option("--limit", flags->limit, "At most this many (default 100)")->check(CLI::Range(1, 1'000'000));
    verb->add_option("--page", flags->page, "Continue where an earlier list ended");
}

struct WatchFlags {
    std::vector<std::string> ids;
    std::string type, tenant;
};

Answer<int> watch(Shell& shell, const WatchFlags& flags) {
    pb::WatchTasksRequest request;
    for (const std::string& id : flags.ids) request.add_ids(id);
    request.set_type(flags.type);
    request.set_tenant(flags.tenant);
    std::vector<std::string> open = flags.ids;
    const auto done = shell.session.watch_tasks(request, [&](const pb::TaskEvent& event) {
        const pb::Task& task = event.task();
        const std::string line =
            shell.wants_json()
                ? json_text(event, false)
                : fmt::format("{}  {}  {}  {}  {}\n", calendar_text(event.at_unix_us()), task.id(),
                              safe_text(task.type(), 32),
                              toned(state_text(task.state()), tone_of(task.state()), shell.terminal.colour),
                              where_text(task, now_unix_us()));
        if (!put(line)) return false;
        if (is_terminal(task.state())) std::erase(open, task.id());
        return flags.ids.empty() || !open.empty();
    });
    if (!done && done.error().exit_code != kExitInterrupted) return std::unexpected(done.error());
    return kExitOk;
}

void add_watch(CLI::App& task, int& exit_code) {
    const auto flags = std::make_shared<WatchFlags>();
    CLI::App* verb = add_verb(task,
                              {.name = "watch",
                               .help = "Show changes of tasks as they happen; with ids, until those tasks have ended",
                               .examples = "  nexus task watch\n"
                                           "  nexus task watch 0190c1d2-... 0190c1d3-...\n"
                                           "  nexus task watch --type thumb -o jsonl"},
                              exit_code, [flags](Shell& shell) { return watch(shell, *flags); });
    verb->add_option("ids", flags->ids, "Task ids; none = all tasks");
    verb->add_option("--type", flags->type, "Only this type");
    verb->add_option("--tenant", flags->tenant, "Only this tenant");
}

void add_explain(CLI::App& task, int& exit_code) {
    const auto id = std::make_shared<std::string>();
    CLI::App* verb =
        add_watched_verb(task,
                         {.name = "explain",
                          .help = "Why a task is waiting, or why it runs where it does",
                          .examples = "  nexus task explain 0190c1d2-...\n  nexus task explain 0190c1d2-... --watch"},
                         exit_code, [id](Shell& shell) -> Answer<int> {
                             const auto answer = shell.session.explain_task(*id);
                             if (!answer) return std::unexpected(answer.error());
                             if (shell.wants_json())
                                 shell.put_json(*answer);
                             else
                                 put(explanation_page(*answer, shell.terminal.colour, now_unix_us()));
                             return kExitOk;
                         });
    verb->add_option("id", *id, "Task id")->required();
}

}  // namespace

void add_task_verbs(CLI::App& root, int& exit_code, const std::vector<std::string>& program) {
    CLI::App* task = add_noun(root, "task", "Submit, follow and change tasks");
    add_submit(*task, exit_code, program);
    add_get(*task, exit_code);
    add_logs(*task, exit_code);
    add_list(*task, exit_code);
    add_watch(*task, exit_code);
    add_task_changes(*task, exit_code);
    add_explain(*task, exit_code);
}

}  // namespace nexus::cli
