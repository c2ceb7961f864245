// worker, type and status: what the server works with and how it does.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/fleet_view.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

struct Named {
    std::string name, reason, author = default_author();
    std::int64_t estimate_us = 0, for_us = 0;
    bool clear = false;
};

void add_reason(CLI::App& verb, Named& flags) {
    verb.add_option("--reason", flags.reason, "Why; kept in the audit log");
    verb.add_option("--author", flags.author, "Who you are, for the audit log");
}

Answer<int> list_workers(Shell& shell, const std::vector<std::string>& states) {
    pb::ListWorkersRequest request;
    for (const std::string& name : states) {
        const pb::WorkerState state = worker_state_from_text(name);
        if (state == pb::WORKER_STATE_UNSPECIFIED)
            return failure(kExitUsage, fmt::format("--state \"{}\": no such state", safe_text(name, 40)),
                           "one of ready, suspect, gone, cordoned, draining");
        request.add_states(state);
    }
    const auto all = shell.session.list_workers(request);
    if (!all) return std::unexpected(all.error());
    return put_list(shell, *all, all->workers(), worker_kind(),
                    states.empty() ? "no workers; start one with `nexus worker --allow exec`"
                                   : fmt::format("no worker is {}", fmt::join(states, " or ")));
}

Answer<int> get_worker(Shell& shell, const std::string& name) {
    auto all = shell.session.list_workers();
    if (!all) return std::unexpected(all.error());
    const auto found = std::ranges::find(all->workers(), name, [](const pb::Worker& worker) { return worker.name(); });
    if (found == all->workers().end())
        return failure(kExitNotFound, fmt::format("no worker is called {}", safe_text(name, 60)),
                       "see `nexus worker list`");
    return put_one(shell, *found, worker_kind(), [&] { return worker_page(*found, now_unix_us()); });
}

void add_order(CLI::App& worker, int& exit_code, const Verb& verb_text, pb::WorkerAction action) {
    const auto flags = std::make_shared<Named>();
    CLI::App* verb = add_verb(worker, verb_text, exit_code, [flags, action](Shell& shell) -> Answer<int> {
        pb::ControlWorkerRequest request;
        request.set_name(flags->name);
        request.set_action(action);
        request.set_reason(flags->reason);
        request.set_author(flags->author);
        const auto answer = shell.session.control_worker(request);
        if (!answer) return std::unexpected(answer.error());
        if (shell.wants_json())
            shell.put_json(*answer);
        else
            put(fmt::format("{}  {}\n", safe_text(answer->name(), 60),
                            action == pb::WORKER_ACTION_FORGET ? "forgotten" : worker_state_text(answer->state())));
        return kExitOk;
    });
    verb->add_option("name", flags->name, "The worker")->required();
    add_reason(*verb, *flags);
}

Answer<int> list_types(Shell& shell) {
    const auto all = shell.session.list_types();
    if (!all) return std::unexpected(all.error());
    put_list(shell, *all, all->types(), type_kind(), "no types: no task was submitted yet");
    if (shell.format != Format::table && shell.format != Format::wide) return kExitOk;
    shell.say(fmt::format(
        "all: {} of recent predictions within 25 % ({:+.0f} points lately), {} of run times and {} of finish times "
        "within their p90",
        rate_text(all->within_25()), 100 * all->trend(), rate_text(all->p90_coverage()),
        rate_text(all->eta_p90_coverage())));
    return kExitOk;
}

Answer<int> put_type(const Shell& shell, const Answer<pb::TypeStat>& type) {
    if (!type) return std::unexpected(type.error());
    return put_one(shell, *type, type_kind(), [&] { return type_page(*type, shell.terminal); });
}

