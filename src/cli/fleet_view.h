#pragma once
// Workers, types and the server's state as a person reads them.

#include <string>
#include <string_view>

#include "cli/columns.h"
#include "nexus/v1/nexus.pb.h"

namespace nexus::cli {

namespace pb = ::nexus::v1;

std::string worker_state_text(pb::WorkerState state);
// Unspecified when no state is called so.
pb::WorkerState worker_state_from_text(std::string_view text);
// Of two processes that both want this worker's name, while that lasts; else empty.
std::string rivals_text(const pb::Worker& worker, std::int64_t now_unix_us);
const Kind<pb::Worker>& worker_kind();
// All of them, as `nexus top` shows them.
Table worker_table(const pb::ListWorkersResponse& workers, const Terminal& terminal, std::int64_t now_unix_us);
std::string worker_page(const pb::Worker& worker, std::int64_t now_unix_us);
const Kind<pb::TypeStat>& type_kind();
std::string type_page(const pb::TypeStat& type, const Terminal& terminal);
// When all is done, or what will never be as things stand.
std::string drain_text(const pb::Status& status, std::int64_t now_unix_us);
std::string status_page(const pb::Status& status, const std::string& server, std::int64_t now_unix_us);

}  // namespace nexus::cli
