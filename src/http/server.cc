#include "http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>
#include <list>
#include <memory>
#include <random>
#include <thread>

#include "http/finish.h"
#include "http/live.h"
#include "http/live_topics.h"
#include "http/old_nexus.h"
#include "http/request_reader.h"
#include "http/routes.h"
#include "http/tls.h"
#include "http/transport.h"
#include "http/watch.h"

namespace nexus::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using Step = RequestReader::Step;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kReadBytes = 64 << 10;
constexpr std::size_t kSmallAnswer = 64 << 10;  // is never refused for what others do not read
// After a refusal the rest of a body is read and dropped for so long, or the client would see a broken connection
// instead of the answer.
constexpr std::chrono::seconds kLinger{2};
constexpr std::size_t kLingerBytes = 16 << 20;
constexpr std::chrono::seconds kHeartbeat{5};  // of a stream that has nothing to say: whoever is gone is noticed
constexpr std::chrono::seconds kAskAgain{1};   // whether a stream's credential still holds

std::chrono::microseconds chrono(Duration d) {
    return std::chrono::microseconds(d.us);
}

Instant now() {
    return {std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count()};
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

Response too_busy(std::string_view code, std::string_view detail) {
    return come_back(problem(503, code, "Service unavailable", detail), 1);
}

enum class Stream : std::uint8_t { none, live, watch };

Stream stream_of(const api::Method* method) {
    const std::string_view name = method == nullptr ? "" : method->name;
    return name == "http/live" ? Stream::live : name.starts_with("http/watch") ? Stream::watch : Stream::none;
}

void secure_headers(bhttp::fields& fields) {
    fields.set("X-Content-Type-Options", "nosniff");
    fields.set("Referrer-Policy", "no-referrer");
    fields.set("Cross-Origin-Resource-Policy", "same-origin");
    fields.set("X-Frame-Options", "DENY");
    fields.set("Content-Security-Policy",
               "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
               "base-uri 'self'; worker-src 'self'; form-action 'none'; frame-ancestors 'none'");
    fields.set(bhttp::field::cache_control, "no-store");
}

}  // namespace

// Everything below runs on the one I/O thread, except what engine callbacks post to it.
// Shared with the engine callbacks on their way back: a late one still finds an io_context to post to.
struct Server::State : std::enable_shared_from_this<Server::State> {
    State(Options o, api::Door& d)
        : options(std::move(o)),
          old_nexus(std::make_shared<OldNexus>(d, options.scheduler_keys, [] { return now(); })),
          rules{.hosts = options.hosts,
                .header_bytes_max = options.header_bytes_max,
                .door = &d,
                .old_nexus = old_nexus.get()},
          door(d),
          acceptor(io),
          tick(io),
          tls_look(io),
          live_news(io) {
        live_news.expires_at(asio::steady_timer::time_point::max());
    }

    struct Connection {
        Connection(tcp::socket socket, Transport::Context context) : stream(std::move(socket), std::move(context)) {}
        Transport stream;
        beast::flat_buffer buffer;
        Peer peer;
        bool waits = true;  // for its client to say something, since then
        Clock::time_point since = Clock::now();
        bool evicted = false;
    };

    Options options;
    const std::shared_ptr<OldNexus> old_nexus;
    ReadRules rules;
    api::Door& door;
    asio::io_context io{1};
    tcp::acceptor acceptor;
    asio::steady_timer tick;
    asio::steady_timer tls_look;
    Transport::Context tls;  // of new connections; null: plain text
    std::string tls_stamp;   // of the files that it was made of
    std::thread thread;
    std::list<Connection> open;
    std::size_t evicted = 0;                         // of them, on their way out
    std::uint64_t body_bytes = 0, answer_bytes = 0;  // arriving, and not yet read by their clients

    // The live stream: one frame for all, made only while somebody listens.
    std::uint32_t live_streams = 0;
    std::shared_ptr<const std::string> live_latest;  // shared by the streams that write it
    std::uint64_t live_version = 0;
    std::shared_ptr<LiveTopics> topics;  // of those who say what they want to see
    std::uint32_t topic_streams = 0;
    std::uint32_t watch_streams = 0;
    std::shared_ptr<WatchFeed::Shared> watches = std::make_shared<WatchFeed::Shared>();
    asio::steady_timer live_news;  // cancelled to wake the streams

