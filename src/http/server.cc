#include "http/server.h"

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>
#include <set>
#include <thread>

#include "http/live.h"
#include "http/routes.h"
#include "http/target.h"

namespace nexus::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using Parser = bhttp::request_parser<bhttp::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

std::chrono::microseconds chrono(Duration d) {
    return std::chrono::microseconds(d.us);
}

bool split_address(std::string_view address, std::string& host, std::uint16_t& port) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos) return false;
    host = address.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (host == "localhost") host = "127.0.0.1";
    const std::string_view digits = address.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return error == std::errc{} && end == digits.data() + digits.size();
}

std::string_view without_port(std::string_view host) {
    if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
    return host.substr(0, host.find(':'));
}

std::string_view view(boost::core::string_view text) {
    return {text.data(), text.size()};
}

bool is_read(bhttp::verb verb) {
    return verb == bhttp::verb::get || verb == bhttp::verb::head;
}

api::Verb verb_of(bhttp::verb verb) {
    switch (verb) {
        case bhttp::verb::get:
        case bhttp::verb::head: return api::Verb::get;
        case bhttp::verb::post: return api::Verb::post;
        case bhttp::verb::put: return api::Verb::put;
        case bhttp::verb::delete_: return api::Verb::remove;
        default: return api::Verb::none;
    }
}

constexpr std::uint64_t kBodyMax = 2 << 20;  // of any method; each has a limit of its own

Response too_large(std::uint64_t limit) {
    return problem(413, "body_too_large", "Content too large",
                   "the body is limited to " + std::to_string(limit) + " bytes here");
}

void secure_headers(bhttp::fields& fields) {
    fields.set("X-Content-Type-Options", "nosniff");
    fields.set("Referrer-Policy", "no-referrer");
    fields.set("Cross-Origin-Resource-Policy", "same-origin");
    fields.set("X-Frame-Options", "DENY");
    fields.set("Content-Security-Policy",
               "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
               "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    fields.set(bhttp::field::cache_control, "no-store");
}

}  // namespace

// Everything below runs on the one I/O thread, except what engine callbacks post to it.
// Shared with the engine callbacks on their way back: a late one still finds an io_context to post to.
struct Server::State : std::enable_shared_from_this<Server::State> {
    State(Options o, api::Door& d) : options(std::move(o)), door(d), acceptor(io), tick(io), live_news(io) {
        live_news.expires_at(asio::steady_timer::time_point::max());
    }

    Options options;
    api::Door& door;
    asio::io_context io{1};
    tcp::acceptor acceptor;
    asio::steady_timer tick;
    std::thread thread;
    std::uint32_t connections = 0;
    std::set<beast::tcp_stream*> open;

    // The live stream: one frame for all, made only while somebody listens.
    std::uint32_t live_streams = 0;
    std::string live_latest;
    std::uint64_t live_version = 0;
    asio::steady_timer live_news;  // cancelled to wake the streams

    asio::awaitable<void> accept_loop();
    asio::awaitable<void> serve(tcp::socket socket);
    asio::awaitable<void> live_loop();
    asio::awaitable<bool> stream_live(beast::tcp_stream& stream);
    asio::awaitable<Response> answer(Route where, Request request);
    Response refuse_foreign(const bhttp::request<bhttp::string_body>& message) const;
    Response refuse_early(const bhttp::request<bhttp::string_body>& message, Request& request, Route& where) const;
    // Reads one request. Its response when it is refused; status 0 when it is to be answered.
    asio::awaitable<bool> read_request(beast::tcp_stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                       Request& request, Route& where, Response& response);
};

asio::awaitable<Response> Server::State::answer(Route where, Request request) {
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Response)>(
        [this](auto handler, Route to, Request moved) {
            // Owned by the reply; the last owner is whoever calls it.
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            route(door, to, std::move(moved), [self = shared_from_this(), shared](Response response) mutable {
                asio::post(self->io,
                           [shared, response = std::move(response)]() mutable { (*shared)(std::move(response)); });
            });
        },
        asio::use_awaitable, std::move(where), std::move(request));
}

// A page of another site must not reach us through the user's browser: by name (DNS rebinding), by fetch, by form.
Response Server::State::refuse_foreign(const bhttp::request<bhttp::string_body>& message) const {
    const std::string_view host = view(message[bhttp::field::host]);
    if (message.count(bhttp::field::host) != 1 ||
        std::find(options.hosts.begin(), options.hosts.end(), without_port(host)) == options.hosts.end())
        return problem(421, "wrong_host", "Misdirected request", "this server does not answer to that Host name");
    const std::string_view origin = view(message[bhttp::field::origin]);
    if (!origin.empty() && origin != "http://" + std::string(host) && origin != "https://" + std::string(host))
        return problem(403, "foreign_origin", "Forbidden", "requests from pages of another origin are refused");
    const std::string_view site = view(message["Sec-Fetch-Site"]);
    const bool navigation = is_read(message.method()) && view(message["Sec-Fetch-Mode"]) == "navigate";
    if (!site.empty() && site != "same-origin" && site != "none" && !navigation)
        return problem(403, "cross_site", "Forbidden", "cross-site requests are refused");
    Response fine;
    fine.status = 0;
    return fine;
}

