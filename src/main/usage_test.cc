#include "main/usage.h"

#include <doctest/doctest.h>

namespace nexus {
namespace {

std::string told(std::vector<std::string> words) {
    CLI::App root("", "nexus");
    root.require_subcommand(1);
    CLI::App* submit = root.add_subcommand("task")->require_subcommand(1)->add_subcommand("submit");
    std::string label;
    submit->add_option("--require", label);
    root.get_subcommand("task")->add_subcommand("list");
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    try {
        root.parse(words);
    } catch (const CLI::Error& error) {
        return usage_text(root, error);
    }
    return "fine";
}

TEST_CASE("a mistaken command line is told what is wrong and what is near") {
    const struct {
        std::vector<std::string> words;
        const char* text;
    } rows[] = {
        {{"task", "submit", "--require", "zone=a"}, "fine"},
        {{"task", "submit", "true"},
         "nexus: unknown argument true: put -- before a program\n  see `nexus task submit --help`\n"},
        {{"task", "--require", "a", "submit"},
         "nexus: --require stands before its command: put it behind\n  see `nexus task submit --help`\n"},
        {{"task", "submit", "--requier", "zone=a"},
         "nexus: unknown option --requier, did you mean --require?\n  see `nexus task submit --help`\n"},
        {{"task", "submit", "--requier=zone=a"},
         "nexus: unknown option --requier, did you mean --require?\n  see `nexus task submit --help`\n"},
        {{"task", "submit", "--somewhere", "x"},
         "nexus: unknown option --somewhere\n  see `nexus task submit --help`\n"},
        {{"task", "lst"}, "nexus: unknown command lst, did you mean list?\n  see `nexus task --help`\n"},
        {{"tsk"}, "nexus: unknown command tsk, did you mean task?\n  see `nexus --help`\n"},
        {{"task", "submit", "--require"},
         "nexus: --require: 1 required TEXT missing\n  see `nexus task submit --help`\n"},
    };
    for (const auto& row : rows) CHECK_EQ(told(row.words), row.text);
}

}  // namespace
}  // namespace nexus