    asio::awaitable<void> accept_loop();
    asio::awaitable<void> tls_loop();
    asio::awaitable<bool> shake_hands(Connection& connection);
    bool evict_one();
    asio::awaitable<void> serve(tcp::socket socket);
    asio::awaitable<bool> serve_one(Connection& connection);  // false: the connection ends
    asio::awaitable<bool> read(Connection& connection, RequestReader& reader, Response& refusal);
    asio::awaitable<Response> respond(RequestReader& reader);
    void add_allowance(Response& response, const Caller& caller) const;
    asio::awaitable<bool> write(Connection& connection, const Response& response, bool head, bool keep_alive);
    asio::awaitable<Response> serve_stream(Connection& connection, RequestReader& reader, Stream stream);
    asio::awaitable<void> linger(Connection& connection);
    asio::awaitable<void> live_loop();
    asio::awaitable<void> stream_live(Connection& connection, Caller caller);
    asio::awaitable<void> stream_topics(Connection& connection, Caller caller, LiveTopics::View view);
    void make_topics();
    asio::awaitable<Response> stream_watch(Connection& connection, RequestReader& reader);  // status 0: it was streamed
    asio::awaitable<bool> begin_stream(Connection& connection);
    asio::awaitable<bool> say(Connection& connection, std::string_view text);  // false: the client is gone
    static std::string farewell();  // to whoever's credential does not hold any more
    asio::awaitable<Response> answer(Route where, Request request);
};

asio::awaitable<Response> Server::State::answer(Route where, Request request) {
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Response)>(
        [this](auto handler, Route to, Request moved) {
            // Owned by the reply; the last owner is whoever calls it.
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            Reply reply = [self = shared_from_this(), shared](Response response) mutable {
                asio::post(self->io,
                           [shared, response = std::move(response)]() mutable { (*shared)(std::move(response)); });
            };
            if (OldNexus::serves(moved.path)) return old_nexus->answer(to, std::move(moved), std::move(reply));
            route(door, to, std::move(moved), std::move(reply));
        },
        asio::use_awaitable, std::move(where), std::move(request));
}

asio::awaitable<bool> Server::State::say(Connection& connection, std::string_view text) {
    connection.stream.tcp().expires_after(chrono(options.write_time_max));
    auto [error, bytes] = co_await asio::async_write(connection.stream, asio::buffer(text), kTuple);
    if (error == beast::error::timeout) door.http.cut.fetch_add(1, std::memory_order_relaxed);
    co_return !error;
}

asio::awaitable<bool> Server::State::begin_stream(Connection& connection) {
    co_return co_await say(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
        "nosniff\r\n"
        "Connection: close\r\n\r\nretry: 1000\n\n");
}

std::string Server::State::farewell() {
    return "event: error\ndata: " +
           problem_of({Fault::unauthenticated, "the credential of this stream was revoked, or has expired"}).body +
           "\n\n";
}

asio::awaitable<Response> Server::State::stream_watch(Connection& connection, RequestReader& reader) {
    const auto news = std::make_shared<asio::steady_timer>(io);
    // Cancelled on the I/O thread, so that news between a look and the wait are not missed.
    const auto wake = [self = weak_from_this(), weak = std::weak_ptr(news)] {
        const auto state = self.lock();
        if (!state) return;
        asio::post(state->io, [weak] {
            if (const auto timer = weak.lock()) timer->cancel();
        });
    };
    const Caller caller = caller_of(reader.request());
    const auto feed = WatchFeed::start(door, reader.route(), reader.request(), watches, wake);
    if (!feed) co_return problem_of(feed.error());
    Response done;
    done.status = 0;
    bool over = !co_await begin_stream(connection);
    auto said = Clock::now(), asked = said;
    while (!over) {
        std::string text = (*feed)->take(kReadBytes, over);
        if (text.empty() && !over) {
            news->expires_after(kAskAgain);
            co_await news->async_wait(kTuple);
            if (!acceptor.is_open()) break;
        }
        if (Clock::now() - asked >= kAskAgain) {
            asked = Clock::now();
            if (!door.guard->still(caller)) {
                co_await say(connection, farewell());
                break;
            }
        }
        if (text.empty() && !over && Clock::now() - said >= kHeartbeat) text = ": still here\n\n";
        if (text.empty()) continue;
        said = Clock::now();
        if (!co_await say(connection, text)) break;
    }
    (*feed)->close();
    co_return done;
}

