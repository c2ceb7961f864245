#pragma once
// Messages of nexus.v1 as JSON (proto field names) and their fields as text of a URL.
//
// Bytes are base64. Beside each field `x` of bytes an answer has `x_text` when they are text (UTF-8 without NUL), and a
// body may give `x_text` instead of `x`. Enums of a body may stand under their short name in lower case ("dead"), too.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace nexus::http {

std::string json_of(const google::protobuf::Message& message);
// Replaces what `out` holds. Strict: a name twice, an unknown one, another type than the field's, text where a 32-bit number
// belongs, a byte order mark or more than 32 levels are refused. Fault invalid, starting with the field or "body".
Result<void> from_json(const std::string& text, google::protobuf::Message& out);

// "dead" of TASK_STATE_DEAD.
std::string short_name_of(const google::protobuf::EnumValueDescriptor& value);
// The number of a value by its short name in lower case. Fault invalid, starting with `field`.
Result<int> enum_of(const google::protobuf::EnumDescriptor& type, std::string_view field, std::string_view text);

// Sets a scalar field from text: numbers in decimal, `true` or `false`, enums by their short name in lower case
// ("running"), lists separated by commas. Fault invalid, starting with the field; also when there is no such field.
Result<void> set_field(google::protobuf::Message& message, std::string_view name, std::string_view text);

}  // namespace nexus::http
