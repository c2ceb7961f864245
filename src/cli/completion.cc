// nexus completion and nexus version. The scripts are made from the parser's own table of verbs and flags, so that they
// cannot know other ones than it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/version.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

// One line "path|words": after the words of `path` these may follow.
void describe(const CLI::App& app, const std::string& path, std::string& out) {
    std::set<std::string> words;
    const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
    for (const CLI::App* verb : verbs) words.insert(verb->get_name());
    for (const CLI::Option* option : app.get_options())
        for (const std::string& name : option->get_lnames()) words.insert("--" + name);
    out += fmt::format("{}|{}\n", path, fmt::join(words, " "));
    for (const CLI::App* verb : verbs)
        describe(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), out);
}

// Both shells: walk the words of the line down the table as far as they are verbs, then offer what may follow.
constexpr std::string_view kBash = R"(# Completion for bash. Use it with: source <(nexus completion bash)
_nexus_table='{table}'
_nexus() {{
    local path='' word line i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if grep -qx -- "${{path:+$path }}$word|.*" <<< "$_nexus_table"; then path="${{path:+$path }}$word"; fi
    done
    line=$(grep -- "^$path|" <<< "$_nexus_table" | head -n 1)
    COMPREPLY=($(compgen -W "${{line#*|}}" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _nexus nexus
)";

constexpr std::string_view kZsh = R"(#compdef nexus
# Completion for zsh. Use it with: source <(nexus completion zsh)
_nexus_table='{table}'
_nexus() {{
    local path_='' word line i
    for ((i = 2; i < CURRENT; i++)); do
        word=${{words[i]}}
        if grep -qx -- "${{path_:+$path_ }}$word|.*" <<< "$_nexus_table"; then path_="${{path_:+$path_ }}$word"; fi
    done
    line=$(grep -- "^$path_|" <<< "$_nexus_table" | head -n 1)
    compadd -- ${{(s: :)line#*|}}
    _files
}}
compdef _nexus nexus
)";

}  // namespace

void add_completion(CLI::App& root, int& exit_code) {
    CLI::App* verb = root.add_subcommand("completion", "A completion script for your shell");
    verb->footer("Examples:\n  source <(nexus completion bash)\n  nexus completion zsh > ~/.zfunc/_nexus");
    const auto shell = std::make_shared<std::string>();
    verb->add_option("shell", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
    verb->callback([&root, &exit_code, shell] {
        std::string table;
        describe(root, "", table);
        table.pop_back();
        const bool bash = *shell == "bash";
        exit_code =
            put(fmt::format(fmt::runtime(bash ? kBash : kZsh), fmt::arg("table", table))) ? kExitOk : kExitFailure;
    });

    CLI::App* version = root.add_subcommand("version", "Version of this program");
    version->footer("Examples:\n  nexus version\n  nexus status        (the server's version)");
    version->callback([&exit_code] { exit_code = put(fmt::format("nexus {}\n", kVersion)) ? kExitOk : kExitFailure; });
}

}  // namespace nexus::cli
