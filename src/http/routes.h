#pragma once
// From a parsed request to a response: pages have code here, everything else is a method of the table.

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/rest.h"

namespace nexus::http {

// Answers every request, also a wrong one, but for the live stream ("http/live"), which is the server's. Does not block.
void route(api::Door& door, const Route& where, Request request, Reply reply);

// The rows of the table that have code here; for the test that compares the two.
std::span<const std::string_view> page_names();

}  // namespace nexus::http
