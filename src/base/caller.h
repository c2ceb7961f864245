#pragma once
// Who calls the server. The transport makes it from what it has proved (a token, a certificate, the peer's address); it
// goes with every call into the engine, and from there into the events that an operator's act becomes. What a request
// says of its author is another matter: that is only what the caller says.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace nexus {

// What a caller may do. A caller has a set of these.
enum class Role : std::uint8_t {
    viewer = 1 << 0,         // see states and lists, without payloads
    payload = 1 << 1,        // read payloads, results and what programs wrote
    submitter = 1 << 2,      // submit, cancel and re-drive tasks
    worker = 1 << 3,         // take work and report
    operator_role = 1 << 4,  // control workers and queues, set overrides, force estimates
    admin = 1 << 5,          // change the configuration, make and revoke tokens
    any = 0x3F,              // of a method: whoever has proved who they are
};
using Roles = std::uint8_t;  // a set of Role
inline constexpr Roles kAllRoles = 0x3F;
constexpr bool has_role(Roles roles, Role role) {
    return (roles & static_cast<Roles>(role)) != 0;
}
// With what the roles bring along: who submits sees its tasks and their results, who operates sees what it operates.
constexpr Roles with_implied(Roles roles) {
    unsigned all = roles;
    if (has_role(roles, Role::submitter))
        all |= static_cast<unsigned>(Role::viewer) | static_cast<unsigned>(Role::payload);
    if (has_role(roles, Role::operator_role) || has_role(roles, Role::admin))
        all |= static_cast<unsigned>(Role::viewer);
    return static_cast<Roles>(all);
}

struct Caller {
    std::string name;    // of the token or certificate; "anonymous" when nothing was proved
    std::string tenant;  // the only tenant it may touch; empty = any
    Roles roles = 0;
    // What proved it: "token:3f9a…", "certificate:worker-1"; empty when nothing was.
    std::string credential{};
    std::string from{};  // the peer: "ipv4:127.0.0.1:41234", "http:127.0.0.1", "server" for the server itself
    // Set by the transport, which shares it, when nobody waits for the answer any more; null: somebody always does.
    std::shared_ptr<const std::atomic<bool>> gone{};
};

// The server, when it acts by itself.
inline Caller server_itself() {
    return {.name = "server", .tenant = {}, .roles = kAllRoles, .credential = {}, .from = "server"};
}

}  // namespace nexus
