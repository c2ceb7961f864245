#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <set>

#include "base/version.h"
#include "cli/failure.h"
#include "cli/fleet_view.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr Duration kLiveMax = milliseconds(600);  // of one question to the server; measured 10 ms on loopback
constexpr std::uint32_t kTasksLooked = 200;       // the newest: their ids, and the types and tenants they name

// Candidates with their descriptions.
using Words = std::vector<std::pair<std::string, std::string>>;
using Ask = Words (*)(Session&);

Words workers(Session& session) {
    Words words;
    if (const auto all = session.list_workers())
        for (const pb::Worker& worker : all->workers())
            words.emplace_back(worker.name(), worker_state_text(worker.state()));
    return words;
}
Words of_tasks(Session& session, const std::function<std::pair<std::string, std::string>(const pb::Task&)>& word) {
    Words words;
    pb::ListTasksRequest request;
    request.set_page_size(kTasksLooked);
    if (const auto all = session.list_tasks(request))
        for (const pb::Task& task : all->tasks()) words.push_back(word(task));
    return words;
}
// Those that something was learned of, and those of the newest tasks.
Words types(Session& session) {
    Words words = of_tasks(session, [](const pb::Task& task) { return std::pair(task.type(), std::string()); });
    if (const auto all = session.list_types())
        for (const pb::TypeStat& type : all->types()) words.emplace_back(type.type(), "");
    return words;
}
Words tasks(Session& session) {
    return of_tasks(session, [](const pb::Task& task) {
        return std::pair(task.id(), task.type() + ", " + state_text(task.state()));
    });
}
Words queues(Session& session) {
    Words words;
    if (const auto all = session.list_queues())
        for (const pb::Queue& queue : all->queues()) words.emplace_back(queue.name(), queue.paused() ? "paused" : "");
    return words;
}
Words tenants(Session& session) {
    return of_tasks(session, [](const pb::Task& task) { return std::pair(task.tenant(), std::string()); });
}
Words overrides(Session& session) {
    Words words;
    if (const auto all = session.list_overrides())
        for (const pb::Override& item : all->overrides())
            words.emplace_back(std::to_string(item.number()), item.kind());
    return words;
}
Words tokens(Session& session) {
    Words words;
    if (const auto all = session.list_tokens())
        for (const pb::Token& token : all->tokens()) words.emplace_back(token.id(), token.name());
    return words;
}
Words versions(Session& session) {
    Words words;
    if (const auto all = session.config_versions({}))
        for (const pb::ConfigVersion& item : all->versions())
            words.emplace_back(std::to_string(item.version()), item.reason());
    return words;
}
// The keys of [scheduler], each with what follows it.
Words keys_with(Session& session, const char* end) {
    Words words;
    const auto config = session.get_config();
    if (!config) return words;
    for (std::size_t at = 0; at < config->toml().size();) {
        const std::size_t stop = std::min(config->toml().find('\n', at), config->toml().size());
        const std::string line = config->toml().substr(at, stop - at);
        at = stop + 1;
        if (line.starts_with("[[")) break;
        if (const std::size_t equals = line.find(" = "); equals != std::string::npos)
            words.emplace_back(line.substr(0, equals) + end, line.substr(equals + 3));
    }
    return words;
}
Words keys(Session& session) {
    return keys_with(session, "");
}
Words settings(Session& session) {
    return keys_with(session, "=");
}

