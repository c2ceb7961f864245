// F5: bytes as requests of one connection. Whatever the bytes, and however they are cut into pieces: no crash, a refusal
// with a status of 4xx or 5xx, or requests that only one reading is possible of, within their limits.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "http/request_reader.h"

using namespace nexus;
using Step = http::RequestReader::Step;

namespace {

void insist(bool condition) {
    if (!condition) std::abort();
}

struct Seen {
    Step step = Step::more;
    std::string path, body, key;
    bool operator==(const Seen&) const = default;
};

const http::ReadRules kRules{.hosts = {"localhost", "127.0.0.1", "[::1]"}, .header_bytes_max = 1024};

// All requests that one connection makes, `piece` bytes at a time. Of bytes that make none some cuts show it sooner.
std::vector<Seen> read(std::string_view bytes, std::size_t piece) {
    std::vector<Seen> all;
    std::string input;
    bool more = true;
    while (more) {
        http::RequestReader reader(kRules);
        Seen seen;
        while (seen.step == Step::more) {
            std::size_t taken = 0;
            seen.step = reader.take(input, taken);
            insist(taken <= input.size());
            input.erase(0, taken);
            if (seen.step != Step::more) break;
            insist(input.size() <= http::kFramingMax + piece);
            if (bytes.empty()) break;
            input += bytes.substr(0, piece);
            bytes.remove_prefix(std::min(piece, bytes.size()));
        }
        more = seen.step == Step::whole && reader.keeps_alive();
        if (seen.step == Step::refused) {
            const http::Response& refusal = reader.refusal();
            insist(refusal.status >= 400 && refusal.status < 600 && !refusal.body.empty());
        }
        if (seen.step == Step::whole) {
            const http::Request& request = reader.request();
            insist(is_utf8(request.path) && is_utf8(request.body) && request.path.starts_with('/'));
            const auto* method = reader.route().method;
            insist(request.body.size() <= (method == nullptr ? 0 : method->body_bytes_max));
            seen.path = request.path;
            seen.body = request.body;
            seen.key = request.idempotency_key;
        }
        if (seen.step == Step::whole) all.push_back(std::move(seen));
    }
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const std::vector<Seen> whole = read(bytes, size + 1);
    insist(whole == read(bytes, 1));
    insist(whole == read(bytes, 7));
    return 0;
}
