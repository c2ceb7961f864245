#include "history/clickhouse/client.h"

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/core/detail/base64.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <charconv>
#include <chrono>
#include <optional>

#include "base/ascii.h"
#include "base/quantity.h"

namespace nexus::history {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kAnswerBytesMax = 256ULL << 20;
constexpr std::chrono::milliseconds kLook{100};  // how often an order to stop is looked for
constexpr Duration kConnectMax = seconds(2);
// A server of 2018 closes a connection that was idle for 3 s; what is sent just then would be lost without an answer.
constexpr std::chrono::seconds kIdleMax{1};

std::unexpected<Error> invalid(std::string what) {
    return fail(Fault::invalid, std::move(what) + "; expected clickhouse://HOST:PORT/DATABASE");
}

bool all_of(std::string_view text, std::string_view allowed) {
    return text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string percent(std::string_view text) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '_' || c == '-' || c == '.')
            out.push_back(c);
        else
            out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
    return out;
}

std::string basic(const ClickHouseAddress& address) {
    const std::string both = address.user + ":" + address.password;
    std::string out(beast::detail::base64::encoded_size(both.size()), '\0');
    out.resize(beast::detail::base64::encode(out.data(), both.data(), both.size()));
    return "Basic " + out;
}

// The first line of what it says, without what the server repeats in it.
std::string said(std::string_view body) {
    std::string_view line = body.substr(0, body.find_first_of("\r\n"));
    if (const auto at = line.find("DB::Exception: "); at != std::string_view::npos) line.remove_prefix(at + 15);
    line = line.substr(0, line.find(", e.what()"));
    return std::string(line.substr(0, 300));
}

// "Code: 60, e.displayText() = …" or "Code: 60. DB::Exception: …"; 0: it says none.
int code_in(std::string_view body) {
    constexpr std::string_view kCode = "Code: ";
    if (!body.starts_with(kCode)) return 0;
    int code = 0;
    std::from_chars(body.data() + kCode.size(), body.data() + body.size(), code);
    return code;
}

Fault fault_of(int code, unsigned status) {
    switch (code) {
        case 60:  // unknown table
        case 81:  // unknown database
            return Fault::not_found;
        case 192:  // unknown user
        case 193:  // wrong password
        case 194:  // no password
        case 195:  // not from this address
        case 164:  // read-only
        case 291:  // no access to the database
        case 497:  // not granted
        case 516:  // authentication failed
            return Fault::denied;
        case 243:  // not enough space
            return Fault::no_space;
        default: return status == 401 || status == 403 ? Fault::denied : Fault::unreachable;
    }
}

}  // namespace

std::string ClickHouseAddress::text() const {
    return (tls ? "clickhouses://" : "clickhouse://") + host + ":" + std::to_string(port) + "/" + database;
}

Result<ClickHouseAddress> parse_clickhouse(std::string_view url) {
    ClickHouseAddress address;
    constexpr std::string_view kPlain = "clickhouse://", kTls = "clickhouses://";
    address.tls = url.starts_with(kTls);
    if (!address.tls && !url.starts_with(kPlain)) return invalid("it does not begin with " + std::string(kPlain));
    url.remove_prefix(address.tls ? kTls.size() : kPlain.size());
    if (url.find('@') != std::string_view::npos)
        return fail(Fault::invalid, "user and password belong into server.history_login_file, not into the address");
    address.port = address.tls ? 8443 : 8123;
    if (const auto slash = url.find('/'); slash != std::string_view::npos) {
        if (slash + 1 < url.size()) address.database = url.substr(slash + 1);
        url = url.substr(0, slash);
    }
    const auto bracket = url.rfind(']');
    if (const auto colon = url.rfind(':');
        colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
        const std::string_view port = url.substr(colon + 1);
        const auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), address.port);
        if (fault != std::errc{} || end != port.data() + port.size() || address.port == 0)
            return invalid("\"" + std::string(port.substr(0, 16)) + "\" is no port");
        url = url.substr(0, colon);
    }
    const bool v6 = url.starts_with('[') && url.ends_with(']');
    address.host = lower_case(v6 ? url.substr(1, url.size() - 2) : url);
    if (address.host.empty() || address.host.size() > 253 ||
        !all_of(address.host, v6 ? "0123456789abcdef:." : "abcdefghijklmnopqrstuvwxyz0123456789.-_"))
        return invalid("\"" + address.host.substr(0, 64) + "\" is no host");
    constexpr std::string_view kName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    if (address.database.size() > 64 || !all_of(address.database, kName) ||
        std::isdigit(static_cast<unsigned char>(address.database.front())) != 0)
        return invalid("\"" + address.database.substr(0, 64) + "\" is no name of a database");
    return address;
}

