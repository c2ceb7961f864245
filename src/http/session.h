#pragma once
// Signing in at the page. A token is exchanged for a session that only the server knows: its id is in a cookie that
// scripts cannot read, so that no token lies in a browser. A change by cookie must show what the sign-in told its page
// (X-Nexus-CSRF), which another site's page can neither read nor send.

#include <string>
#include <string_view>

#include "http/message.h"

namespace nexus::http {

inline constexpr std::string_view kSessionCookie = "nexus_session";
inline constexpr std::string_view kCsrfCookie = "nexus_csrf";
inline constexpr std::string_view kCsrfHeader = "X-Nexus-CSRF";

// The value of a cookie in a Cookie header; empty when it is not there.
std::string_view cookie_of(std::string_view header, std::string_view name);

void sign_in(api::Door& door, const Request& request, Reply reply);
void sign_out(api::Door& door, const Request& request, Reply reply);

}  // namespace nexus::http
