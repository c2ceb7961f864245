#include "http/target.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace nexus::http {
namespace {

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool unescape(std::string_view text, bool plus_is_space, std::string& out) {
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            if (i + 2 >= text.size()) return false;
            const int high = hex(text[i + 1]);
            const int low = hex(text[i + 2]);
            if (high < 0 || low < 0) return false;
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (c == '\0') return false;
        out += c;
    }
    return is_utf8(out);
}

}  // namespace

bool parse_target(std::string_view target, std::string& path, std::map<std::string, std::string>& query) {
    if (target.empty() || target.front() != '/' || target.size() > 8192) return false;
    const std::size_t mark = target.find('?');
    const std::string_view written = target.substr(0, mark);
    if (!unescape(written, false, path)) return false;
    // An escaped slash would lead elsewhere than a proxy that does not unescape it believes.
    if (std::ranges::count(path, '/') != std::ranges::count(written, '/')) return false;
    if (std::ranges::any_of(path, [](unsigned char c) { return c < 0x20 || c == 0x7F; })) return false;
    if (path.find("//") != std::string::npos || path.find("..") != std::string::npos) return false;
    if (mark == std::string_view::npos) return true;
    std::string_view rest = target.substr(mark + 1);
    while (!rest.empty()) {
        const std::size_t amp = rest.find('&');
        const std::string_view pair = rest.substr(0, amp);
        rest = amp == std::string_view::npos ? std::string_view() : rest.substr(amp + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        std::string name, value;
        if (!unescape(pair.substr(0, equals), true, name)) return false;
        if (equals != std::string_view::npos && !unescape(pair.substr(equals + 1), true, value)) return false;
        if (query.size() >= 32 || !query.emplace(std::move(name), std::move(value)).second) return false;
    }
    return true;
}

}  // namespace nexus::http
