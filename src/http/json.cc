#include "http/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/ascii.h"
#include "base/utf8.h"

namespace nexus::http {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::unexpected<Error> invalid(std::string_view field, const std::string& what) {
    return fail(Fault::invalid, std::string(field) + ": " + what);
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// The common beginning of the names of an enum: "TASK_STATE_" of "TASK_STATE_UNSPECIFIED".
std::string_view prefix_of(const EnumDescriptor& type) {
    constexpr std::string_view kNone = "UNSPECIFIED";
    std::string_view first = type.value(0)->name();
    if (first.ends_with(kNone)) first.remove_suffix(kNone.size());
    return first;
}

}  // namespace

std::string short_name_of(const google::protobuf::EnumValueDescriptor& value) {
    return lower_case(std::string_view(value.name()).substr(prefix_of(*value.type()).size()));
}

Result<int> enum_of(const EnumDescriptor& type, std::string_view field, std::string_view text) {
    std::string known;
    for (int i = 1; i < type.value_count(); ++i) {
        const std::string name = short_name_of(*type.value(i));
        // In a path words are joined as paths join them: close-breaker is close_breaker.
        if (std::ranges::equal(name, text, [](char a, char b) { return a == b || (a == '_' && b == '-'); }))
            return type.value(i)->number();
        known += (known.empty() ? "" : ", ") + name;
    }
    return invalid(field, "not one of " + known);
}

namespace {

// `add` puts one value into the field: set, or add to a list.
template <class Value, class Add>
Result<void> put(std::string_view field, const std::optional<Value>& value, const char* what, Add add) {
    if (!value) return invalid(field, std::string("must be ") + what);
    add(*value);
    return {};
}

Result<void> set_one(Message& message, const FieldDescriptor& field, std::string_view text) {
    const google::protobuf::Reflection& reflection = *message.GetReflection();
    const std::string& name = field.name();
    const bool list = field.is_repeated();
    constexpr const char* kWhole = "a whole number in range";
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
            list ? reflection.AddString(&message, &field, std::string(text))
                 : reflection.SetString(&message, &field, std::string(text));
            return {};
        case FieldDescriptor::CPPTYPE_BOOL: {
            if (text != "true" && text != "false") return invalid(name, "must be true or false");
            reflection.SetBool(&message, &field, text == "true");
            return {};
        }
        case FieldDescriptor::CPPTYPE_UINT32:
            return put(name, number_of<std::uint32_t>(text), kWhole,
                       [&](auto value) { reflection.SetUInt32(&message, &field, value); });
        case FieldDescriptor::CPPTYPE_UINT64:
            return put(name, number_of<std::uint64_t>(text), kWhole,
                       [&](auto value) { reflection.SetUInt64(&message, &field, value); });
        case FieldDescriptor::CPPTYPE_INT64:
            return put(name, number_of<std::int64_t>(text), kWhole,
                       [&](auto value) { reflection.SetInt64(&message, &field, value); });
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return put(name, number_of<double>(text), "a number",
                       [&](auto value) { reflection.SetDouble(&message, &field, value); });
        case FieldDescriptor::CPPTYPE_ENUM: {
            const Result<int> value = enum_of(*field.enum_type(), name, text);
            if (!value) return std::unexpected(value.error());
            list ? reflection.AddEnumValue(&message, &field, *value)
                 : reflection.SetEnumValue(&message, &field, *value);
            return {};
        }
        default: return invalid(name, "goes into the body");
    }
}

bool is_text(const std::string& bytes) {
    return !bytes.empty() && is_utf8(bytes) && bytes.find('\0') == std::string::npos;
}

// Calls `visit` with each message that a field of this one holds, its name and its place in a list.
template <class Visit>
void each_message(const Message& message, const FieldDescriptor& field, Visit visit) {
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field.is_map()) return;
    const google::protobuf::Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) return visit(reflection.GetMessage(message, &field), -1);
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i)
        visit(reflection.GetRepeatedMessage(message, &field, i), i);
}

std::vector<const FieldDescriptor*> set_fields(const Message& message) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    return fields;
}

bool is_bytes(const FieldDescriptor& field) {
    return field.type() == FieldDescriptor::TYPE_BYTES && !field.is_repeated();
}

bool holds_text_bytes(const Message& message) {
    for (const FieldDescriptor* field : set_fields(message)) {
        if (is_bytes(*field) && is_text(message.GetReflection()->GetString(message, field))) return true;
        bool found = false;
        each_message(message, *field, [&](const Message& inner, int) { found = found || holds_text_bytes(inner); });
        if (found) return true;
    }
    return false;
}

// `x_text` beside each `x` of bytes that are text.
void add_texts(nlohmann::ordered_json& json, const Message& message) {
    for (const FieldDescriptor* field : set_fields(message)) {
        const std::string& name = field->name();
        if (is_bytes(*field)) {
            std::string bytes = message.GetReflection()->GetString(message, field);
            if (is_text(bytes)) json[name + "_text"] = std::move(bytes);
        }
        each_message(message, *field, [&](const Message& inner, int at) {
            add_texts(at < 0 ? json[name] : json[name][static_cast<std::size_t>(at)], inner);
        });
    }
}

}  // namespace

std::string json_of(const Message& message) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.always_print_primitive_fields = true;  // 0, "" and [] are answers, too
    std::string text;
    const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
    if (!status.ok()) return "{}";
    if (!holds_text_bytes(message)) return text;
    auto json = nlohmann::ordered_json::parse(text);
    add_texts(json, message);
    return json.dump();
}

Result<void> set_field(Message& message, std::string_view name, std::string_view text) {
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(std::string(name));
    if (field == nullptr) return invalid(name, "no such parameter here");
    if (!field->is_repeated()) return set_one(message, *field, text);
    while (!text.empty()) {
        const std::size_t comma = text.find(',');
        if (auto ok = set_one(message, *field, text.substr(0, comma)); !ok) return ok;
        text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return {};
}

}  // namespace nexus::http
