#pragma once
// The tokens that the server knows: an immutable table, made anew with each token that comes or goes, so that whoever
// reads it needs no lock. What a token's secret is, nobody knows but its owner: the table holds its SHA-256.
//
// A secret is 256 random bits, so it is found by its hash: what an attacker can learn from the time that takes is about
// the hash, from which no secret follows.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/bytes.h"
#include "base/caller.h"
#include "base/result.h"
#include "base/units.h"

namespace nexus::identity {

struct Token {
    std::string id;    // short, no secret: names it in lists and in the audit
    std::string hash;  // hex SHA-256 of the secret
    std::string name;
    Roles roles = 0;
    std::string tenant;  // the only one it may touch; empty = any
    WallTime created;
    WallTime expires;  // 0 = never
    std::string created_by;
    bool good_at(WallTime now) const { return expires.us == 0 || now < expires; }
};

class Tokens {
public:
    static constexpr std::size_t kMax = 10'000;

    const Token* by_id(std::string_view id) const;
    const Token* by_hash(const std::string& hash) const;
    const std::map<std::string, std::shared_ptr<const Token>, std::less<>>& all() const { return by_id_; }
    bool full() const { return by_id_.size() >= kMax; }
    // Whether somebody can still make tokens.
    bool has_admin(WallTime now) const;

    // With this one too, and without those that expired more than a week before it was made.
    std::shared_ptr<const Tokens> with(Token token) const;
    std::shared_ptr<const Tokens> without(std::string_view id) const;

    void save(Writer& writer) const;
    void load(Reader& reader);

private:
    void add(std::shared_ptr<const Token> token);
    std::map<std::string, std::shared_ptr<const Token>, std::less<>> by_id_;
    std::unordered_map<std::string, const Token*> by_hash_;
};

// A new secret, "nxt_" and 64 hex digits from the system's random bytes, and the id and hash that go with it.
struct Secret {
    std::string text, id, hash;
};
Secret make_secret();
// Hex digits.
std::string sha256_hex(std::string_view bytes);
// 2 hex digits per byte, from the system.
std::string random_hex(std::size_t bytes);

}  // namespace nexus::identity
