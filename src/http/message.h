#pragma once
// A parsed request, a response, and how a refusal looks.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/methods.h"
#include "base/result.h"

namespace nexus::http {

struct Request {
    api::Verb verb = api::Verb::get;  // HEAD is GET
    std::string path;                 // decoded, without query
    std::map<std::string, std::string> query;
    std::string content_type;
    std::string idempotency_key;
    std::string body;
    std::string from;                 // the peer, for Caller::from
    std::optional<Caller> caller{};   // who sent it, as request_reader.h found before it read the body
    std::string session{};            // the id in the page's cookie, if it is what the caller proved itself by
    bool secure = false;              // came in TLS
    identity::Limits::Place place{};  // among its caller's requests
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

// application/problem+json (RFC 9457) with a stable `code`, and the `field` that is to blame if there is one.
Response problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail,
                 std::string_view field = {});
Response problem_of(const Error& error);
Response plain_text(std::string text, unsigned status = 200);

// Whoever was found to be; "anonymous" where nobody was looked for.
Caller caller_of(const Request& request);

}  // namespace nexus::http
