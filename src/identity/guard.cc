#include "identity/guard.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/system_clock.h"

namespace nexus::identity {
namespace {

constexpr std::size_t kTokenBytesMax = 256;
constexpr std::size_t kAddressesMax = 10'000;
constexpr std::string_view kByToken = "token:";
constexpr std::string_view kByCertificate = "certificate:";

Caller caller_of(const Token& token, std::string from) {
    return {.name = token.name,
            .tenant = token.tenant,
            .roles = with_implied(token.roles),
            .credential = std::string(kByToken) + token.id,
            .from = std::move(from)};
}

}  // namespace

Result<std::string_view> bearer_of(std::string_view header) {
    constexpr std::string_view kScheme = "bearer ";
    const bool fits = header.size() > kScheme.size() &&
                      std::ranges::equal(header.substr(0, kScheme.size()), kScheme, [](char given, char wanted) {
                          return given == wanted || (given >= 'A' && given <= 'Z' && given - 'A' + 'a' == wanted);
                      });
    if (!fits) return fail(Fault::unauthenticated, "authorization: expected Bearer and a token");
    header.remove_prefix(kScheme.size());
    header.remove_prefix(std::min(header.size(), header.find_first_not_of(' ')));
    return header;
}

std::string_view address_of(std::string_view from) {
    if (!from.starts_with("ipv4:") && !from.starts_with("ipv6:")) return from;
    return from.substr(0, from.rfind(':'));
}

Guard::Guard(GuardOptions options)
    : limits(options.limits, options.steady_us), options_([&options] {
          if (options.wall == nullptr) options.wall = system_wall;
          if (options.steady_us == nullptr) options.steady_us = system_steady_us;
          return std::move(options);
      }()) {}

WallTime Guard::now() const {
    return options_.wall();
}

void Guard::publish(std::shared_ptr<const Tokens> tokens) {
    const std::lock_guard lock(mutex_);
    tokens_.swap(tokens);
}

std::shared_ptr<const Tokens> Guard::tokens() const {
    const std::lock_guard lock(mutex_);
    return tokens_;
}

Error Guard::refuse(const std::string& from, std::string what) {
    refusals_.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (failures_.size() >= kAddressesMax) failures_.clear();  // forgiven, rather than kept without end
    const Duration wait = failures_[std::string(address_of(from))].take(Bucket::kHolds_s / kFailuresHeld, kFailuresPerS,
                                                                        options_.steady_us());
    if (wait.us == 0) return {Fault::unauthenticated, std::move(what)};
    limits.count(Limit::sign_ins);
    return {.fault = Fault::exhausted,
            .what = "too many wrong credentials from this address; wait a moment",
            .retry_after = wait};
}

Result<Caller> Guard::who(const Proof& proof) {
    if (!options_.asks)
        return Caller{.name = "anonymous", .tenant = {}, .roles = kAllRoles, .credential = {}, .from = proof.from};
    if (!proof.token.empty()) return by_token(proof);
    if (!proof.session.empty()) return by_session(proof);
    if (!proof.names.empty()) return by_names(proof);
    refusals_.fetch_add(1, std::memory_order_relaxed);
    return fail(Fault::unauthenticated,
                "this server asks who calls: send a token (authorization: Bearer …; nexus --token-file FILE or "
                "NEXUS_TOKEN)");
}

Result<Caller> Guard::by_token(const Proof& proof) {
    const std::shared_ptr<const Tokens> table = tokens();
    const Token* token = proof.token.size() > kTokenBytesMax ? nullptr : table->by_hash(sha256_hex(proof.token));
    if (token == nullptr) return std::unexpected(refuse(proof.from, "the token is not known, or was revoked"));
    if (!token->good_at(now())) return std::unexpected(refuse(proof.from, "the token " + token->id + " has expired"));
    return caller_of(*token, proof.from);
}

Result<Caller> Guard::by_session(const Proof& proof) {
    const std::string key = sha256_hex(proof.session);
    const WallTime at = now();
    {
        const std::lock_guard lock(mutex_);
        const auto found = sessions_.find(key);
        if (found != sessions_.end() && at - found->second.used < kSessionIdle) {
            const Token* token = tokens_->by_id(found->second.token_id);
            if (token != nullptr && token->good_at(at)) {
                found->second.used = at;
                return caller_of(*token, proof.from);
            }
        }
        if (found != sessions_.end()) sessions_.erase(found);
    }
    return std::unexpected(refuse(proof.from, "the sign-in is over: sign in again"));
}

Result<Caller> Guard::by_names(const Proof& proof) {
    for (const std::string& name : proof.names)
        if (const auto found = options_.subjects.find(name); found != options_.subjects.end())
            return Caller{.name = name,
                          .tenant = found->second.tenant,
                          .roles = with_implied(found->second.roles),
                          .credential = std::string(kByCertificate) + name,
                          .from = proof.from};
    return std::unexpected(
        refuse(proof.from, "no name of the client's certificate is among server.tls_subjects, and no token was sent"));
}

bool Guard::still(const Caller& caller) const {
    if (!options_.asks || !caller.credential.starts_with(kByToken)) return true;
    const std::shared_ptr<const Tokens> table = tokens();
    const Token* token = table->by_id(std::string_view(caller.credential).substr(kByToken.size()));
    return token != nullptr && token->good_at(now());
}

WallTime Guard::expires(const Caller& caller) const {
    if (!caller.credential.starts_with(kByToken)) return {};
    const std::shared_ptr<const Tokens> table = tokens();
    const Token* token = table->by_id(std::string_view(caller.credential).substr(kByToken.size()));
    return token == nullptr ? WallTime{} : token->expires;
}

// ---- the page

Result<Caller> Guard::check_sign_in(std::string_view token, const std::string& from) {
    if (token.empty()) return fail(Fault::invalid, "token: missing");
    return by_token({.token = token, .session = {}, .names = {}, .from = from});
}

PageSession Guard::open_session(const Caller& caller) {
    PageSession made{.id = random_hex(32), .csrf = random_hex(16), .caller = caller};
    const std::string key = sha256_hex(made.id);
    const std::lock_guard lock(mutex_);
    if (sessions_.size() >= kSessionsMax)
        sessions_.erase(std::ranges::min_element(sessions_, {}, [](const auto& each) { return each.second.used.us; }));
    sessions_[key] = {.csrf = made.csrf, .token_id = caller.credential.substr(kByToken.size()), .used = now()};
    return made;
}

bool Guard::csrf_fits(std::string_view session, std::string_view shown) const {
    const std::string key = sha256_hex(session);
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(key);
    return found != sessions_.end() && shown.size() == found->second.csrf.size() &&
           CRYPTO_memcmp(shown.data(), found->second.csrf.data(), shown.size()) == 0;
}

void Guard::close_session(std::string_view session) {
    const std::string key = sha256_hex(session);
    const std::lock_guard lock(mutex_);
    sessions_.erase(key);
}

}  // namespace nexus::identity
