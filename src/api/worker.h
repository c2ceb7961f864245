#pragma once
// The worker protocol: nexus.v1.WorkerMessage -> engine values, engine orders -> nexus.v1.ServerMessage.
//
// Errors are Fault::invalid and start with the field. Texts and results are moved out of the message.

#include <cstddef>
#include <string_view>

#include <nexus/v1/nexus.pb.h>

#include "base/result.h"
#include "engine/messages.h"

namespace nexus::api {

struct WorkerLimits {
    std::size_t result_bytes_max = 256 << 10;
    std::size_t error_bytes_max = 4 << 10;  // longer texts are cut, not refused
    std::size_t note_bytes_max = 1 << 10;   // likewise
    std::size_t reports_max = 65'536;       // started, progress, finished … of one message, each
    std::size_t held_max = 65'536;
    std::size_t written_bytes_max = 64 << 10;  // of each stream of an answer to Look
};

Result<engine::WorkerHello> to_hello(v1::Hello& hello, const WorkerLimits& limits = {});
// Everything but the hello. Numbers out of their range (cpu_usage of 100, progress of 2.5) are clamped; those that are
// not finite or negative are refused.
Result<engine::WorkerReport> to_report(v1::WorkerMessage& message, const WorkerLimits& limits = {});
Result<engine::WorkerReport::Load> to_load(double cpu_usage, double memory_usage);

// Appends the orders to `out`, which may hold earlier ones: this is how queued orders merge. `now` turns deadlines into
// time left.
void add_orders(const engine::WorkerOrders& orders, std::string_view server_version, WallTime now,
                v1::ServerMessage& out);
void to_message(const engine::Assignment& assignment, WallTime now, v1::Assign& out);

}  // namespace nexus::api