asio::awaitable<bool> Server::State::stream_live(beast::tcp_stream& stream) {
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
        "nosniff\r\n"
        "Connection: close\r\n\r\nretry: 1000\n\n";
    stream.expires_after(chrono(options.write_time_max));
    auto [head_error, head_bytes] = co_await asio::async_write(stream, asio::buffer(head), kTuple);
    if (head_error) co_return false;
    if (live_streams++ == 0) tick.cancel();
    std::uint64_t sent = 0;
    for (;;) {
        if (sent == live_version) {
            co_await live_news.async_wait(kTuple);
            if (sent == live_version) break;  // woken without news: the server stops
        }
        sent = live_version;
        const std::string frame = live_latest;
        stream.expires_after(chrono(options.write_time_max));
        auto [error, bytes] = co_await asio::async_write(stream, asio::buffer(frame), kTuple);
        if (error) break;
    }
    --live_streams;
    co_return false;
}

asio::awaitable<void> Server::State::live_loop() {
    for (;;) {
        tick.expires_after(std::chrono::seconds(live_streams > 0 ? 1 : 3600));
        [[maybe_unused]] auto [stopped] = co_await tick.async_wait(kTuple);
        if (!acceptor.is_open()) co_return;
        if (live_streams == 0) continue;
        live_latest = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::string)>(
            [this](auto handler) {
                auto shared = std::make_shared<decltype(handler)>(std::move(handler));  // owned by the callback alone
                live_frame(door, [self = shared_from_this(), shared](std::string frame) mutable {
                    asio::post(self->io, [shared, frame = std::move(frame)]() mutable { (*shared)(std::move(frame)); });
                });
            },
            asio::use_awaitable);
        ++live_version;
        live_news.cancel();
    }
}

// What is wrong is told by its header alone, before the body is read; status 0 when nothing is.
Response Server::State::refuse_early(const bhttp::request<bhttp::string_body>& message, Request& request,
                                     Route& where) const {
    Response response = refuse_foreign(message);
    if (response.status != 0) return response;
    request.verb = verb_of(message.method());
    if (request.verb == api::Verb::none)
        return problem(405, "method_not_allowed", "Method not allowed", "GET, HEAD, POST, PUT and DELETE are served");
    if (message.version() != 11 && message.version() != 10)
        return problem(505, "version", "HTTP version not supported", "use HTTP/1.1");
    if (!message[bhttp::field::content_encoding].empty())
        return problem(415, "encoding", "Unsupported media type", "compressed bodies are refused");
    if (!parse_target(view(message.target()), request.path, request.query))
        return problem(400, "target", "Bad request", "the request target is malformed");
    where = find_route(request.verb, request.path);
    return response;
}

asio::awaitable<bool> Server::State::read_request(beast::tcp_stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                                  Request& request, Route& where, Response& response) {
    parser.header_limit(options.header_bytes_max);
    parser.body_limit(kBodyMax);
    auto [error, bytes] = co_await bhttp::async_read_header(stream, buffer, parser, kTuple);
    if (!error) {
        response = refuse_early(parser.get(), request, where);
        if (response.status != 0) co_return true;
        const std::uint64_t limit = where.method == nullptr ? 0 : where.method->body_bytes_max;
        const auto announced = parser.content_length();
        if (where.method != nullptr && announced && *announced > limit) {
            response = too_large(limit);
            co_return true;
        }
        // Where nothing is served the body is of no interest: the answer ends the connection.
        if (where.method == nullptr) co_return true;
        parser.body_limit(limit);
        auto [body_error, body_bytes] = co_await bhttp::async_read(stream, buffer, parser, kTuple);
        if (body_error == bhttp::error::body_limit)
            response = too_large(limit);
        else if (body_error)
            co_return false;
        co_return true;
    }
    if (error == bhttp::error::end_of_stream || error == beast::error::timeout) co_return false;
    if (error == bhttp::error::body_limit)
        response = too_large(kBodyMax);
    else if (error == bhttp::error::header_limit)
        response = problem(431, "header_too_large", "Request header fields too large", "headers are limited to 16 KiB");
    else if (error.category() == bhttp::make_error_code(bhttp::error::bad_method).category())
        response = problem(400, "malformed", "Bad request", "not HTTP/1.1: " + error.message());
    else
        co_return false;
    co_return true;
}

