// Of RedisJournal: what a move to another store, and a copy from one, need.
#include <algorithm>

#include "base/must.h"
#include "store/redis/redis_journal.h"

namespace nexus::store {

using redis::Commands, redis::Reply;
using redis_key::hex, redis_key::number;

namespace {

constexpr std::size_t kAtOnce = 500;

// As a pattern that matches nothing else: a prefix may hold what patterns are made of.
std::string literal(std::string_view text) {
    std::string pattern;
    for (const char c : text) {
        if (std::string_view("*?[]^\\").contains(c)) pattern += '\\';
        pattern += c;
    }
    return pattern;
}

bool says(const Reply& reply, std::string_view word) {
    return reply.is_list() && !reply.items.empty() && reply.items[0].text == word;
}

}  // namespace

Result<std::string> RedisJournal::closed() {
    return field("closed");
}

Result<void> RedisJournal::close(const Claim& claim, std::string_view why) {
    const auto reply = script(scripts().close, {keys_.head}, {redis_key::text_of(claim), why});
    if (!reply) return std::unexpected(reply.error());
    if (says(*reply, "ok")) return {};
    return fail(Fault::superseded, says(*reply, "gone") ? "the journal is gone from Redis"
                                                        : "another one has claimed the journal meanwhile");
}

Result<Claim> RedisJournal::begin_copy(const CopyStart& start, const Claimant& me, std::string_view why) {
    MUST(!why.empty());
    const Claim claim{.token_hi = me.token_hi, .token_lo = me.token_lo, .epoch = start.epoch + 1};
    const auto reply =
        script(scripts().begin, {keys_.head, keys_.journal},
               {me.name, me.address, redis_key::text_of(claim), std::to_string(claim.epoch),
                options_.cluster.empty() ? hex(me.token_hi) + hex(me.token_lo) : options_.cluster,
                std::to_string(start.last.n + 1), hex(start.chain), std::to_string(start.history.n), why});
    if (!reply) return std::unexpected(reply.error());
    if (!says(*reply, "ok")) return fail(Fault::conflict, "the journal is not empty");
    {
        const std::lock_guard lock(writer_mutex_);
        owner_ = me.name;
        ring_.clear();
        ring_bytes_ = 0;
        confirmed_next_ = start.last.n + 1;
    }
    if (auto ok = load_results(); !ok) return std::unexpected(std::move(ok).error());
    return claim;
}

Result<void> RedisJournal::discard() {
    const auto why = closed();
    if (!why) return std::unexpected(why.error());
    if (why->empty()) return fail(Fault::failed_state, "the journal in Redis is open");
    const std::string pattern = literal(keys_.base) + "*", places = keys_.base + "places";
    for (std::string cursor = "0";;) {
        const auto found = pool_.run({"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"});
        if (!found) return std::unexpected(found.error());
        if (found->is_error()) return std::unexpected(redis::error_of(*found));
        if (found->items.size() != 2) return fail(Fault::failed, "SCAN answers what it should not");
        std::vector<std::string> keys;
        for (const Reply& key : found->items[1].items)
            if (key.text != keys_.head && key.text != places) keys.push_back(key.text);
        if (!keys.empty()) {
            Commands commands;
            commands.begin(1 + keys.size());
            commands.word("UNLINK");
            for (const std::string& key : keys) commands.word(key);
            const auto done = pool_.run(commands);
            if (!done) return std::unexpected(done.error());
            if (done->front().is_error()) return std::unexpected(redis::error_of(done->front()));
        }
        cursor = found->items[0].text;
        if (cursor == "0") break;
    }
    // The last to go: until then it says what this is.
    const auto done = pool_.run({"UNLINK", keys_.head});
    if (!done) return std::unexpected(done.error());
    if (done->is_error()) return std::unexpected(redis::error_of(*done));
    return {};
}

Result<void> RedisJournal::each_kept(BodyKind kind, const KeptVisitor& visit) {
    MUST(kind != BodyKind::body);
    struct Hash {
        std::uint64_t page;
        std::string key;
        WallTime at;
    };
    std::vector<Hash> hashes;
    if (kind == BodyKind::taken) {
        hashes.push_back({0, keys_.taken, {}});
    } else {
        const auto pages = pool_.run({"HGETALL", keys_.results});
        if (!pages) return std::unexpected(pages.error());
        if (pages->is_error()) return std::unexpected(redis::error_of(*pages));
        for (std::size_t i = 0; i + 1 < pages->items.size(); i += 2) {
            const auto page = number(pages->items[i].text);
            const std::string_view line = pages->items[i + 1].text;
            hashes.push_back({page, keys_.result_page(page), {number<std::int64_t>(line.substr(0, line.find(' ')))}});
        }
        std::ranges::sort(hashes, {}, &Hash::page);
    }
    for (const Hash& hash : hashes) {
        const auto fields = pool_.run({"HKEYS", hash.key});
        if (!fields) return std::unexpected(fields.error());
        if (fields->is_error()) return std::unexpected(redis::error_of(*fields));
        for (std::size_t at = 0; at < fields->items.size(); at += kAtOnce) {
            const auto some = std::span(fields->items).subspan(at, std::min(kAtOnce, fields->items.size() - at));
            Commands commands;
            commands.begin(2 + some.size());
            commands.word("HMGET").word(hash.key);
            for (const Reply& field : some) commands.word(field.text);
            const auto replies = pool_.run(commands);
            if (!replies) return std::unexpected(replies.error());
            const Reply& values = replies->front();
            if (values.is_error()) return std::unexpected(redis::error_of(values));
            for (std::size_t i = 0; i < some.size() && i < values.items.size(); ++i) {
                const auto task = redis_key::task_of_bytes(some[i].text);
                if (!task || !values.items[i].is_text()) continue;  // it has gone meanwhile
                if (auto ok = visit(*task, values.items[i].text, hash.at); !ok) return ok;
            }
        }
    }
    return {};
}

}  // namespace nexus::store
