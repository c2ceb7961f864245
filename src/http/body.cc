// A JSON body, read strictly: what one reader lets pass and another does not is refused here, by name.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/evp.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/spelling.h"
#include "http/json.h"

namespace nexus::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = nlohmann::json;

constexpr std::size_t kDepthMax = 32;
constexpr std::string_view kText = "_text";

std::unexpected<Error> invalid(const std::string& field, const std::string& what) {
    return fail(Fault::invalid, field + ": " + what);
}

// Looks for what a lenient parser accepts: names that stand twice, and depth.
class Scan : public nlohmann::json_sax<Json> {
public:
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return enter(); }
    bool start_array(std::size_t) override { return enter(); }
    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }
    bool key(string_t& name) override {
        if (names_.back().insert(name).second) return true;
        problem = "the name \"" + name.substr(0, 128) + "\" stands twice in one object";
        return false;
    }
    bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception&) override {
        problem = "not JSON, see byte " + std::to_string(at);
        return false;
    }
    std::string problem;

private:
    bool enter() {
        names_.emplace_back();
        if (names_.size() <= kDepthMax) return true;
        problem = "deeper than " + std::to_string(kDepthMax) + " levels";
        return false;
    }
    bool leave() {
        names_.pop_back();
        return true;
    }
    std::vector<std::set<std::string>> names_;
};

std::string base64(const std::string& bytes) {
    std::string out(4 * ((bytes.size() + 2) / 3), '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                    static_cast<int>(bytes.size()));
    return out;
}

const FieldDescriptor* field_called(const Descriptor& type, const std::string& name) {
    const FieldDescriptor* field = type.FindFieldByName(name);
    return field != nullptr ? field : type.FindFieldByCamelcaseName(name);
}

// The bytes that `name` is the text of; null when it is none.
const FieldDescriptor* bytes_called(const Descriptor& type, std::string_view name) {
    if (!name.ends_with(kText)) return nullptr;
    const auto* field = type.FindFieldByName(std::string(name.substr(0, name.size() - kText.size())));
    return field != nullptr && field->type() == FieldDescriptor::TYPE_BYTES ? field : nullptr;
}

// Of a body against the fields of its message; makes what protobuf does not know into what it does.
class Walk {
public:
    Result<void> object(Json& json, const Descriptor& type, const std::string& at) {
        if (!json.is_object()) return invalid(at.empty() ? "body" : at, "must be an object");
        std::vector<std::string> texts;
        for (auto& [name, value] : json.items()) {
            const std::string path = at.empty() ? name : at + "." + name;
            if (const FieldDescriptor* field = field_called(type, name); field != nullptr) {
                if (auto ok = one_or_many(value, *field, path); !ok) return ok;
            } else if (bytes_called(type, name) != nullptr) {
                if (!value.is_string()) return invalid(path, "must be text");
                texts.push_back(name);
            } else {
                return unknown(type, name, path);
            }
        }
        for (const std::string& name : texts) {
            const std::string bytes = bytes_called(type, name)->name();
            if (json.contains(bytes)) return invalid(at.empty() ? name : at + "." + name, "give it or " + bytes);
            json[bytes] = base64(json[name].get_ref<const std::string&>());
            json.erase(name);
            changed = true;
        }
        return {};
    }
    bool changed = false;

private:
    static Result<void> unknown(const Descriptor& type, const std::string& name, const std::string& path) {
        std::vector<std::string_view> known;
        for (int i = 0; i < type.field_count(); ++i) known.emplace_back(type.field(i)->name());
        if (name.size() > 128) return invalid("body", "a name of " + std::to_string(name.size()) + " bytes");
        return invalid(path, "no such field" + did_you_mean(name, known));
    }
    Result<void> one_or_many(Json& json, const FieldDescriptor& field, const std::string& path) {
        if (json.is_null()) return {};
        if (field.is_map()) return map(json, *field.message_type(), path);
        if (!field.is_repeated()) return one(json, field, path);
        if (!json.is_array()) return invalid(path, "must be a list");
        for (std::size_t i = 0; i < json.size(); ++i)
            if (auto ok = one(json[i], field, path + "[" + std::to_string(i) + "]"); !ok) return ok;
        return {};
    }
    Result<void> map(Json& json, const Descriptor& entry, const std::string& path) {
        if (!json.is_object()) return invalid(path, "must be an object");
        for (auto& [name, value] : json.items())
            if (auto ok = one(value, *entry.map_value(), path); !ok) return ok;
        return {};
    }
    Result<void> one(Json& json, const FieldDescriptor& field, const std::string& path) {
        switch (field.cpp_type()) {
            case FieldDescriptor::CPPTYPE_MESSAGE: return object(json, *field.message_type(), path);
            case FieldDescriptor::CPPTYPE_BOOL:
                if (!json.is_boolean()) return invalid(path, "must be true or false");
                return {};
            case FieldDescriptor::CPPTYPE_STRING:
                if (!json.is_string()) return invalid(path, "must be text");
                return {};
            case FieldDescriptor::CPPTYPE_FLOAT:
            case FieldDescriptor::CPPTYPE_DOUBLE:
                if (!json.is_number()) return invalid(path, "must be a number");
                return {};
            case FieldDescriptor::CPPTYPE_ENUM: return choice(json, *field.enum_type(), path);
            case FieldDescriptor::CPPTYPE_INT64:  // JSON's numbers are exact up to 2^53 only, so text is taken, too
            case FieldDescriptor::CPPTYPE_UINT64:
                if (json.is_string() || json.is_number_integer()) return {};
                return invalid(path, "must be a whole number");
            case FieldDescriptor::CPPTYPE_UINT32:
                if (!json.is_number_unsigned() || json.get<std::uint64_t>() > UINT32_MAX)
                    return invalid(path, "must be a whole number from 0 to 4294967295");
                return {};
            case FieldDescriptor::CPPTYPE_INT32:
                if (!json.is_number_integer()) return invalid(path, "must be a whole number");
                return {};
        }
        return {};
    }
    Result<void> choice(Json& json, const EnumDescriptor& type, const std::string& path) {
        if (!json.is_string()) return invalid(path, "must be text");
        if (type.FindValueByName(json.get_ref<const std::string&>()) != nullptr) return {};
        const auto value = enum_of(type, path, json.get_ref<const std::string&>());
        if (!value) return std::unexpected(value.error());
        json = type.FindValueByNumber(*value)->name();
        changed = true;
        return {};
    }
};

}  // namespace

Result<void> from_json(const std::string& text, Message& out) {
    if (text.starts_with("\xEF\xBB\xBF")) return invalid("body", "begins with a byte order mark; send JSON without it");
    Scan scan;
    if (!Json::sax_parse(text, &scan)) return invalid("body", scan.problem.empty() ? "not JSON" : scan.problem);
    Json json = Json::parse(text, nullptr, false);
    Walk walk;
    if (auto ok = walk.object(json, *out.GetDescriptor(), ""); !ok) return ok;
    const auto parsed = google::protobuf::util::JsonStringToMessage(walk.changed ? json.dump() : text, &out);
    if (parsed.ok()) return {};
    return invalid("body", "not a " + out.GetTypeName() +
                               " in JSON: " + std::string(parsed.message().data(), parsed.message().size()));
}

}  // namespace nexus::http
