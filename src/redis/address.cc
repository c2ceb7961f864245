#include "redis/address.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace nexus::redis {
namespace {

constexpr std::string_view kForms =
    "expected redis://[user@]host[:port][/db], rediss:// for TLS, redis+unix:///path[?db=n], "
    "redis+sentinel://host,host/name or redis+cluster://host,host";

template <class N>
bool number(std::string_view text, N& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// A byte that has no place in an address, e.g. a line's end.
bool has_odd_byte(std::string_view text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 127) return true;
    return false;
}

std::unexpected<Error> wrong(std::string_view what) {
    return fail(Fault::invalid, std::string(what) + "; " + std::string(kForms));
}

Result<Address> parse_unix(std::string_view rest) {
    Address address;
    const std::size_t query = rest.find('?');
    address.unix_path = rest.substr(0, query);
    if (query != std::string_view::npos) {
        const std::string_view asked = rest.substr(query + 1);
        if (!asked.starts_with("db=") || !number(asked.substr(3), address.database))
            return wrong("after the socket's path only ?db=NUMBER may stand");
    }
    if (!address.unix_path.starts_with('/')) return wrong("the path of a socket begins with /");
    if (address.unix_path.size() > 107) return wrong("the path of a socket has at most 107 bytes");
    return address;
}

std::optional<std::string> unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned byte = 0;
        const char* const first = text.data() + i + 1;
        if (i + 3 > text.size() || std::from_chars(first, first + 2, byte, 16).ptr != first + 2) return std::nullopt;
        out += static_cast<char>(byte);
        i += 2;
    }
    return out;
}

Result<Node> parse_node(std::string_view text, std::uint16_t port) {
    Node node{.host = {}, .port = port};
    std::string_view after;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos) return wrong("[ without ]");
        node.host = text.substr(1, end - 1);
        after = text.substr(end + 1);
        if (!after.empty() && after.front() != ':') return wrong("after ] only :port may stand");
    } else {
        const std::size_t colon = text.find(':');
        node.host = text.substr(0, colon);
        if (colon != std::string_view::npos) after = text.substr(colon);
    }
    if (node.host.empty()) return wrong("the host is missing");
    if (!after.empty() && (!number(after.substr(1), node.port) || node.port == 0))
        return wrong("the port is a number from 1 to 65535");
    return node;
}

std::string node_text(const Node& node) {
    const bool brackets = node.host.find(':') != std::string::npos;
    return (brackets ? "[" + node.host + "]" : node.host) + ":" + std::to_string(node.port);
}

}  // namespace

Result<Address> parse_address(std::string_view url) {
    if (url.size() > 1000 || has_odd_byte(url)) return wrong("that is no address");
    constexpr std::string_view kUnix = "redis+unix://";
    if (url.starts_with(kUnix)) return parse_unix(url.substr(kUnix.size()));
    struct Scheme {
        std::string_view text;
        bool tls;
        Finding finding;
    };
    static constexpr std::array kSchemes = {Scheme{"redis://", false, Finding::direct},
                                            Scheme{"rediss://", true, Finding::direct},
                                            Scheme{"redis+sentinel://", false, Finding::sentinel},
                                            Scheme{"rediss+sentinel://", true, Finding::sentinel},
                                            Scheme{"redis+cluster://", false, Finding::cluster},
                                            Scheme{"rediss+cluster://", true, Finding::cluster}};
    const auto scheme = std::ranges::find_if(kSchemes, [&](const Scheme& each) { return url.starts_with(each.text); });
    if (scheme == kSchemes.end()) return wrong("that is no address of a Redis server");
    Address address;
    address.tls = scheme->tls;
    address.finding = scheme->finding;
    std::string_view rest = url.substr(scheme->text.size());
    if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
        const std::string_view who = rest.substr(0, at);
        const std::size_t colon = who.find(':');
        auto user = unescaped(who.substr(0, colon));
        auto password = unescaped(colon == std::string_view::npos ? std::string_view() : who.substr(colon + 1));
        if (!user || !password) return wrong("after % two hexadecimal digits stand");
        address.user = *std::move(user);
        address.password = *std::move(password);
        rest.remove_prefix(at + 1);
    }
    if (address.finding == Finding::sentinel) {
        const std::size_t slash = rest.find('/');
        if (slash == std::string_view::npos) return wrong("after the Sentinels /NAME of the master stands");
        std::string_view name = rest.substr(slash + 1);
        rest = rest.substr(0, slash);
        if (const std::size_t end = name.find('/'); end != std::string_view::npos) {
            if (!number(name.substr(end + 1), address.database)) return wrong("the database after / is a number");
            name = name.substr(0, end);
        }
        if (name.empty()) return wrong("after the Sentinels /NAME of the master stands");
        address.master = name;
    } else if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
        const std::string_view database = rest.substr(slash + 1);
        if (!database.empty() && !number(database, address.database)) return wrong("the database after / is a number");
        if (address.finding == Finding::cluster && address.database != 0)
            return wrong("a Redis Cluster has database 0 alone");
        rest = rest.substr(0, slash);
    }
    for (std::size_t at = 0; at <= rest.size();) {
        const std::size_t end = std::min(rest.find(',', at), rest.size());
        auto node = parse_node(rest.substr(at, end - at), address.finding == Finding::sentinel ? 26'379 : 6379);
        if (!node) return std::unexpected(std::move(node).error());
        address.seeds.push_back(*std::move(node));
        at = end + 1;
    }
    if (address.finding != Finding::direct) return address;
    if (address.seeds.size() > 1) return wrong("several hosts stand in the addresses of Sentinels or a Cluster alone");
    address.host = std::move(address.seeds.front().host);
    address.port = address.seeds.front().port;
    address.seeds.clear();
    return address;
}

std::string to_text(const Address& address) {
    if (!address.unix_path.empty())
        return "redis+unix://" + address.unix_path +
               (address.database == 0 ? "" : "?db=" + std::to_string(address.database));
    std::string text = address.tls ? "rediss" : "redis";
    if (address.finding == Finding::sentinel) text += "+sentinel";
    if (address.finding == Finding::cluster) text += "+cluster";
    text += "://";
    if (!address.user.empty()) text += address.user + "@";
    if (address.finding == Finding::direct) text += node_text({.host = address.host, .port = address.port});
    for (const Node& seed : address.seeds) text += (&seed == address.seeds.data() ? "" : ",") + node_text(seed);
    if (!address.master.empty()) text += "/" + address.master;
    if (address.database != 0) text += "/" + std::to_string(address.database);
    return text;
}

std::uint16_t hash_slot(std::string_view key) {
    if (const std::size_t open = key.find('{'); open != std::string_view::npos)
        if (const std::size_t close = key.find('}', open); close != std::string_view::npos && close > open + 1)
            key = key.substr(open + 1, close - open - 1);
    std::uint16_t crc = 0;  // CRC-16/XMODEM
    for (const char c : key) {
        crc = static_cast<std::uint16_t>(crc ^ (static_cast<unsigned char>(c) << 8));
        for (int bit = 0; bit < 8; ++bit)
            crc = static_cast<std::uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc % 16'384;
}

}  // namespace nexus::redis
