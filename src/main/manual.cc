#include "main/manual.h"

#include <fmt/format.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/version.h"
#include "cli/failure.h"
#include "cli/output.h"

namespace nexus {
namespace {

constexpr std::string_view kSharedGroup = "Shared";

struct ExitCode {
    const char* code;
    const char* meaning;
};
constexpr ExitCode kExitCodes[] = {
    {"0", "done"},
    {"1", "failure: a task that did not succeed, a problem that was found, a difference, a fault of ours"},
    {"2", "usage: a flag, a file or an argument that can never work"},
    {"3", "what was named does not exist"},
    {"4", "refused: wrong state, conflict, a limit is met, not allowed"},
    {"5", "no answer from the server; the outcome of a change is unknown"},
    {"74", "serve: the store failed, nothing more was acknowledged"},
    {"124", "timed out"},
    {"130, 143", "ended by Ctrl-C or SIGTERM while waiting"},
};
struct Variable {
    const char* name;
    const char* meaning;
};
constexpr Variable kVariables[] = {
    {"NEXUS_SERVER", "address of the server, where --server does not say"},
    {"NEXUS_SERVER_KEY, NEXUS_SCHEDULER_KEY",
     "a setting of [server] or [scheduler] for `nexus serve`, KEY in capitals"},
    {"NO_COLOR", "no colours, when it is not empty"},
};

struct Verb {
    std::string path;  // "nexus task get"
    const CLI::App* app = nullptr;
};

// The verbs that do something, in the order of the help.
void collect(const CLI::App& app, const std::string& path, std::vector<Verb>& verbs) {
    const auto below = app.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); });
    if (below.empty() || app.get_require_subcommand_min() == 0) {
        if (app.get_parent() != nullptr) verbs.push_back({.path = path, .app = &app});
    }
    for (const CLI::App* verb : below) collect(*verb, path + " " + verb->get_name(), verbs);
}

std::vector<Verb> verbs_of(const CLI::App& root) {
    std::vector<Verb> verbs;
    collect(root, "nexus", verbs);
    return verbs;
}

// Those that all verbs share, or those of the verb alone: --columns has other names in each.
std::vector<const CLI::Option*> options_of(const CLI::App& app, bool shared) {
    std::vector<const CLI::Option*> options;
    for (const CLI::Option* option : app.get_options()) {
        const bool of_all = option->get_group() == kSharedGroup && !option->check_name("--columns");
        if (option != app.get_help_ptr() && !option->get_group().empty() && of_all == shared) options.push_back(option);
    }
    return options;
}

// "-f,--file FILE", "task id": as it is typed.
std::string typed(const CLI::Option& option) {
    if (option.get_positional()) return option.get_single_name() + (option.get_items_expected_max() > 1 ? "…" : "");
    std::string text = option.get_name(false, true);
    if (option.get_items_expected_max() > 0) text += " " + option.get_type_name();
    return text;
}

std::string meaning(const CLI::Option& option) {
    std::string text = option.get_description();
    if (option.get_required()) text += "; required";
    return text;
}

std::string synopsis(const Verb& verb) {
    std::string text = verb.path;
    for (const CLI::Option* option : options_of(*verb.app, false))
        if (option->get_positional())
            text += option->get_required() ? " " + typed(*option) : " [" + typed(*option) + "]";
    return text + " [flags]";
}

// The lines below "Examples:".
std::string examples_of(const CLI::App& app) {
    const std::string footer = app.get_footer();
    const std::size_t at = footer.find("Examples:\n");
    return at == std::string::npos ? std::string() : footer.substr(at + std::string_view("Examples:\n").size());
}

std::string in_table(std::string text) {
    for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
    return text;
}

std::string markdown_row(const CLI::Option& option) {
    return fmt::format("| `{}` | {} |\n", in_table(typed(option)), in_table(meaning(option)));
}

// Text as groff takes it: nothing is a request, a dash is a dash.
std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool begins = out.empty() || out.back() == '\n';
        if (begins && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else
            out += c;
    }
    return out;
}

std::string man_item(std::string_view head, std::string_view text) {
    return fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(head), roff(text));
}

const CLI::App& with_shared_flags(const CLI::App& root) {
    return *root.get_subcommand("status");
}

}  // namespace

std::string manual_markdown(const CLI::App& root) {
    std::string out = "## What all verbs share\n\n| flag | meaning |\n|---|---|\n";
    for (const CLI::Option* option : options_of(with_shared_flags(root), true)) out += markdown_row(*option);
    for (const Verb& verb : verbs_of(root)) {
        out += fmt::format("\n## {}\n\n{}.\n\n```\n{}\n```\n", verb.path, verb.app->get_description(), synopsis(verb));
        const auto options = options_of(*verb.app, false);
        if (!options.empty()) out += "\n| argument or flag | meaning |\n|---|---|\n";
        for (const CLI::Option* option : options) out += markdown_row(*option);
        if (const std::string examples = examples_of(*verb.app); !examples.empty())
            out += fmt::format("\nExamples:\n\n```\n{}\n```\n", examples);
    }
    return out;
}

std::string manual_man(const CLI::App& root) {
    std::string out = fmt::format(
        ".TH NEXUS 1 \"\" \"nexus {}\"\n.SH NAME\nnexus \\- {}\n.SH SYNOPSIS\n.B nexus\nNOUN VERB [flags]\n", kVersion,
        roff(root.get_description()));
    out += ".SH SHARED FLAGS\n";
    for (const CLI::Option* option : options_of(with_shared_flags(root), true))
        out += man_item(typed(*option), meaning(*option));
    out += ".SH VERBS\n";
    for (const Verb& verb : verbs_of(root)) {
        out += fmt::format(".SS \"{}\"\n{}.\n", roff(synopsis(verb)), roff(verb.app->get_description()));
        for (const CLI::Option* option : options_of(*verb.app, false))
            out += man_item(typed(*option), meaning(*option));
        if (const std::string examples = examples_of(*verb.app); !examples.empty())
            out += fmt::format(".PP\nExamples:\n.PP\n.nf\n{}\n.fi\n", roff(examples));
    }
    out += ".SH EXIT STATUS\n";
    for (const ExitCode& row : kExitCodes) out += man_item(row.code, row.meaning);
    out += ".SH ENVIRONMENT\n";
    for (const Variable& row : kVariables) out += man_item(row.name, row.meaning);
    return out;
}

void add_manual(CLI::App& root, int& exit_code) {
    CLI::App* verb = root.add_subcommand("manual", "The manual, made from the table of verbs");
    verb->group("");  // for those who package it
    verb->footer("Examples:\n  nexus manual --man > nexus.1\n  nexus manual --markdown");
    const auto man = std::make_shared<bool>(false), markdown = std::make_shared<bool>(false);
    CLI::Option* as_man = verb->add_flag("--man", *man, "As a page for man");
    verb->add_flag("--markdown", *markdown, "As docs/commands.md has it")->excludes(as_man);
    verb->callback([&root, &exit_code, man, markdown] {
        if (*man == *markdown)
            exit_code = cli::report({.exit_code = cli::kExitUsage, .what = "manual: give --man or --markdown"});
        else
            exit_code = cli::put(*man ? manual_man(root) : manual_markdown(root)) ? cli::kExitOk : cli::kExitFailure;
    });
}

}  // namespace nexus