asio::awaitable<void> Server::State::stream_live(Connection& connection, Caller caller) {
    if (!co_await begin_stream(connection)) co_return;
    std::uint64_t sent = 0;
    for (;;) {
        if (sent == live_version) {
            co_await live_news.async_wait(kTuple);
            if (sent == live_version) co_return;  // woken without news: the server stops
        }
        sent = live_version;
        const std::shared_ptr<const std::string> frame = live_latest;
        if (!door.guard->still(caller)) {
            co_await say(connection, farewell());
            co_return;
        }
        if (!co_await say(connection, *frame)) co_return;
    }
}

void Server::State::make_topics() {
    const auto post = [self = weak_from_this()](std::function<void()> work) {
        if (const auto state = self.lock()) asio::post(state->io, std::move(work));
    };
    std::random_device random;
    topics = std::make_shared<LiveTopics>(door, fmt::format("{:08x}", random()), post);
}

asio::awaitable<void> Server::State::stream_topics(Connection& connection, Caller caller, LiveTopics::View view) {
    if (!co_await begin_stream(connection)) co_return;
    Clock::time_point said = Clock::now();
    for (;;) {
        if (!door.guard->still(caller)) {
            co_await say(connection, farewell());
            co_return;
        }
        std::string text = view.take();
        if (text.empty() && Clock::now() - said >= kHeartbeat) text = ": still here\n\n";
        if (text.empty()) {
            co_await live_news.async_wait(kTuple);  // each second
            if (!acceptor.is_open()) co_return;
            continue;
        }
        said = Clock::now();
        if (!co_await say(connection, text)) co_return;
    }
}

asio::awaitable<void> Server::State::live_loop() {
    for (;;) {
        tick.expires_after(std::chrono::seconds(live_streams + topic_streams > 0 ? 1 : 3600));
        [[maybe_unused]] auto [stopped] = co_await tick.async_wait(kTuple);
        if (!acceptor.is_open()) co_return;
        if (topic_streams > 0)
            co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
                [this](auto handler) {
                    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
                    topics->tick([shared] { (*shared)(); });
                },
                asio::use_awaitable);
        if (live_streams == 0) {
            live_news.cancel();
            continue;
        }
        std::string made = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::string)>(
            [this](auto handler) {
                auto shared = std::make_shared<decltype(handler)>(std::move(handler));  // owned by the callback alone
                live_frame(door, [self = shared_from_this(), shared](std::string frame) mutable {
                    asio::post(self->io, [shared, frame = std::move(frame)]() mutable { (*shared)(std::move(frame)); });
                });
            },
            asio::use_awaitable);
        live_latest = std::make_shared<const std::string>(std::move(made));
        ++live_version;
        live_news.cancel();
    }
}

