#include "http/session.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "identity/roles.h"

namespace nexus::http {
namespace {

std::string set_cookie(std::string_view name, std::string_view value, bool secure, bool for_scripts) {
    std::string cookie(name);
    cookie.append("=").append(value).append("; Path=/; SameSite=Strict");
    if (!for_scripts) cookie += "; HttpOnly";
    if (secure) cookie += "; Secure";
    if (value.empty()) cookie += "; Max-Age=0";
    return cookie;
}

void add_cookies(Response& response, std::string_view id, std::string_view csrf, bool secure) {
    response.headers.emplace_back("Set-Cookie", set_cookie(kSessionCookie, id, secure, false));
    response.headers.emplace_back("Set-Cookie", set_cookie(kCsrfCookie, csrf, secure, true));
}

std::string token_of(const Request& request) {
    const auto body = nlohmann::json::parse(request.body, nullptr, false);
    if (!body.is_object() || !body.contains("token") || !body["token"].is_string()) return {};
    return body["token"].get<std::string>();
}

}  // namespace

std::string_view cookie_of(std::string_view header, std::string_view name) {
    while (!header.empty()) {
        std::string_view pair = header.substr(0, header.find(';'));
        header.remove_prefix(std::min(header.size(), pair.size() + 1));
        pair.remove_prefix(std::min(pair.size(), pair.find_first_not_of(' ')));
        if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) return pair.substr(name.size() + 1);
    }
    return {};
}

void sign_in(api::Door& door, const Request& request, Reply reply) {
    if (!request.content_type.starts_with("application/json"))
        return reply(problem(415, "CONTENT_TYPE", "Unsupported media type", "send application/json"));
    if (!door.guard->asks()) {
        Response open;
        open.body = R"({"open":true})";
        return reply(std::move(open));
    }
    auto caller = door.guard->check_sign_in(token_of(request), request.from);
    if (!caller) return reply(problem_of(caller.error()));
    auto signed_in = [&door, who = *caller, secure = request.secure,
                      reply = std::move(reply)](Result<std::uint64_t>&& stored) mutable {
        if (!stored) return reply(problem_of(stored.error()));
        const identity::PageSession session = door.guard->open_session(who);
        Response response;
        response.body = nlohmann::json{
            {"name", who.name},
            {"tenant", who.tenant},
            {"roles", identity::text_of(who.roles)},
            {"csrf",
             session.csrf}}.dump();
        add_cookies(response, session.id, session.csrf, secure);
        reply(std::move(response));
    };
    door.engine.ask(*caller, engine::SignIn{}, std::move(signed_in));
}

void sign_out(api::Door& door, const Request& request, Reply reply) {
    door.guard->close_session(request.session);
    Response response;
    response.status = 204;
    add_cookies(response, {}, {}, request.secure);
    reply(std::move(response));
}

}  // namespace nexus::http
