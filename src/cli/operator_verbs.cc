// queue, policy, config, override, decision and audit: what an operator sets, and the record of it.
#include <fmt/format.h>

#include <algorithm>

#include "cli/shell.h"
#include "cli/task_spec.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

// Who changes something and why; kept in the audit log.
struct Blame {
    std::string reason, author = default_author();
};

void add_blame(CLI::App& verb, Blame& blame) {
    verb.add_option("--reason", blame.reason, "Kept in the audit log");
    verb.add_option("--author", blame.author, "Who does it, for the audit log");
}

// A list in every output format; `row` adds one item to the table, `name` is what -o name prints.
template <class Response, class Items>
Answer<int> put_items(const Shell& shell, const Response& whole, const Items& items, Table table, const char* nothing,
                      const std::function<std::string(const typename Items::value_type&)>& name,
                      const std::function<void(Table&, const typename Items::value_type&)>& row) {
    if (shell.format == Format::json) {
        shell.put_json(whole);
        return kExitOk;
    }
    for (const auto& item : items) {
        if (shell.format == Format::jsonl && !shell.put_json(item)) return kExitOk;
        if (shell.format == Format::name && !put(name(item) + "\n")) return kExitOk;
        row(table, item);
    }
    if (shell.format == Format::jsonl || shell.format == Format::name) return kExitOk;
    if (table.empty())
        shell.say(nothing);
    else
        shell.put_table(table);
    return kExitOk;
}

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
        return kExitOk;
    });
    verb->add_option("queue", flags->queue, "The queue")->required();
    add_blame(*verb, flags->blame);
}

// The value of `key` in a [scheduler] table as config_text writes it; empty when it is not there.
std::string value_in(std::string_view toml, std::string_view key) {
    const std::string line = std::string("\n").append(key).append(" = ");
    const std::size_t found = toml.find(line);
    if (found == std::string_view::npos) return {};
    const std::size_t begin = found + line.size();
    std::string value(toml.substr(begin, toml.find('\n', begin) - begin));
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return value;
}

std::string_view without_section(std::string_view key) {
    constexpr std::string_view section = "scheduler.";
    return key.starts_with(section) ? key.substr(section.size()) : key;
}

Answer<int> put_config(const Shell& shell, const Answer<pb::SchedulerConfig>& config, const std::string& key) {
    if (!config) return std::unexpected(config.error());
    if (shell.wants_json()) {
        shell.put_json(*config);
        return kExitOk;
    }
    if (key.empty()) {
        put(fmt::format("# version {}\n{}", config->etag(), config->toml()));
        return kExitOk;
    }
    const std::string value = value_in(config->toml(), without_section(key));
    if (value.empty())
        return failure(kExitNotFound, fmt::format("no configuration key is called {}", safe_text(key, 60)),
                       "see `nexus config get` for all of them");
    put(value + "\n");
    return kExitOk;
}

struct ConfigFlags {
    std::vector<std::string> pairs;
    std::string key, file, etag;
    Blame blame;
};

// "lease=3s" as a line of TOML: bare when it is a number or a truth value, else text.
Answer<std::string> toml_line(const std::string& pair) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
        return failure(kExitUsage, fmt::format("config set \"{}\": expected key=value", safe_text(pair, 80)),
                       "e.g. nexus config set lease=3s");
    const std::string key(without_section(std::string_view(pair).substr(0, equals)));
    const std::string value = pair.substr(equals + 1);
    const bool bare_key = !key.empty() && std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!bare_key) return failure(kExitUsage, fmt::format("config set: \"{}\" is not a key", safe_text(key, 60)));
    const bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (digits || value == "true" || value == "false") return fmt::format("{} = {}\n", key, value);
    std::string text;
    for (const char c : value) {
        if (static_cast<unsigned char>(c) < 0x20)
            return failure(kExitUsage, "config set: a value has no control characters");
        if (c == '"' || c == '\\') text.push_back('\\');
        text.push_back(c);
    }
    return fmt::format("{} = \"{}\"\n", key, text);
}

