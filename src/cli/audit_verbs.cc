// audit list and export: the record of what operators did. What verifies it is in main, since it may work without a
// server.
#include <fmt/format.h>

#include <algorithm>

#include "base/quantity.h"
#include "cli/columns.h"
#include "cli/moment.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::uint32_t kPageMax = 1000;

struct AuditFlags {
    std::string search, from, to, page;
    std::uint32_t limit = 50;
};

const Kind<pb::AuditEntry>& audit_kind() {
    using E = pb::AuditEntry;
    static const Kind<E> kind{
        .columns = {{.name = "number",
                     .value = [](const E& e, const Look&) { return std::to_string(e.number()); },
                     .right = true,
                     .wide = true},
                    {.name = "at",
                     .value = [](const E& e, const Look& look) { return look.calendar(e.at_unix_us()); },
                     .title = "AT (UTC)"},
                    {.name = "author", .value = [](const E& e, const Look& look) { return look.text(e.author(), 30); }},
                    {.name = "caller",
                     .value = [](const E& e, const Look& look) { return look.text(e.caller(), 60); },
                     .wide = true},
                    {.name = "action", .value = [](const E& e, const Look& look) { return look.text(e.action(), 60); }},
                    {.name = "reason", .value = [](const E& e, const Look& look) { return look.text(e.reason(), 60); }},
                    {.name = "before", .value = [](const E& e, const Look& look) { return look.text(e.before(), 60); }},
                    {.name = "after", .value = [](const E& e, const Look& look) { return look.text(e.after(), 60); }},
                    {.name = "hash", .value = [](const E& e, const Look&) { return e.hash(); }, .wide = true}},
        .name = [](const E& e) { return e.hash(); }};
    return kind;
}

// "2026-03-01T12:00:00Z", or a duration: so long ago.
Answer<std::int64_t> past_moment(const std::string& text) {
    if (text.empty()) return 0;
    if (const auto ago = parse_duration(text)) return now_unix_us() - ago->us;
    return parse_moment(text, now_unix_us());
}

Answer<pb::ListAuditRequest> request_of(const AuditFlags& flags) {
    const auto from = past_moment(flags.from);
    if (!from) return std::unexpected(from.error());
    const auto to = past_moment(flags.to);
    if (!to) return std::unexpected(to.error());
    pb::ListAuditRequest request;
    request.set_search(flags.search);
    request.set_from_unix_us(*from);
    request.set_to_unix_us(*to);
    request.set_page_token(flags.page);
    return request;
}

Answer<int> list(Shell& shell, const AuditFlags& flags) {
    auto request = request_of(flags);
    if (!request) return std::unexpected(request.error());
    request->set_page_size(flags.limit);
    const auto all = shell.session.list_audit(*request);
    if (!all) return std::unexpected(all.error());
    const auto done = put_list(shell, *all, all->entries(), audit_kind(), "no changes yet");
    shell.say_more(all->next_page_token());
    return done;
}

// Everything, page by page, so that it may be longer than memory is large.
Answer<int> export_all(Shell& shell, const AuditFlags& flags) {
    auto request = request_of(flags);
    if (!request) return std::unexpected(request.error());
    if (shell.format != Format::csv) shell.format = Format::jsonl;
    request->set_page_size(kPageMax);
    bool first = true;
    do {
        const auto page = shell.session.list_audit(*request);
        if (!page) return std::unexpected(page.error());
        const auto rows = rows_of(page->entries(), columns_for(shell, audit_kind()), look_of(shell), true);
        for (std::size_t i = first ? 0 : 1; shell.format == Format::csv && i < rows.size(); ++i)
            if (!put(csv_line(rows[i]))) return kExitFailure;
        for (const pb::AuditEntry& entry : page->entries())
            if (shell.format == Format::jsonl && !shell.put_json(entry)) return kExitFailure;
        request->set_page_token(page->next_page_token());
        first = false;
    } while (!request->page_token().empty());
    return kExitOk;
}

void add_filters(CLI::App& verb, AuditFlags& flags) {
    verb.add_option("--search", flags.search, "Only entries that hold this text, as it is written");
    verb.add_option("--from", flags.from, "Only then or later: 2026-03-01T12:00:00Z, or 2h = two hours ago");
    verb.add_option("--to", flags.to, "Only before");
}

}  // namespace

void add_audit_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "audit", "Who changed what, when and why");
    const auto flags = std::make_shared<AuditFlags>();
    CLI::App* verb = add_watched_verb(*noun,
                                      {.name = "list",
                                       .help = "Changes by operators, newest first",
                                       .examples = "  nexus audit list\n"
                                                   "  nexus audit list --search lease --from 7d\n"
                                                   "  nexus audit list --watch --columns at,author,action",
                                       .columns = audit_kind().names()},
                                      exit_code, [flags](Shell& shell) { return list(shell, *flags); });
    add_filters(*verb, *flags);
    verb->add_option("--limit", flags->limit, "At most this many (default 50)")->check(CLI::Range(1, 1000));
    verb->add_option("--page", flags->page, "Continue where an earlier list ended");

    const auto all = std::make_shared<AuditFlags>();
    verb = add_verb(*noun,
                    {.name = "export",
                     .help = "All entries, newest first, as lines of JSON or as CSV",
                     .examples = "  nexus audit export > audit.jsonl\n"
                                 "  nexus audit export -o csv --from 2026-03-01T00:00:00Z > march.csv",
                     .columns = audit_kind().names()},
                    exit_code, [all](Shell& shell) { return export_all(shell, *all); });
    add_filters(*verb, *all);
}

}  // namespace nexus::cli
