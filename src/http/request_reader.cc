#include "http/request_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <utility>

#include "api/error.h"
#include "base/ascii.h"
#include "base/utf8.h"
#include "http/finish.h"
#include "http/old_nexus.h"
#include "http/session.h"
#include "http/target.h"

namespace nexus::http {
namespace {

namespace bhttp = boost::beast::http;
using bhttp::field;

std::string_view view(boost::core::string_view text) {
    return {text.data(), text.size()};
}

// The name of "name", "name:80" or "[::1]:80" in lower case; empty when it is none of these.
std::string host_of(std::string_view authority) {
    const bool v6 = authority.starts_with('[');
    const std::size_t end = v6 ? authority.find(']') + 1 : std::min(authority.find(':'), authority.size());
    if (v6 && end == 0) return {};
    const std::string_view rest = authority.substr(end);
    const bool port = rest.empty() || (rest[0] == ':' && rest.find_first_not_of("0123456789", 1) == rest.npos);
    return port ? lower_case(authority.substr(0, end)) : std::string();
}

Response wrong_host() {
    return problem(421, "WRONG_HOST", "Misdirected request",
                   "this server does not answer to that Host name; the setting server.http_hosts (nexus serve "
                   "--http-host NAME) lists those it answers to beside localhost and its address");
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

Response malformed(std::string_view detail) {
    return problem(400, "MALFORMED", "Bad request", detail);
}

Response too_large(std::uint64_t limit) {
    return problem(413, "BODY_TOO_LARGE", "Content too large",
                   "the body is limited to " + std::to_string(limit) + " bytes here");
}

// Two of one of these, and each reader takes the one it likes.
constexpr field kOnce[] = {field::host,         field::content_length,   field::transfer_encoding,
                           field::content_type, field::content_encoding, field::origin,
                           field::expect,       field::authorization,    field::cookie};

// Where people are tempted to put a token: a URL is kept in histories, logs and referrers.
constexpr std::string_view kSecretParameters[] = {"token", "access_token", "auth_token", "api_key", "apikey", "secret"};

}  // namespace

struct RequestReader::Parser : bhttp::request_parser<bhttp::string_body> {};

RequestReader::RequestReader(const ReadRules& rules, Peer peer)
    : rules_(rules), peer_(std::move(peer)), parser_(std::make_unique<Parser>()) {
    request_.from = peer_.from;
    request_.secure = peer_.secure;
    parser_->header_limit(rules.header_bytes_max);
    parser_->body_limit(UINT64_MAX);  // judged here, once it is known what is asked
}
RequestReader::~RequestReader() = default;

RequestReader::Step RequestReader::refuse(Response response) {
    refused_ = true;
    refusal_ = std::move(response);
    drop_body();
    return Step::refused;
}

RequestReader::Step RequestReader::take(std::string_view input, std::size_t& taken) {
    taken = 0;
    while (!refused_ && !parser_->is_done()) {
        if (taken == input.size()) return Step::more;
        begun_ = true;
        boost::beast::error_code error;
        const std::size_t n = parser_->put(boost::asio::buffer(input.data() + taken, input.size() - taken), error);
        taken += n;
        if (judged_) taken_ += n;
        if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow)
            return refuse(problem(431, "HEADER_TOO_LARGE", "Request header fields too large",
                                  "the header is limited to " + std::to_string(rules_.header_bytes_max) + " bytes"));
        if (error == bhttp::error::body_limit) return refuse(too_large(body_max_));
        if (error == bhttp::error::bad_version)
            return refuse(problem(505, "VERSION", "HTTP version not supported", "use HTTP/1.1"));
        if (error && error != bhttp::error::need_more)
            return refuse(malformed("this is not HTTP/1.1: " + error.message()));
        if (!judged_ && parser_->is_header_done())
            if (const Step step = judge_header(); step != Step::more) return step;
        const std::size_t content = parser_->get().body().size();
        const std::size_t left = error == bhttp::error::need_more && judged_ ? input.size() - taken : 0;
        if (taken_ + left > content + content + kFramingMax)
            return refuse(malformed("chunk sizes, extensions and trailers are longer than the content and 16 KiB"));
        if (error == bhttp::error::need_more) return Step::more;
    }
    if (refused_) return Step::refused;
    request_.body = std::move(parser_->get().body());
    if (!is_utf8(request_.body)) return refuse(malformed("body: not UTF-8"));
    return Step::whole;
}

RequestReader::Step RequestReader::judge_header() {
    judged_ = true;
    const auto& message = parser_->get();
    request_.verb = verb_of(message.method());
    request_.manners = manners_of({.is_get = is_read(message.method()),
                                   .accept_encoding = lower_case(view(message[field::accept_encoding])),
                                   .if_none_match = view(message[field::if_none_match]),
                                   .request_id = view(message["X-Request-Id"]),
                                   .traceparent = view(message["traceparent"])});
    if (refuse_framing() || refuse_foreign()) return Step::refused;
    if (request_.verb == api::Verb::none) {
        Response response =
            problem(405, "METHOD_NOT_ALLOWED", "Method not allowed", "GET, HEAD, POST, PUT and DELETE are served");
        response.headers.emplace_back("Allow", "GET, HEAD, POST, PUT, DELETE");
        return refuse(std::move(response));
    }
    if (!message[field::content_encoding].empty())
        return refuse(problem(415, "ENCODING", "Unsupported media type", "compressed bodies are refused"));
    if (!take_target()) return Step::refused;
    request_.content_type = lower_case(view(message[field::content_type]));
    request_.idempotency_key = view(message["Idempotency-Key"]);
    request_.if_match = view(message[field::if_match]);
    request_.last_event_id = view(message["Last-Event-ID"]);
    request_.scheduler_key = view(message["X-Scheduler-Key"]);
    request_.correlation_id = view(message["X-Correlation-ID"]);
    route_ = find_route(request_.verb, request_.path);
    if (refuse_caller()) return Step::refused;
    // Where nothing is served the body is of no interest.
    body_max_ = route_.method == nullptr ? 0 : route_.method->body_bytes_max;
    const auto announced = parser_->content_length();
    if (route_.method != nullptr && announced && *announced > body_max_) return refuse(too_large(body_max_));
    parser_->body_limit(route_.method == nullptr ? UINT64_MAX : body_max_);
    const bool body_to_come = !parser_->is_done();
    if (route_.method == nullptr && body_to_come) return Step::whole;
    const std::string expected = lower_case(view(message[field::expect]));
    if (!expected.empty() && expected != "100-continue")
        return refuse(problem(417, "EXPECT", "Expectation failed", "only Expect: 100-continue is known"));
    continue_ = !expected.empty() && body_to_come && message.version() == 11;
    return Step::more;
}

bool RequestReader::refuse_framing() {
    const auto& message = parser_->get();
    const auto no = [this](Response response) {
        refuse(std::move(response));
        return true;
    };
    for (const field name : kOnce)
        if (message.count(name) > 1)
            return no(malformed(std::string(view(bhttp::to_string(name))) + ": stands more than once"));
    if (message.count("Idempotency-Key") > 1) return no(malformed("Idempotency-Key: stands more than once"));
    if (message.count(field::transfer_encoding) == 1) {
        if (message.version() == 10) return no(malformed("Transfer-Encoding: HTTP/1.0 has none"));
        if (lower_case(view(message[field::transfer_encoding])) != "chunked")
            return no(malformed("Transfer-Encoding: only \"chunked\" is taken"));
        if (message.count(field::content_length) > 0)
            return no(malformed("Content-Length: stands beside Transfer-Encoding"));
    }
    if (message.count(field::content_length) == 1 &&
        view(message[field::content_length]).find_first_not_of("0123456789") != std::string_view::npos)
        return no(malformed("Content-Length: not one number"));
    if (message.count(field::host) == 0) return no(malformed("Host: missing"));
    return false;
}

// A page of another site must not reach us through the user's browser: by name (DNS rebinding), by fetch, by form.
bool RequestReader::refuse_foreign() {
    const auto& message = parser_->get();
    const auto no = [this](Response response) {
        refuse(std::move(response));
        return true;
    };
    const std::string_view host = view(message[field::host]);
    if (std::ranges::find(rules_.hosts, host_of(host)) == rules_.hosts.end()) return no(wrong_host());
    const std::string origin = lower_case(view(message[field::origin]));
    if (!origin.empty() && origin != "http://" + lower_case(host) && origin != "https://" + lower_case(host))
        return no(problem(403, "FOREIGN_ORIGIN", "Forbidden", "requests from pages of another origin are refused"));
    const std::string_view site = view(message["Sec-Fetch-Site"]);
    const bool navigation = is_read(message.method()) && view(message["Sec-Fetch-Mode"]) == "navigate";
    if (!site.empty() && site != "same-origin" && site != "none" && !navigation)
        return no(problem(403, "CROSS_SITE", "Forbidden", "cross-site requests are refused"));
    return false;
}

bool RequestReader::refuse_caller() {
    for (const auto& [name, value] : request_.query) {
        const bool secret = value.starts_with("nxt_") ||
                            std::ranges::find(kSecretParameters, lower_case(name)) != std::end(kSecretParameters);
        if (!secret) continue;
        refuse(problem(400, "TOKEN_IN_URL", "Bad request",
                       "a token does not belong into a URL: send it as Authorization: Bearer; this one is known to "
                       "whoever reads logs and histories, so revoke it"));
        return true;
    }
    if (rules_.old_nexus != nullptr && OldNexus::serves(request_.path)) {
        auto refusal = rules_.old_nexus->find_caller(request_, route_.method);
        if (refusal) refuse(*std::move(refusal));
        return refused_;
    }
    if (route_.method == nullptr || rules_.door == nullptr) return false;
    auto caller = find_caller();
    if (caller && route_.method->role) {
        auto place = rules_.door->guard->limits.enter(*caller);
        if (place)
            request_.place = std::move(*place);
        else
            caller = std::unexpected(std::move(place).error());
    }
    if (caller) {
        request_.caller = *std::move(caller);
        return false;
    }
    rules_.door->counts->add(*route_.method, api::row_of(caller.error().fault).grpc);
    refuse(problem_of(caller.error()));
    return true;
}

Result<Caller> RequestReader::find_caller() {
    const auto& message = parser_->get();
    identity::Guard& guard = *rules_.door->guard;
    identity::Proof proof{.token = {}, .session = {}, .names = peer_.names, .from = peer_.from};
    if (const std::string_view header = view(message[field::authorization]); guard.asks() && !header.empty()) {
        const auto token = identity::bearer_of(header);
        if (!token) return std::unexpected(token.error());
        proof.token = *token;
    } else {
        proof.session = cookie_of(view(message[field::cookie]), kSessionCookie);
        request_.session = proof.session;
    }
    auto caller = api::enter(*rules_.door, *route_.method, proof);
    const bool by_cookie = caller && guard.asks() && route_.method->role && !proof.session.empty();
    if (by_cookie && request_.verb != api::Verb::get &&
        !guard.csrf_fits(proof.session,
                         view(message[boost::beast::string_view(kCsrfHeader.data(), kCsrfHeader.size())])))
        return fail(Fault::denied, "a change by the page's cookie needs the header X-Nexus-CSRF that its sign-in told");
    return caller;
}

// "/path?query", or the same behind "http://name" as clients send it to a proxy. False: refused.
bool RequestReader::take_target() {
    std::string_view target = view(parser_->get().target());
    const std::string begin = lower_case(target.substr(0, 8));
    const std::size_t scheme = begin == "https://" ? 8 : begin.starts_with("http://") ? 7 : 0;
    std::string absolute;
    if (scheme > 0) {
        const std::size_t end = std::min(target.find_first_of("/?", scheme), target.size());
        if (std::ranges::find(rules_.hosts, host_of(target.substr(scheme, end - scheme))) == rules_.hosts.end()) {
            refuse(wrong_host());
            return false;
        }
        absolute = target.substr(end);
        if (!absolute.starts_with('/')) absolute.insert(0, 1, '/');
        target = absolute;
    }
    if (parse_target(target, request_.path, request_.query)) return true;
    refuse(malformed("the request target is malformed"));
    return false;
}

bool RequestReader::wants_continue() {
    return std::exchange(continue_, false);
}

bool RequestReader::keeps_alive() const {
    return !refused_ && parser_->is_done() && parser_->keep_alive();
}

bool RequestReader::is_head() const {
    return parser_->is_header_done() && parser_->get().method() == bhttp::verb::head;
}

std::size_t RequestReader::body_bytes() const {
    return parser_->get().body().size();
}

void RequestReader::drop_body() {
    // Assigning an empty string would keep the memory.
    std::string().swap(parser_->get().body());
    std::string().swap(request_.body);
}

}  // namespace nexus::http
