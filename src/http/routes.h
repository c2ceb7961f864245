#pragma once
// From a parsed request to a response: what each path does. Knows the engine, not the sockets.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/service.h"

namespace nexus::http {

struct Request {
    std::string method;  // "GET", "HEAD" (as GET), "POST"
    std::string path;    // decoded, without query
    std::map<std::string, std::string> query;
    std::string content_type;
    std::string idempotency_key;
    std::string body;
};

struct Response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string_view fixed;  // instead of body: bytes that live as long as the program
};

// Runs exactly once, on whatever thread answers.
using Reply = std::move_only_function<void(Response)>;

// Answers every request, also a wrong one. Does not block.
void route(engine::Service& service, Request request, Reply reply);

// application/problem+json (RFC 9457) with a stable `code`.
Response problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail);

// Splits a request target into path and query. False when it is malformed (bad escapes, NUL, repeated parameter).
bool parse_target(std::string_view target, std::string& path, std::map<std::string, std::string>& query);

// One frame of the live stream: status, workers and the newest tasks as server-sent events.
void live_frame(engine::Service& service, std::move_only_function<void(std::string)> done);

}  // namespace nexus::http
