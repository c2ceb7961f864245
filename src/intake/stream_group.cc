#include "intake/stream_group.h"

#include <algorithm>

namespace nexus::intake {

using redis::Commands, redis::Reply;

namespace {

constexpr std::chrono::seconds kLookEvery{2};
constexpr std::size_t kPendingAtOnce = 1000;

bool is_later(std::string_view a, std::string_view b) {
    return parts_of(a) > parts_of(b);
}

// An operator must look at what is no passing trouble.
Error trouble_of(const Reply& reply) {
    Error error = redis::error_of(reply);
    if (error.fault == Fault::failed) error.fault = Fault::invalid;
    return error;
}

}  // namespace

Result<std::vector<Reply>> StreamGroup::run(const Commands& commands, Duration patience) {
    if (!connection_ || connection_->broken()) {
        auto opened = pool_.open();
        if (!opened) return std::unexpected(std::move(opened).error());
        connection_ = std::move(*opened);
        made_ = false;
        start_over();
    }
    return connection_->run(commands, patience);
}

Result<Reply> StreamGroup::run(std::initializer_list<std::string_view> words) {
    Commands commands;
    commands.add(words);
    auto replies = run(commands);
    if (!replies) return std::unexpected(std::move(replies).error());
    return std::move(replies->front());
}

Result<void> StreamGroup::make_group() {
    if (made_) return {};
    const auto place = run({"HGET", options_.place_key, options_.place_field});
    if (!place) return std::unexpected(place.error());
    if (place->is_error()) return std::unexpected(trouble_of(*place));
    if (place->is_text() && is_later(place->text, place_)) place_ = place->text;
    const std::string& from = place_.empty() ? "0" : place_;
    const auto made = run({"XGROUP", "CREATE", options_.stream, options_.group, from, "MKSTREAM"});
    if (!made) return std::unexpected(made.error());
    if (made->is_error() && made->error_code() != "BUSYGROUP")
        return std::unexpected(trouble_of(*made).during("the group " + options_.group + " of " + options_.stream));
    made_ = true;
    return {};
}

// Entries whose content is gone were deleted while they were pending.
Result<std::vector<Entry>> StreamGroup::entries_of(const Reply& list) {
    std::vector<Entry> entries;
    std::vector<std::string> gone;
    for (const Reply& each : list.items) {
        if (each.items.size() < 2) continue;
        if (!each.items[1].is_list()) {
            gone.push_back(each.items[0].text);
            continue;
        }
        Entry& entry = entries.emplace_back();
        entry.id = each.items[0].text;
        const auto& words = each.items[1].items;
        for (std::size_t i = 0; i + 1 < words.size(); i += 2)
            entry.fields.emplace_back(words[i].text, words[i + 1].text);
    }
    if (gone.empty()) return entries;
    if (auto ok = acknowledge(gone); !ok) return std::unexpected(std::move(ok).error());
    deleted += gone.size();
    return entries;
}

Result<std::vector<Entry>> StreamGroup::read(const std::string& after, Duration wait) {
    const std::string count = std::to_string(options_.count);
    Commands commands;
    const bool blocks = wait.us > 0;
    commands.begin(blocks ? 11 : 9);
    commands.word("XREADGROUP").word("GROUP").word(options_.group).word(options_.consumer).word("COUNT").word(count);
    if (blocks) commands.word("BLOCK").word(std::to_string(std::max<std::int64_t>(1, wait.us / 1000)));
    commands.word("STREAMS").word(options_.stream).word(after);
    const auto replies = run(commands, wait);
    if (!replies) return std::unexpected(replies.error());
    const Reply& reply = replies->front();
    if (reply.is_error()) {
        if (reply.error_code() == "NOGROUP" || reply.error_code() == "UNBLOCKED") made_ = false;
        return std::unexpected(trouble_of(reply).during("reading " + options_.stream));
    }
    if (!reply.is_list() || reply.items.empty() || reply.items[0].items.size() < 2) return std::vector<Entry>{};
    return entries_of(reply.items[0].items[1]);
}

Result<std::vector<Entry>> StreamGroup::next(Duration wait) {
    if (auto ok = make_group(); !ok) return std::unexpected(std::move(ok).error());
    if (!made_) return std::vector<Entry>{};
    while (!backlog_after_.empty()) {
        const std::uint64_t deleted_before = deleted;
        auto entries = read(backlog_after_, {});
        if (!entries) return entries;
        if (!entries->empty()) {
            backlog_after_ = entries->back().id;
            return entries;
        }
        if (deleted == deleted_before) backlog_after_.clear();
    }
    if (Clock::now() >= look_at_) {
        look_at_ = Clock::now() + kLookEvery;
        auto entries = take_over();
        if (!entries || !entries->empty()) return entries;
    }
    return read(">", wait);
}

// What was pending for others, unchanged, at two looks that lie far enough apart. Redis' own idle times follow its
// calendar, which may jump.
Result<std::vector<std::string>> StreamGroup::look_at_others() {
    std::vector<std::string> due;
    const auto now = Clock::now();
    ++round_;
    foreign = 0;
    for (std::string from = "-";;) {
        const auto reply =
            run({"XPENDING", options_.stream, options_.group, from, "+", std::to_string(kPendingAtOnce)});
        if (!reply) return std::unexpected(reply.error());
        if (reply->is_error()) {
            if (reply->error_code() == "NOGROUP") made_ = false;
            return std::unexpected(trouble_of(*reply));
        }
        for (const Reply& each : reply->items) {
            if (each.items.size() < 4 || each.items[1].text == options_.consumer) continue;
            ++foreign;
            Seen& seen = seen_[each.items[0].text];
            if (seen.consumer != each.items[1].text || seen.deliveries != each.items[3].number)
                seen = {.consumer = each.items[1].text, .deliveries = each.items[3].number, .since = now, .round = 0};
            seen.round = round_;
            if (now - seen.since >= std::chrono::microseconds(options_.claim_after.us) && due.size() < options_.count)
                due.push_back(each.items[0].text);
        }
        if (reply->items.size() < kPendingAtOnce) break;
        from = "(" + reply->items.back().items[0].text;
    }
    std::erase_if(seen_, [this](const auto& each) { return each.second.round != round_; });
    return due;
}

Result<std::vector<Entry>> StreamGroup::take_over() {
    const auto due = look_at_others();
    if (!due) return std::unexpected(due.error());
    if (due->empty()) return std::vector<Entry>{};
    Commands commands;
    commands.begin(5 + due->size());
    commands.word("XCLAIM").word(options_.stream).word(options_.group).word(options_.consumer).word("0");
    for (const std::string& id : *due) commands.word(id);
    const auto replies = run(commands);
    if (!replies) return std::unexpected(replies.error());
    if (replies->front().is_error()) return std::unexpected(trouble_of(replies->front()));
    claimed += replies->front().items.size();
    return entries_of(replies->front());
}

Result<void> StreamGroup::acknowledge(const std::vector<std::string>& ids) {
    if (ids.empty()) return {};
    const std::string& last =
        *std::ranges::max_element(ids, [](const auto& a, const auto& b) { return is_later(b, a); });
    Commands commands;
    commands.begin(3 + ids.size());
    commands.word("XACK").word(options_.stream).word(options_.group);
    for (const std::string& id : ids) commands.word(id);
    if (is_later(last, place_)) commands.add({"HSET", options_.place_key, options_.place_field, last});
    const auto replies = run(commands);
    if (!replies) return std::unexpected(replies.error());
    for (const Reply& reply : *replies)
        if (reply.is_error()) return std::unexpected(trouble_of(reply).during("acknowledging entries"));
    if (is_later(last, place_)) place_ = last;
    return {};
}

}  // namespace nexus::intake