Answer<int> set_config(Shell& shell, const ConfigFlags& flags) {
    if (flags.pairs.empty() == flags.file.empty())
        return failure(kExitUsage, "config set: say key=value, or --file", "e.g. nexus config set lease=3s");
    pb::SetConfigRequest request;
    if (!flags.file.empty()) {
        auto text = read_whole(flags.file, kLineBytesMax);
        if (!text) return std::unexpected(std::move(text).error());
        request.set_toml(std::move(*text));
    } else {
        std::string toml = "[scheduler]\n";
        for (const std::string& pair : flags.pairs) {
            const auto line = toml_line(pair);
            if (!line) return std::unexpected(line.error());
            toml += *line;
        }
        request.set_toml(std::move(toml));
    }
    request.set_etag(flags.etag);
    request.set_author(flags.blame.author);
    request.set_reason(flags.blame.reason);
    const auto answer = shell.session.set_config(request);
    if (!answer) return std::unexpected(answer.error());
    if (shell.wants_json())
        shell.put_json(*answer);
    else
        put(fmt::format("version {} is in force\n", answer->etag()));
    return kExitOk;
}

void add_config_verbs(CLI::App& config, int& exit_code) {
    const auto get = std::make_shared<ConfigFlags>();
    CLI::App* verb =
        add_verb(config,
                 {.name = "get",
                  .help = "The live configuration of the running server, as TOML",
                  .examples = "  nexus config get\n  nexus config get lease\n  nexus config get -o json"},
                 exit_code, [get](Shell& shell) { return put_config(shell, shell.session.get_config(), get->key); });
    verb->add_option("key", get->key, "Only this key");
    const auto set = std::make_shared<ConfigFlags>();
    verb = add_verb(config,
                    {.name = "set",
                     .help = "Change the live configuration; what is not named stays as it is",
                     .examples = "  nexus config set lease=3s pause=true --reason 'faster workers'\n"
                                 "  nexus config set --file limits.toml --etag 7"},
                    exit_code, [set](Shell& shell) { return set_config(shell, *set); });
    verb->add_option("pairs", set->pairs, "key=value, the keys of [scheduler]");
    verb->add_option("-f,--file", set->file, "TOML with what changes: [scheduler], [[queues]], [[tenants]], [[types]]");
    verb->add_option("--etag", set->etag, "Only when this is still the version in force (see config get)");
    add_blame(*verb, set->blame);
}

void add_policy_verbs(CLI::App& root, int& exit_code) {
    CLI::App* policy = add_noun(root, "policy", "How tasks are ordered and placed");
    add_verb(*policy, {.name = "get", .help = "The policy in force", .examples = "  nexus policy get"}, exit_code,
             [](Shell& shell) { return put_config(shell, shell.session.get_config(), "policy"); });
    const auto name = std::make_shared<std::string>();
    const auto blame = std::make_shared<Blame>();
    CLI::App* verb =
        add_verb(*policy,
                 {.name = "set",
                  .help = "Change the policy at once",
                  .examples = "  nexus policy set predictive\n  nexus policy set round-robin --reason 'comparing'"},
                 exit_code, [name, blame](Shell& shell) -> Answer<int> {
                     pb::SetPolicyRequest request;
                     std::string text = *name;
                     std::ranges::replace(text, '-', '_');
                     request.set_policy(text);
                     request.set_author(blame->author);
                     request.set_reason(blame->reason);
                     return put_config(shell, shell.session.set_policy(request), "policy");
                 });
    verb->add_option("policy", *name,
                     "predictive, fcfs, least-loaded, power-of-two, random, round-robin, nexus-ema or least-work")
        ->required();
    add_blame(*verb, *blame);
}

struct OverrideFlags {
    std::string kind, task, type, worker;
    std::int64_t boost_us = 0, for_us = 0;
    std::uint64_t number = 0;
    Blame blame;
};

void add_override_row(Table& table, const pb::Override& item) {
    const std::string what = !item.task_id().empty() ? "task " + item.task_id()
                             : !item.type().empty()  ? "type " + safe_text(item.type(), 60)
                                                     : "-";
    table.add({std::to_string(item.number()), safe_text(item.kind(), 20), what,
               item.worker().empty() ? "-" : safe_text(item.worker(), 60),
               item.boost_us() != 0 ? span_text(item.boost_us()) : "-",
               item.expires_unix_us() == 0 ? "never" : moment_text(item.expires_unix_us(), now_unix_us()),
               safe_text(item.author(), 30), safe_text(item.reason(), 60)});
}

