#pragma once
// The table of methods (api/methods.h) over HTTP: which row a path leads to, and a unary method from its URL and JSON
// body to its JSON answer.

#include <string>
#include <utility>
#include <vector>

#include "api/methods.h"
#include "http/message.h"

namespace nexus::http {

struct Route {
    const api::Method* method = nullptr;                         // null: nothing is served there with this verb…
    std::vector<std::pair<std::string, std::string>> variables;  // field -> text, of the path
    std::string allowed;                                         // …but with these ("GET, POST"); empty: not at all
};
Route find_route(api::Verb verb, const std::string& path);

// The name under which a field stands in a URL: "limit" for "page_size".
std::string short_name_of(const std::string& field);

// Carries out a unary method. Parameters are fields of the request, also under the short names state, task, result,
// limit and cursor.
void call_method(api::Door& door, const Route& route, const Request& request, Reply reply);

}  // namespace nexus::http