// True: there is something to answer, a request or its refusal. False: the connection is over.
asio::awaitable<bool> Server::State::read(Connection& connection, RequestReader& reader, Response& refusal) {
    Transport& stream = connection.stream;
    beast::flat_buffer& buffer = connection.buffer;
    std::uint64_t held = 0;
    const auto hold = [&](std::uint64_t bytes) {
        body_bytes += bytes - held;
        held = bytes;
    };
    bool over = false;
    for (;;) {
        std::size_t taken = 0;
        const bool fresh = !reader.begun();
        const auto input = buffer.cdata();
        const Step step = reader.take({static_cast<const char*>(input.data()), input.size()}, taken);
        buffer.consume(taken);
        if (step == Step::refused) refusal = std::move(reader.refusal());
        if (step != Step::more) break;
        hold(reader.body_bytes());
        if (body_bytes > options.body_bytes_max) {
            refusal = too_busy("TOO_MANY_BODIES", "too many bodies arrive at once; retry later");
            reader.drop_body();  // not only when the client has read the refusal and gone
            break;
        }
        // Between requests a connection may idle; once bytes came the whole request has to arrive in time.
        if (fresh && reader.begun()) stream.tcp().expires_after(chrono(options.header_time_max));
        if (reader.wants_continue()) {
            static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
            auto [error, bytes] = co_await asio::async_write(stream, asio::buffer(kGoOn), kTuple);
            if (error) over = true;
        }
        if (over) break;
        auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(kReadBytes), kTuple);
        buffer.commit(bytes);
        if (!error) continue;
        if (reader.begun() && !connection.evicted)
            (error == beast::error::timeout ? door.http.cut : door.http.malformed)
                .fetch_add(1, std::memory_order_relaxed);
        over = true;
        break;
    }
    hold(0);
    co_return !over;
}

// What is left of the caller's requests, and in how many seconds all of them will be there again.
void Server::State::add_allowance(Response& response, const Caller& caller) const {
    const identity::Allowance allowance = door.guard->limits.allowance(caller);
    if (allowance.limit == 0) return;
    const std::uint64_t per_s = allowance.limit / identity::Bucket::kHolds_s;
    response.headers.emplace_back("RateLimit-Limit", std::to_string(allowance.limit));
    response.headers.emplace_back("RateLimit-Remaining", std::to_string(allowance.left));
    response.headers.emplace_back("RateLimit-Reset",
                                  std::to_string((allowance.limit - allowance.left + per_s - 1) / per_s));
}

asio::awaitable<Response> Server::State::respond(RequestReader& reader) {
    const api::Method* method = reader.route().method;
    const bool page = method == nullptr || method->kind == api::Kind::page;
    if (!page && answer_bytes > options.answer_bytes_max)
        co_return too_busy("TOO_MANY_ANSWERS", "too many answers wait for their clients to read them; retry later");
    const Manners manners = reader.request().manners;
    const Caller caller = caller_of(reader.request());
    const bool limited = method != nullptr && method->role && door.guard->asks() &&
                         !OldNexus::serves(reader.request().path);  // which counts by itself
    Response response = co_await answer(std::move(reader.route()), std::move(reader.request()));
    if (limited) add_allowance(response, caller);
    finish(response, manners);
    if (response.body.size() > kSmallAnswer && answer_bytes + response.body.size() > options.answer_bytes_max)
        co_return too_busy("TOO_MANY_ANSWERS", "too many answers wait for their clients to read them; retry later");
    if (response.body.size() > kSmallAnswer) response.body.shrink_to_fit();  // the limit counts bytes, not room
    co_return response;
}

asio::awaitable<bool> Server::State::write(Connection& connection, const Response& response, bool head,
                                           bool keep_alive) {
    bhttp::response<bhttp::span_body<const char>> out;
    const std::string_view body = response.fixed.empty() ? std::string_view(response.body) : response.fixed;
    out.result(response.status);
    out.version(11);
    secure_headers(out);
    const bool bare = response.status == 304 || response.status == 204;  // has no body, nor a word about one
    if (!bare) out.set(bhttp::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers)
        name == "Set-Cookie" ? out.insert(name, value) : out.set(name, value);
    out.keep_alive(keep_alive);
    if (!bare) out.content_length(body.size());
    if (!head) out.body() = beast::span<const char>(body.data(), body.size());
    bhttp::serializer<false, bhttp::span_body<const char>> serializer(out);
    answer_bytes += response.body.size();
    connection.stream.tcp().expires_after(chrono(options.write_time_max));
    auto [error, written] = head ? co_await bhttp::async_write_header(connection.stream, serializer, kTuple)
                                 : co_await bhttp::async_write(connection.stream, serializer, kTuple);
    answer_bytes -= response.body.size();
    if (error == beast::error::timeout) door.http.cut.fetch_add(1, std::memory_order_relaxed);
    co_return !error;
}

