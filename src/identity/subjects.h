#pragma once
// Whom a client's certificate stands for: the setting server.tls_subjects.
//
//     worker-1=worker,ci.example.org=submitter@acme,ops@example.org=operator+viewer
//
// One entry per name that a certificate may carry (a subject alternative name or the common name, compared exactly), with
// its roles, and with the one tenant it may touch. An entry with a name twice is refused.

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/caller.h"
#include "base/result.h"

namespace nexus::identity {

struct Subject {
    Roles roles = 0;
    std::string tenant;
    bool operator==(const Subject&) const = default;
};
using Subjects = std::map<std::string, Subject, std::less<>>;

// Fault invalid names the entry.
Result<Subjects> subjects_from(std::string_view text);

}  // namespace nexus::identity
