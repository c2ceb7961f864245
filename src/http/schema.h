#pragma once
// Messages of nexus.v1 as JSON Schema, as JSON carries them, with the comments of the protocol as descriptions.

#include <google/protobuf/descriptor.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace nexus::http {

// The same message with its comments, which the generated code has not.
const google::protobuf::Descriptor& described(const google::protobuf::Descriptor& type);
// What the protocol says of it, as one text; empty when it says nothing.
std::string comment_of(const google::protobuf::FieldDescriptor& field);
// Of a method by its gRPC name: what is said of it, or of its request.
std::string summary_of(const std::string& method, const google::protobuf::Descriptor& request);

// As text of a URL: enums under their short names, lists separated by commas.
nlohmann::ordered_json parameter_schema(const google::protobuf::FieldDescriptor& field);

// Collects the schemas of the messages that are referred to, and of those that they hold.
class Schemas {
public:
    nlohmann::ordered_json reference(const google::protobuf::Descriptor& type);
    nlohmann::ordered_json object(const google::protobuf::Descriptor& type);  // of described()
    nlohmann::ordered_json take();                                            // by name

private:
    nlohmann::ordered_json value(const google::protobuf::FieldDescriptor& field);
    std::set<std::string> known_;
    std::deque<const google::protobuf::Descriptor*> wanted_;
};

}  // namespace nexus::http