asio::awaitable<void> Server::State::linger(Connection& connection) {
    beast::error_code ignored;
    connection.stream.tcp().socket().shutdown(tcp::socket::shutdown_send, ignored);
    connection.stream.tcp().expires_after(kLinger);
    connection.buffer.clear();
    for (std::size_t dropped = 0; dropped < kLingerBytes;) {
        auto [error, bytes] = co_await connection.stream.async_read_some(connection.buffer.prepare(kReadBytes), kTuple);
        if (error) co_return;
        dropped += bytes;
    }
}

// Status 0: it was streamed, and the connection ends.
asio::awaitable<Response> Server::State::serve_stream(Connection& connection, RequestReader& reader, Stream stream) {
    if (live_streams + topic_streams + watch_streams >= options.live_streams_max)
        co_return too_busy("TOO_MANY_STREAMS", "too many event streams are open");
    const Caller caller = caller_of(reader.request());
    reader.request().place.reset();  // a stream is no request that is being answered
    const auto place = door.guard->limits.open_stream(caller);
    if (!place) co_return problem_of(place.error());
    Response response;
    response.status = 0;
    if (stream == Stream::live && reader.request().query.contains("topics")) {
        auto view = topics->watch(reader.request());
        if (!view) co_return problem_of(view.error());
        door.counts->add(*reader.route().method, 0);
        if (topic_streams++ + live_streams == 0) tick.cancel();
        co_await stream_topics(connection, caller, *std::move(view));
        --topic_streams;
        co_return response;
    }
    door.counts->add(*reader.route().method, 0);
    if (stream == Stream::live) {
        if (live_streams++ + topic_streams == 0) tick.cancel();
        co_await stream_live(connection, caller);
        --live_streams;
    } else {
        ++watch_streams;
        response = co_await stream_watch(connection, reader);
        --watch_streams;
    }
    co_return response;
}

asio::awaitable<bool> Server::State::serve_one(Connection& connection) {
    RequestReader reader(rules, connection.peer);
    connection.waits = true;
    connection.since = Clock::now();
    Response response;
    response.status = 0;
    if (!co_await read(connection, reader, response)) co_return false;
    connection.waits = false;
    const bool refused = response.status != 0;
    const bool head = reader.is_head();
    if (response.status == 400 || response.status == 431 || response.status == 505)
        door.http.malformed.fetch_add(1, std::memory_order_relaxed);
    const Stream stream = refused ? Stream::none : stream_of(reader.route().method);
    const bool more = !refused && reader.keeps_alive();
    // Statements of their own: GCC 12 destroys the answer of a co_await in a conditional expression twice.
    if (refused)
        finish(response, reader.request().manners);
    else if (stream == Stream::none)
        response = co_await respond(reader);
    else if (head)
        response = {.status = 200, .content_type = "text/event-stream", .body = {}, .headers = {}, .fixed = {}};
    else
        response = co_await serve_stream(connection, reader, stream);
    if (response.status == 0) co_return false;
    if (stream != Stream::none) finish(response, reader.request().manners);
    const bool written = co_await write(connection, response, head, more);
    if (more && written) co_return true;
    if (written && (refused || !reader.keeps_alive())) {
        connection.waits = true;
        connection.since = Clock::now();
        co_await linger(connection);
    }
    co_return false;
}

// False: it did not come about, and the connection is over.
asio::awaitable<bool> Server::State::shake_hands(Connection& connection) {
    auto [error] = co_await connection.stream.async_handshake(kTuple);
    if (error == beast::error::timeout) door.http.cut.fetch_add(1, std::memory_order_relaxed);
    if (error) door.http.handshakes_failed.fetch_add(1, std::memory_order_relaxed);
    connection.peer.secure = true;
    if (!error) connection.peer.names = connection.stream.client_names();
    co_return !error;
}