asio::awaitable<void> Server::State::serve(tcp::socket socket) {
    beast::error_code unknown;
    const std::string from = "http:" + socket.remote_endpoint(unknown).address().to_string();
    beast::tcp_stream stream(std::move(socket));
    open.insert(&stream);
    beast::flat_buffer buffer;
    bool more = true;
    bool first = true;
    while (more) {
        Parser parser;
        Request request;
        Route where;
        Response response;
        response.status = 0;
        // Between requests a connection may idle; once bytes came the whole request has to arrive in time.
        stream.expires_after(chrono(first || buffer.size() > 0 ? options.header_time_max : options.idle_max));
        first = false;
        if (!co_await read_request(stream, buffer, parser, request, where, response)) break;
        const bool whole = parser.is_done();
        auto& message = parser.get();
        if (response.status == 0) {
            request.content_type = view(message[bhttp::field::content_type]);
            request.idempotency_key = view(message["Idempotency-Key"]);
            request.body = std::move(message.body());
            request.from = from;
            const bool live = where.method != nullptr && std::string_view(where.method->name) == "http/live";
            if (live && live_streams < options.live_streams_max) {
                door.counts->add(*where.method, 0);
                more = co_await stream_live(stream);
                break;
            }
            // Two statements: GCC 12 destroys the answer of a co_await in a conditional expression twice.
            if (live)
                response = problem(503, "too_many_streams", "Service unavailable", "too many live streams are open");
            else
                response = co_await answer(std::move(where), std::move(request));
        }
        const bool head = parser.is_header_done() && message.method() == bhttp::verb::head;
        bhttp::response<bhttp::span_body<const char>> out;
        const std::string_view body = response.fixed.empty() ? std::string_view(response.body) : response.fixed;
        out.result(response.status);
        out.version(11);
        secure_headers(out);
        out.set(bhttp::field::content_type, response.content_type);
        for (const auto& [name, value] : response.headers) out.set(name, value);
        more = whole && message.keep_alive();
        out.keep_alive(more);
        out.content_length(body.size());
        if (!head) out.body() = beast::span<const char>(body.data(), body.size());
        stream.expires_after(chrono(options.write_time_max));
        bhttp::serializer<false, bhttp::span_body<const char>> serializer(out);
        auto [write_error, written] = head ? co_await bhttp::async_write_header(stream, serializer, kTuple)
                                           : co_await bhttp::async_write(stream, serializer, kTuple);
        if (write_error) break;
    }
    open.erase(&stream);
    beast::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
    --connections;
}

asio::awaitable<void> Server::State::accept_loop() {
    asio::steady_timer pause(io);
    for (;;) {
        auto [error, socket] = co_await acceptor.async_accept(kTuple);
        if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
        if (error) {  // out of descriptors: wait a little instead of spinning
            pause.expires_after(std::chrono::milliseconds(50));
            co_await pause.async_wait(kTuple);
            continue;
        }
        if (connections >= options.connections_max) continue;  // the socket closes here
        ++connections;
        beast::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(io, serve(std::move(socket)), asio::detached);
    }
}

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(Options options, api::Door& door) {
    std::string host;
    std::uint16_t port = 0;
    if (!split_address(options.address, host, port))
        return fail(Fault::invalid, "address '" + options.address + "' is not host:port");
    auto state = std::make_shared<State>(std::move(options), door);
    beast::error_code error;
    const auto ip = asio::ip::make_address(host, error);
    if (error) return fail(Fault::invalid, "address '" + host + "': " + error.message());
    const tcp::endpoint endpoint(ip, port);
    state->acceptor.open(endpoint.protocol(), error);
    if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) state->acceptor.bind(endpoint, error);
    if (!error) state->acceptor.listen(1024, error);
    if (error) return fail(Fault::unavailable, "listening on " + state->options.address + ": " + error.message());
    asio::co_spawn(state->io, state->accept_loop(), asio::detached);
    asio::co_spawn(state->io, state->live_loop(), asio::detached);
    state->thread = std::thread([raw = state.get()] { raw->io.run(); });
    return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const {
    return state_->acceptor.local_endpoint().port();
}

Server::~Server() {
    asio::post(state_->io, [raw = state_.get()] {
        beast::error_code ignored;
        raw->acceptor.close(ignored);
        raw->tick.cancel();
        raw->live_news.cancel();
        for (beast::tcp_stream* stream : raw->open) stream->close();
        // Requests still waiting for the engine are dropped with the context.
        raw->io.stop();
    });
    state_->thread.join();
}

}  // namespace nexus::http
