#include "process/output.h"

#include <algorithm>

namespace nexus::process {
namespace {

constexpr std::size_t kLineMax = 4096;  // how far a cut moves to the end of a line

bool continues_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// How much of `text` to keep so that it ends with a line, or at least with a character.
std::size_t end_of_line(std::string_view text) {
    const std::size_t newline = text.rfind('\n');
    if (newline != std::string_view::npos && text.size() - newline <= kLineMax) return newline + 1;
    std::size_t end = text.size();
    while (end > 0 && text.size() - end < 3 && continues_character(text[end - 1])) --end;
    if (end == 0 || static_cast<unsigned char>(text[end - 1]) < 0xC0) return text.size();
    const auto lead = static_cast<unsigned char>(text[end - 1]);
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    return text.size() - (end - 1) >= length ? text.size() : end - 1;
}

// How much of its beginning to leave out so that it begins with a line, or at least with a character.
std::size_t begin_of_line(std::string_view text) {
    const std::size_t newline = text.substr(0, kLineMax).find('\n');
    if (newline != std::string_view::npos && newline + 1 < text.size()) return newline + 1;
    std::size_t begin = 0;
    while (begin < std::min<std::size_t>(3, text.size()) && continues_character(text[begin])) ++begin;
    return begin;
}

}  // namespace

void Output::add(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    written_ += bytes.size();
    const std::size_t to_head = std::min(bytes.size(), head_max_ - head_.size());
    head_.append(bytes.substr(0, to_head));
    tail_.append(bytes.substr(to_head));
    if (tail_.size() > 2 * tail_max_) tail_.erase(0, tail_.size() - tail_max_);
}

Part Output::part(std::uint64_t offset, std::size_t most) const {
    const std::lock_guard lock(mutex_);
    Part part{.offset = std::min(offset, written_), .bytes = {}, .written = written_};
    const std::uint64_t tail_at = written_ - tail_.size();
    if (part.offset < head_.size()) {
        part.bytes = head_.substr(part.offset, most);
        if (part.offset + part.bytes.size() == tail_at) part.bytes.append(tail_, 0, most - part.bytes.size());
        return part;
    }
    part.offset = std::max(part.offset, tail_at);
    part.bytes = tail_.substr(part.offset - tail_at, most);
    return part;
}

Kept Output::kept() const {
    const std::lock_guard lock(mutex_);
    Kept kept{.head = head_, .tail = {}, .bytes = written_};
    if (written_ <= head_max_ + tail_max_) {
        kept.head += tail_;
        return kept;
    }
    kept.head.resize(end_of_line(kept.head));
    kept.tail = tail_.substr(tail_.size() - tail_max_);
    kept.tail.erase(0, begin_of_line(kept.tail));
    kept.left_out = written_ - kept.head.size() - kept.tail.size();
    return kept;
}

}  // namespace nexus::process
