#pragma once
// What every answer gets before it is written, whoever made it: the id of the request, an ETag and 304, compression.

#include <string_view>

#include "http/message.h"

namespace nexus::http {

// The header fields that say what a client wants of its answer; empty where it said nothing.
struct Wishes {
    bool is_get = false;
    std::string_view accept_encoding, if_none_match, request_id, traceparent;
};
Manners manners_of(const Wishes& wishes);

// X-Request-Id; in a problem document `request_id` and `trace_id` as well. A good answer to GET has an ETag (its own, else
// one of its bytes) and becomes 304 when the client has it. Text longer than 1 KiB is compressed for who takes gzip; that
// costs about 10 ms for each MiB. Thread-safe.
void finish(Response& response, const Manners& manners);

}  // namespace nexus::http
