#pragma once
// /metrics: everything the server counts, as Prometheus text.

#include <string>

#include "engine/read_model.h"
#include "http/message.h"

namespace nexus::http {

std::string prometheus_text(const engine::ReadModel& state, const api::Door& door);
void metrics(api::Door& door, const Request& request, Reply reply);

}  // namespace nexus::http
