#include "identity/subjects.h"

#include <algorithm>

#include "identity/roles.h"

namespace nexus::identity {
namespace {

constexpr std::size_t kNameMax = 255;

Result<std::pair<std::string, Subject>> subject_from(std::string_view entry) {
    const std::size_t equals = entry.rfind('=');
    const std::string shown(entry.substr(0, 80));
    if (equals == std::string_view::npos || equals == 0)
        return fail(Fault::invalid, "\"" + shown + "\": expected NAME=ROLE or NAME=ROLE+ROLE@TENANT");
    std::pair<std::string, Subject> subject;
    subject.first = entry.substr(0, equals);
    const bool plain = std::ranges::all_of(subject.first, [](char c) { return c > ' ' && c < 0x7F; });
    if (!plain || subject.first.size() > kNameMax)
        return fail(Fault::invalid, "\"" + shown + "\": a name is 1 to 255 printable characters without blanks");
    std::string_view grant = entry.substr(equals + 1);
    if (const std::size_t at = grant.find('@'); at != std::string_view::npos) {
        subject.second.tenant = grant.substr(at + 1);
        grant = grant.substr(0, at);
        if (subject.second.tenant.empty()) return fail(Fault::invalid, "\"" + shown + "\": no tenant behind the @");
    }
    std::string names(grant);
    std::ranges::replace(names, '+', ',');
    const auto roles = roles_from(names);
    if (!roles) return std::unexpected(Error(roles.error()).during("\"" + shown + "\""));
    subject.second.roles = *roles;
    if (auto ok = check_grant(*roles, subject.second.tenant); !ok)
        return std::unexpected(Error(ok.error()).during("\"" + shown + "\""));
    return subject;
}

}  // namespace

Result<Subjects> subjects_from(std::string_view text) {
    Subjects subjects;
    while (!text.empty()) {
        std::string_view entry = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), entry.size() + 1));
        entry.remove_prefix(std::min(entry.size(), entry.find_first_not_of(' ')));
        entry = entry.substr(0, entry.find_last_not_of(' ') + 1);
        if (entry.empty()) continue;
        auto subject = subject_from(entry);
        if (!subject) return std::unexpected(std::move(subject).error());
        if (const auto [at, fresh] = subjects.insert(std::move(*subject)); !fresh)
            return fail(Fault::invalid, "\"" + at->first + "\" stands twice");
    }
    return subjects;
}

}  // namespace nexus::identity
