#pragma once
// The request target: path and query.

#include <map>
#include <string>
#include <string_view>

namespace nexus::http {

// False when it is malformed: bad escapes, NUL, not UTF-8, an escaped slash or control character in the path, "//" or
// "..", a parameter that is repeated, more than 32 of them, longer than 8 KiB.
bool parse_target(std::string_view target, std::string& path, std::map<std::string, std::string>& query);

}  // namespace nexus::http