struct ClickHouseClient::Wire {
    asio::io_context io{1};
    std::optional<asio::ssl::context> context;
    std::optional<beast::tcp_stream> tcp;
    std::optional<beast::ssl_stream<beast::tcp_stream&>> tls;
    beast::flat_buffer buffer;
    Clock::time_point used;

    bool open() const { return tcp.has_value(); }
    void close() {
        tls.reset();
        tcp.reset();
        buffer.clear();
    }

    // Starts something and runs it until it is done, the time is up or everything is to stop.
    template <class Start>
    error_code run(Clock::time_point deadline, const std::atomic<bool>& stop, Start start) {
        std::optional<error_code> done;
        start([&done](error_code error, auto&&...) { done = error; });
        io.restart();
        while (!done && !stop) {
            const auto now = Clock::now();
            if (now >= deadline) break;
            io.run_one_until(std::min(deadline, now + kLook));
            if (io.stopped() && !done) io.restart();
        }
        if (done) return *done;
        tcp->close();  // what was started ends now, and may still refer to what its starter owns
        io.restart();
        io.run();
        return stop ? error_code(asio::error::operation_aborted) : error_code(asio::error::timed_out);
    }
    template <class Use>
    void with_stream(Use use) {
        if (tls)
            use(*tls);
        else
            use(*tcp);
    }
};

ClickHouseClient::ClickHouseClient(ClickHouseAddress address, const std::atomic<bool>& stop)
    : address_(std::move(address)), stop_(stop), wire_(std::make_unique<Wire>()) {}
ClickHouseClient::~ClickHouseClient() {
    wire_->close();
}