Table override_table() {
    return Table({">NUMBER", "KIND", "OF", "WORKER", ">BOOST", "EXPIRES", "AUTHOR", "REASON"});
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
        return failure(kExitUsage, fmt::format("override set {}: say {}", flags.kind, what),
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
                  .help = "pin a task to a worker, hold or boost a task or type, exclude a worker from a type",
                  .examples = "  nexus override set pin --task 0190c1d2-... --worker w1\n"
                              "  nexus override set hold --type report --for 1h --reason 'database is moving'\n"
                              "  nexus override set boost --task 0190c1d2-... --by 30s\n"
                              "  nexus override set exclude --type train --worker w3"},
                 exit_code, [flags](Shell& shell) -> Answer<int> {
                     const auto set = override_of(*flags);
                     if (!set) return std::unexpected(set.error());
                     return put_override(shell, shell.session.set_override(*set), "is in force");
                 });
    verb->add_option("kind", flags->kind, "pin, hold, boost or exclude")
        ->required()
        ->check(CLI::IsMember({"pin", "hold", "boost", "exclude"}));
    verb->add_option("--task", flags->task, "Of this task, by id");
    verb->add_option("--type", flags->type, "Of all tasks of this type");
    verb->add_option("--worker", flags->worker, "The worker to pin to or to exclude");
    add_duration(*verb, "--by", flags->boost_us, "As if it had been submitted this much earlier");
    add_duration(*verb, "--for", flags->for_us, "Ends by itself after this time");
    add_blame(*verb, flags->blame);
}

void add_override_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "override", "Exceptions to what the scheduler would do");
    add_watched_verb(*noun,
                     {.name = "list",
                      .help = "The overrides in force",
                      .examples = "  nexus override list\n  nexus override list -o json"},
                     exit_code, [](Shell& shell) -> Answer<int> {
                         const auto all = shell.session.list_overrides();
                         if (!all) return std::unexpected(all.error());
                         return put_items(
                             shell, *all, all->overrides(), override_table(), "no overrides are in force",
                             [](const pb::Override& item) { return std::to_string(item.number()); }, add_override_row);
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
    clear->add_option("number", flags->number, "Its number, see `nexus override list`")->required();
    clear->add_option("--author", flags->blame.author, "Who does it, for the audit log");
}

struct RecordFlags {
    std::string task, worker, page;
    std::uint32_t limit = 50;
    std::uint64_t number = 0;
};

Answer<int> list_decisions(Shell& shell, const RecordFlags& flags) {
    pb::ListDecisionsRequest request;
    request.set_task_id(flags.task);
    request.set_worker(flags.worker);
    request.set_page_size(flags.limit);
    request.set_page_token(flags.page);
    const auto all = shell.session.list_decisions(request);
    if (!all) return std::unexpected(all.error());
    const auto done = put_items(
        shell, *all, all->decisions(),
        Table({">NUMBER", "AT (UTC)", "TASK", "WORKER", "ROUND-ROBIN", ">PREDICTED", ">WAITING", "POLICY", "REASON"}),
        "no decisions yet", [](const pb::Decision& decision) { return std::to_string(decision.number()); },
        [](Table& table, const pb::Decision& decision) {
            table.add({std::to_string(decision.number()), calendar_text(decision.at_unix_us()), decision.task_id(),
                       safe_text(decision.worker(), 40), safe_text(decision.baseline_worker(), 40),
                       span_text(decision.estimate().p50_us()), count_text(decision.waiting()),
                       decision.policy() + (decision.fallback() ? " (fallback)" : ""),
                       safe_text(decision.reason(), 80)});
        });
    if (!all->next_page_token().empty() && !shell.wants_json()) shell.say("more with --page " + all->next_page_token());
    return done;
}

// The page token of decisions is a number: the first one older than it is the one looked for.
Answer<int> get_decision(Shell& shell, std::uint64_t number) {
    pb::ListDecisionsRequest request;
    request.set_page_size(1);
    request.set_page_token(std::to_string(number + 1));
    const auto page = shell.session.list_decisions(request);
    if (!page) return std::unexpected(page.error());
    if (page->decisions().empty() || page->decisions(0).number() != number)
        return failure(kExitNotFound, fmt::format("no decision has the number {}", number),
                       "see `nexus decision list`");
    shell.wants_json() ? shell.put_json(page->decisions(0))
                       : put(decision_page(page->decisions(0), shell.terminal.colour));
    return kExitOk;
}

void add_decision_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "decision", "Which task went to which worker, and why");
    const auto flags = std::make_shared<RecordFlags>();
    CLI::App* list =
        add_watched_verb(*noun,
                         {.name = "list",
                          .help = "Decisions, newest first",
                          .examples = "  nexus decision list\n  nexus decision list --worker w1 --limit 1000 -o jsonl"},
                         exit_code, [flags](Shell& shell) { return list_decisions(shell, *flags); });
    list->add_option("--task", flags->task, "Only of this task");
    list->add_option("--worker", flags->worker, "Only to this worker");
    list->add_option("--limit", flags->limit, "At most this many (default 50)")->check(CLI::Range(1, 1000));
    list->add_option("--page", flags->page, "Where an earlier list ended");
    CLI::App* get = add_verb(
        *noun, {.name = "get", .help = "One decision with all its candidates", .examples = "  nexus decision get 1024"},
        exit_code, [flags](Shell& shell) { return get_decision(shell, flags->number); });
    get->add_option("number", flags->number, "Its number, see `nexus decision list`")->required();
}

