// config get, config set and policy: the live configuration.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/columns.h"
#include "cli/operator.h"
#include "cli/task_spec.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

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
    std::string key, file, etag, page;
    std::uint32_t version = 0, limit = 50;
    bool dry_run = false;
    Blame blame;
};

std::string value_or_dash(const std::string& value) {
    return value.empty() ? "-" : value;
}

// What a change changed, or would: a line each, then the version.
Answer<int> put_change(const Shell& shell, const Answer<pb::SchedulerConfig>& done, bool dry_run) {
    if (!done) return std::unexpected(done.error());
    if (shell.wants_json()) {
        shell.put_json(*done);
        return kExitOk;
    }
    for (const pb::ConfigChange& change : done->changes())
        put(fmt::format("{}: {} -> {}\n", change.key(), value_or_dash(change.before()), value_or_dash(change.after())));
    for (const std::string& key : done->restart_keys()) shell.say("needs a restart: " + safe_text(key, 80));
    if (dry_run)
        shell.say(done->changes().empty() ? "nothing would be changed" : "dry run: nothing was changed");
    else
        put(fmt::format("version {} is in force\n", done->etag()));
    return kExitOk;
}

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
        return failure(kExitUsage, "config set: give key=value pairs, or --file", "e.g. nexus config set lease=3s");
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
    request.set_dry_run(flags.dry_run);
    return put_change(shell, shell.session.set_config(request), flags.dry_run);
}

std::string changes_text(const pb::ConfigVersion& version) {
    std::vector<std::string> lines;
    for (const pb::ConfigChange& change : version.changes())
        lines.push_back(
            fmt::format("{}: {} -> {}", change.key(), value_or_dash(change.before()), value_or_dash(change.after())));
    return lines.empty() ? "-" : fmt::format("{}", fmt::join(lines, "; "));
}

std::string author_of(const pb::ConfigVersion& version) {
    return version.author().empty() ? version.caller() : version.author();
}

const Kind<pb::ConfigVersion>& version_kind() {
    using V = pb::ConfigVersion;
    static const Kind<V> kind{
        .columns = {{.name = "version",
                     .value = [](const V& v, const Look&) { return std::to_string(v.version()); },
                     .right = true},
                    {.name = "at",
                     .value = [](const V& v, const Look& look) { return look.calendar(v.at_unix_us()); },
                     .title = "AT (UTC)"},
                    {.name = "author",
                     .value = [](const V& v, const Look& look) { return look.text(author_of(v), 30); }},
                    {.name = "caller",
                     .value = [](const V& v, const Look& look) { return look.text(v.caller(), 60); },
                     .wide = true},
                    {.name = "reason", .value = [](const V& v, const Look& look) { return look.text(v.reason(), 60); }},
                    {.name = "changes",
                     .value = [](const V& v, const Look& look) { return look.text(changes_text(v), 400); }}},
        .name = [](const V& v) { return std::to_string(v.version()); }};
    return kind;
}

Answer<int> show_history(Shell& shell, const ConfigFlags& flags) {
    pb::ListConfigVersionsRequest request;
    request.set_page_size(flags.limit);
    request.set_page_token(flags.page);
    request.set_version(flags.version);
    const auto all = shell.session.config_versions(request);
    if (!all) return std::unexpected(all.error());
    if (flags.version != 0 && !shell.wants_json() && !all->versions().empty()) {
        const pb::ConfigVersion& one = all->versions(0);
        put(fmt::format("# version {}, {} UTC, {}{}\n{}", one.version(), calendar_text(one.at_unix_us()),
                        author_of(one), one.reason().empty() ? "" : ": " + one.reason(), one.toml()));
        return kExitOk;
    }
    const auto done = put_list(shell, *all, all->versions(), version_kind(), "nothing was changed yet");
    shell.say_more(all->next_page_token());
    return done;
}

void add_history(CLI::App& config, int& exit_code) {
    const auto flags = std::make_shared<ConfigFlags>();
    CLI::App* verb = add_watched_verb(config,
                                      {.name = "history",
                                       .help = "Versions of the live configuration, newest first: who, when, why, what",
                                       .examples = "  nexus config history\n"
                                                   "  nexus config history 7          (that version, whole)\n"
                                                   "  nexus config history -o jsonl",
                                       .columns = version_kind().names()},
                                      exit_code, [flags](Shell& shell) { return show_history(shell, *flags); });
    verb->add_option("version", flags->version, "This version, whole");
    verb->add_option("--limit", flags->limit, "At most this many (default 50)")->check(CLI::Range(1, 1000));
    verb->add_option("--page", flags->page, "Continue where an earlier list ended");
}

