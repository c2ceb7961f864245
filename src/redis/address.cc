#include "redis/address.h"

#include <charconv>

namespace nexus::redis {
namespace {

constexpr std::string_view kForms =
    "expected redis://[user@]host[:port][/db], rediss:// for TLS, or redis+unix:///path[?db=n]";

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

}  // namespace

Result<Address> parse_address(std::string_view url) {
    if (url.size() > 1000 || has_odd_byte(url)) return wrong("that is no address");
    constexpr std::string_view kUnix = "redis+unix://", kPlain = "redis://", kTls = "rediss://";
    if (url.starts_with(kUnix)) return parse_unix(url.substr(kUnix.size()));
    Address address;
    address.tls = url.starts_with(kTls);
    if (!address.tls && !url.starts_with(kPlain)) return wrong("that is no address of a Redis server");
    std::string_view rest = url.substr(address.tls ? kTls.size() : kPlain.size());
    if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
        const std::string_view who = rest.substr(0, at);
        if (who.find(':') != std::string_view::npos)
            return fail(Fault::invalid,
                        "a password does not belong into an address, which others can see; write it into a file and "
                        "name that with --store-password-file");
        address.user = who;
        rest.remove_prefix(at + 1);
    }
    if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
        const std::string_view database = rest.substr(slash + 1);
        if (!database.empty() && !number(database, address.database)) return wrong("the database after / is a number");
        rest = rest.substr(0, slash);
    }
    std::string_view port;
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find(']');
        if (end == std::string_view::npos) return wrong("[ without ]");
        address.host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
        if (!port.empty() && port.front() != ':') return wrong("after ] only :port may stand");
    } else {
        const std::size_t colon = rest.find(':');
        address.host = rest.substr(0, colon);
        if (colon != std::string_view::npos) port = rest.substr(colon);
    }
    if (address.host.empty()) return wrong("the host is missing");
    if (!port.empty() && (!number(port.substr(1), address.port) || address.port == 0))
        return wrong("the port is a number from 1 to 65535");
    return address;
}

std::string to_text(const Address& address) {
    if (!address.unix_path.empty())
        return "redis+unix://" + address.unix_path +
               (address.database == 0 ? "" : "?db=" + std::to_string(address.database));
    const bool brackets = address.host.find(':') != std::string::npos;
    std::string text = address.tls ? "rediss://" : "redis://";
    if (!address.user.empty()) text += address.user + "@";
    text += brackets ? "[" + address.host + "]" : address.host;
    text += ":" + std::to_string(address.port);
    if (address.database != 0) text += "/" + std::to_string(address.database);
    return text;
}

}  // namespace nexus::redis
