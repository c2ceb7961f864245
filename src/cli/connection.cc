#include "cli/connection.h"

#include <charconv>
#include <cstdint>

#include "cli/text.h"

namespace nexus::cli {

Answer<void> check_address(std::string_view server) {
    if (server.starts_with("unix:") && server.size() > std::string_view("unix:").size()) return {};
    const std::string shown = safe_text(server, 80);
    const std::size_t colon = server.rfind(':');
    std::uint32_t port = 0;
    if (colon != std::string_view::npos && colon > 0) {
        const std::string_view digits = server.substr(colon + 1);
        const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (fault == std::errc{} && end == digits.data() + digits.size() && port >= 1 && port <= 65'535) return {};
    }
    return failure(
        kExitUsage,
        "\"" + shown + "\" is not a server address: expected host:port with a port of 1 to 65535, or unix:PATH",
        "e.g. --server " + std::string(kServerDefault));
}

}  // namespace nexus::cli
