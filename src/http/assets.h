#pragma once
// The files of the page (web/dist), embedded in the binary at link time, plain and packed by gzip.

#include <string>
#include <string_view>

namespace nexus::http {

struct Asset {
    std::string_view plain;
    std::string_view gzip;
    std::string_view content_type;
    std::string etag;  // quoted, as the header has it
};

// `path` as asked for, e.g. "/assets/main-B1x9.js". Null when there is no such file.
const Asset* asset(std::string_view path);

// Whether the page itself is at this path: "/", "/fleet", "/tasks/ID". Which of its views it shows is its own affair.
bool is_page(std::string_view path);

// The HTML for such a path: its <base> tells how deep the path lies, so that the page works below any prefix of a proxy.
std::string page_at(std::string_view path);

// Strong: for bytes that are sent as they are.
std::string etag_of(std::string_view bytes);

}  // namespace nexus::http
