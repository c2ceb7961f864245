#include "cli/message_text.h"

#include <google/protobuf/message.h>

#include <vector>

#include "cli/text.h"

namespace nexus::cli {

// Maps are repeated messages of key and value.
std::string field_not_text(const google::protobuf::Message& message) {
    const auto* reflection = message.GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const auto* field : fields) {
        const int items = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
        for (int i = 0; i < items; ++i) {
            if (field->type() == google::protobuf::FieldDescriptor::TYPE_STRING) {
                const std::string text = field->is_repeated() ? reflection->GetRepeatedString(message, field, i)
                                                              : reflection->GetString(message, field);
                if (!is_utf8(text)) return field->name();
            }
            if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
            const std::string inner =
                field_not_text(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                    : reflection->GetMessage(message, field));
            if (!inner.empty()) return field->name() + "." + inner;
        }
    }
    return {};
}

}  // namespace nexus::cli
