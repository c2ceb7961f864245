#pragma once
// Roles in words: as settings, flags and refusals name them.

#include <string>
#include <string_view>

#include "base/caller.h"
#include "base/result.h"

namespace nexus::identity {

// "viewer", "payload:read", "submitter", "worker", "operator", "admin"; "any role" for Role::any.
std::string_view name_of(Role role);
// With commas between them, in the order above; "none" when empty.
std::string text_of(Roles roles);
// Of one or more names with commas between them. Fault invalid names the word and the nearest role.
Result<Roles> roles_from(std::string_view text);

// Whether somebody may be given these. A tenant bounds what one does with tasks; everything else is the fleet's, so a
// role of the fleet and a tenant exclude each other. Fault invalid.
Result<void> check_grant(Roles roles, std::string_view tenant);

}  // namespace nexus::identity