Result<std::string> ClickHouseClient::ask(const Question& question) {
    Wire& wire = *wire_;
    const auto deadline = Clock::now() + std::chrono::microseconds(question.limit.us);
    const auto unreachable = [&](const char* doing, const error_code& error) {
        wire.close();
        const std::string why = error == asio::error::timed_out ? "no answer within " + duration_text(question.limit)
                                : error == bhttp::error::end_of_stream || error == bhttp::error::partial_message ||
                                        error == asio::error::eof
                                    ? "the answer broke off"
                                    : error.message();
        return fail(Fault::unreachable, address_.text() + ": " + doing + ": " + why);
    };
    const auto connect = [&]() -> Result<void> {
        wire.buffer.clear();
        error_code error;
        std::vector<tcp::endpoint> ends;
        if (const auto number = asio::ip::make_address(address_.host, error); !error) {
            ends.emplace_back(number, address_.port);
        } else {
            tcp::resolver resolver(wire.io);
            for (const auto& found : resolver.resolve(address_.host, std::to_string(address_.port), error))
                ends.push_back(found.endpoint());
            if (error) return unreachable("looking its name up", error);
        }
        wire.tcp.emplace(wire.io);
        const auto until = std::min(deadline, Clock::now() + std::chrono::microseconds(kConnectMax.us));
        error = wire.run(until, stop_, [&](auto done) { wire.tcp->async_connect(ends, std::move(done)); });
        if (error == asio::error::timed_out) {
            wire.close();
            return fail(Fault::unreachable, address_.text() + ": connecting: no answer within " +
                                                duration_text(std::min(kConnectMax, question.limit)));
        }
        if (error) return unreachable("connecting", error);
        wire.tcp->socket().set_option(tcp::no_delay(true), error);
        if (!address_.tls) return {};
        if (!wire.context) {
            wire.context.emplace(asio::ssl::context::tls_client);
            SSL_CTX_set_min_proto_version(wire.context->native_handle(), TLS1_2_VERSION);
            if (address_.ca_file.empty())
                wire.context->set_default_verify_paths(error);
            else
                wire.context->load_verify_file(address_.ca_file, error);
            if (error) {
                wire.context.reset();
                return unreachable(address_.ca_file.c_str(), error);
            }
            wire.context->set_verify_mode(asio::ssl::verify_peer);
        }
        wire.tls.emplace(*wire.tcp, *wire.context);
        wire.tls->set_verify_callback(asio::ssl::host_name_verification(address_.host));
        SSL_set_tlsext_host_name(wire.tls->native_handle(), address_.host.c_str());
        error = wire.run(deadline, stop_, [&](auto done) {
            wire.tls->async_handshake(asio::ssl::stream_base::client, std::move(done));
        });
        if (error) return unreachable("TLS", error);
        return {};
    };

    // The query is in the address where there is data, else it is the body.
    std::string target = "/?wait_end_of_query=1";
    if (question.in_database) target += "&database=" + percent(address_.database);
    if (!question.data.empty()) target += "&query=" + percent(question.query);
    if (question.again)
        target += "&max_execution_time=" + std::to_string(std::max<std::int64_t>(1, question.limit.us / 1'000'000));
    bhttp::request<bhttp::span_body<const char>> request{bhttp::verb::post, target, 11};
    request.set(bhttp::field::host, address_.host + ":" + std::to_string(address_.port));
    request.set(bhttp::field::authorization, basic(address_));
    request.keep_alive(true);
    const std::string_view body = question.data.empty() ? question.query : question.data;
    request.body() = beast::span<const char>(body.data(), body.size());
    request.prepare_payload();

    if (wire.open() && Clock::now() - wire.used > kIdleMax) wire.close();
    for (;;) {
        const bool fresh = !wire.open();
        if (stop_) return fail(Fault::unreachable, "stopping");
        if (fresh)
            if (auto ok = connect(); !ok) return std::unexpected(std::move(ok).error());
        bhttp::response_parser<bhttp::string_body> parser;
        parser.body_limit(kAnswerBytesMax);
        error_code error = wire.run(deadline, stop_, [&](auto done) {
            wire.with_stream([&](auto& stream) { bhttp::async_write(stream, request, std::move(done)); });
        });
        // A server that refuses early may not read all; its answer says why.
        const bool sent = !error || error == asio::error::broken_pipe || error == asio::error::connection_reset;
        if (sent)
            error = wire.run(deadline, stop_, [&](auto done) {
                wire.with_stream(
                    [&](auto& stream) { bhttp::async_read(stream, wire.buffer, parser, std::move(done)); });
            });
        if (error && !fresh && question.again && !parser.got_some() && error != asio::error::timed_out) {
            wire.close();
            continue;
        }
        if (error) return unreachable(sent ? "waiting for the answer" : "asking", error);
        wire.used = Clock::now();
        auto response = parser.release();
        if (!response.keep_alive()) wire.close();
        if (response.result() == bhttp::status::ok && code_in(response.body()) == 0) return std::move(response.body());
        const unsigned status = response.result_int();
        return fail(fault_of(code_in(response.body()), status),
                    address_.text() + ": " +
                        (response.body().empty() ? "HTTP status " + std::to_string(status) : said(response.body())));
    }
}

}  // namespace nexus::history
