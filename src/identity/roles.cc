#include "identity/roles.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/name.h"
#include "base/spelling.h"

namespace nexus::identity {
namespace {

struct RoleWord {
    Role role;
    std::string_view name;
};
constexpr std::array kWords{RoleWord{Role::viewer, "viewer"},          RoleWord{Role::payload, "payload:read"},
                            RoleWord{Role::submitter, "submitter"},    RoleWord{Role::worker, "worker"},
                            RoleWord{Role::operator_role, "operator"}, RoleWord{Role::admin, "admin"}};
constexpr Roles kOfTasks =
    static_cast<Roles>(Role::viewer) | static_cast<Roles>(Role::payload) | static_cast<Roles>(Role::submitter);

}  // namespace

std::string_view name_of(Role role) {
    for (const RoleWord& word : kWords)
        if (word.role == role) return word.name;
    return "any role";
}

std::string text_of(Roles roles) {
    std::string text;
    for (const RoleWord& word : kWords)
        if (has_role(roles, word.role)) text.append(text.empty() ? "" : ",").append(word.name);
    return text.empty() ? "none" : text;
}

Result<Roles> roles_from(std::string_view text) {
    Roles roles = 0;
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        if (word.empty()) continue;
        const auto known = std::ranges::find(kWords, word, &RoleWord::name);
        if (known == kWords.end()) {
            std::vector<std::string_view> names;
            for (const RoleWord& each : kWords) names.push_back(each.name);
            return fail(Fault::invalid,
                        "no role \"" + std::string(word.substr(0, 64)) + "\"" + did_you_mean(word, names));
        }
        roles = static_cast<Roles>(roles | static_cast<Roles>(known->role));
    }
    if (roles == 0) return fail(Fault::invalid, "no role is named");
    return roles;
}

Result<void> check_grant(Roles roles, std::string_view tenant) {
    if (roles == 0 || (roles & ~kAllRoles) != 0) return fail(Fault::invalid, "roles: at least one of those there are");
    if (tenant.empty()) return {};
    if (!is_name(tenant)) return fail(Fault::invalid, "tenant: " + std::string(kNameRule));
    if ((roles & ~kOfTasks) == 0) return {};
    return fail(Fault::invalid, "roles: " + text_of(static_cast<Roles>(roles & ~kOfTasks)) +
                                    " acts on the whole fleet and cannot be bound to a tenant");
}

}  // namespace nexus::identity
