#include "http/routes.h"

#include <algorithm>
#include <iterator>

#include "base/must.h"
#include "http/assets.h"
#include "http/health.h"
#include "http/metrics.h"
#include "http/openapi.h"
#include "http/session.h"

namespace nexus::http {
namespace {

// A file of the page. Its name holds the hash of its bytes (but for the icon's), so it never changes.
void file(api::Door&, const Request& request, Reply reply) {
    const Asset* found = asset(request.path == "/favicon.ico" ? "/icon.svg" : request.path);
    if (found == nullptr) return reply(problem(404, "NOT_FOUND", "Not found", "no such file"));
    Response response;
    response.content_type = found->content_type;
    response.headers = {
        {"ETag", found->etag},
        {"Vary", "Accept-Encoding"},
        {"Cache-Control", request.path.starts_with("/assets/") ? "public, max-age=31536000, immutable" : "no-cache"}};
    if (request.manners.takes_gzip) response.headers.emplace_back("Content-Encoding", "gzip");
    response.fixed = request.manners.takes_gzip ? found->gzip : found->plain;
    reply(std::move(response));
}

// The page itself, at each of its paths.
void page(api::Door&, const Request& request, Reply reply) {
    Response response;
    response.content_type = "text/html; charset=utf-8";
    response.body = page_at(request.path);
    response.headers.emplace_back("Cache-Control", "no-cache");
    reply(std::move(response));
}

// "application/json" of "Application/JSON; charset=utf-8", in lower case already.
std::string_view media_type(std::string_view content_type) {
    const std::string_view type = content_type.substr(0, content_type.find(';'));
    return type.substr(0, type.find_last_not_of(" \t") + 1);
}

using Page = void (*)(api::Door& door, const Request& request, Reply reply);
constexpr std::string_view kNames[] = {"http/metrics", "http/livez",      "http/readyz",  "http/healthz",
                                       "http/page",    "http/index.html", "http/asset",   "http/icon",
                                       "http/favicon", "http/openapi",    "http/sign_in", "http/sign_out"};
constexpr Page kPages[] = {metrics, livez, readyz, readyz, page, page, file, file, file, openapi, sign_in, sign_out};
static_assert(std::size(kNames) == std::size(kPages));

}  // namespace

std::span<const std::string_view> page_names() {
    return kNames;
}

void route(api::Door& door, const Route& where, Request request, Reply reply) {
    if (where.method == nullptr && where.allowed.empty())
        return reply(problem(404, "NOT_FOUND", "Not found", "nothing is served at this path"));
    if (where.method == nullptr) {
        Response response = problem(405, "METHOD_NOT_ALLOWED", "Method not allowed", "at this path: " + where.allowed);
        response.headers.emplace_back("Allow", where.allowed);
        return reply(std::move(response));
    }
    const api::Method& method = *where.method;
    if (method.kind == api::Kind::page) {
        const auto name = std::ranges::find(kNames, std::string_view(method.name));
        MUST(name != std::end(kNames));  // the others are the server's
        door.counts->add(method, 0);
        return kPages[name - std::begin(kNames)](door, request, std::move(reply));
    }
    // A form or a plain-text post of another site can carry no such header without asking first.
    const bool json = media_type(request.content_type) == "application/json";
    const bool needed = *method.rest.body != '\0' && *method.rest.body != '*';
    if (!json && (needed || !request.content_type.empty()))
        return reply(problem(415, "CONTENT_TYPE", "Unsupported media type",
                             needed ? "send application/json" : "send application/json or no body"));
    call_method(door, where, request, std::move(reply));
}

}  // namespace nexus::http
