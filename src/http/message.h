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

// What the client says of the answer that it wants.
struct Manners {
    bool is_get = false;
    bool takes_gzip = false;
    std::string if_none_match;
    std::string request_id;  // X-Request-Id as far as it is plain, else one of ours
    std::string trace_id;    // of traceparent; empty without
};

struct Request {
    api::Verb verb = api::Verb::get;  // HEAD is GET
    std::string path;                 // decoded, without query
    std::map<std::string, std::string> query;
    std::string content_type;
    std::string idempotency_key;
    std::string if_match;
    std::string last_event_id;
    std::string scheduler_key, correlation_id;  // of the old Nexus
    Manners manners;
    std::string body;
    std::string from;                 // the peer, for Caller::from
    std::optional<Caller> caller{};   // who sent it, as request_reader.h found before it read the body
    std::string session{};            // the id in the page's cookie, if it is what the caller proved itself by
    bool secure = false;              // came in TLS
    identity::Limits::Place place{};  // among its caller's requests
    std::vector<std::pair<std::string, std::string>> answer_headers{};  // that its answer has, whatever it is
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

// application/problem+json (RFC 9457) with a stable `code`; `errors` tells of each field that is to blame what is wrong
// with it. finish() adds the id of the request.
Response problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail,
                 std::string_view field = {});
Response problem_of(const Error& error);
// The same refusal, with when to come back: Retry-After, and `retry_after` in the body.
Response come_back(Response refusal, unsigned seconds);
// One more member of a JSON object that is an answer's body; `json` is its value.
void add_member(Response& response, std::string_view name, std::string_view json);
Response plain_text(std::string text, unsigned status = 200);

// Whoever was found to be; "anonymous" where nobody was looked for.
Caller caller_of(const Request& request);

}  // namespace nexus::http
