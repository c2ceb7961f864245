#pragma once
// What the verbs of operators share: who asks and why, and lists in every output format.

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/shell.h"

namespace nexus::cli {

// Who changes something and why; kept in the audit log.
struct Blame {
    std::string reason, author = default_author();
};

// Adds --reason and --author.
inline void add_blame(CLI::App& verb, Blame& blame) {
    verb.add_option("--reason", blame.reason, "Why; kept in the audit log");
    verb.add_option("--author", blame.author, "Who you are, for the audit log");
}

// Says so when no task that the server knows of has what an order was about: a name may be mistyped.
inline void note_if_unknown(Shell& shell, pb::ListTasksRequest tasks, const std::string& what) {
    tasks.set_page_size(1);
    const auto found = shell.session.list_tasks(tasks);
    if (found && found->tasks().empty())
        shell.say("note: the server knows no task of " + what + "; is the name right? it is in force all the same");
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

}  // namespace nexus::cli
