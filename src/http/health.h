#pragma once
// /livez: the process serves. /readyz (and /healthz): the engine accepts work, 503 when not; ?verbose lists its checks.
// Neither waits for the engine's loop.

#include "http/message.h"

namespace nexus::http {

void livez(api::Door& door, const Request& request, Reply reply);
void readyz(api::Door& door, const Request& request, Reply reply);

}  // namespace nexus::http
