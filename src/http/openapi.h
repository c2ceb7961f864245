#pragma once
// The description of everything that HTTP serves, as OpenAPI 3.1: made from the table of methods and the comments of
// the protocol, so that it cannot lag behind either.

#include <string_view>

#include "http/message.h"

namespace nexus::http {

// Made once, at the first call. Lives as long as the program.
std::string_view openapi_document();

void openapi(api::Door& door, const Request& request, Reply reply);

}  // namespace nexus::http
