// queue pause and queue resume.
#include <fmt/format.h>

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

}  // namespace

void add_queue_verbs(CLI::App& root, int& exit_code) {
    CLI::App* queue = add_noun(root, "queue", "Pause or resume a queue");
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
