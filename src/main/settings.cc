#include "main/settings.h"

#include <sys/stat.h>
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/quantity.h"
#include "base/spelling.h"
#include "engine/config_text.h"
#include "predict/predictor.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace nexus::serve {
namespace {

constexpr std::string_view kServerPrefix = "server.";
constexpr std::string_view kSchedulerPrefix = "scheduler.";

constexpr std::array kServerKeys{
    ServerKey{"listen", "address of the gRPC server, loopback only; port 0 = any free one"},
    ServerKey{"http", "address of the page and the REST API, loopback only; \"off\" = none"},
    ServerKey{"data", "directory of the embedded store"},
    ServerKey{"durability",
              "disk: an acknowledged change survives a power cut; process: it survives the end of the process"},
    ServerKey{"model", "the prediction model"},
    ServerKey{"history_retention", "how long finished tasks are kept; at least 1m"},
    ServerKey{"history_size_max", "of the history on disk; \"0B\" = no limit"},
    ServerKey{"disk_reserve", "disk space set aside for the day the disk is full; \"0B\" = none"},
};

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what));
}

Result<void> set_retention(std::string_view value, Settings& settings) {
    const auto span = parse_duration(value);
    if (!span) return std::unexpected(span.error());
    if (*span < minutes(1) || *span > kDurationTextMax) return invalid("must be 1m to 100 years");
    settings.history_retention = *span;
    return {};
}

Result<void> set_size(std::string_view value, std::uint64_t& size) {
    const auto parsed = parse_size(value);
    if (!parsed) return std::unexpected(parsed.error());
    size = *parsed;
    return {};
}

Result<void> set_server_value(std::string_view name, std::string_view value, Settings& settings) {
    if (value.empty() || value.size() > 4096) return invalid("must be 1 to 4096 bytes");
    if (name == "listen") settings.listen = value;
    if (name == "http") settings.http = value;
    if (name == "data") settings.data = value;
    if (name == "model") {
        if (auto model = predict::make_model(std::string(value)); !model)
            return std::unexpected(std::move(model).error());
        settings.model = value;
    }
    if (name == "durability") {
        if (value != "disk" && value != "process") return invalid("must be disk or process");
        settings.durability = value == "disk" ? store::Durability::disk : store::Durability::process;
    }
    if (name == "history_retention") return set_retention(value, settings);
    if (name == "history_size_max") return set_size(value, settings.history_bytes_max);
    if (name == "disk_reserve") return set_size(value, settings.reserve_bytes);
    return {};
}

Result<void> check_server_key(std::string_view name) {
    std::array<std::string_view, kServerKeys.size()> known;
    std::ranges::transform(kServerKeys, known.begin(), &ServerKey::name);
    if (std::ranges::find(known, name) != known.end()) return {};
    return invalid("unknown key server." + std::string(name) + did_you_mean(name, known));
}

Result<std::string> read_text(const std::string& path) {
    struct stat about{};
    if (stat(path.c_str(), &about) != 0) return fail(Fault::not_found, std::strerror(errno));
    if (!S_ISREG(about.st_mode)) return invalid("not a regular file");
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
    if (!file) return fail(Fault::denied, std::strerror(errno));
    std::string text(engine::kConfigTextBytesMax + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (text.size() > engine::kConfigTextBytesMax)
        return invalid("more than " + size_text(engine::kConfigTextBytesMax));
    return text;
}

Result<void> apply_server_table(const toml::node& node, const std::string& origin, Settings& settings) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return invalid("server: expected a [server] table");
    for (const auto& [key, value] : *table) {
        const std::string line = "line " + std::to_string(value.source().begin.line);
        if (auto known = check_server_key(key.str()); !known)
            return std::unexpected(std::move(known).error().during(line));
        const auto text = value.value_exact<std::string>();
        if (!text) return invalid(line + ": server." + std::string(key.str()) + ": expected text in quotes");
        auto set = set_value(std::string(kServerPrefix).append(key.str()), *text, origin, settings);
        if (!set) return std::unexpected(std::move(set).error().during(line));
    }
    return {};
}

// host:port -> port; -1 when it is none.
int port_of(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return -1;
    const std::string_view digits = address.substr(colon + 1);
    int port = -1;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return fault == std::errc{} && end == digits.data() + digits.size() && port >= 0 && port <= 65'535 ? port : -1;
}

Result<void> check_address(std::string_view key, const std::string& address) {
    if (port_of(address) < 0)
        return invalid(std::string(key) + ": \"" + address + "\" is not host:port with a port of 0 to 65535");
    const std::string host = address.substr(0, address.rfind(':'));
    if (host == "localhost" || host == "[::1]" || host.starts_with("127.")) return {};
    return fail(Fault::denied, std::string(key) + ": " + address +
                                   " is not a loopback address. There is no authentication yet, so whoever "
                                   "reached it could run programs on the workers; reach it from elsewhere through an "
                                   "SSH tunnel (ssh -L 7070:127.0.0.1:7070 host)");
}

}  // namespace

