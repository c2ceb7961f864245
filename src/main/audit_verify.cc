#include "main/audit_verify.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <string>

#include "api/view.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "engine/audit_chain.h"
#include "history/sqlite/sqlite_history.h"
#include "main/audit_head.h"
#include "main/configuration.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using cli::Shell;

struct Flags {
    std::string data, head;
};

// What a server wrote outside of the history; empty when there is none.
std::string head_in(const std::string& data) {
    std::ifstream file(AuditHead::file_of(data));
    std::string head;
    std::getline(file, head);
    return head;
}

Answer<cli::pb::VerifyAuditResponse> verify_directory(const Flags& flags) {
    auto history = history::SqliteHistory::open_to_read({.path = flags.data + "/history.db"});
    if (!history) return failed(history.error(), flags.data);
    const std::string head = flags.head.empty() ? head_in(flags.data) : flags.head;
    const auto verdict =
        engine::verify_audit([&](const history::AuditQuery& query) { return (*history)->audit(query); }, head);
    if (!verdict) return failed(verdict.error(), flags.data);
    cli::pb::VerifyAuditResponse out;
    api::to_message(*verdict, out);
    if (out.good() && out.problem().empty() && head.empty() && verdict->entries > 0)
        out.set_problem("no head is known that was written elsewhere, so what was cut off the end would not be seen");
    return out;
}

Answer<int> verify(Shell& shell, const Flags& flags) {
    if (flags.data.empty() && !flags.head.empty())
        return cli::failure(cli::kExitUsage, "audit verify: --head goes with --data: a server knows its own head");
    const auto verdict = flags.data.empty() ? shell.session.verify_audit() : verify_directory(flags);
    if (!verdict) return std::unexpected(verdict.error());
    if (shell.wants_json())
        shell.put_json(*verdict);
    else if (verdict->good())
        cli::put(fmt::format(
            "sound: {}{}\nhead {}\n",
            verdict->entries() == 1 ? "1 entry" : cli::count_text(verdict->entries()) + " entries",
            verdict->entries() == 0 ? "" : fmt::format(" since {} UTC", cli::calendar_text(verdict->oldest_unix_us())),
            verdict->head().empty() ? "-" : verdict->head()));
    else
        cli::put(fmt::format("problem: {}\n", verdict->problem()));
    if (verdict->good() && !verdict->problem().empty()) shell.say("note: " + verdict->problem());
    return verdict->good() ? cli::kExitOk : cli::kExitFailure;
}

}  // namespace

void add_audit_verify(CLI::App& root, int& exit_code) {
    CLI::App& audit = *cli::add_noun(root, "audit", "Who changed what, when and why");
    const auto flags = std::make_shared<Flags>();
    CLI::App* verb =
        cli::add_verb(audit,
                      {.name = "verify",
                       .help = "Follow the chain of hashes: was an entry changed, deleted, moved or put in?",
                       .examples = "  nexus audit verify\n"
                                   "  nexus audit verify --data /var/lib/nexus\n"
                                   "  nexus audit verify --data /backup/monday --head 9f86d081..."},
                      exit_code, [flags](Shell& shell) { return verify(shell, *flags); });
    verb->add_option("--data", flags->data, "This data directory, without asking a server; it may be running");
    verb->add_option("--head", flags->head,
                     "A head that was written down elsewhere; it must be in the chain (default: DATA/audit.head)");
}

}  // namespace nexus::serve
