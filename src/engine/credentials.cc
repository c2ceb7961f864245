// Tokens and sign-ins: each change is an event, from which the table of tokens and the audit follow.

#include <utility>

#include "base/name.h"
#include "engine/engine.h"
#include "identity/roles.h"

namespace nexus::engine {
namespace {

Result<void> check_token(const identity::Token& token, WallTime now) {
    if (!is_name(token.name)) return fail(Fault::invalid, "name: " + std::string(kNameRule));
    if (auto ok = identity::check_grant(token.roles, token.tenant); !ok) return ok;
    if (token.expires.us < 0) return fail(Fault::invalid, "expires_unix_us: negative");
    if (token.expires.us > 0 && token.expires <= now) return fail(Fault::invalid, "expires_unix_us: lies in the past");
    return {};
}

}  // namespace

void Engine::answer(const Caller& caller, IssueToken request, Done<identity::Token> done) {
    using Answer = identity::Token;
    identity::Token& token = request.token;
    core::Act act = act_of(caller, std::move(request.author), std::move(request.reason));
    auto ok = may_act(act);
    if (ok) ok = check_token(token, now_.wall);
    if (!ok) return reply<Answer>(std::move(done), std::unexpected(std::move(ok).error()));
    if (tokens_->full())
        return reply<Answer>(std::move(done), fail(Fault::exhausted, std::to_string(identity::Tokens::kMax) +
                                                                         " tokens are there; revoke some first"));
    if (tokens_->by_id(token.id) != nullptr || tokens_->by_hash(token.hash) != nullptr)
        return reply<Answer>(std::move(done), fail(Fault::conflict, "there is a token " + token.id));
    apply(core::TokenIssued{.id = token.id,
                            .hash = std::move(token.hash),
                            .name = std::move(token.name),
                            .roles = token.roles,
                            .tenant = std::move(token.tenant),
                            .expires = token.expires,
                            .act = std::move(act)});
    reply<Answer>(std::move(done), *tokens_->by_id(token.id));
}

void Engine::answer(const Caller& caller, RevokeToken request, Done<identity::Token> done) {
    using Answer = identity::Token;
    core::Act act = act_of(caller, std::move(request.author), std::move(request.reason));
    if (auto ok = may_act(act); !ok) return reply<Answer>(std::move(done), std::unexpected(std::move(ok).error()));
    const identity::Token* token = tokens_->by_id(request.id);
    if (token == nullptr) return reply<Answer>(std::move(done), fail(Fault::not_found, "no token of that id"));
    Answer gone = *token;
    apply(core::TokenRevoked{.id = gone.id, .name = gone.name, .act = std::move(act)});
    reply<Answer>(std::move(done), std::move(gone));
}

void Engine::answer(const Caller&, ListTokens, Done<std::shared_ptr<const identity::Tokens>> done) {
    reply<std::shared_ptr<const identity::Tokens>>(std::move(done), tokens_);
}

void Engine::answer(const Caller& caller, SignIn, Done<std::uint64_t> done) {
    core::Act act = act_of(caller, "", "");
    if (auto ok = may_act(act); !ok)
        return reply<std::uint64_t>(std::move(done), std::unexpected(std::move(ok).error()));
    const std::size_t colon = caller.credential.find(':');
    apply(core::SignedIn{.id = caller.credential.substr(colon == std::string::npos ? 0 : colon + 1),
                         .name = caller.name,
                         .act = std::move(act)});
    reply<std::uint64_t>(std::move(done), sequence_);
}

}  // namespace nexus::engine
