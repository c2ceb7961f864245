// token and whoami: who may call the server, and as whom it sees this command line.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "cli/columns.h"
#include "cli/moment.h"
#include "cli/operator.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::pair<const char*, pb::RoleName> kRoles[] = {
    {"viewer", pb::ROLE_NAME_VIEWER},       {"payload:read", pb::ROLE_NAME_PAYLOAD_READ},
    {"submitter", pb::ROLE_NAME_SUBMITTER}, {"worker", pb::ROLE_NAME_WORKER},
    {"operator", pb::ROLE_NAME_OPERATOR},   {"admin", pb::ROLE_NAME_ADMIN}};

struct TokenFlags {
    std::string name, tenant, expires, id, out;
    std::vector<std::string> roles;
    Blame blame;
};

template <class Roles>
std::string text_of(const Roles& roles) {
    std::string text;
    for (const int role : roles)
        for (const auto& [name, number] : kRoles)
            if (number == role) text += (text.empty() ? "" : ",") + std::string(name);
    return text.empty() ? "none" : text;
}

std::string expiry_text(std::int64_t unix_us) {
    return unix_us == 0 ? "never" : calendar_text(unix_us);
}

const Kind<pb::Token>& token_kind() {
    using T = pb::Token;
    static const Kind<T> kind{
        .columns = {{.name = "id", .value = [](const T& t, const Look&) { return t.id(); }},
                    {.name = "name", .value = [](const T& t, const Look& look) { return look.text(t.name(), 60); }},
                    {.name = "roles", .value = [](const T& t, const Look&) { return text_of(t.roles()); }},
                    {.name = "tenant",
                     .value = [](const T& t, const Look& look) { return look.text(t.tenant(), 40); },
                     .sparse = true},
                    {.name = "created",
                     .value = [](const T& t, const Look& look) { return look.calendar(t.created_unix_us()); },
                     .title = "CREATED (UTC)"},
                    {.name = "expires",
                     .value = [](const T& t, const Look& look) { return look.calendar(t.expires_unix_us()); },
                     .title = "EXPIRES (UTC)"},
                    {.name = "by",
                     .value = [](const T& t, const Look& look) { return look.text(t.created_by(), 60); }}},
        .name = [](const T& t) { return t.id(); }};
    return kind;
}

// To a file that only its owner reads, and that was not there: a token that is in use is not overwritten.
Answer<void> write_token(const std::string& path, const std::string& secret) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const std::string line = secret + "\n";
    const bool written = file >= 0 && write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    const std::string why = written ? "" : std::strerror(errno);
    if (file >= 0) close(file);
    if (written) return {};
    return failure(kExitFailure, "write " + safe_text(path, 200) + ": " + why,
                   "the token was made; revoke it, see `nexus token list`");
}

Answer<int> create_token(Shell& shell, const TokenFlags& flags) {
    pb::CreateTokenRequest request;
    request.set_name(flags.name);
    for (const std::string& word : flags.roles)
        for (const auto& [name, number] : kRoles)
            if (name == word) request.add_roles(number);
    request.set_tenant(flags.tenant);
    if (!flags.expires.empty()) {
        const auto at = parse_moment(flags.expires, now_unix_us());
        if (!at) return std::unexpected(at.error());
        request.set_expires_unix_us(*at);
    }
    request.set_author(flags.blame.author);
    request.set_reason(flags.blame.reason);
    // Before it is made, so that none is made that nobody gets.
    if (!flags.out.empty() && access(flags.out.c_str(), F_OK) == 0)
        return failure(kExitRefused, safe_text(flags.out, 200) + " exists already", "choose another --out");
    const auto made = shell.session.create_token(request);
    if (!made) return std::unexpected(made.error());
    if (!flags.out.empty()) {
        if (const auto done = write_token(flags.out, made->secret()); !done) return std::unexpected(done.error());
        shell.say("token " + made->token().id() + " is in " + flags.out);
        return kExitOk;
    }
    if (shell.wants_json()) {
        shell.put_json(*made);
        return kExitOk;
    }
    put(made->secret() + "\n");
    shell.say(fmt::format("token {} for {} ({}{}); it is shown this once only", made->token().id(),
                          safe_text(made->token().name(), 128), text_of(made->token().roles()),
                          made->token().tenant().empty() ? "" : ", tenant " + made->token().tenant()));
    return kExitOk;
}

