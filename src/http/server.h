#pragma once
// The HTTP side of the server: REST in JSON, a live event stream, the page, Prometheus metrics and health.
//
//   GET  /                         the page            GET /metrics           Prometheus text
//   GET  /livez /readyz            health              GET /v1/status
//   GET  /v1/workers               POST /v1/workers/{name}:cordon|uncordon|drain
//   GET  /v1/tasks  ?state=&type=&tenant=&queue=&worker=&limit=&cursor=
//   POST /v1/tasks                 one TaskSpec; Idempotency-Key header; 202
//   GET  /v1/tasks/{id}            POST /v1/tasks/{id}:cancel|retry      GET /v1/tasks/{id}/explain
//   GET  /v1/types  /v1/types/{t}  GET /v1/decisions?task=&worker=&limit=
//   GET  /v1/live                  text/event-stream: `status`, `workers`, `tasks` once a second
//
// Bodies are the messages of nexus.v1 in protobuf JSON with proto field names; errors are application/problem+json (RFC
// 9457).
//
// Threads: one I/O thread of its own; engine calls are asynchronous, so a slow engine delays its own answer only.
// Limits: Options::*_max; a client slower than them is cut. Names other than loopback in Host are refused (421, DNS
// rebinding), foreign Origins and cross-site fetches too (403).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/service.h"

namespace nexus::http {

struct Options {
    std::string address = "127.0.0.1:7080";                                // host:port; port 0 = any free one
    std::vector<std::string> hosts = {"localhost", "127.0.0.1", "[::1]"};  // accepted names in Host, port ignored
    std::uint32_t connections_max = 512;                                   // the next one is closed at once
    std::uint32_t live_streams_max = 128;                                  // further ones get 503
    std::uint32_t body_bytes_max = 1 << 20;                                // 413
    std::uint32_t header_bytes_max = 16 << 10;                             // 431
    Duration header_time_max = seconds(5);                                 // whole header and body must be in by then
    Duration idle_max = seconds(60);                                       // between requests of one connection
    Duration write_time_max = seconds(10);                                 // one response or one live frame
};

class Server {
public:
    // Faults: invalid (address), unavailable (port taken).
    static Result<std::unique_ptr<Server>> start(Options options, engine::Service& service);
    ~Server();  // closes all connections and joins the thread
    std::uint16_t port() const;

private:
    struct State;
    explicit Server(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;  // also owned by engine callbacks under way
};

}  // namespace nexus::http
