#include "http/finish.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

namespace nexus::http {
namespace {

std::string header(const Response& response, std::string_view name) {
    const auto found = std::ranges::find(response.headers, name, [](const auto& each) { return each.first; });
    return found == response.headers.end() ? "" : found->second;
}

Response answer(std::string body, Wishes wishes) {
    Response response;
    response.body = std::move(body);
    finish(response, manners_of(wishes));
    return response;
}

std::string unzipped(const std::string& bytes) {
    std::string out(1 << 20, 0);
    z_stream stream{};
    inflateInit2(&stream, 15 + 16);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    CHECK_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return out;
}

TEST_CASE("text longer than 1 KiB is compressed for who takes gzip, and says so") {
    const std::string text(5000, 'x');
    for (const char* takes : {"gzip", "br, gzip;q=0.5", "*", "x-gzip"}) {
        const Response small = answer(text, {.accept_encoding = takes});
        CHECK_EQ(header(small, "Content-Encoding"), "gzip");
        CHECK_EQ(header(small, "Vary"), "Accept-Encoding");
        CHECK_LT(small.body.size(), 100);
        CHECK_EQ(unzipped(small.body), text);
    }
    for (const char* takes : {"", "br", "gzip;q=0", "identity"}) {
        const Response plain = answer(text, {.accept_encoding = takes});
        CHECK_EQ(plain.body, text);
        CHECK_EQ(header(plain, "Vary"), "Accept-Encoding");
    }
    CHECK_EQ(answer(std::string(1000, 'x'), {.accept_encoding = "gzip"}).body.size(), 1000);
}

TEST_CASE("a client that has the answer gets 304, whether it names the tag as strong or weak") {
    const std::string tag = header(answer("{}", {.is_get = true}), "ETag");
    REQUIRE(tag.starts_with("W/\""));
    for (const std::string& known : {tag, tag.substr(2), "\"a\", " + tag, std::string("*")}) {
        const Response again = answer("{}", {.is_get = true, .if_none_match = known});
        CHECK_EQ(again.status, 304);
        CHECK(again.body.empty());
        CHECK_EQ(header(again, "ETag"), tag);
    }
    CHECK_EQ(answer("{}", {.is_get = true, .if_none_match = "\"a\""}).status, 200);
    CHECK_EQ(answer("{}", {.is_get = false, .if_none_match = tag}).status, 200);
}

TEST_CASE("ids of requests are taken over only when they need no quoting") {
    CHECK_EQ(manners_of({.request_id = "a-1:b"}).request_id, "a-1:b");
    CHECK_EQ(manners_of({.request_id = "a\"b"}).request_id.size(), 16);
    CHECK_NE(manners_of({}).request_id, manners_of({}).request_id);
    CHECK_EQ(manners_of({.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}).trace_id,
             "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK_EQ(manners_of({.traceparent = "00-4BF9\"2f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}).trace_id, "");
    Response refusal = problem(404, "NOT_FOUND", "Not found", "nothing");
    finish(refusal, manners_of({.is_get = true, .request_id = "mine"}));
    CHECK(refusal.body.find("\"request_id\":\"mine\"}") != std::string::npos);
    CHECK_EQ(header(refusal, "X-Request-Id"), "mine");
}

}  // namespace
}  // namespace nexus::http
