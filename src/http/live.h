#pragma once
// The live stream of the page.

#include <functional>
#include <string>

#include "api/methods.h"

namespace nexus::http {

// One frame: status, workers and the newest tasks as server-sent events. `done` runs once, on any thread.
void live_frame(api::Door& door, std::move_only_function<void(std::string)> done);

}  // namespace nexus::http
