#include "http/finish.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>

#include "base/ascii.h"
#include "base/hash.h"
#include "base/name.h"
#include "http/assets.h"

namespace nexus::http {
namespace {

constexpr std::size_t kGzipFrom = 1024;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip
constexpr std::size_t kIdBytesMax = 128;

bool has_header(const Response& response, std::string_view name) {
    return std::ranges::any_of(response.headers, [&](const auto& header) { return header.first == name; });
}

// Calls `visit` with each part of a list separated by commas, until it says true. ETags of ours hold no comma.
template <class Visit>
bool any_of_list(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        if (visit(trimmed(list.substr(0, comma)))) return true;
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    }
    return false;
}

// "gzip", "gzip;q=0.5", "*": but not with q=0.
bool takes_gzip(std::string_view accepted) {
    return any_of_list(accepted, [](std::string_view part) {
        const std::string_view name = trimmed(part.substr(0, part.find(';')));
        if (name != "gzip" && name != "x-gzip" && name != "*") return false;
        const std::size_t q = part.find("q=");
        return q == std::string_view::npos || part.substr(q + 2).find_first_of("123456789") != std::string_view::npos;
    });
}

std::string new_request_id() {
    static const std::uint64_t start = std::random_device{}() * 0x1'0000'0001ULL;
    static std::atomic<std::uint64_t> count{0};
    return fmt::format("{:016x}", mix(start, ++count));
}

std::string gzip(std::string_view bytes, int level) {
    z_stream stream{};
    if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    std::string out(deflateBound(&stream, bytes.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    out.resize(whole ? stream.total_out : 0);
    deflateEnd(&stream);
    return out;
}

// What lives as long as the program is compressed once.
std::string_view gzip_of_file(std::string_view file) {
    static std::mutex mutex;
    static std::map<const char*, std::string> made;
    const std::lock_guard lock(mutex);
    std::string& text = made[file.data()];
    if (text.empty()) text = gzip(file, Z_BEST_COMPRESSION);
    return text;
}

bool is_text(std::string_view type) {
    return type.starts_with("text/") || type.find("json") != std::string_view::npos ||
           type.find("javascript") != std::string_view::npos || type.find("svg") != std::string_view::npos;
}

// A weak tag says "the same content", a strong one "the same bytes": for a client that only reads they are alike.
bool same_tag(std::string_view theirs, std::string_view ours) {
    const auto plain = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
    return theirs == "*" || plain(theirs) == plain(ours);
}

void add_etag(Response& response, const Manners& manners) {
    if (!has_header(response, "ETag")) {
        const std::string_view body = response.fixed.empty() ? std::string_view(response.body) : response.fixed;
        response.headers.emplace_back("ETag", "W/" + etag_of(body));
    }
    const auto tag = std::ranges::find(response.headers, "ETag", [](const auto& header) { return header.first; });
    const bool known =
        any_of_list(manners.if_none_match, [&](std::string_view theirs) { return same_tag(theirs, tag->second); });
    if (!known) return;
    response.status = 304;
    response.body.clear();
    response.fixed = {};
}

void compress(Response& response, bool wanted) {
    const bool is_file = !response.fixed.empty();
    const std::size_t size = is_file ? response.fixed.size() : response.body.size();
    const bool chosen = has_header(response, "Vary");  // files of the page come packed, or plain for who wants them so
    if (chosen || size <= kGzipFrom || !is_text(response.content_type)) return;
    response.headers.emplace_back("Vary", "Accept-Encoding");
    if (!wanted) return;
    if (is_file) {
        const std::string_view small = gzip_of_file(response.fixed);
        if (small.empty()) return;
        response.fixed = small;
    } else {
        std::string small = gzip(response.body, Z_BEST_SPEED);
        if (small.empty()) return;
        response.body = std::move(small);
    }
    response.headers.emplace_back("Content-Encoding", "gzip");
}

}  // namespace

Manners manners_of(const Wishes& wishes) {
    Manners manners{.is_get = wishes.is_get,
                    .takes_gzip = takes_gzip(wishes.accept_encoding),
                    .if_none_match = std::string(wishes.if_none_match),
                    .request_id = {},
                    .trace_id = {}};
    // It goes into our answers and logs: only what needs no quoting anywhere is taken over.
    const bool plain = wishes.request_id.size() <= kIdBytesMax && is_name(wishes.request_id);
    manners.request_id = plain ? std::string(wishes.request_id) : new_request_id();
    constexpr std::size_t kVersion = 3, kTrace = 32;  // "00-" and the hex digits behind it
    const std::string_view trace =
        wishes.traceparent.size() >= kVersion + kTrace ? wishes.traceparent.substr(kVersion, kTrace) : "";
    if (!trace.empty() && trace.find_first_not_of("0123456789abcdef") == std::string_view::npos)
        manners.trace_id = trace;
    return manners;
}

void finish(Response& response, const Manners& manners) {
    if (!manners.request_id.empty()) response.headers.emplace_back("X-Request-Id", manners.request_id);
    if (response.content_type == "application/problem+json") {
        if (!manners.request_id.empty()) add_member(response, "request_id", '"' + manners.request_id + '"');
        if (!manners.trace_id.empty()) add_member(response, "trace_id", '"' + manners.trace_id + '"');
    }
    if (manners.is_get && response.status == 200) add_etag(response, manners);
    compress(response, manners.takes_gzip);
}

}  // namespace nexus::http
