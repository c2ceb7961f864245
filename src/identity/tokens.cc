#include "identity/tokens.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "base/must.h"

namespace nexus::identity {
namespace {

constexpr Duration kKeptExpired = hours(24 * 7);
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kIdBytes = 5;

}  // namespace

const Token* Tokens::by_id(std::string_view id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second.get();
}

const Token* Tokens::by_hash(const std::string& hash) const {
    const auto found = by_hash_.find(hash);
    return found == by_hash_.end() ? nullptr : found->second;
}

bool Tokens::has_admin(WallTime now) const {
    return std::ranges::any_of(by_id_, [now](const auto& each) {
        return has_role(each.second->roles, Role::admin) && each.second->good_at(now);
    });
}

void Tokens::add(std::shared_ptr<const Token> token) {
    by_hash_[token->hash] = token.get();
    by_id_[token->id] = std::move(token);
}

std::shared_ptr<const Tokens> Tokens::with(Token token) const {
    auto table = std::make_shared<Tokens>();
    for (const auto& [id, known] : by_id_)
        if (id != token.id && known->good_at(WallTime{token.created.us - kKeptExpired.us})) table->add(known);
    table->add(std::make_shared<const Token>(std::move(token)));
    return table;
}

std::shared_ptr<const Tokens> Tokens::without(std::string_view id) const {
    auto table = std::make_shared<Tokens>();
    for (const auto& [known, token] : by_id_)
        if (known != id) table->add(token);
    return table;
}

void Tokens::save(Writer& writer) const {
    writer.varint(by_id_.size());
    for (const auto& [id, token] : by_id_) {
        for (const std::string* text : {&token->id, &token->hash, &token->name, &token->tenant, &token->created_by})
            writer.text(*text);
        writer.varint(token->roles);
        writer.svarint(token->created.us);
        writer.svarint(token->expires.us);
    }
}

void Tokens::load(Reader& reader) {
    by_id_.clear();
    by_hash_.clear();
    for (std::uint64_t n = reader.count(8); n > 0 && !reader.failed(); --n) {
        Token token;
        for (std::string* text : {&token.id, &token.hash, &token.name, &token.tenant, &token.created_by})
            *text = reader.text();
        token.roles = static_cast<Roles>(reader.varint());
        token.created = {reader.svarint()};
        token.expires = {reader.svarint()};
        add(std::make_shared<const Token>(std::move(token)));
    }
}

std::string random_hex(std::size_t size) {
    std::string bytes(size, '\0');
    MUST(getrandom(bytes.data(), size, 0) == static_cast<ssize_t>(size));
    return hex_of(bytes);
}

std::string sha256_hex(std::string_view bytes) {
    static const EVP_MD* const kind = EVP_sha256();
    std::array<char, EVP_MAX_MD_SIZE> sum{};
    unsigned int size = 0;
    MUST(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(sum.data()), &size, kind, nullptr) ==
         1);
    return hex_of({sum.data(), size});
}

Secret make_secret() {
    Secret secret{.text = "nxt_" + random_hex(kSecretBytes), .id = random_hex(kIdBytes), .hash = {}};
    secret.hash = sha256_hex(secret.text);
    return secret;
}

}  // namespace nexus::identity
