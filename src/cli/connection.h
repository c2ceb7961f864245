#pragma once
// Which server, and how long one call may take.

#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"
#include "cli/failure.h"
#include "reach/reach.h"

namespace nexus::cli {

using reach::kServerDefault;

struct Connection {
    std::string server = std::string(kServerDefault);  // host:port
    std::string token{};                               // empty: none is shown
    std::optional<TlsFiles> tls{};
    Duration timeout = seconds(10);  // of one call
    bool for_people = false;         // texts in answers are made safe for a terminal
    std::string failure{};           // why no call can be made, if so
};

// host:port with a port of 1..65535, or a usage failure that says what is wrong.
Answer<void> check_address(std::string_view server);

}  // namespace nexus::cli
