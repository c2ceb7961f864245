#include "http/schema.h"

#include <google/protobuf/descriptor.pb.h>

#include <map>
#include <string_view>

#include "base/must.h"
#include "http/json.h"

// The descriptors with comments, made by protoc beside the code; the assembler reads the file.
__asm__(".section .rodata\n.global nexus_proto_begin\nnexus_proto_begin:\n.incbin \"" NEXUS_PROTO_SET
        "\"\n.global nexus_proto_end\nnexus_proto_end:\n.byte 0\n.previous\n");
extern "C" const char nexus_proto_begin[];
extern "C" const char nexus_proto_end[];

namespace nexus::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::SourceLocation;
using Json = nlohmann::ordered_json;

const google::protobuf::DescriptorPool& pool() {
    static const auto* made = [] {
        google::protobuf::FileDescriptorSet files;
        MUST(files.ParseFromArray(nexus_proto_begin, static_cast<int>(nexus_proto_end - nexus_proto_begin)));
        auto* all = new google::protobuf::DescriptorPool();  // as long as the program: descriptors point into it
        for (const auto& file : files.file()) MUST(all->BuildFile(file) != nullptr);
        return all;
    }();
    return *made;
}

// Comments as one text: lines joined, rules of dashes left out.
std::string plain(std::string_view comment) {
    std::string text;
    while (!comment.empty()) {
        const std::size_t end = comment.find('\n');
        std::string_view line = comment.substr(0, end);
        comment = end == std::string_view::npos ? std::string_view() : comment.substr(end + 1);
        const std::size_t first = line.find_first_not_of(" \t");
        if (first == std::string_view::npos || line.find("----") != std::string_view::npos) continue;
        text += (text.empty() ? "" : " ") + std::string(line.substr(first, line.find_last_not_of(" \t") + 1 - first));
    }
    return text;
}

template <class Thing>
std::string said_of(const Thing& thing) {
    SourceLocation at;
    if (!thing.GetSourceLocation(&at)) return {};
    std::string before = plain(at.leading_comments);
    const std::string behind = plain(at.trailing_comments);
    return before + (before.empty() || behind.empty() ? "" : " ") + behind;
}

Json names_of(const EnumDescriptor& type, bool brief) {
    Json names = Json::array();
    for (int i = 0; i < type.value_count(); ++i)
        if (!brief)
            names.push_back(type.value(i)->name());
        else if (i > 0)
            names.push_back(short_name_of(*type.value(i)));
    return names;
}

Json number(const FieldDescriptor& field, bool in_url) {
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_UINT32: return {{"type", "integer"}, {"minimum", 0}, {"maximum", 4294967295U}};
        case FieldDescriptor::CPPTYPE_INT32: return {{"type", "integer"}, {"format", "int32"}};
        case FieldDescriptor::CPPTYPE_INT64:
        case FieldDescriptor::CPPTYPE_UINT64:
            if (in_url) return {{"type", "integer"}, {"format", "int64"}};
            return {{"type", {"string", "integer"}}, {"format", "int64"}, {"pattern", "^-?[0-9]+$"}};
        default: return {{"type", "number"}};
    }
}

}  // namespace

const Descriptor& described(const Descriptor& type) {
    const Descriptor* found = pool().FindMessageTypeByName(type.full_name());
    MUST(found != nullptr);
    return *found;
}

std::string comment_of(const FieldDescriptor& field) {
    return said_of(field);
}

std::string summary_of(const std::string& method, const Descriptor& request) {
    std::string name = method.substr(1);
    name.replace(name.find('/'), 1, ".");
    const auto* found = pool().FindMethodByName(name);
    MUST(found != nullptr);
    std::string text = said_of(*found);
    if (text.empty()) text = said_of(request);
    return text.empty() ? found->name() : text;
}

Json parameter_schema(const FieldDescriptor& field) {
    Json one;
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING: one = {{"type", "string"}}; break;
        case FieldDescriptor::CPPTYPE_BOOL: one = {{"type", "boolean"}}; break;
        case FieldDescriptor::CPPTYPE_ENUM:
            one = {{"type", "string"}, {"enum", names_of(*field.enum_type(), true)}};
            break;
        default: one = number(field, true);
    }
    return field.is_repeated() ? Json{{"type", "array"}, {"items", one}} : one;
}

Json Schemas::reference(const Descriptor& type) {
    if (known_.insert(type.name()).second) wanted_.push_back(&type);
    return {{"$ref", "#/components/schemas/" + type.name()}};
}

Json Schemas::value(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
            // The only ones that are not ours: lists of numbers, with null for what is not known.
            if (field.message_type()->full_name() == "google.protobuf.ListValue")
                return {{"type", "array"}, {"items", {{"type", {"number", "null"}}}}};
            return reference(*field.message_type());
        case FieldDescriptor::CPPTYPE_BOOL: return {{"type", "boolean"}};
        case FieldDescriptor::CPPTYPE_ENUM: return {{"type", "string"}, {"enum", names_of(*field.enum_type(), false)}};
        case FieldDescriptor::CPPTYPE_STRING:
            if (field.type() == FieldDescriptor::TYPE_BYTES) return {{"type", "string"}, {"contentEncoding", "base64"}};
            return {{"type", "string"}};
        default: return number(field, false);
    }
}

Json Schemas::object(const Descriptor& type) {
    Json properties = Json::object();
    for (int i = 0; i < type.field_count(); ++i) {
        const FieldDescriptor& field = *type.field(i);
        Json schema = field.is_map()        ? Json{{"type", "object"},
                                                   {"additionalProperties", value(*field.message_type()->map_value())}}
                      : field.is_repeated() ? Json{{"type", "array"}, {"items", value(field)}}
                                            : value(field);
        if (std::string text = comment_of(field); !text.empty()) schema["description"] = std::move(text);
        properties[field.name()] = std::move(schema);
        if (field.type() == FieldDescriptor::TYPE_BYTES)
            properties[field.name() + "_text"] = {{"type", "string"}, {"description", field.name() + " as text"}};
    }
    Json object{{"type", "object"}, {"properties", std::move(properties)}};
    if (std::string text = said_of(type); !text.empty()) object["description"] = std::move(text);
    return object;
}

Json Schemas::take() {
    std::map<std::string, Json> made;
    while (!wanted_.empty()) {
        const Descriptor& type = *wanted_.front();
        wanted_.pop_front();
        made[type.name()] = object(type);
    }
    Json all = Json::object();
    for (auto& [name, schema] : made) all[name] = std::move(schema);
    return all;
}

}  // namespace nexus::http
