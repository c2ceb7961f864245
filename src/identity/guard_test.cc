// A5, A6, A8 and A10 of the security catalogue (docs/security.md), and what they rest on.
#include "identity/guard.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "identity/roles.h"

namespace nexus::identity {
namespace {

std::int64_t wall_us = 1'800'000'000'000'000;
std::int64_t steady = 1'000'000;

WallTime wall() {
    return {wall_us};
}
std::int64_t steady_us() {
    return steady;
}

GuardOptions asking() {
    return {.asks = true, .insecure = false, .subjects = {}, .limits = {}, .wall = wall, .steady_us = steady_us};
}

Token token_of(const Secret& secret, Roles roles, std::string tenant = {}, WallTime expires = {}) {
    return {.id = secret.id,
            .hash = secret.hash,
            .name = "ci",
            .roles = roles,
            .tenant = std::move(tenant),
            .created = wall(),
            .expires = expires,
            .created_by = "test"};
}

Proof with_token(std::string_view token, std::string from = "ipv4:10.0.0.1:4000") {
    return {.token = token, .session = {}, .names = {}, .from = std::move(from)};
}

constexpr Roles kSubmitter = static_cast<Roles>(Role::submitter);

TEST_CASE("whoever is asked needs a credential that is good now") {
    Guard guard(asking());
    const Secret secret = make_secret();
    guard.publish(Tokens().with(token_of(secret, kSubmitter, "acme", {wall_us + 10})));
    const auto caller = guard.who(with_token(secret.text));
    REQUIRE(caller.has_value());
    CHECK_EQ(caller->name, "ci");
    CHECK_EQ(caller->tenant, "acme");
    CHECK_EQ(caller->credential, "token:" + secret.id);
    CHECK(has_role(caller->roles, Role::viewer));   // who submits sees its tasks
    CHECK(has_role(caller->roles, Role::payload));  // and their results
    CHECK_FALSE(has_role(caller->roles, Role::operator_role));
    for (const std::string& wrong :
         {std::string(), secret.text + "x", secret.text.substr(1), secret.hash, secret.id, std::string(100'000, 'x')}) {
        const auto refused = guard.who(with_token(wrong, "ipv4:10.0.0.2:1"));
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().fault == Fault::unauthenticated);
        if (!wrong.empty()) CHECK_EQ(refused.error().what.find(wrong), std::string::npos);  // never repeated
    }
    CHECK(guard.still(*caller));
    wall_us += 10;
    CHECK_FALSE(guard.who(with_token(secret.text)).has_value());
    CHECK_FALSE(guard.still(*caller));
    wall_us -= 10;
}

TEST_CASE("A7, A10: a token that is revoked, or made anew with other roles, counts from that moment") {
    Guard guard(asking());
    const Secret secret = make_secret();
    const auto with_one = Tokens().with(token_of(secret, kSubmitter));
    guard.publish(with_one);
    const auto caller = guard.who(with_token(secret.text));
    REQUIRE(caller.has_value());
    guard.publish(with_one->with(token_of(secret, static_cast<Roles>(Role::viewer))));
    CHECK_FALSE(has_role(guard.who(with_token(secret.text))->roles, Role::submitter));
    guard.publish(with_one->without(secret.id));
    CHECK_FALSE(guard.who(with_token(secret.text)).has_value());
    CHECK_FALSE(guard.still(*caller));
}

TEST_CASE("A6: a hundred wrong tokens are slowed by address, and a good one passes all the same") {
    Guard guard(asking());
    const Secret secret = make_secret();
    guard.publish(Tokens().with(token_of(secret, kSubmitter)));
    int slowed = 0;
    for (int i = 0; i < 100; ++i) {
        // Another port each time: it is the address that counts.
        const auto refused = guard.who(with_token("nxt_wrong", "ipv4:10.0.0.9:" + std::to_string(1000 + i)));
        REQUIRE_FALSE(refused.has_value());
        if (refused.error().fault == Fault::exhausted) ++slowed;
        if (refused.error().fault == Fault::exhausted) CHECK_GT(refused.error().retry_after.us, 0);
    }
    CHECK_EQ(slowed, 90);
    CHECK_EQ(guard.limits.refused(Limit::sign_ins), 90);
    CHECK(guard.who(with_token(secret.text, "ipv4:10.0.0.9:5000")).has_value());
    CHECK(guard.who(with_token("nxt_wrong", "ipv4:10.0.0.10:1")).error().fault == Fault::unauthenticated);
    steady += 1'000'001;
    CHECK(guard.who(with_token("nxt_wrong", "ipv4:10.0.0.9:1")).error().fault == Fault::unauthenticated);
}

TEST_CASE("A5: nothing of a secret is kept, and one is found by its hash alone") {
    const Secret one = make_secret(), two = make_secret();
    CHECK_NE(one.text, two.text);
    CHECK_EQ(one.text.size(), 4 + 64);
    CHECK_EQ(sha256_hex(one.text), one.hash);
    const auto tokens = Tokens().with(token_of(one, kSubmitter));
    std::string bytes;
    Writer writer(bytes);
    tokens->save(writer);
    CHECK_EQ(bytes.find(one.text), std::string::npos);
    Tokens back;
    Reader reader(bytes);
    back.load(reader);
    CHECK(reader.at_end());
    REQUIRE(back.by_hash(one.hash) != nullptr);
    CHECK_EQ(back.by_hash(one.hash)->id, one.id);
    CHECK(back.by_hash(two.hash) == nullptr);
}

TEST_CASE("the page's session is its token's: it ends with it, by itself, and by signing out") {
    Guard guard(asking());
    const Secret secret = make_secret();
    const auto tokens = Tokens().with(token_of(secret, kSubmitter));
    guard.publish(tokens);
    const auto caller = guard.check_sign_in(secret.text, "http:10.0.0.1");
    REQUIRE(caller.has_value());
    const auto who = [&](const PageSession& session) {
        return guard.who({.token = {}, .session = session.id, .names = {}, .from = "http:10.0.0.1"});
    };
    const PageSession first = guard.open_session(*caller), second = guard.open_session(*caller);
    CHECK(who(first).has_value());
    CHECK(guard.csrf_fits(first.id, first.csrf));
    CHECK_FALSE(guard.csrf_fits(first.id, second.csrf));
    CHECK_FALSE(guard.csrf_fits(first.id, ""));
    guard.close_session(first.id);
    CHECK_FALSE(who(first).has_value());
    CHECK(who(second).has_value());
    wall_us += Guard::kSessionIdle.us;
    CHECK_FALSE(who(second).has_value());
    const PageSession third = guard.open_session(*caller);
    CHECK(who(third).has_value());
    guard.publish(tokens->without(secret.id));
    CHECK_FALSE(who(third).has_value());
}

TEST_CASE("A3: names of certificates are compared whole") {
    GuardOptions options = asking();
    options.subjects = *subjects_from("worker-1=worker, ci.example.org=submitter@acme");
    Guard guard(std::move(options));
    const auto who = [&](std::vector<std::string> names) {
        return guard.who({.token = {}, .session = {}, .names = names, .from = "ipv4:10.0.0.3:1"});
    };
    CHECK_EQ(who({"worker-1"})->credential, "certificate:worker-1");
    CHECK_EQ(who({"other", "ci.example.org"})->tenant, "acme");
    for (const std::string& name : {std::string("worker-10"), std::string("worker-"), std::string("WORKER-1"),
                                    std::string("worker-1\0.evil.example", 22), std::string("x.ci.example.org")})
        CHECK_FALSE(who({name}).has_value());
}

TEST_CASE("subjects and roles that make no sense are refused") {
    static constexpr struct {
        const char* text;
        bool fine;
        const char* says;
    } rows[] = {{"", true, ""},
                {"a=viewer", true, ""},
                {"a=viewer+payload:read@t,b=admin", true, ""},
                {"a", false, "NAME=ROLE"},
                {"=viewer", false, "NAME=ROLE"},
                {"a=veiwer", false, "viewer"},
                {"a=worker@t", false, "cannot be bound to a tenant"},
                {"a=viewer@", false, "no tenant"},
                {"a=viewer,a=admin", false, "twice"}};
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto subjects = subjects_from(row.text);
        REQUIRE_EQ(subjects.has_value(), row.fine);
        if (!row.fine) CHECK_NE(subjects.error().what.find(row.says), std::string::npos);
    }
    CHECK_EQ(text_of(*roles_from("admin,viewer")), "viewer,admin");
    CHECK_EQ(text_of(0), "none");
}

TEST_CASE("D1: a caller's rate is its limit within a twentieth, whatever it sends") {
    Limits limits({.requests_per_s = 1000, .tasks_per_s = 500}, steady_us);
    const Caller caller{.name = "ci", .tenant = {}, .roles = kAllRoles, .credential = "token:a"};
    const std::int64_t began = steady;
    std::uint64_t taken = 0, tasks = 0;
    for (int ms = 0; ms < 60'000; ++ms) {
        steady = began + ms * 1000;
        for (int i = 0; i < 3; ++i)  // three times what it may
            if (limits.enter(caller)) ++taken;
        if (const auto ok = limits.take_tasks(caller, 7)) tasks += 7;
    }
    CHECK_GE(taken, 60'000 + 9'500);  // and ten seconds' worth at once
    CHECK_LE(taken, (60'000 + 10'000) * 1.05);
    CHECK_GE(tasks, 30'000 + 4'750);
    CHECK_LE(tasks, (30'000 + 5'000) * 1.05);
    const auto refused = limits.take_tasks(caller, 1);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().fault == Fault::exhausted);
    steady += refused.error().retry_after.us;  // it says when to come back, and that is true
    CHECK(limits.take_tasks(caller, 1).has_value());
}

TEST_CASE("callers of one tenant share its rate, and nobody else's") {
    Limits limits({.requests_per_s = 0, .tasks_per_s = 0, .tenant_requests_per_s = 0, .tenant_tasks_per_s = 10},
                  steady_us);
    const auto of = [](const char* id, const char* tenant) {
        return Caller{.name = id, .tenant = tenant, .roles = kAllRoles, .credential = id};
    };
    CHECK(limits.take_tasks(of("a", "acme"), 100).has_value());
    CHECK_FALSE(limits.take_tasks(of("b", "acme"), 1).has_value());
    CHECK(limits.take_tasks(of("c", "zeta"), 1).has_value());
    CHECK(limits.take_tasks(of("d", ""), 1'000'000).has_value());
}

TEST_CASE("places among those in flight and among streams come back when they are let go") {
    Limits limits({.in_flight = 2, .streams = 1}, steady_us);
    const Caller caller{.name = "ci", .tenant = {}, .roles = kAllRoles, .credential = "token:a"};
    auto first = limits.enter(caller), second = limits.enter(caller);
    REQUIRE(second.has_value());
    CHECK_FALSE(limits.enter(caller).has_value());
    first->reset();
    CHECK(limits.enter(caller).has_value());
    const auto stream = limits.open_stream(caller);
    CHECK_FALSE(limits.open_stream(caller).has_value());
    CHECK_EQ(limits.refused(Limit::in_flight), 1);
    CHECK_EQ(limits.refused(Limit::streams), 1);
}

}  // namespace
}  // namespace nexus::identity
