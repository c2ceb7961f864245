#include "http/assets.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/must.h"

// The assembler reads the files; cmake/page.cmake lists them in assets.inc.
#define EMBED(symbol, file)                                                                                           \
    __asm__(".section .rodata\n.global " #symbol "_begin\n" #symbol "_begin:\n.incbin \"" file "\"\n.global " #symbol \
            "_end\n" #symbol "_end:\n.byte 0\n.previous\n");                                                          \
    extern "C" const char symbol##_begin[];                                                                           \
    extern "C" const char symbol##_end[]

#define NEXUS_ASSET(number, name, plain, packed) \
    EMBED(nexus_page_##number, plain);           \
    EMBED(nexus_page_packed_##number, packed);
#include "assets.inc"
#undef NEXUS_ASSET

namespace nexus::http {
namespace {

std::string_view between(const char* begin, const char* end) {
    return {begin, static_cast<std::size_t>(end - begin)};
}

std::string_view type_of(std::string_view name) {
    if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
    if (name.ends_with(".css")) return "text/css; charset=utf-8";
    if (name.ends_with(".svg")) return "image/svg+xml";
    return "text/html; charset=utf-8";
}

using Assets = std::map<std::string, Asset, std::less<>>;

const Assets& assets() {
    static const Assets all = [] {
        Assets made;
        const auto add = [&made](std::string_view name, std::string_view plain, std::string_view gzip) {
            made["/" + std::string(name)] = {plain, gzip, type_of(name), etag_of(plain)};
        };
#define NEXUS_ASSET(number, name, plain, packed)                               \
    add(name, between(nexus_page_##number##_begin, nexus_page_##number##_end), \
        between(nexus_page_packed_##number##_begin, nexus_page_packed_##number##_end));
#include "assets.inc"
#undef NEXUS_ASSET
        return made;
    }();
    return all;
}

// Each is at its own path; those of the second list have one thing of a name below it, too.
constexpr std::string_view kViews[] = {"/",          "/index.html", "/fleet", "/tasks",  "/types", "/queues",
                                       "/decisions", "/config",     "/audit", "/status", "/signin"};
constexpr std::string_view kNamed[] = {"/workers/", "/tasks/", "/types/", "/queues/", "/tenants/", "/decisions/"};

constexpr std::string_view kBase = R"(<base href="./">)";

}  // namespace

const Asset* asset(std::string_view path) {
    const auto found = assets().find(path);
    return found == assets().end() ? nullptr : &found->second;
}

bool is_page(std::string_view path) {
    if (std::ranges::find(kViews, path) != std::end(kViews)) return true;
    return std::ranges::any_of(kNamed, [path](std::string_view before) {
        return path.starts_with(before) && path.size() > before.size() &&
               path.find('/', before.size()) == std::string_view::npos;
    });
}

std::string page_at(std::string_view path) {
    const Asset* html = asset("/index.html");
    MUST(html != nullptr);
    std::string text(html->plain);
    const bool deep = std::ranges::count(path, '/') > 1;
    const std::size_t at = text.find(kBase);
    MUST(at != std::string::npos);
    if (deep) text.replace(at, kBase.size(), R"(<base href="../">)");
    return text;
}

std::string etag_of(std::string_view bytes) {
    return fmt::format("\"{:016x}\"", hash_bytes(bytes));
}

}  // namespace nexus::http
