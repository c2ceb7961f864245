#pragma once
// Checks the text of a message before it is sent.

#include <string>

namespace google::protobuf {
class Message;
}

namespace nexus::cli {

// The first text field of `message`, or of one inside it, that is not UTF-8, as "metadata.value"; empty when all are.
// Protobuf would refuse it without a word that helps.
std::string field_not_text(const google::protobuf::Message& message);

}  // namespace nexus::cli
