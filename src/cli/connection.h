#pragma once
// Which server, and how long one call may take.

#include <string>
#include <string_view>

#include "base/units.h"
#include "cli/failure.h"

namespace nexus::cli {

inline constexpr std::string_view kServerDefault = "127.0.0.1:7070";

struct Connection {
    std::string server = std::string(kServerDefault);  // host:port
    Duration timeout = seconds(10);                    // of one call
    bool for_people = false;                           // texts in answers are made safe for a terminal
};

// host:port with a port of 1..65535, or a usage failure that says what is wrong.
Answer<void> check_address(std::string_view server);

}  // namespace nexus::cli
