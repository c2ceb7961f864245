#pragma once
// What the verbs of operators share: who asks and why.

#include <CLI/CLI.hpp>
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

}  // namespace nexus::cli
