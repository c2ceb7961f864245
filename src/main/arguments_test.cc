#include "main/arguments.h"

#include <doctest/doctest.h>

namespace nexus {
namespace {

using Words = std::vector<std::string>;

struct Parser {
    CLI::App root{"", "nexus"};
    Parser() {
        CLI::App* task = root.add_subcommand("task");
        task->add_subcommand("submit");
        task->add_subcommand("get");
        root.add_subcommand("status");
    }
};

TEST_CASE("field D: what stands after -- of a submission is the program, byte for byte") {
    const Parser parser;
    const Words program{"python3", "a.py", "--priority", "9", "[.a, .b]", "[]", "--", "", "\xff"};
    Words words{"task", "submit", "--after", "x", "--require", "zone=b", "--"};
    words.insert(words.end(), program.begin(), program.end());
    const Arguments arranged = arrange(parser.root, words);
    CHECK(arranged.words == Words{"task", "submit", "--after", "x", "--require", "zone=b"});
    CHECK(arranged.program == program);
    const Arguments other = arrange(parser.root, {"task", "get", "--", "-x"});
    CHECK(other.words == Words{"task", "get", "--", "-x"});
    CHECK(other.program.empty());
}

TEST_CASE("field D: the flags that all verbs share work before their verb, too") {
    const Parser parser;
    const struct {
        Words typed, arranged;
    } rows[] = {
        {{"--server", "X", "status"}, {"status", "--server", "X"}},
        {{"--server=X", "-q", "status", "-o", "json"}, {"status", "--server=X", "-q", "-o", "json"}},
        {{"-o", "json", "task", "--timeout", "5s", "get", "id"},
         {"task", "get", "-o", "json", "--timeout", "5s", "id"}},
        {{"task", "get", "id", "--server", "X"}, {"task", "get", "id", "--server", "X"}},
        {{"--server"}, {"--server"}},
        {{"--help"}, {"--help"}},
        {{"--unknown", "status"}, {"--unknown", "status"}},
        {{"tsak", "--server", "X"}, {"tsak", "--server", "X"}},
        {{}, {}},
    };
    for (const auto& row : rows) CHECK(arrange(parser.root, row.typed).words == row.arranged);
    const Arguments submit = arrange(parser.root, {"--server", "X", "task", "submit", "--", "ls", "--server"});
    CHECK(submit.words == Words{"task", "submit", "--server", "X"});
    CHECK(submit.program == Words{"ls", "--server"});
}

}  // namespace
}  // namespace nexus
