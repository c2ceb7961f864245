#pragma once
// Tells systemd how this service is, where it was started by it with Type=notify (sd_notify(3)): one datagram each.
// Nothing happens where it was not. Any thread.

#include <string>

#include "base/units.h"

namespace nexus::process {

void notify(const std::string& text);  // "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."
// How often WATCHDOG=1 is expected at least; 0 = not at all.
Duration watchdog_interval();

}  // namespace nexus::process
