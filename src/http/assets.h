#pragma once
// The files of the page, embedded in the binary at link time.

#include <optional>
#include <string_view>

namespace nexus::http {

struct Asset {
    std::string_view bytes;
    std::string_view content_type;
};

// `path` as asked for, e.g. "/" or "/app.js". Empty when there is no such file.
std::optional<Asset> asset(std::string_view path);

}  // namespace nexus::http
