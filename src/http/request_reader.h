#pragma once
// One request from the bytes of a connection, read strictly: what two readers could understand in two ways is refused
// and ends the connection, so that nothing can be hidden behind a request from a proxy in front of us.
//
//   400   framing: a Transfer-Encoding other than exactly "chunked", or with HTTP/1.0; a Content-Length beside it, twice
//         or as a list; a field twice that may stand once; no Host; chunk framing (sizes, extensions, trailers) that is
//         more than kFramingMax longer than the content; a target that is no path, or has escaped slashes, control
//         characters or bytes that are not UTF-8
//   405   a verb that nothing here has     413  a body longer than its method takes
//   415   a compressed body                421  a Host (or absolute target) that is not ours: DNS rebinding
//   403   from a page of another site      431  header longer than header_bytes_max      505  not HTTP/1
//   401, 403, 429   the caller is not known, may not do this, or asks too much: all before a byte of the body is read
//
// No I/O and no clock; one thread. Memory: the header, and the body up to its limit.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http/rest.h"

namespace nexus::http {

inline constexpr std::size_t kFramingMax = 16 << 10;

class OldNexus;

struct ReadRules {
    std::vector<std::string> hosts;  // accepted names in Host, lower case, port ignored
    std::uint32_t header_bytes_max = 16 << 10;
    api::Door* door = nullptr;      // whose guard says who may come in; null: nobody is asked
    OldNexus* old_nexus = nullptr;  // says it for /scheduler/*
};

// What is known of the other side of a connection.
struct Peer {
    std::string from;                // for Caller::from
    std::vector<std::string> names;  // of its certificate, which was verified
    bool secure = false;             // in TLS
};

class RequestReader {
public:
    enum class Step : std::uint8_t { more, whole, refused };

    explicit RequestReader(const ReadRules& rules, Peer peer = {});  // rules must outlive it
    ~RequestReader();
    RequestReader(const RequestReader&) = delete;
    RequestReader& operator=(const RequestReader&) = delete;

    // Takes what it can from the front of `input`; the caller drops the `taken` bytes, and after `more` comes again with
    // what is left and at least one byte behind it. What is left is never longer than header_bytes_max or kFramingMax.
    Step take(std::string_view input, std::size_t& taken);

    // The client waits for "100 Continue" before it sends its body. True once.
    bool wants_continue();
    // Of a whole request.
    Request& request() { return request_; }
    Route& route() { return route_; }
    // Of a refused one.
    Response& refusal() { return refusal_; }
    // Whether another request may follow on this connection, and whether this one asked for the header alone.
    bool keeps_alive() const;
    bool is_head() const;
    // Some of it has arrived.
    bool begun() const { return begun_; }
    std::size_t body_bytes() const;
    // Lets go of what has arrived of the body. A refused request has let go already.
    void drop_body();

private:
    struct Parser;
    Step refuse(Response response);
    Step judge_header();
    bool refuse_framing();
    bool refuse_foreign();
    bool take_target();
    bool refuse_caller();
    Result<Caller> find_caller();

    const ReadRules& rules_;
    const Peer peer_;
    std::unique_ptr<Parser> parser_;
    Request request_;
    Route route_;
    Response refusal_;
    std::uint64_t body_max_ = 0;
    std::uint64_t taken_ = 0;  // bytes behind the header
    bool judged_ = false, refused_ = false, continue_ = false, begun_ = false;
};

}  // namespace nexus::http
