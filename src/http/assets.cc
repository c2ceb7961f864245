#include "http/assets.h"

// The assembler reads the files; NEXUS_WEB_DIR is set by the build, which also knows that this file depends on them.
#define EMBED(symbol, file)                                                                                      \
    __asm__(".section .rodata\n.global " #symbol "_begin\n" #symbol "_begin:\n.incbin \"" NEXUS_WEB_DIR "/" file \
            "\"\n.global " #symbol "_end\n" #symbol "_end:\n.byte 0\n.previous\n");                              \
    extern "C" const char symbol##_begin[];                                                                      \
    extern "C" const char symbol##_end[]

EMBED(nexus_page_html, "index.html");
EMBED(nexus_page_js, "app.js");
EMBED(nexus_page_css, "app.css");
EMBED(nexus_page_icon, "icon.svg");

namespace nexus::http {
namespace {

std::string_view between(const char* begin, const char* end) {
    return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

std::optional<Asset> asset(std::string_view path) {
    if (path == "/" || path == "/index.html")
        return Asset{between(nexus_page_html_begin, nexus_page_html_end), "text/html; charset=utf-8"};
    if (path == "/app.js")
        return Asset{between(nexus_page_js_begin, nexus_page_js_end), "text/javascript; charset=utf-8"};
    if (path == "/app.css") return Asset{between(nexus_page_css_begin, nexus_page_css_end), "text/css; charset=utf-8"};
    if (path == "/favicon.ico") return Asset{between(nexus_page_icon_begin, nexus_page_icon_end), "image/svg+xml"};
    return std::nullopt;
}

}  // namespace nexus::http
