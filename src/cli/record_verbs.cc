// decision: the record of what the scheduler did.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/columns.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

struct RecordFlags {
    std::string task, worker, page;
    std::uint32_t limit = 50;
    std::string id;
};

const Kind<pb::Decision>& decision_kind() {
    using D = pb::Decision;
    static const Kind<D> kind{
        .columns = {{.name = "id", .value = [](const D& d, const Look&) { return d.id(); }, .right = true},
                    {.name = "at",
                     .value = [](const D& d, const Look& look) { return look.calendar(d.at_unix_us()); },
                     .title = "AT (UTC)"},
                    {.name = "task", .value = [](const D& d, const Look&) { return d.task_id(); }},
                    {.name = "worker", .value = [](const D& d, const Look& look) { return look.text(d.worker(), 40); }},
                    {.name = "round-robin",
                     .value = [](const D& d, const Look& look) { return look.text(d.baseline_worker(), 40); },
                     .title = "ROUND-ROBIN"},
                    {.name = "predicted",
                     .value = [](const D& d, const Look& look) { return look.span(d.estimate().p50_us()); },
                     .right = true},
                    {.name = "waiting",
                     .value = [](const D& d, const Look& look) { return look.count(d.waiting()); },
                     .right = true},
                    {.name = "policy",
                     .value = [](const D& d, const Look&) { return d.policy() + (d.fallback() ? " (fallback)" : ""); }},
                    {.name = "reason",
                     .value = [](const D& d, const Look& look) { return look.text(d.reason(), 80); }}},
        .name = [](const D& d) { return d.id(); }};
    return kind;
}

Answer<int> list_decisions(Shell& shell, const RecordFlags& flags) {
    pb::ListDecisionsRequest request;
    request.set_task_id(flags.task);
    request.set_worker(flags.worker);
    request.set_page_size(flags.limit);
    request.set_page_token(flags.page);
    const auto all = shell.session.list_decisions(request);
    if (!all) return std::unexpected(all.error());
    const auto done = put_list(shell, *all, all->decisions(), decision_kind(), "no decisions yet");
    shell.say_more(all->next_page_token());
    return done;
}

// By its id, or all of a task by the task's: only the latter has dashes.
Answer<int> get_decision(Shell& shell, const std::string& id) {
    pb::ListDecisionsRequest request;
    request.set_page_size(1000);
    const bool of_task = id.find('-') != std::string::npos;
    std::uint64_t number = 0;
    const char* const end = id.data() + std::min(id.find('.'), id.size());
    if (of_task)
        request.set_task_id(id);
    else if (const auto [stop, error] = std::from_chars(id.data(), end, number); stop != end || error != std::errc{})
        return failure(kExitUsage, fmt::format("'{}' is no id of a decision or a task", safe_text(id, 60)),
                       "ids look like 1024 or 1024.1: see `nexus decision list`");
    request.set_number(number);
    const auto page = shell.session.list_decisions(request);
    if (!page) return std::unexpected(page.error());
    bool found = false;
    for (const pb::Decision& decision : page->decisions()) {
        if (!of_task && decision.id() != id) continue;
        found = true;
        shell.wants_json() ? shell.put_json(decision) : put(decision_page(decision, shell.terminal.colour));
    }
    if (found) return kExitOk;
    return failure(kExitNotFound, (of_task ? "no decision about task " : "no decision has the id ") + safe_text(id, 60),
                   "see `nexus decision list`; old decisions are dropped with the history");
}

void add_decision(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "decision", "Which task went to which worker, and why");
    const auto flags = std::make_shared<RecordFlags>();
    CLI::App* list =
        add_watched_verb(*noun,
                         {.name = "list",
                          .help = "Decisions, newest first",
                          .examples = "  nexus decision list\n  nexus decision list --worker w1 --limit 1000 -o jsonl",
                          .columns = decision_kind().names()},
                         exit_code, [flags](Shell& shell) { return list_decisions(shell, *flags); });
    list->add_option("--task", flags->task, "Only for this task");
    list->add_option("--worker", flags->worker, "Only for this worker");
    list->add_option("--limit", flags->limit, "At most this many (default 50)")->check(CLI::Range(1, 1000));
    list->add_option("--page", flags->page, "Continue where an earlier list ended");
    CLI::App* get =
        add_verb(*noun,
                 {.name = "get",
                  .help = "One decision with its candidates, or all about a task",
                  .examples = "  nexus decision get 1024.1\n  nexus decision get 0199f8c0-7d2e-7000-8000-00000000002a"},
                 exit_code, [flags](Shell& shell) { return get_decision(shell, flags->id); });
    get->add_option("id", flags->id, "Its id, see `nexus decision list`, or a task's")->required();
}

}  // namespace

void add_record_verbs(CLI::App& root, int& exit_code) {
    add_decision(root, exit_code);
}

}  // namespace nexus::cli
