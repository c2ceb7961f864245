#include "main/usage.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/spelling.h"
#include "cli/text.h"

namespace nexus {
namespace {

constexpr std::size_t kQuotedMax = 80;  // of what was typed
constexpr std::size_t kSentenceMax = 400;

const CLI::App& deepest(const CLI::App& root) {
    const CLI::App* app = &root;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return *app;
}

std::string path_of(const CLI::App& app) {
    const CLI::App* parent = app.get_parent();
    return (parent == nullptr ? std::string() : path_of(*parent) + " ") + app.get_name();
}

std::string unexpected_text(const CLI::App& root, const CLI::App& app) {
    const std::vector<std::string> extras = root.remaining(true);
    if (extras.empty()) return "too many arguments";
    const auto option = std::find_if(extras.begin(), extras.end(),
                                     [](const std::string& text) { return text.size() > 1 && text[0] == '-'; });
    const bool is_option = option != extras.end();
    const std::string wrong = is_option ? option->substr(0, option->find('=')) : extras.front();
    std::vector<std::string> names;
    if (is_option) {
        for (const CLI::Option* known : app.get_options())
            for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
    } else {
        for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; }))
            names.push_back(known->get_name());
    }
    const char* kind = is_option ? "option" : names.empty() ? "argument" : "command";
    const std::vector<std::string_view> known(names.begin(), names.end());
    if (!is_option && names.empty() && path_of(app) == "nexus task submit")
        return "unknown argument " + cli::safe_text(wrong, kQuotedMax) + ": put -- before a program";
    if (std::ranges::find(names, wrong) != names.end())
        return cli::safe_text(wrong, kQuotedMax) + " stands before its command: put it behind";
    const std::string near(nearest_word(wrong, known));
    return std::string("unknown ") + kind + " " + cli::safe_text(wrong, kQuotedMax) +
           (near.empty() ? "" : ", did you mean " + near + "?");
}

}  // namespace

std::string usage_text(const CLI::App& root, const CLI::Error& error) {
    const CLI::App& app = deepest(root);
    // A mistyped command is first of all a missing one.
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !root.remaining(true).empty();
    const bool unexpected = missing || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    return "nexus: " + (unexpected ? unexpected_text(root, app) : cli::safe_text(error.what(), kSentenceMax)) +
           "\n  see `" + path_of(app) + " --help`\n";
}

}  // namespace nexus
