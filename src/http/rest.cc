#include "http/rest.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "api/error.h"
#include "http/assets.h"
#include "http/json.h"

namespace nexus::http {
namespace {

using google::protobuf::Message;

constexpr std::pair<std::string_view, std::string_view> kShortNames[] = {{"state", "states"},
                                                                         {"task", "task_id"},
                                                                         {"result", "include_result"},
                                                                         {"limit", "page_size"},
                                                                         {"cursor", "page_token"}};

std::vector<std::string_view> segments_of(std::string_view path) {
    std::vector<std::string_view> segments;
    while (!path.empty()) {
        path.remove_prefix(1);  // the slash
        const std::size_t slash = std::min(path.find('/'), path.size());
        segments.push_back(path.substr(0, slash));
        path.remove_prefix(slash);
    }
    return segments;
}

bool is_variable(std::string_view segment) {
    return segment.starts_with('{');
}

struct Pattern {
    const api::Method* method;
    std::vector<std::string_view> segments;
};

const std::vector<Pattern>& patterns() {
    static const std::vector<Pattern> all = [] {
        std::vector<Pattern> list;
        for (const api::Method& method : api::methods())
            if (method.rest.verb != api::Verb::none) list.push_back({&method, segments_of(method.rest.path)});
        // A word fits before a variable does: /v1/tasks/watch is no task.
        std::ranges::stable_sort(
            list, {}, [](const Pattern& pattern) { return std::ranges::count_if(pattern.segments, is_variable); });
        return list;
    }();
    return all;
}

bool fits(const Pattern& pattern, const std::vector<std::string_view>& segments) {
    return std::ranges::equal(pattern.segments, segments, [](std::string_view wanted, std::string_view given) {
        return is_variable(wanted) ? !given.empty() : wanted == given;
    });
}

const char* name_of(api::Verb verb) {
    switch (verb) {
        case api::Verb::get: return "GET, HEAD";
        case api::Verb::post: return "POST";
        case api::Verb::put: return "PUT";
        case api::Verb::remove: return "DELETE";
        case api::Verb::none: break;
    }
    return "";
}

// True when the path and verb lead to a row.
bool match(api::Verb verb, std::string_view path, Route& route) {
    const std::vector<std::string_view> segments = segments_of(path);
    for (const Pattern& pattern : patterns()) {
        if (!fits(pattern, segments)) continue;
        if (pattern.method->rest.verb != verb) {
            route.allowed += (route.allowed.empty() ? "" : ", ") + std::string(name_of(pattern.method->rest.verb));
            continue;
        }
        route.method = pattern.method;
        for (std::size_t i = 0; i < segments.size(); ++i)
            if (const std::string_view wanted = pattern.segments[i]; is_variable(wanted))
                route.variables.emplace_back(wanted.substr(1, wanted.size() - 2), segments[i]);
        return true;
    }
    return false;
}

std::string_view field_named(std::string_view name, const Message& message) {
    if (message.GetDescriptor()->FindFieldByName(std::string(name)) != nullptr) return name;
    for (const auto& [brief, field] : kShortNames)
        if (brief == name) return field;
    return name;
}

// The header stands for the key of the one task in the request.
void set_idempotency_key(const std::string& key, Message& message) {
    const auto* task = message.GetDescriptor()->FindFieldByName("task");
    if (key.empty() || task == nullptr) return;
    Message& spec = *message.GetReflection()->MutableMessage(&message, task);
    if (const auto* field = spec.GetDescriptor()->FindFieldByName("idempotency_key"))
        spec.GetReflection()->SetString(&spec, field, key);
}

// `If-Match: "7"` stands for the etag of the request.
Result<void> set_etag(const std::string& if_match, Message& message) {
    if (if_match.empty() || if_match == "*") return {};
    const auto* field = message.GetDescriptor()->FindFieldByName("etag");
    if (field == nullptr) return fail(Fault::invalid, "If-Match: nothing here has an etag");
    std::string_view tag = if_match;
    if (tag.size() < 2 || !tag.starts_with('"') || !tag.ends_with('"'))
        return fail(Fault::invalid, "If-Match: must be one ETag as it was given, in quotes");
    tag = tag.substr(1, tag.size() - 2);
    const auto* reflection = message.GetReflection();
    const std::string told = reflection->GetString(message, field);
    if (!told.empty() && told != tag) return fail(Fault::invalid, "etag: is another than that of If-Match");
    reflection->SetString(&message, field, std::string(tag));
    return {};
}

Result<void> fill(const Route& route, const Request& request, Message& message) {
    const std::string_view body = route.method->rest.body;
    if (body.empty() && !request.body.empty()) return fail(Fault::invalid, "body: this method takes none");
    if (body == "*" && !request.body.empty())
        if (auto ok = from_json(request.body, message); !ok) return ok;
    if (!body.empty() && body != "*") {
        const auto* field = message.GetDescriptor()->FindFieldByName(std::string(body));
        if (auto ok = from_json(request.body, *message.GetReflection()->MutableMessage(&message, field)); !ok)
            return ok;
    }
    for (const auto& [name, text] : route.variables)
        if (auto ok = set_field(message, name, text); !ok) return ok;
    for (const auto& [name, text] : request.query) {
        const std::string_view field = field_named(name, message);
        const bool taken =
            std::ranges::any_of(route.variables, [&](const auto& known) { return known.first == field; });
        if (taken) return fail(Fault::invalid, "parameter " + name + " is given by the path");
        if (auto ok = set_field(message, field, text); !ok) return ok;
    }
    set_idempotency_key(request.idempotency_key, message);
    return set_etag(request.if_match, message);
}

std::string text_of(const Message& message, const char* name) {
    const auto* field = message.GetDescriptor()->FindFieldByName(name);
    return field == nullptr ? std::string() : message.GetReflection()->GetString(message, field);
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           std::string_view("-._~:,/").find(c) != std::string_view::npos;
        if (plain)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

// The same list, from there on.
std::string next_page(const Request& request, const std::string& token) {
    std::string target = escaped(request.path) + "?";
    for (const auto& [name, text] : request.query)
        if (name != "cursor" && name != "page_token") target += escaped(name) + "=" + escaped(text) + "&";
    return "<" + target + "cursor=" + escaped(token) + ">; rel=\"next\"";
}

// What lives as long as a call.
struct Calling {
    api::Door& door;
    const Route route;
    Reply reply;
    std::vector<std::pair<std::string, std::string>> names;  // field -> what the caller called it, where that differs
    Request asked;                                           // without its body
    std::unique_ptr<Message> request, response;

    void finish(const Result<void>& outcome) {
        door.counts->add(*route.method, api::code_of(outcome));
        if (!outcome) return refuse(outcome.error());
        const api::Rest& rest = route.method->rest;
        Response answer;
        answer.status = rest.status;
        answer.body = json_of(*response);
        if (*rest.location != '\0') answer.headers.emplace_back("Location", rest.location + text_of(*response, "id"));
        if (const std::string etag = text_of(*response, "etag"); !etag.empty())
            answer.headers.emplace_back("ETag", "\"" + etag + "\"");
        const std::string token = text_of(*response, "next_page_token");
        if (rest.verb == api::Verb::get && !token.empty()) answer.headers.emplace_back("Link", next_page(asked, token));
        reply(std::move(answer));
    }
    // By the names that the caller used: those of the body where the body is a part of the request.
    Error told(Error error) const {
        const std::string body = std::string(route.method->rest.body) + ".";
        if (body.size() > 2 && error.what.starts_with(body)) error.what.erase(0, body.size());
        for (const auto& [field, given] : names)
            if (api::field_of(error) == field) error.what.replace(0, field.size(), given);
        return error;
    }
    // A path with a bad id leads to nothing.
    void refuse(const Error& plain) {
        const Error error = told(plain);
        const std::string_view field = api::field_of(error);
        const bool in_path =
            std::ranges::any_of(route.variables, [&](const auto& each) { return each.first == field; });
        if (error.fault == Fault::invalid && in_path) return reply(problem_of({Fault::not_found, error.what}));
        if (error.fault == Fault::conflict && !asked.if_match.empty())
            return reply(problem(412, "PRECONDITION_FAILED", "Precondition failed", error.what));
        reply(problem_of(error));
    }
};

}  // namespace

std::string short_name_of(const std::string& field) {
    for (const auto& [brief, name] : kShortNames)
        if (name == field) return std::string(brief);
    return field;
}

Route find_route(api::Verb verb, const std::string& path) {
    Route route;
    if (match(verb, path, route)) return route;
    if (verb == api::Verb::get && is_page(path) && match(verb, "/", route)) return route;
    // /x/{id}:verb is /x/{id}/verb
    const std::size_t colon = path.rfind(':');
    if (colon == std::string::npos || path.find('/', colon) != std::string::npos) return route;
    std::string with_slash = path;
    with_slash[colon] = '/';
    match(verb, with_slash, route);
    return route;
}

void call_method(api::Door& door, const Route& route, const Request& request, Reply reply) {
    const api::Method& method = *route.method;
    auto calling = std::make_unique<Calling>(door, route, std::move(reply));
    calling->asked = {.path = request.path, .query = request.query, .if_match = request.if_match};
    for (const auto& [brief, field] : kShortNames)
        if (request.query.contains(std::string(brief))) calling->names.emplace_back(field, brief);
    calling->request.reset(method.request().New());
    calling->response.reset(method.response().New());
    if (auto ok = fill(route, request, *calling->request); !ok) return calling->finish(ok);
    Calling& kept = *calling;
    method.run(door, caller_of(request), *kept.request, *kept.response,
               [calling = std::move(calling)](Result<void>&& outcome) { calling->finish(outcome); });
}

}  // namespace nexus::http
