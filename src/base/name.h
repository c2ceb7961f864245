#pragma once
// What a type, tenant, queue, worker or label may be called. One rule for every door, so that a name never needs quoting
// in a file, a URL, a log or a terminal.

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace nexus {

inline constexpr std::size_t kNameBytesMax = 128;
inline constexpr std::size_t kHostNameBytesMax = 255;  // of POSIX
inline constexpr std::string_view kNameRule = "must match [A-Za-z0-9._:-]{1,128}";

constexpr bool is_name(std::string_view text) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == ':' || c == '-';
    };
    return !text.empty() && text.size() <= kNameBytesMax && std::ranges::all_of(text, allowed);
}

}  // namespace nexus
