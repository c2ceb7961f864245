#pragma once
// The HTTP side of the server: REST in JSON, a live event stream, the page, Prometheus metrics and health.
//
// The routes are the rows of api/methods.h: methods of the API as JSON, and the pages that HTTP alone serves (/,
// /metrics, /livez, /readyz, and /v1/live: `status`, `workers` and `tasks` once a second as text/event-stream).
//
// Bodies are the messages of nexus.v1 in protobuf JSON with proto field names; errors are application/problem+json (RFC
// 9457).
//
// Threads: one I/O thread of its own; engine calls are asynchronous, so a slow engine delays its own answer only.
// Limits: Options::*_max, and of each body what its method takes; a client slower than them is cut. What is refused
// before it is looked at: request_reader.h.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/methods.h"
#include "base/result.h"
#include "identity/tls_files.h"

namespace nexus::http {

struct Options {
    std::string address = "127.0.0.1:7080";                                // host:port; port 0 = any free one
    std::vector<std::string> hosts = {"localhost", "127.0.0.1", "[::1]"};  // accepted names in Host, port ignored
    std::uint32_t connections_max = 512;        // for the next one whoever has kept us waiting longest is closed
    std::uint32_t live_streams_max = 128;       // further ones get 503
    std::uint32_t header_bytes_max = 16 << 10;  // 431
    Duration header_time_max = seconds(5);      // whole header and body must be in by then
    Duration idle_max = seconds(60);            // between requests of one connection
    Duration write_time_max = seconds(10);      // one response or one live frame
    std::uint64_t body_bytes_max = 32 << 20;    // of all bodies that are arriving; then 503
    std::vector<std::string> scheduler_keys;    // of /scheduler/*; none: nobody may
    std::uint64_t answer_bytes_max = 64 << 20;  // of all answers that wait to be read; then 503
    std::optional<identity::TlsFiles> tls;      // read again when they change
};

class Server {
public:
    // `door` must outlive the server. Faults: invalid (address), unavailable (port taken).
    static Result<std::unique_ptr<Server>> start(Options options, api::Door& door);
    ~Server();  // closes all connections and joins the thread
    std::uint16_t port() const;

private:
    struct State;
    explicit Server(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;  // also owned by engine callbacks under way
};

}  // namespace nexus::http
