#pragma once
// Who calls: the one place where a credential becomes a Caller. Every transport asks it before it reads a request's body,
// and again each second for streams that stay open. Thread-safe; never blocks for longer than a lookup.
//
//   open     nobody is asked: all are "anonymous" and may do everything. For loopback and sockets of one's own user
//   asking   a token, or a client's certificate with a known subject, or it is refused: unauthenticated
//
// Wrong tokens from one address beyond kFailuresHeld at once and kFailuresPerS later are answered `exhausted` and
// counted. A good token always passes: with 256 random bits nobody guesses, and so nobody can lock others out.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "base/caller.h"
#include "base/result.h"
#include "identity/limits.h"
#include "identity/subjects.h"
#include "identity/tokens.h"

namespace nexus::identity {

// What a transport was shown.
struct Proof {
    std::string_view token;                   // of "authorization: Bearer …"; empty: none
    std::string_view session;                 // of the page's cookie; empty: none
    std::span<const std::string> names = {};  // of a client's certificate that was verified
    std::string from;                         // the peer, as in Caller::from
};

// A person at the page.
struct PageSession {
    std::string id, csrf;
    Caller caller;
};

struct GuardOptions {
    bool asks = false;
    bool insecure = false;  // by order: what can be reached from outside is not protected
    Subjects subjects;
    LimitRules limits;
    WallTime (*wall)() = nullptr;           // null = the system's
    std::int64_t (*steady_us)() = nullptr;  // the same
};

class Guard {
public:
    static constexpr std::uint64_t kFailuresPerS = 1, kFailuresHeld = 10;
    static constexpr std::size_t kSessionsMax = 1000;
    static constexpr Duration kSessionIdle = hours(12);

    explicit Guard(GuardOptions options = {});

    bool asks() const { return options_.asks; }
    bool insecure() const { return options_.insecure; }
    bool knows_certificates() const { return !options_.subjects.empty(); }

    // The engine's table, whenever it changes.
    void publish(std::shared_ptr<const Tokens> tokens);
    std::shared_ptr<const Tokens> tokens() const;

    // Faults: unauthenticated, exhausted (too many wrong ones).
    Result<Caller> who(const Proof& proof);
    // Whether what it proved then still holds: not revoked, not expired, the session not ended.
    bool still(const Caller& caller) const;
    // When its credential ends by itself; 0 = never, or it has none.
    WallTime expires(const Caller& caller) const;

    // The page. Nobody is signed in before the sign-in is durable: the caller asks the engine in between.
    Result<Caller> check_sign_in(std::string_view token, const std::string& from);
    PageSession open_session(const Caller& caller);
    // Whether a change may be made by this session: it must show what only its page can read.
    bool csrf_fits(std::string_view session, std::string_view shown) const;
    void close_session(std::string_view session);

    Limits limits;
    std::uint64_t refusals() const { return refusals_.load(std::memory_order_relaxed); }  // of `who`

private:
    struct Session {
        std::string csrf, token_id;
        WallTime used;
    };
    WallTime now() const;
    Result<Caller> by_token(const Proof& proof);
    Result<Caller> by_session(const Proof& proof);
    Result<Caller> by_names(const Proof& proof);
    Error refuse(const std::string& from, std::string what);

    const GuardOptions options_;
    std::atomic<std::uint64_t> refusals_{0};
    mutable std::mutex mutex_;  // guards all below
    std::shared_ptr<const Tokens> tokens_ = std::make_shared<const Tokens>();
    std::map<std::string, Session, std::less<>> sessions_;  // by the hash of their id
    std::map<std::string, Bucket, std::less<>> failures_;   // by address
};

// The token of an authorization header, "Bearer …". Fault unauthenticated when it is something else.
Result<std::string_view> bearer_of(std::string_view header);
// Without the port: "ipv4:10.0.0.1", "http:10.0.0.1".
std::string_view address_of(std::string_view from);

}  // namespace nexus::identity