void add_audit_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "audit", "Who changed what, and why");
    const auto flags = std::make_shared<RecordFlags>();
    CLI::App* list = add_verb(
        *noun,
        {.name = "list",
         .help = "Changes by operators, newest first",
         .examples = "  nexus audit list\n  nexus audit list -o jsonl"},
        exit_code, [flags](Shell& shell) -> Answer<int> {
            pb::ListAuditRequest request;
            request.set_page_size(flags->limit);
            request.set_page_token(flags->page);
            const auto all = shell.session.list_audit(request);
            if (!all) return std::unexpected(all.error());
            return put_items(
                shell, *all, all->entries(), Table({"AT (UTC)", "AUTHOR", "ACTION", "REASON", "BEFORE", "AFTER"}),
                "nothing was changed yet", [](const pb::AuditEntry& entry) { return entry.hash(); },
                [](Table& table, const pb::AuditEntry& entry) {
                    table.add({calendar_text(entry.at_unix_us()), safe_text(entry.author(), 30),
                               safe_text(entry.action(), 60), safe_text(entry.reason(), 60),
                               safe_text(entry.before(), 60), safe_text(entry.after(), 60)});
                });
        });
    list->add_option("--limit", flags->limit, "At most this many (default 50)")->check(CLI::Range(1, 1000));
    list->add_option("--page", flags->page, "Where an earlier list ended");
}

}  // namespace

void add_operator_verbs(CLI::App& root, int& exit_code) {
    CLI::App* queue = add_noun(root, "queue", "Hold a queue back, and let it go");
    add_queue_verb(*queue, exit_code,
                   {.name = "pause",
                    .help = "Start nothing more of this queue; what runs goes on",
                    .examples = "  nexus queue pause mail --reason 'provider is down'"},
                   true);
    add_queue_verb(*queue, exit_code,
                   {.name = "resume", .help = "Let it go again", .examples = "  nexus queue resume mail"}, false);
    add_policy_verbs(root, exit_code);
    const auto nouns = root.get_subcommands([](const CLI::App* app) { return app->get_name() == "config"; });
    add_config_verbs(nouns.empty() ? *add_noun(root, "config", "The configuration") : *nouns.front(), exit_code);
    add_override_verbs(root, exit_code);
    add_decision_verbs(root, exit_code);
    add_audit_verbs(root, exit_code);
}

}  // namespace nexus::cli
