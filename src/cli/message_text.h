#pragma once
// The text of messages: checked before it is sent, cleaned before a person sees it.

#include <string>

namespace google::protobuf {
class Message;
}

namespace nexus::cli {

// The first text field of `message`, or of one inside it, that is not UTF-8, as "metadata.value"; empty when all are.
// Protobuf would refuse it without a word that helps.
std::string field_not_text(const google::protobuf::Message& message);

// Every text in it with what could trick a terminal replaced (text.h); of lines only where they belong, in `toml`.
void make_safe(google::protobuf::Message& message);

}  // namespace nexus::cli
