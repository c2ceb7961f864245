// queue list, get, pause and resume.
#include <fmt/format.h>

#include "cli/columns.h"
#include "cli/operator.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

struct QueueFlags {
    std::string queue;
    Blame blame;
};

void add_queue_verb(CLI::App& noun, int& exit_code, const Verb& text, bool paused) {
    const auto flags = std::make_shared<QueueFlags>();
    CLI::App* verb = add_verb(noun, text, exit_code, [flags, paused](Shell& shell) -> Answer<int> {
        pb::ControlQueueRequest request;
        request.set_queue(flags->queue);
        request.set_paused(paused);
        request.set_author(flags->blame.author);
        request.set_reason(flags->blame.reason);
        const auto answer = shell.session.control_queue(request);
        if (!answer) return std::unexpected(answer.error());
        if (shell.wants_json())
            shell.put_json(*answer);
        else
            put(fmt::format("{}  {}\n", safe_text(flags->queue, 128), paused ? "paused" : "open"));
        pb::ListTasksRequest tasks;
        tasks.set_queue(flags->queue);
        note_if_unknown(shell, tasks, fmt::format("queue {}", safe_text(flags->queue, 128)));
        return kExitOk;
    });
    verb->add_option("queue", flags->queue, "The queue")->required();
    add_blame(*verb, flags->blame);
}

const Kind<pb::Queue>& queue_kind() {
    using Q = pb::Queue;
    static const Kind<Q> kind{
        .columns = {{.name = "name", .value = [](const Q& q, const Look& look) { return look.text(q.name(), 60); }},
                    {.name = "state",
                     .value =
                         [](const Q& q, const Look& look) {
                             return q.paused() ? look.tone("paused", Tone::warn) : look.tone("open", Tone::good);
                         }},
                    {.name = "waiting",
                     .value = [](const Q& q, const Look& look) { return look.count(q.waiting()); },
                     .right = true},
                    {.name = "running",
                     .value = [](const Q& q, const Look& look) { return look.count(q.running()); },
                     .right = true},
                    {.name = "running-max",
                     .value =
                         [](const Q& q, const Look& look) {
                             return q.running_max() == 0 ? look.none() : look.count(q.running_max());
                         },
                     .right = true},
                    {.name = "oldest",
                     .value = [](const Q& q, const Look& look) { return look.moment(q.oldest_waiting_unix_us()); }},
                    {.name = "work",
                     .value = [](const Q& q, const Look& look) { return look.known_span(q.work_us()); },
                     .right = true}},
        .name = [](const Q& q) { return q.name(); }};
    return kind;
}

void add_queue_lists(CLI::App& queue, int& exit_code) {
    add_watched_verb(queue,
                     {.name = "list",
                      .help = "Queues with tasks or limits: what waits, for how long, what runs",
                      .examples = "  nexus queue list\n  nexus queue list --watch",
                      .columns = queue_kind().names()},
                     exit_code, [](Shell& shell) -> Answer<int> {
                         const auto all = shell.session.list_queues();
                         if (!all) return std::unexpected(all.error());
                         return put_list(shell, *all, all->queues(), queue_kind(), "no queues: nothing waits or runs");
                     });
    const auto name = std::make_shared<std::string>();
    CLI::App* get = add_watched_verb(
        queue,
        {.name = "get", .help = "One queue", .examples = "  nexus queue get mail", .columns = queue_kind().names()},
        exit_code, [name](Shell& shell) -> Answer<int> {
            const auto one = shell.session.get_queue(*name);
            if (!one) return std::unexpected(one.error());
            return put_one(shell, *one, queue_kind(), [&] {
                std::string page;
                for (const auto& column : queue_kind().columns)
                    page += fmt::format("{:<12} {}\n", column.name, column.value(*one, look_of(shell)));
                return page;
            });
        });
    get->add_option("queue", *name, "The queue")->required();
}

}  // namespace

void add_queue_verbs(CLI::App& root, int& exit_code) {
    CLI::App* queue = add_noun(root, "queue", "See, pause or resume queues");
    add_queue_lists(*queue, exit_code);
    add_queue_verb(*queue, exit_code,
                   {.name = "pause",
                    .help = "Start no more tasks of this queue; running tasks are not stopped",
                    .examples = "  nexus queue pause mail --reason 'provider is down'"},
                   true);
    add_queue_verb(
        *queue, exit_code,
        {.name = "resume", .help = "Start tasks of this queue again", .examples = "  nexus queue resume mail"}, false);
}

}  // namespace nexus::cli
