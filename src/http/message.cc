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
    nlohmann::json body = {
        {"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}, {"code", code}};
    if (!field.empty()) body["field"] = field;
    response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return response;
}

Response problem_of(const Error& error) {
    const api::FaultRow& row = api::row_of(error.fault);
    Response response = problem(row.http, row.reason, title_of(row.http), error.what, api::field_of(error));
    if (const Duration wait = api::retry_after(error); wait.us > 0)  // in whole seconds, the next one
        response.headers.emplace_back("Retry-After", std::to_string((wait.us + 999'999) / 1'000'000));
    if (error.fault == Fault::unauthenticated)
        response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"nexus\"");
    return response;
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
