#include "config/sources.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "base/ascii.h"
#include "config/toml.h"

namespace nexus::config {
namespace {

constexpr std::size_t kOriginColumn = 44;

// host:port -> port; -1 when it is none.
int port_of(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return -1;
    const std::string_view digits = address.substr(colon + 1);
    int port = -1;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return fault == std::errc{} && end == digits.data() + digits.size() && port >= 0 && port <= 65'535 ? port : -1;
}

constexpr std::size_t kSocketPathMax = 107;  // sockaddr_un

Result<void> check_address(std::string_view key, const std::string& address) {
    if (key == "server.listen" && address.starts_with("unix:")) {
        const std::size_t bytes = address.size() - std::string_view("unix:").size();
        if (bytes >= 1 && bytes <= kSocketPathMax) return {};
        return fail(Fault::invalid, std::string(key) + ": unix: is followed by the path of a socket, of at most " +
                                        std::to_string(kSocketPathMax) + " bytes");
    }
    if (port_of(address) < 0)
        return fail(Fault::invalid,
                    std::string(key) + ": \"" + address + "\" is not host:port with a port of 0 to 65535");
    return {};
}

bool is_loopback(const std::string& address) {
    if (address == "off" || address.starts_with("unix:")) return true;
    const std::string host = address.substr(0, address.rfind(':'));
    return host == "localhost" || host == "[::1]" ||
           (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

// What can be reached from outside is encrypted and asks who calls, or there is an order that says otherwise.
Result<void> check_reach(const Server& server) {
    const bool encrypted = !server.tls_cert.empty();
    if (encrypted == server.tls_key.empty())
        return fail(Fault::invalid, "server.tls_cert and server.tls_key go together: set both or neither");
    if (!server.tls_client_ca.empty() && !encrypted)
        return fail(Fault::invalid,
                    "server.tls_client_ca: clients show certificates in TLS only; set server.tls_cert "
                    "and server.tls_key");
    if (server.tls_client_ca.empty() && (server.tls_require_client_cert || !server.tls_subjects.empty()))
        return fail(Fault::invalid, "server.tls_subjects and server.tls_require_client_cert need server.tls_client_ca");
    if (server.insecure) return {};
    for (const auto& [key, address] :
         {std::pair{"server.listen", &server.listen}, std::pair{"server.http", &server.http}}) {
        if (is_loopback(*address) || (encrypted && asks_who_calls(server))) continue;
        return fail(Fault::denied,
                    std::string(key) + ": " + *address + " can be reached from outside, and whoever reaches it could " +
                        "run programs on the workers: set " +
                        (encrypted ? "" : "server.tls_cert and server.tls_key (--tls-cert, --tls-key)") +
                        (encrypted || asks_who_calls(server) ? "" : " and ") +
                        (asks_who_calls(server) ? "" : "server.auth = \"tokens\" (--auth tokens)") +
                        "; or stay on loopback and reach it through an SSH tunnel; --insecure does without");
    }
    return {};
}

// A path may hold anything; a comment ends at its line.
std::string in_comment(std::string from) {
    std::ranges::replace_if(from, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    return from;
}

// Behind the head of each entry: "[[queues]]  # file a.toml".
void add_origin_of_list(std::string_view list, const Start& start, std::string& toml) {
    const auto origin = start.origins.find(std::string(list));
    if (origin == start.origins.end()) return;
    const std::string head = "\n[[" + std::string(list) + "]]";
    const std::string comment = "  # " + in_comment(origin->second);
    for (std::size_t at = toml.find(head); at != std::string::npos; at = toml.find(head, at)) {
        at += head.size();
        toml.insert(at, comment);
    }
}

}  // namespace

bool asks_who_calls(const Server& server) {
    return server.auth == "tokens" || !server.tls_client_ca.empty();
}

bool is_open_beyond_loopback(const Server& server) {
    const bool outside = !is_loopback(server.listen) || !is_loopback(server.http);
    return outside && (server.tls_cert.empty() || !asks_who_calls(server));
}

Result<void> take_text(std::string_view toml, const std::string& origin, Start& start) {
    const auto named = apply(toml, start.values);
    if (!named) return std::unexpected(named.error());
    for (const std::string& key : *named) {
        std::string& from = start.origins[key];
        from = from.empty() || from == origin ? origin : origin + ", over " + from.substr(0, from.find(','));
    }
    start.texts.emplace_back(toml);
    return {};
}

Result<void> take_value(std::string_view name, std::string_view value, const std::string& origin, Start& start) {
    if (auto done = apply_value(name, value, start.values); !done) return done;
    start.origins[std::string(name)] = origin;
    return {};
}

Result<void> take_environment(std::span<const char* const> environment, Start& start) {
    for (const std::string_view entry : environment) {
        const std::string_view variable = entry.substr(0, entry.find('='));
        const auto named = std::ranges::find(settings(), variable, &Setting::old_name);
        if (variable.empty() || variable.size() + 1 >= entry.size() || named == settings().end()) continue;
        std::string value(entry.substr(variable.size() + 1));
        if (variable.ends_with("_MS")) value += "ms";
        auto done = take_value(named->name, value, "environment " + std::string(variable), start);
        if (!done)
            return std::unexpected(std::move(done).error().during("environment variable " + std::string(variable)));
    }
    for (const std::string_view entry : environment) {
        const std::size_t equals = entry.find('=');
        const bool ours = entry.starts_with("NEXUS_SERVER_") || entry.starts_with("NEXUS_SCHEDULER_");
        if (!ours || equals == std::string_view::npos) continue;
        const std::string variable(entry.substr(0, equals));
        std::string name = lower_case(std::string_view(variable).substr(std::string_view("NEXUS_").size()));
        name[name.find('_')] = '.';
        auto done = take_value(name, entry.substr(equals + 1), "environment " + variable, start);
        if (!done) return std::unexpected(std::move(done).error().during("environment variable " + variable));
    }
    return {};
}

Result<core::Config> laid_over(const core::Config& live, const Start& read) {
    Values values{.server = {}, .scheduler = live};
    // The texts themselves, since one that says [queues.mail] leaves the other queues alone.
    for (const std::string& text : read.texts) {
        const auto named = config::apply(text, values);
        if (!named) return std::unexpected(named.error());
        for (const std::string& key : *named)
            if (const Setting* setting = find_setting(key)) copy(*setting, read.values, values);
    }
    if (auto checked = check(values.scheduler); !checked) return std::unexpected(std::move(checked).error());
    return std::move(values.scheduler);
}

std::vector<std::string> restart_keys(const Server& running, const Server& read) {
    const Values was{.server = running, .scheduler = {}}, is{.server = read, .scheduler = {}};
    std::vector<std::string> keys;
    for (const Setting& setting : settings())
        if (!setting.live() && value_text(setting, was) != value_text(setting, is)) keys.emplace_back(setting.name);
    return keys;
}

Start in_force(const Start& started, const core::Config& live) {
    Start now = started;
    now.values.scheduler = live;
    const Values defaults;
    const auto tell = [&](std::string_view key, bool as_started, bool as_default) {
        if (as_started) return;
        now.origins.erase(std::string(key));
        if (!as_default) now.origins[std::string(key)] = "the journal: changed while it ran";
    };
    for (const Setting& setting : settings())
        if (const std::string text = value_text(setting, now.values); setting.live())
            tell(setting.name, text == value_text(setting, started.values), text == value_text(setting, defaults));
    for_each_list([&](const auto& list) {
        const auto& entries = live.*list.member;
        tell(list.name, entries == started.values.scheduler.*list.member, entries.empty());
    });
    return now;
}

Result<void> check(const Start& start) {
    const Server& server = start.values.server;
    if (auto done = check_address("server.listen", server.listen); !done) return done;
    if (server.http != "off") {
        if (auto done = check_address("server.http", server.http); !done) return done;
        if (port_of(server.listen) != 0 && port_of(server.listen) == port_of(server.http))
            return fail(Fault::invalid, "server.listen and server.http have the same port");
    }
    if (auto done = check_reach(server); !done) return done;
    return check(start.values.scheduler);
}

std::string to_toml(const Start& start, bool with_origins) {
    std::string out;
    std::string_view section;
    for (const Setting& setting : settings()) {
        if (setting.section() != section) {
            section = setting.section();
            out.append(out.empty() ? "[" : "\n[").append(section).append("]\n");
        }
        std::string line = std::string(setting.key()) + " = " + value_text(setting, start.values);
        if (with_origins) {
            const auto origin = start.origins.find(std::string(setting.name));
            if (line.size() < kOriginColumn) line.resize(kOriginColumn, ' ');
            line += "  # " + (origin == start.origins.end() ? "default" : in_comment(origin->second));
        }
        out += line + "\n";
    }
    const std::string live = to_toml(start.values.scheduler);
    const std::size_t lists = live.find("\n[[");
    if (lists == std::string::npos) return out;
    out += live.substr(lists);
    if (with_origins) for_each_list([&](const auto& list) { add_origin_of_list(list.name, start, out); });
    return out;
}

}  // namespace nexus::config