void add_type_changes(CLI::App& type, int& exit_code) {
    const auto reset = std::make_shared<Named>();
    CLI::App* verb = add_verb(type,
                              {.name = "reset",
                               .help = "Forget what was learned about a type",
                               .examples = "  nexus type reset thumb --reason 'new encoder'"},
                              exit_code, [reset](Shell& shell) {
                                  pb::ResetTypeRequest request;
                                  request.set_type(reset->name);
                                  request.set_reason(reset->reason);
                                  request.set_author(reset->author);
                                  return put_type(shell, shell.session.reset_type(request));
                              });
    verb->add_option("type", reset->name, "The type")->required();
    add_reason(*verb, *reset);

    const auto force = std::make_shared<Named>();
    verb = add_verb(type,
                    {.name = "force",
                     .help = "Predict a fixed run time for a type",
                     .examples = "  nexus type force thumb --estimate 2s --for 1h --reason 'known slow disk'\n  nexus "
                                 "type force thumb --clear"},
                    exit_code, [force](Shell& shell) -> Answer<int> {
                        if (force->clear == (force->estimate_us > 0))
                            return failure(kExitUsage, "force: give either --estimate or --clear");
                        pb::OverrideEstimateRequest request;
                        request.set_type(force->name);
                        request.set_estimate_us(force->estimate_us);
                        request.set_reason(force->reason);
                        request.set_author(force->author);
                        if (force->for_us > 0) request.set_expires_unix_us(now_unix_us() + force->for_us);
                        return put_type(shell, shell.session.override_estimate(request));
                    });
    verb->add_option("type", force->name, "The type")->required();
    add_duration(*verb, "--estimate", force->estimate_us, "The run time to predict");
    add_duration(*verb, "--for", force->for_us, "Forget it after this time");
    verb->add_flag("--clear", force->clear, "Predict from what was learned again");
    add_reason(*verb, *force);
}

}  // namespace

void add_worker_verbs(CLI::App& root, int& exit_code) {
    // `nexus worker --allow ...` is the worker itself; its verb may be there already.
    CLI::App* worker = add_noun(root, "worker", "See and direct workers");
    const auto states = std::make_shared<std::vector<std::string>>();
    CLI::App* list = add_watched_verb(*worker,
                                      {.name = "list",
                                       .help = "All workers",
                                       .examples = "  nexus worker list\n  nexus worker list --watch\n"
                                                   "  nexus worker list --state ready,suspect -o json",
                                       .columns = worker_kind().names()},
                                      exit_code, [states](Shell& shell) { return list_workers(shell, *states); });
    list->add_option("--state", *states, "Only in this state; repeatable")->delimiter(',');
    const auto name = std::make_shared<std::string>();
    CLI::App* get = add_watched_verb(
        *worker,
        {.name = "get", .help = "One worker", .examples = "  nexus worker get w1", .columns = worker_kind().names()},
        exit_code, [name](Shell& shell) { return get_worker(shell, *name); });
    get->add_option("name", *name, "The worker")->required();
    add_order(*worker, exit_code,
              {.name = "drain",
               .help = "Let it finish its running tasks and start no new ones",
               .examples = "  nexus worker drain w1 --reason 'new kernel'"},
              pb::WORKER_ACTION_DRAIN);
    add_order(*worker, exit_code,
              {.name = "cordon", .help = "Give it no new tasks", .examples = "  nexus worker cordon w1"},
              pb::WORKER_ACTION_CORDON);
    add_order(*worker, exit_code,
              {.name = "uncordon", .help = "Give it tasks again", .examples = "  nexus worker uncordon w1"},
              pb::WORKER_ACTION_UNCORDON);
    add_order(*worker, exit_code,
              {.name = "forget",
               .help = "Forget one that is gone: its name, speed and breaker",
               .examples = "  nexus worker forget w1 --reason 'machine returned to the cloud'"},
              pb::WORKER_ACTION_FORGET);
}

void add_type_verbs(CLI::App& root, int& exit_code) {
    CLI::App* type = add_noun(root, "type", "What was learned about each type of task");
    add_watched_verb(
        *type, {.name = "list", .help = "All types", .examples = "  nexus type list", .columns = type_kind().names()},
        exit_code, list_types);
    add_watched_verb(*type,
                     {.name = "stats",
                      .help = "All types (the same as list)",
                      .examples = "  nexus type stats --watch\n  nexus type stats -o json",
                      .columns = type_kind().names()},
                     exit_code, list_types);
    const auto name = std::make_shared<std::string>();
    CLI::App* get =
        add_watched_verb(*type,
                         {.name = "get",
                          .help = "One type with its histogram and models",
                          .examples = "  nexus type get thumb",
                          .columns = type_kind().names()},
                         exit_code, [name](Shell& shell) { return put_type(shell, shell.session.get_type(*name)); });
    get->add_option("type", *name, "The type")->required();
    add_type_changes(*type, exit_code);
}

void add_status_verbs(CLI::App& root, int& exit_code) {
    add_watched_verb(root,
                     {.name = "status",
                      .help = "Server summary",
                      .examples = "  nexus status\n  nexus status --watch\n  nexus status -o json"},
                     exit_code, [](Shell& shell) -> Answer<int> {
                         const auto status = shell.session.status();
                         if (!status) return std::unexpected(status.error());
                         if (shell.wants_json())
                             shell.put_json(*status);
                         else
                             put(status_page(*status, shell.session.server(), now_unix_us()));
                         return kExitOk;
                     });
}

}  // namespace nexus::cli