// What a flag or the arguments of a verb take: names of the server, or one of a few words.
struct Place {
    std::string_view of;  // "--worker", or the words of a verb: "task get"
    Ask ask = nullptr;
    std::string_view words{};
};
constexpr Place kPlaces[] = {
    {.of = "--worker", .ask = workers},
    {.of = "--type", .ask = types},
    {.of = "--queue", .ask = queues},
    {.of = "--tenant", .ask = tenants},
    {.of = "--task", .ask = tasks},
    {.of = "--after", .ask = tasks},
    {.of = "--output", .words = "table wide json jsonl yaml name csv"},
    {.of = "--state", .words = "waiting assigned running paused succeeded dead cancelled expired"},
    {.of = "worker list --state", .words = "ready suspect gone cordoned draining"},
    {.of = "task get", .ask = tasks},
    {.of = "task logs", .ask = tasks},
    {.of = "task watch", .ask = tasks},
    {.of = "task cancel", .ask = tasks},
    {.of = "task retry", .ask = tasks},
    {.of = "task explain", .ask = tasks},
    {.of = "decision get", .ask = tasks},
    {.of = "worker get", .ask = workers},
    {.of = "worker drain", .ask = workers},
    {.of = "worker cordon", .ask = workers},
    {.of = "worker uncordon", .ask = workers},
    {.of = "worker forget", .ask = workers},
    {.of = "type get", .ask = types},
    {.of = "type reset", .ask = types},
    {.of = "type force", .ask = types},
    {.of = "queue get", .ask = queues},
    {.of = "queue pause", .ask = queues},
    {.of = "queue resume", .ask = queues},
    {.of = "policy set", .words = "predictive fcfs least-loaded power-of-two random round-robin nexus-ema least-work"},
    {.of = "override set", .words = "pin hold boost exclude"},
    {.of = "override clear", .ask = overrides},
    {.of = "config get", .ask = keys},
    {.of = "config set", .ask = settings},
    {.of = "config history", .ask = versions},
    {.of = "config rollback", .ask = versions},
    {.of = "token revoke", .ask = tokens},
    {.of = "--role", .words = "viewer payload:read submitter worker operator admin"},
    {.of = "completion", .words = "bash zsh fish"},
};

const Place* find_place(std::string_view of) {
    const auto found = std::ranges::find(kPlaces, of, &Place::of);
    return found == std::end(kPlaces) ? nullptr : &*found;
}

Words split(std::string_view text, char between) {
    Words words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(between), text.size());
        words.emplace_back(text.substr(0, end), "");
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

// Where the cursor stands.
struct Cursor {
    const CLI::App* app = nullptr;        // the verb, as far as it is typed
    std::string path;                     // its words
    const CLI::Option* option = nullptr;  // whose value comes next
    reach::Flags access;                  // what the words before say of the server
};

const CLI::Option* option_of(const CLI::App& app, const std::string& word) {
    const auto options = app.get_options([&](const CLI::Option* option) { return option->check_name(word); });
    return options.empty() ? nullptr : options.front();
}

Cursor follow(const CLI::App& root, const std::vector<std::string>& words) {
    Cursor cursor{.app = &root, .path = {}, .option = nullptr, .access = {}};
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == "=") continue;  // bash makes three words of --flag=value
        if (cursor.option != nullptr) {
            for (const auto& [name, place] :
                 {std::pair{"--server", &cursor.access.server}, std::pair{"--profile", &cursor.access.profile},
                  std::pair{"--token-file", &cursor.access.token_file}, std::pair{"--tls-ca", &cursor.access.tls_ca},
                  std::pair{"--tls-cert", &cursor.access.tls_cert}, std::pair{"--tls-key", &cursor.access.tls_key}})
                if (cursor.option->check_name(name)) *place = word;
            cursor.option = nullptr;
            continue;
        }
        if (word.starts_with('-')) {
            const CLI::Option* option = option_of(*cursor.app, word);
            if (option != nullptr && option->get_items_expected_max() > 0) cursor.option = option;
            if (word == "--tls") cursor.access.tls = true;
            continue;
        }
        const auto below = cursor.app->get_subcommands([&](const CLI::App* app) { return app->get_name() == word; });
        if (below.empty()) continue;
        cursor.app = below.front();
        cursor.path += (cursor.path.empty() ? "" : " ") + word;
    }
    return cursor;
}

