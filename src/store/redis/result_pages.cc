#include "store/redis/result_pages.h"

#include "store/redis/keys.h"

namespace nexus::store {

constexpr std::uint64_t kPagesOfAllBytes = 16;
constexpr std::uint64_t kEntryBytes = 64;  // what a result takes beside its bytes, about

void ResultPages::loaded(std::uint64_t page, std::string_view value) {
    const std::size_t blank = value.find(' ');
    if (blank == std::string_view::npos) return;
    pages_[page] = {.last = {redis_key::number<std::int64_t>(value.substr(0, blank))},
                    .bytes = redis_key::number(value.substr(blank + 1))};
}

std::string ResultPages::value_of(std::uint64_t page) const {
    const auto found = pages_.find(page);
    if (found == pages_.end()) return {};
    return std::to_string(found->second.last.us) + " " + std::to_string(found->second.bytes);
}

std::uint64_t ResultPages::place(std::uint64_t bytes, WallTime now) {
    const std::int64_t hour = hours(1).us;
    const bool fits = !pages_.empty() && pages_.rbegin()->second.last.us / hour == now.us / hour &&
                      pages_.rbegin()->second.bytes < bytes_max_ / kPagesOfAllBytes;
    const std::uint64_t page = pages_.empty() ? 1 : pages_.rbegin()->first + (fits ? 0 : 1);
    pages_[page].last = now;
    pages_[page].bytes += bytes + kEntryBytes;
    return page;
}

std::vector<std::uint64_t> ResultPages::due(WallTime now) const {
    std::uint64_t bytes = 0;
    for (const auto& [n, page] : pages_) bytes += page.bytes;
    std::vector<std::uint64_t> due;
    for (const auto& [n, page] : pages_) {
        const bool old = page.last + age_max_ < now;
        if (!old && (bytes <= bytes_max_ || n == pages_.rbegin()->first)) break;
        bytes -= page.bytes;
        due.push_back(n);
    }
    return due;
}

}  // namespace nexus::store