void add_rollback(CLI::App& config, int& exit_code) {
    const auto flags = std::make_shared<ConfigFlags>();
    CLI::App* verb = add_verb(config,
                              {.name = "rollback",
                               .help = "Make the configuration of an earlier version the newest one",
                               .examples = "  nexus config rollback 7 --reason 'the new lease was too short'\n"
                                           "  nexus config rollback 7 --dry-run"},
                              exit_code, [flags](Shell& shell) {
                                  pb::RollbackConfigRequest request;
                                  request.set_version(flags->version);
                                  request.set_etag(flags->etag);
                                  request.set_author(flags->blame.author);
                                  request.set_reason(flags->blame.reason);
                                  request.set_dry_run(flags->dry_run);
                                  return put_change(shell, shell.session.roll_back_config(request), flags->dry_run);
                              });
    verb->add_option("version", flags->version, "The version, see `nexus config history`")->required();
    verb->add_option("--etag", flags->etag, "Only if this is still the version in force");
    verb->add_flag("--dry-run", flags->dry_run, "Tell what would change, and change nothing");
    add_blame(*verb, flags->blame);
}

void add_reload(CLI::App& config, int& exit_code) {
    const auto flags = std::make_shared<ConfigFlags>();
    CLI::App* verb = add_verb(config,
                              {.name = "reload",
                               .help = "Let the server read its files again, as SIGHUP does",
                               .examples = "  nexus config reload --reason 'new limits'"},
                              exit_code, [flags](Shell& shell) {
                                  pb::ReloadConfigRequest request;
                                  request.set_author(flags->blame.author);
                                  request.set_reason(flags->blame.reason);
                                  return put_change(shell, shell.session.reload_config(request), false);
                              });
    add_blame(*verb, flags->blame);
}

void add_config(CLI::App& config, int& exit_code) {
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
                     .help = "Change the live configuration; keys that are not named keep their values",
                     .examples = "  nexus config set lease=3s pause=true --reason 'faster workers'\n"
                                 "  nexus config set --file limits.toml --etag 7\n"
                                 "  nexus config set lease=3s --dry-run"},
                    exit_code, [set](Shell& shell) { return set_config(shell, *set); });
    verb->add_option("pairs", set->pairs, "key=value, the keys of [scheduler]");
    verb->add_option("-f,--file", set->file, "TOML with what changes: [scheduler], [[queues]], [queues.NAME], ...");
    verb->add_option("--etag", set->etag, "Change it only if this is still the version in force (see config get)");
    verb->add_flag("--dry-run", set->dry_run, "Tell what would change, and change nothing");
    add_blame(*verb, set->blame);
    add_history(config, exit_code);
    add_rollback(config, exit_code);
    add_reload(config, exit_code);
}

const Kind<pb::Policy>& policy_kind() {
    using P = pb::Policy;
    static const Kind<P> kind{
        .columns = {{.name = "name", .value = [](const P& p, const Look& look) { return look.text(p.name(), 40); }},
                    {.name = "active",
                     .value = [](const P& p, const Look& look) -> std::string {
                         return p.active() ? "yes" : look.none();
                     }},
                    {.name = "meaning",
                     .value = [](const P& p, const Look& look) { return look.text(p.meaning(), 200); }}},
        .name = [](const P& p) { return p.name(); }};
    return kind;
}

void add_policy(CLI::App& root, int& exit_code) {
    CLI::App* policy = add_noun(root, "policy", "How tasks are ordered and placed");
    add_verb(
        *policy,
        {.name = "list", .help = "All policies", .examples = "  nexus policy list", .columns = policy_kind().names()},
        exit_code, [](Shell& shell) -> Answer<int> {
            const auto all = shell.session.list_policies();
            if (!all) return std::unexpected(all.error());
            return put_list(shell, *all, all->policies(), policy_kind(), "no policies");
        });
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
                     request.set_policy(*name);
                     request.set_author(blame->author);
                     request.set_reason(blame->reason);
                     return put_config(shell, shell.session.set_policy(request), "policy");
                 });
    verb->add_option("policy", *name,
                     "predictive, fcfs, least-loaded, power-of-two, random, round-robin, nexus-ema or least-work")
        ->required();
    add_blame(*verb, *blame);
}

}  // namespace

void add_config_verbs(CLI::App& root, int& exit_code) {
    add_policy(root, exit_code);
    add_config(*add_noun(root, "config", "The configuration"), exit_code);
}

}  // namespace nexus::cli
