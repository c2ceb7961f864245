#include "cli/message_text.h"

#include <google/protobuf/message.h>

#include <vector>

#include "base/utf8.h"
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

void make_safe(google::protobuf::Message& message) {
    using google::protobuf::FieldDescriptor;
    const auto* reflection = message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const auto* field : fields) {
        const auto clean = [&](const std::string& text) {
            return field->name() == "toml" ? safe_lines(text) : safe_text(text, std::string::npos);
        };
        const int items = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
        for (int i = 0; i < items; ++i) {
            if (field->type() == FieldDescriptor::TYPE_STRING && field->is_repeated())
                reflection->SetRepeatedString(&message, field, i,
                                              clean(reflection->GetRepeatedString(message, field, i)));
            else if (field->type() == FieldDescriptor::TYPE_STRING)
                reflection->SetString(&message, field, clean(reflection->GetString(message, field)));
            else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
                make_safe(field->is_repeated() ? *reflection->MutableRepeatedMessage(&message, field, i)
                                               : *reflection->MutableMessage(&message, field));
        }
    }
}

}  // namespace nexus::cli
