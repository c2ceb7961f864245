#include "worker/exec_request.h"

#include <fnmatch.h>
#include <unistd.h>

#include <absl/strings/escaping.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

namespace nexus::worker {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

bool usable(const std::string& text) {
    return text.find('\0') == std::string::npos;
}

// Variables by which one program makes another run what it likes, through an allowed script for example.
bool is_workers_own(const std::string& name) {
    static constexpr const char* kOwn[] = {"PATH",     "HOME",      "USER",   "LOGNAME", "SHELL",   "IFS",
                                           "ENV",      "BASH_*",    "CDPATH", "PS4",     "LD_*",    "GCONV_PATH",
                                           "BASHOPTS", "SHELLOPTS", "TZDIR",  "LOCPATH", "NLSPATH", "NEXUS_*"};
    return std::ranges::any_of(kOwn, [&](const char* pattern) { return fnmatch(pattern, name.c_str(), 0) == 0; });
}

bool is_variable_name(std::string_view name) {
    return !name.empty() && name.find('=') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Result<std::string> text_of(const Json& value, const std::string& field) {
    if (!value.is_string()) return fail(Fault::invalid, field + ": must be text");
    std::string text = value.get<std::string>();
    if (!usable(text)) return fail(Fault::invalid, field + ": has a zero byte");
    return text;
}

Result<void> take_field(const std::string& field, const Json& value, ExecRequest& request) {
    if (field == "argv") {
        if (!value.is_array() || value.empty())
            return fail(Fault::invalid, "argv: must be a list that names a program");
        for (const Json& word : value) {
            Result<std::string> text = text_of(word, "argv[" + std::to_string(request.argv.size()) + "]");
            if (!text) return std::unexpected(std::move(text.error()));
            request.argv.push_back(std::move(*text));
        }
        return {};
    }
    if (field == "env") {
        if (!value.is_object()) return fail(Fault::invalid, "env: must be an object of names and texts");
        for (const auto& [name, entry] : value.items()) {
            Result<std::string> text = text_of(entry, "env." + name);
            if (!text) return std::unexpected(std::move(text.error()));
            if (!is_variable_name(name)) return fail(Fault::invalid, "env: " + name + " is no name of a variable");
            request.environment[name] = std::move(*text);
        }
        return {};
    }
    if (field != "cwd" && field != "stdin_base64")
        return fail(Fault::invalid, field + ": unknown field; there are argv, env, cwd and stdin_base64");
    Result<std::string> text = text_of(value, field);
    if (!text) return std::unexpected(std::move(text.error()));
    if (field == "cwd") {
        request.directory = std::move(*text);
        return {};
    }
    if (!absl::Base64Unescape(*text, &request.input)) return fail(Fault::invalid, "stdin_base64: is not base64");
    return {};
}

std::vector<std::string> split(std::string_view text, char at) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(at, begin), text.size());
        if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

std::string found_in_path(const std::string& name) {
    const char* path = std::getenv("PATH");
    for (const std::string& directory : split(path != nullptr ? path : kDefaultPath, ':')) {
        const std::string candidate = directory + "/" + name;
        std::error_code ignored;
        if (access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, ignored)) return candidate;
    }
    return {};
}

}  // namespace

Result<ExecRequest> parse_exec_request(std::string_view payload) {
    const Json json = Json::parse(payload, nullptr, false);
    if (!json.is_object())
        return fail(Fault::invalid, "the payload is not a JSON object like {\"argv\": [\"program\", \"argument\"]}");
    ExecRequest request;
    for (const auto& [field, value] : json.items())
        if (Result<void> taken = take_field(field, value, request); !taken)
            return std::unexpected(std::move(taken.error()));
    if (request.argv.empty()) return fail(Fault::invalid, "argv: is missing");
    if (request.argv.front().empty()) return fail(Fault::invalid, "argv[0]: is empty");
    return request;
}

ExecRules::ExecRules(std::vector<std::string> programs, std::vector<std::string> variables)
    : programs_(std::move(programs)), variables_(std::move(variables)) {}

Result<void> ExecRules::parse_allow(std::string_view text, std::vector<std::string>& programs, bool& any) {
    if (text == "exec") {
        any = true;
        return {};
    }
    if (!text.starts_with("exec="))
        return fail(Fault::invalid, std::string(text) + ": expected exec or exec=PATTERN,PATTERN");
    const std::vector<std::string> patterns = split(text.substr(5), ',');
    if (patterns.empty()) return fail(Fault::invalid, "exec= names no program; write exec alone to allow every one");
    programs.insert(programs.end(), patterns.begin(), patterns.end());
    return {};
}

bool ExecRules::program_allowed(const std::string& named, const std::string& path) const {
    if (programs_.empty()) return true;
    const bool bare = named.find('/') == std::string::npos;
    return std::any_of(programs_.begin(), programs_.end(), [&](const std::string& pattern) {
        if (pattern.find('/') == std::string::npos) return bare && fnmatch(pattern.c_str(), named.c_str(), 0) == 0;
        return fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0;
    });
}

Result<std::string> ExecRules::resolve(const ExecRequest& request) const {
    const std::string& named = request.argv.front();
    std::string path = named;
    if (named.find('/') == std::string::npos) {
        path = found_in_path(named);
    } else if (!named.starts_with('/')) {
        std::error_code ignored;
        const fs::path base =
            request.directory.empty() ? fs::current_path(ignored) : fs::absolute(request.directory, ignored);
        path = (base / named).string();
    }
    if (path.empty()) return fail(Fault::not_found, named + ": no program of this name in the worker's PATH");
    // `..` is taken out before the patterns are asked, or /usr/bin/../../tmp/x would pass for /usr/bin.
    path = fs::path(path).lexically_normal().string();
    if (!program_allowed(named, path)) {
        std::string allowed;
        for (const std::string& pattern : programs_) allowed += (allowed.empty() ? "" : ", ") + pattern;
        return fail(Fault::denied, named + ": this worker may not run it; its --allow names " + allowed);
    }
    return path;
}

bool ExecRules::variable_allowed(const std::string& name) const {
    return std::any_of(variables_.begin(), variables_.end(),
                       [&](const std::string& pattern) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; });
}

Result<std::vector<std::string>> ExecRules::environment(const ExecRequest& request) const {
    std::map<std::string, std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::size_t equals = text.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string name(text.substr(0, equals));
        if (variable_allowed(name)) all[name] = text.substr(equals + 1);
    }
    for (const auto& [name, value] : request.environment) {
        if (is_workers_own(name))
            return fail(Fault::invalid, "env." + name + ": is the worker's own and is not taken from tasks");
        if (!variable_allowed(name))
            return fail(Fault::denied,
                        "env." + name + ": this worker does not take it from tasks; its --allow-env decides");
        all[name] = value;
    }
    std::vector<std::string> out;
    for (const auto& [name, value] : all) out.push_back(name + "=" + value);
    return out;
}

}  // namespace nexus::worker