std::span<const ServerKey> server_keys() {
    return kServerKeys;
}

Result<void> apply_text(std::string_view toml, const std::string& origin, Settings& settings) {
    Settings changed = settings;
    auto named = engine::apply_config_text(toml, changed.scheduler, "server");
    if (!named) return std::unexpected(std::move(named).error());
    for (const std::string& key : *named) changed.origins[key] = origin;
    const toml::parse_result parsed = toml::parse(toml);
    if (!parsed) return invalid(std::string(parsed.error().description()));
    for (const auto& [name, node] : parsed.table()) {
        if (name.str() != "server") continue;
        auto applied = apply_server_table(node, origin, changed);
        if (!applied) return applied;
    }
    settings = std::move(changed);
    return {};
}

Result<void> apply_file(const std::string& path, Settings& settings) {
    const auto text = read_text(path);
    if (!text) return std::unexpected(Error(text.error()).during("cannot read " + path));
    auto applied = apply_text(*text, "file " + path, settings);
    if (!applied) return std::unexpected(std::move(applied).error().during(path));
    return {};
}

Result<void> apply_environment(std::span<const char* const> environment, Settings& settings) {
    for (const std::string_view entry : environment) {
        const std::size_t equals = entry.find('=');
        const bool ours = entry.starts_with("NEXUS_SERVER_") || entry.starts_with("NEXUS_SCHEDULER_");
        if (!ours || equals == std::string_view::npos) continue;
        const std::string name(entry.substr(0, equals));
        std::string key = name.substr(std::string_view("NEXUS_").size());
        std::ranges::transform(key, key.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        key[key.find('_')] = '.';
        auto set = set_value(key, entry.substr(equals + 1), "environment " + name, settings);
        if (!set) return std::unexpected(std::move(set).error().during("environment variable " + name));
    }
    return {};
}

Result<void> set_value(std::string_view key, std::string_view value, const std::string& origin, Settings& settings) {
    Result<void> set;
    if (key.starts_with(kServerPrefix)) {
        const std::string_view name = key.substr(kServerPrefix.size());
        set = check_server_key(name);
        if (!set) return set;
        set = set_server_value(name, value, settings);
        if (!set) return std::unexpected(std::move(set).error().during(key));
    } else if (key.starts_with(kSchedulerPrefix)) {
        set = engine::set_config_value(key.substr(kSchedulerPrefix.size()), value, settings.scheduler);
        if (!set) return set;
    } else {
        return invalid("unknown key " + std::string(key) + ": keys begin with server. or scheduler.");
    }
    settings.origins[std::string(key)] = origin;
    return {};
}

Result<void> check(const Settings& settings) {
    if (auto fine = check_address("server.listen", settings.listen); !fine) return fine;
    if (settings.http == "off") return engine::check_config(settings.scheduler);
    if (auto fine = check_address("server.http", settings.http); !fine) return fine;
    if (port_of(settings.listen) != 0 && port_of(settings.listen) == port_of(settings.http))
        return invalid("server.listen and server.http have the same port");
    return engine::check_config(settings.scheduler);
}

std::string settings_text(const Settings& settings, bool with_origins) {
    std::string out;
    const auto line = [&](std::string_view section, std::string_view name, const std::string& value) {
        std::string text = std::string(name) + " = " + value;
        if (with_origins) {
            const auto origin = settings.origins.find(std::string(section).append(name));
            if (text.size() < 44) text.resize(44, ' ');
            text += "  # " + (origin == settings.origins.end() ? std::string("default") : origin->second);
        }
        out += text + "\n";
    };
    const auto quoted = [](std::string_view text) {
        std::string result = "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') result.push_back('\\');
            result.push_back(c);
        }
        return result + "\"";
    };
    out += "[server]\n";
    line(kServerPrefix, "listen", quoted(settings.listen));
    line(kServerPrefix, "http", quoted(settings.http));
    line(kServerPrefix, "data", quoted(settings.data));
    line(kServerPrefix, "durability", quoted(store::name_of(settings.durability)));
    line(kServerPrefix, "model", quoted(settings.model));
    line(kServerPrefix, "history_retention", quoted(duration_text(settings.history_retention)));
    line(kServerPrefix, "history_size_max", quoted(size_text(settings.history_bytes_max)));
    line(kServerPrefix, "disk_reserve", quoted(size_text(settings.reserve_bytes)));
    out += "\n[scheduler]\n";
    for (const engine::ConfigKey& key : engine::config_keys()) {
        const auto value = engine::config_value(key.name, settings.scheduler);
        if (value) line(kSchedulerPrefix, key.name, *value);
    }
    const std::string lists = engine::config_text(settings.scheduler);
    const std::size_t first = lists.find("\n[[");
    if (first != std::string::npos) out += lists.substr(first);
    return out;
}

}  // namespace nexus::serve
