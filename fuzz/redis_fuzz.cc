// F5: what comes from Redis. The same replies however their bytes are cut, or a typed refusal; and whatever a list of texts
// says as the fields of an entry, a submission that the engine takes or a reason of one line why it can never be a task.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/priority.h"
#include "engine/body.h"
#include "intake/entry.h"
#include "redis/reply.h"

using namespace nexus;

namespace {

constexpr WallTime kNow{1'800'000'000'000'000};

void insist(bool condition) {
    if (!condition) std::abort();
}

bool same(const redis::Reply& a, const redis::Reply& b) {
    if (a.type != b.type || a.text != b.text || a.number != b.number || a.items.size() != b.items.size()) return false;
    for (std::size_t i = 0; i < a.items.size(); ++i)
        if (!same(a.items[i], b.items[i])) return false;
    return true;
}

struct Read {
    std::vector<redis::Reply> replies;
    bool refused = false;
};

Read read(std::string_view bytes, std::size_t piece) {
    redis::ReplyReader reader;
    Read all;
    for (std::size_t at = 0; at < bytes.size() && !all.refused; at += piece) {
        if (!reader.feed(bytes.substr(at, piece))) all.refused = true;
        while (!all.refused) {
            auto reply = reader.next();
            if (!reply) {
                insist(reply.error().fault == Fault::corrupt && !reply.error().what.empty());
                all.refused = true;
            } else if (*reply) {
                all.replies.push_back(std::move(**reply));
            } else {
                break;
            }
        }
    }
    return all;
}

void enter(const redis::Reply& reply) {
    for (const redis::Reply& item : reply.items) enter(item);
    if (!reply.is_list()) return;
    intake::Entry entry{.id = "1700000000000-0", .fields = {}};
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2)
        entry.fields.emplace_back(reply.items[i].text, reply.items[i + 1].text);
    auto taken = intake::to_submission(entry);
    if (!taken) {
        insist(taken.error().fault == Fault::invalid && !taken.error().what.empty() &&
               taken.error().what.size() < 2000);
        return;
    }
    for (const std::string& warning : taken->warnings) insist(!warning.empty() && warning.size() < 2000);
    insist(engine::check_submission(taken->submission, kNow).has_value());
    insist(taken->submission.spec.priority <= core::kPriorityTop);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const Read whole = read(bytes, std::max<std::size_t>(1, size));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
        const Read cut = read(bytes, piece);
        insist(cut.refused == whole.refused && cut.replies.size() == whole.replies.size());
        for (std::size_t i = 0; i < cut.replies.size(); ++i) insist(same(cut.replies[i], whole.replies[i]));
    }
    for (const redis::Reply& reply : whole.replies) enter(reply);
    return 0;
}
