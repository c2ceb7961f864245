// override list, set and clear.
#include <fmt/format.h>

#include "cli/columns.h"
#include "cli/operator.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

struct OverrideFlags {
    std::string kind, task, type, worker;
    std::int64_t boost_us = 0, for_us = 0;
    std::uint64_t number = 0;
    Blame blame;
};

std::string target_text(const pb::Override& item, const Look& look) {
    if (!item.task_id().empty()) return "task " + item.task_id();
    return item.type().empty() ? look.none() : "type " + look.text(item.type(), 60);
}

const Kind<pb::Override>& override_kind() {
    using O = pb::Override;
    static const Kind<O> kind{
        .columns =
            {{.name = "number",
              .value = [](const O& o, const Look&) { return std::to_string(o.number()); },
              .right = true},
             {.name = "kind", .value = [](const O& o, const Look& look) { return look.text(o.kind(), 20); }},
             {.name = "target", .value = target_text},
             {.name = "worker", .value = [](const O& o, const Look& look) { return look.text(o.worker(), 60); }},
             {.name = "boost",
              .value = [](const O& o,
                          const Look& look) { return o.boost_us() != 0 ? look.span(o.boost_us()) : look.none(); },
              .right = true},
             {.name = "expires",
              .value =
                  [](const O& o, const Look& look) {
                      return o.expires_unix_us() == 0 && !look.plain ? "never" : look.moment(o.expires_unix_us());
                  }},
             {.name = "author", .value = [](const O& o, const Look& look) { return look.text(o.author(), 30); }},
             {.name = "reason", .value = [](const O& o, const Look& look) { return look.text(o.reason(), 60); }}},
        .name = [](const O& o) { return std::to_string(o.number()); }};
    return kind;
}

Answer<int> put_override(const Shell& shell, const Answer<pb::Override>& done, const char* what) {
    if (!done) return std::unexpected(done.error());
    if (shell.wants_json())
        shell.put_json(*done);
    else
        put(fmt::format("override {} {}\n", done->number(), what));
    return kExitOk;
}

Answer<pb::Override> override_of(const OverrideFlags& flags) {
    pb::Override set;
    set.set_kind(flags.kind);
    set.set_task_id(flags.task);
    set.set_type(flags.type);
    set.set_worker(flags.worker);
    set.set_boost_us(flags.boost_us);
    set.set_author(flags.blame.author);
    set.set_reason(flags.blame.reason);
    if (flags.for_us > 0) set.set_expires_unix_us(now_unix_us() + flags.for_us);
    const auto needs = [&](bool there, const char* what) -> Answer<pb::Override> {
        if (there) return set;
        return failure(kExitUsage, fmt::format("override set {}: give {}", flags.kind, what),
                       "see `nexus override set --help`");
    };
    if (flags.kind == "pin") return needs(!flags.task.empty() && !flags.worker.empty(), "--task and --worker");
    if (flags.kind == "exclude") return needs(!flags.type.empty() && !flags.worker.empty(), "--type and --worker");
    if (flags.kind == "boost" && flags.boost_us == 0) return needs(false, "--by, e.g. --by 30s");
    return needs(flags.task.empty() != flags.type.empty(), "either --task or --type");
}

void add_override_set(CLI::App& noun, int& exit_code) {
    const auto flags = std::make_shared<OverrideFlags>();
    CLI::App* verb =
        add_verb(noun,
                 {.name = "set",
                  .help = "Pin a task to a worker, hold or boost a task or type, exclude a worker from a type",
                  .examples = "  nexus override set pin --task 0190c1d2-... --worker w1\n"
                              "  nexus override set hold --type report --for 1h --reason 'database is moving'\n"
                              "  nexus override set boost --task 0190c1d2-... --by 30s\n"
                              "  nexus override set exclude --type train --worker w3"},
                 exit_code, [flags](Shell& shell) -> Answer<int> {
                     const auto set = override_of(*flags);
                     if (!set) return std::unexpected(set.error());
                     const auto done = put_override(shell, shell.session.set_override(*set), "is in force");
                     if (done && !set->type().empty()) {
                         pb::ListTasksRequest tasks;
                         tasks.set_type(set->type());
                         note_if_unknown(shell, tasks, "type " + safe_text(set->type(), 128));
                     }
                     return done;
                 });
    verb->add_option("kind", flags->kind, "pin, hold, boost or exclude")
        ->required()
        ->check(CLI::IsMember({"pin", "hold", "boost", "exclude"}));
    verb->add_option("--task", flags->task, "Task id");
    verb->add_option("--type", flags->type, "All tasks of this type");
    verb->add_option("--worker", flags->worker, "Worker to pin to or to exclude");
    add_duration(*verb, "--by", flags->boost_us, "Treat it as submitted this much earlier");
    add_duration(*verb, "--for", flags->for_us, "End it automatically after this time");
    add_blame(*verb, flags->blame);
}

}  // namespace

void add_override_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "override", "Exceptions to the scheduler's own decisions");
    add_watched_verb(*noun,
                     {.name = "list",
                      .help = "The overrides in force",
                      .examples = "  nexus override list\n  nexus override list -o json",
                      .columns = override_kind().names()},
                     exit_code, [](Shell& shell) -> Answer<int> {
                         const auto all = shell.session.list_overrides();
                         if (!all) return std::unexpected(all.error());
                         return put_list(shell, *all, all->overrides(), override_kind(), "no overrides are in force");
                     });
    add_override_set(*noun, exit_code);
    const auto flags = std::make_shared<OverrideFlags>();
    CLI::App* clear =
        add_verb(*noun, {.name = "clear", .help = "End an override", .examples = "  nexus override clear 3"}, exit_code,
                 [flags](Shell& shell) {
                     pb::ClearOverrideRequest request;
                     request.set_number(flags->number);
                     request.set_author(flags->blame.author);
                     return put_override(shell, shell.session.clear_override(request), "is cleared");
                 });
    clear->add_option("number", flags->number, "Number, see `nexus override list`")->required();
    clear->add_option("--author", flags->blame.author, "Who you are, for the audit log");
}

}  // namespace nexus::cli
