// Events as JSON text for people: exports, the inspector, test failures.
#include <type_traits>

#include "core/shape.h"
#include "journal/codec.h"

namespace nexus::journal {
namespace {

void text(std::string& out, std::string_view v) {
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    for (const char c : v) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte >= 0x7F) {
            // Bytes that may not be UTF-8 are shown as the code point of the same number: readable, never invalid JSON.
            out += "\\u00";
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        } else {
            out += c;
        }
    }
    out += '"';
}

template <class T>
void value(std::string& out, const T& v);

template <class T>
void members(std::string& out, const T& v, bool& first) {
    [[maybe_unused]] static const T defaults{};
    for_each_member<T>([&](const auto& m) {
        if (v.*m.at == defaults.*m.at) return;
        if (!first) out += ',';
        first = false;
        text(out, m.name);
        out += ':';
        value(out, v.*m.at);
    });
}

template <class T>
void value(std::string& out, const T& v) {
    if constexpr (Shaped<T>) {
        out += '{';
        bool first = true;
        members(out, v, first);
        out += '}';
    } else if constexpr (std::is_enum_v<T>) {
        out += std::to_string(static_cast<unsigned>(v));
    } else if constexpr (std::same_as<T, bool>) {
        out += v ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
        out += std::to_string(v);
    } else if constexpr (requires { v.us; }) {
        out += std::to_string(v.us);
    } else if constexpr (requires { v.hi; }) {
        text(out, to_text(v));
    } else if constexpr (requires { v.n; }) {
        out += std::to_string(v.n);
    } else if constexpr (requires { v.first; }) {
        out += '[';
        value(out, v.first);
        out += ',';
        value(out, v.second);
        out += ']';
    } else if constexpr (std::same_as<T, std::string>) {
        text(out, v);
    } else {
        out += '[';
        for (std::size_t i = 0; i < v.size(); ++i) {
            if (i > 0) out += ',';
            value(out, v[i]);
        }
        out += ']';
    }
}

}  // namespace

std::string describe(const core::Event& event) {
    std::string out = "{\"at_us\":" + std::to_string(event.at.us) + ",\"event\":\"" + kind_name(event) + "\"";
    bool first = false;
    std::visit([&](const auto& fact) { members(out, fact, first); }, event.what);
    out += '}';
    return out;
}

}  // namespace nexus::journal