// A certificate that is renewed is taken without a restart; one that is wrong is left alone, and so is the old one.
asio::awaitable<void> Server::State::tls_loop() {
    for (;;) {
        tls_look.expires_after(std::chrono::seconds(1));
        [[maybe_unused]] auto [stopped] = co_await tls_look.async_wait(kTuple);
        if (!acceptor.is_open()) co_return;
        const std::string stamp = identity::stamp_of(*options.tls);
        if (stamp == tls_stamp) continue;
        auto fresh = make_context(*options.tls);
        if (!fresh) continue;  // half of a pair: the other half is on its way
        tls = std::move(*fresh);
        tls_stamp = stamp;
        door.http.certificates_read.fetch_add(1, std::memory_order_relaxed);
    }
}

asio::awaitable<void> Server::State::serve(tcp::socket socket) {
    const auto here = open.emplace(open.end(), std::move(socket), tls);
    Connection& connection = *here;
    door.http.open.store(open.size(), std::memory_order_relaxed);
    beast::error_code ignored;
    connection.peer.from = "http:" + connection.stream.tcp().socket().remote_endpoint(ignored).address().to_string();
    connection.stream.tcp().expires_after(chrono(options.header_time_max));
    bool more = true;
    if (connection.stream.secure()) more = co_await shake_hands(connection);
    if (more)
        while (co_await serve_one(connection)) connection.stream.tcp().expires_after(chrono(options.idle_max));
    connection.stream.tcp().socket().shutdown(tcp::socket::shutdown_both, ignored);
    if (connection.evicted) --evicted;
    open.erase(here);
    door.http.open.store(open.size(), std::memory_order_relaxed);
}

// Makes room: whoever has kept us waiting longest goes. False: all are being answered.
bool Server::State::evict_one() {
    Connection* oldest = nullptr;
    for (Connection& connection : open)
        if (connection.waits && !connection.evicted && (oldest == nullptr || connection.since < oldest->since))
            oldest = &connection;
    if (oldest == nullptr) return false;
    oldest->evicted = true;
    ++evicted;
    oldest->stream.tcp().close();
    door.http.cut.fetch_add(1, std::memory_order_relaxed);
    return true;
}

asio::awaitable<void> Server::State::accept_loop() {
    asio::steady_timer pause(io);
    for (;;) {
        auto [error, socket] = co_await acceptor.async_accept(kTuple);
        if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
        if (error) {  // out of descriptors: wait a little instead of spinning
            door.http.errors.fetch_add(1, std::memory_order_relaxed);
            pause.expires_after(std::chrono::milliseconds(50));
            co_await pause.async_wait(kTuple);
            continue;
        }
        if (open.size() - evicted >= options.connections_max && !evict_one()) {
            door.http.refused.fetch_add(1, std::memory_order_relaxed);
            continue;  // the socket closes here
        }
        door.http.accepted.fetch_add(1, std::memory_order_relaxed);
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
    if (state->options.tls) {
        auto context = make_context(*state->options.tls);
        if (!context) return std::unexpected(std::move(context).error());
        state->tls = std::move(*context);
        state->tls_stamp = identity::stamp_of(*state->options.tls);
    }
    beast::error_code error;
    const auto ip = asio::ip::make_address(host, error);
    if (error) return fail(Fault::invalid, "address '" + host + "': " + error.message());
    // What we announce is what we answer to.
    state->rules.hosts.push_back(ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string());
    const tcp::endpoint endpoint(ip, port);
    state->acceptor.open(endpoint.protocol(), error);
    if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) state->acceptor.bind(endpoint, error);
    if (!error) state->acceptor.listen(1024, error);
    if (error) return fail(Fault::unavailable, "listening on " + state->options.address + ": " + error.message());
    asio::co_spawn(state->io, state->accept_loop(), asio::detached);
    state->make_topics();
    asio::co_spawn(state->io, state->live_loop(), asio::detached);
    if (state->tls) asio::co_spawn(state->io, state->tls_loop(), asio::detached);
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
        for (State::Connection& connection : raw->open) connection.stream.tcp().close();
        // Requests still waiting for the engine are dropped with the context.
        raw->io.stop();
    });
    state_->thread.join();
}

}  // namespace nexus::http
