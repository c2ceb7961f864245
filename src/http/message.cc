#include "http/message.h"

#include <nlohmann/json.hpp>

#include "api/error.h"

namespace nexus::http {
namespace {

std::string_view title_of(unsigned status) {
    switch (status) {
        case 400: return "Bad request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not found";
        case 409: return "Conflict";
        case 412: return "Precondition failed";
        case 413: return "Content too large";
        case 429: return "Too many requests";
        case 503: return "Service unavailable";
        case 507: return "Insufficient storage";
        default: return "Error";
    }
}

}  // namespace

Response problem(unsigned status, std::string_view code, std::string_view title, std::string_view detail,
                 std::string_view field) {
    Response response;
    response.status = status;
    response.content_type = "application/problem+json";
    nlohmann::json body = {{"type", "about:blank"}, {"title", title}, {"status", status},
                           {"detail", detail},      {"code", code},   {"errors", nlohmann::json::array()}};
    if (!field.empty()) {
        // "priority: must be 0 to 9": what is wrong stands behind the name.
        std::string_view what = detail;
        if (what.starts_with(field) && what.substr(field.size()).starts_with(": "))
            what.remove_prefix(field.size() + 2);
        body["field"] = field;
        body["errors"].push_back({{"field", field}, {"detail", what}});
    }
    response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return response;
}

Response problem_of(const Error& error) {
    const api::FaultRow& row = api::row_of(error.fault);
    Response response = problem(row.http, row.reason, title_of(row.http), error.what, api::field_of(error));
    if (const Duration wait = api::retry_after(error); wait.us > 0)  // in whole seconds, the next one
        response = come_back(std::move(response), static_cast<unsigned>((wait.us + 999'999) / 1'000'000));
    if (error.fault == Fault::unauthenticated)
        response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"nexus\"");
    return response;
}

Response come_back(Response refusal, unsigned seconds) {
    refusal.headers.emplace_back("Retry-After", std::to_string(seconds));
    add_member(refusal, "retry_after", std::to_string(seconds));
    return refusal;
}

void add_member(Response& response, std::string_view name, std::string_view json) {
    response.body.pop_back();  // the brace
    response.body.append(response.body.size() > 1 ? ",\"" : "\"").append(name).append("\":").append(json).append("}");
}

Response plain_text(std::string text, unsigned status) {
    Response response;
    response.status = status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = std::move(text);
    return response;
}

Caller caller_of(const Request& request) {
    if (request.caller) return *request.caller;
    return {.name = "anonymous", .tenant = {}, .roles = kAllRoles, .credential = {}, .from = request.from};
}

}  // namespace nexus::http
