#pragma once
// Messages of nexus.v1 as JSON (proto field names) and their fields as text of a URL.

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace nexus::http {

std::string json_of(const google::protobuf::Message& message);
// Replaces what `out` holds. Fault invalid, starting with "body".
Result<void> from_json(const std::string& text, google::protobuf::Message& out);

// Sets a scalar field from text: numbers in decimal, `true` or `false`, enums by their short name in lower case
// ("running"), lists separated by commas. Fault invalid, starting with the field; also when there is no such field.
Result<void> set_field(google::protobuf::Message& message, std::string_view name, std::string_view text);

}  // namespace nexus::http