Words ask_server(const Cursor& cursor, Ask ask) {
    reach::Flags flags = cursor.access;
    if (const char* usual = std::getenv("NEXUS_SERVER"); usual != nullptr && flags.server.empty()) flags.server = usual;
    auto access = reach::resolve(flags);
    if (!access || !check_address(access->server)) return {};
    Interrupt interrupt;
    Session session({.server = std::move(access->server),
                     .token = std::move(access->token),
                     .tls = std::move(access->tls),
                     .timeout = kLiveMax,
                     .for_people = true},
                    interrupt);
    return ask(session);
}

Words words_of(const Cursor& cursor, const Place* place) {
    if (place == nullptr) return {};
    return place->ask == nullptr ? split(place->words, ' ') : ask_server(cursor, place->ask);
}

Words values_of(const Cursor& cursor) {
    const std::string name = "--" + cursor.option->get_single_name();
    // Its help ends with them: columns.h.
    if (name == "--columns") {
        const std::string& help = cursor.option->get_description();
        return split(std::string_view(help).substr(help.rfind(' ') + 1), ',');
    }
    const Place* place = find_place(cursor.path + " " + name);
    return words_of(cursor, place == nullptr ? find_place(name) : place);
}

Words candidates(const Cursor& cursor, std::string_view typed) {
    if (cursor.option != nullptr) return values_of(cursor);
    Words words;
    if (typed.starts_with('-')) {
        for (const CLI::Option* option : cursor.app->get_options())
            for (const std::string& name : option->get_lnames())
                words.emplace_back("--" + name, option->get_description());
        return words;
    }
    for (const CLI::App* verb : cursor.app->get_subcommands([](const CLI::App*) { return true; }))
        if (!verb->get_group().empty()) words.emplace_back(verb->get_name(), verb->get_description());
    return words.empty() ? words_of(cursor, find_place(cursor.path)) : words;
}

constexpr std::string_view kBash = R"(# Completion for bash. Use it with: source <(nexus completion bash)
_nexus() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
    case "${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -o default -F _nexus nexus
)";

constexpr std::string_view kZsh = R"(#compdef nexus
# Completion for zsh. Use it with: source <(nexus completion zsh)
_nexus() {
    local -a lines
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    lines=("${(@)lines%%$'\t'*}")
    if [[ -n "${lines[1]}" ]]; then compadd -- "${lines[@]}"; else _files; fi
}
compdef _nexus nexus
)";

constexpr std::string_view kFish = R"(# Completion for fish. Use it with: nexus completion fish | source
function __nexus_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c nexus -a '(__nexus_complete)'
)";

}  // namespace

int complete(const CLI::App& root, const std::vector<std::string>& words) {
    const std::string typed = words.empty() || words.back() == "=" ? std::string() : words.back();
    std::string out;
    std::set<std::string> told;
    for (const auto& [word, description] : candidates(follow(root, words), typed)) {
        // Names of the server are put into a command line: only those that are one word there.
        const bool one_word = word.find_first_of(" \t\n'\"\\$`!&;|<>()*?[]{}~#") == std::string::npos;
        if (word.empty() || !word.starts_with(typed) || !one_word || !told.insert(word).second) continue;
        out += word + (description.empty() ? "" : "\t" + safe_text(description, 80)) + "\n";
    }
    return put(out) ? kExitOk : kExitFailure;
}

void add_completion(CLI::App& root, int& exit_code) {
    CLI::App* verb = root.add_subcommand("completion", "A completion script for your shell");
    verb->footer(
        "Examples:\n  source <(nexus completion bash)\n  nexus completion zsh > ~/.zfunc/_nexus\n"
        "  nexus completion fish | source");
    const auto shell = std::make_shared<std::string>();
    verb->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
    verb->callback([&exit_code, shell] {
        exit_code = put(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish) ? kExitOk : kExitFailure;
    });

    CLI::App* version = root.add_subcommand("version", "Version of this program");
    version->footer("Examples:\n  nexus version\n  nexus status        (the server's version)");
    version->callback([&exit_code] { exit_code = put(fmt::format("nexus {}\n", kVersion)) ? kExitOk : kExitFailure; });
}

}  // namespace nexus::cli