Answer<int> list_tokens(Shell& shell) {
    const auto all = shell.session.list_tokens();
    if (!all) return std::unexpected(all.error());
    return put_list(shell, *all, all->tokens(), token_kind(), "no tokens");
}

Answer<int> revoke_token(Shell& shell, const TokenFlags& flags) {
    pb::RevokeTokenRequest request;
    request.set_id(flags.id);
    request.set_author(flags.blame.author);
    request.set_reason(flags.blame.reason);
    const auto gone = shell.session.revoke_token(request);
    if (!gone) return std::unexpected(gone.error());
    if (shell.wants_json()) shell.put_json(*gone);
    shell.say(fmt::format("token {} of {} is revoked; what it had open ends within seconds", gone->id(),
                          safe_text(gone->name(), 128)));
    return kExitOk;
}

Answer<int> who_am_i(Shell& shell) {
    const auto me = shell.session.who_am_i();
    if (!me) return std::unexpected(me.error());
    if (shell.wants_json()) {
        shell.put_json(*me);
        return kExitOk;
    }
    std::string text = fmt::format("{} on {}, by {}\nroles   {}\n", safe_text(me->name(), 128), shell.session.server(),
                                   me->how(), text_of(me->roles()));
    if (!me->tenant().empty()) text += "tenant  " + safe_text(me->tenant(), 128) + "\n";
    if (!me->token_id().empty()) text += "token   " + me->token_id() + "\n";
    if (me->expires_unix_us() != 0) text += "expires " + expiry_text(me->expires_unix_us()) + "\n";
    if (me->open()) text += "this server asks nobody who they are\n";
    put(text);
    return kExitOk;
}

}  // namespace

void add_token_verbs(CLI::App& root, int& exit_code) {
    CLI::App* noun = add_noun(root, "token", "Who may call the server, and what they may do");
    const auto flags = std::make_shared<TokenFlags>();
    CLI::App* create = add_verb(*noun,
                                {.name = "create",
                                 .help = "Make a token; its secret is shown once",
                                 .examples = "  nexus token create ci --role submitter --tenant acme --expires +90d\n"
                                             "  nexus token create worker-1 --role worker --out worker-1.token\n"
                                             "  nexus token create prometheus --role viewer"},
                                exit_code, [flags](Shell& shell) { return create_token(shell, *flags); });
    create->add_option("name", flags->name, "Who has it; it is in the audit")->required();
    std::vector<std::string> names;
    for (const auto& [name, number] : kRoles) names.emplace_back(name);
    create->add_option("--role", flags->roles, "viewer, payload:read, submitter, worker, operator, admin; repeatable")
        ->required()
        ->delimiter(',')
        ->check(CLI::IsMember(names));
    create->add_option("--tenant", flags->tenant, "The only tenant it may touch");
    create->add_option("--expires", flags->expires, "When it ends: +90d from now, or a date (default never)");
    create->add_option("--out", flags->out, "Write it into this new file, readable by you alone, and do not show it");
    add_blame(*create, flags->blame);
    add_watched_verb(*noun,
                     {.name = "list",
                      .help = "All tokens, without their secrets",
                      .examples = "  nexus token list",
                      .columns = token_kind().names()},
                     exit_code, list_tokens);
    CLI::App* revoke = add_verb(*noun,
                                {.name = "revoke",
                                 .help = "End a token; streams that it opened end within seconds",
                                 .examples = "  nexus token revoke 3f9a1c02d4 --reason 'left the team'"},
                                exit_code, [flags](Shell& shell) { return revoke_token(shell, *flags); });
    revoke->add_option("id", flags->id, "Its id, see `nexus token list`")->required();
    add_blame(*revoke, flags->blame);
    add_verb(
        root,
        {.name = "whoami", .help = "As whom the server sees you, and what you may do", .examples = "  nexus whoami"},
        exit_code, who_am_i);
}

}  // namespace nexus::cli
