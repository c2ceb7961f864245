#include "main/arguments.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace nexus {
namespace {

struct SharedFlag {
    std::string_view name;
    bool has_value;
};
constexpr std::array<SharedFlag, 7> kShared{{{"--server", true},
                                             {"--timeout", true},
                                             {"--output", true},
                                             {"-o", true},
                                             {"--quiet", false},
                                             {"-q", false},
                                             {"--no-color", false}}};

}  // namespace

Arguments arrange(const CLI::App& root, std::vector<std::string> words) {
    Arguments out;
    std::vector<std::string> early;  // shared flags that stand before the verb
    const CLI::App* app = &root;
    std::size_t at = 0;
    while (at < words.size()) {
        const std::string& word = words[at];
        const std::string_view name = std::string_view(word).substr(0, word.find('='));
        const auto flag = std::ranges::find(kShared, name, &SharedFlag::name);
        if (flag != kShared.end()) {
            early.push_back(word);
            if (flag->has_value && name.size() == word.size() && ++at < words.size()) early.push_back(words[at]);
            ++at;
            continue;
        }
        const auto below =
            app->get_subcommands([&](const CLI::App* verb) { return verb->get_name() == std::string_view(word); });
        if (below.empty()) break;
        app = below.front();
        out.words.push_back(word);
        ++at;
        if (app->get_subcommands([](const CLI::App*) { return true; }).empty()) break;
    }
    const bool submits = out.words == std::vector<std::string>{"task", "submit"};
    out.words.insert(out.words.end(), early.begin(), early.end());
    auto rest = words.begin() + static_cast<std::ptrdiff_t>(std::min(at, words.size()));
    const auto dashes = submits ? std::find(rest, words.end(), "--") : words.end();
    out.words.insert(out.words.end(), rest, dashes);
    if (dashes != words.end()) out.program.assign(dashes + 1, words.end());
    return out;
}

}  // namespace nexus
