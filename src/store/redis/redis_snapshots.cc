// Of RedisJournal: snapshots, and what is dropped when there are two.
#include <algorithm>
#include <random>

#include "base/bytes.h"
#include "base/hash.h"
#include "store/redis/redis_journal.h"

namespace nexus::store {

using redis::Commands, redis::Reply;
using redis_key::hex, redis_key::number;

namespace {

constexpr std::size_t kPartsAtOnce = 16;
constexpr std::uint64_t kPartsDeletedAtOnce = 256;
constexpr int kTriesMax = 10;  // against others who keep snapshots at the same time

}  // namespace

// As text: at, the sequence after it, name, parts, bytes, CRC of all.
struct RedisJournal::Manifest {
    std::uint64_t at = 0;
    std::string name;
    std::uint64_t parts = 0, bytes = 0;
    std::uint32_t crc = 0;

    std::string text() const {
        return std::to_string(at) + " " + std::to_string(at + 1) + " " + name + " " + std::to_string(parts) + " " +
               std::to_string(bytes) + " " + std::to_string(crc);
    }
    static Result<Manifest> parse(std::string_view text) {
        std::string_view words[6];
        for (std::string_view& word : words) {
            word = text.substr(0, text.find(' '));
            text.remove_prefix(std::min(text.size(), word.size() + 1));
        }
        if (words[5].empty()) return fail(Fault::corrupt, "the head does not tell a snapshot as it should");
        return Manifest{.at = number(words[0]),
                        .name = std::string(words[2]),
                        .parts = number(words[3]),
                        .bytes = number(words[4]),
                        .crc = number<std::uint32_t>(words[5])};
    }
};

Result<RedisJournal::Manifests> RedisJournal::manifests() {
    const auto reply = pool_.run({"HMGET", keys_.head, "snapshot", "snapshot_before"});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    return Manifests{.newest = reply->items[0].text, .older = reply->items[1].text};
}

// ------------------------------------------------------------------------------------------------------------- writing

// A part is its CRC and up to 64 KiB: what is longer would hold up appends.
Result<void> RedisJournal::store_parts(const std::string& name, const SnapshotSource& source, Manifest& made) {
    std::string buffer;
    const auto store = [&](std::size_t size) -> Result<void> {
        const std::string_view bytes = std::string_view(buffer).substr(0, size);
        std::string part;
        Writer(part).u32(crc32c(bytes));
        part += bytes;
        const auto reply = pool_.run({"SET", keys_.snapshot_part(name, made.parts), part});
        if (!reply) return std::unexpected(reply.error());
        if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
        made.crc = crc32c(bytes, made.crc);
        made.bytes += size;
        ++made.parts;
        buffer.erase(0, size);
        return {};
    };
    for (;;) {
        const auto part = source();
        if (!part) return std::unexpected(part.error());
        if (part->empty()) break;
        buffer += *part;
        while (buffer.size() >= kSnapshotPartBytes)
            if (auto ok = store(kSnapshotPartBytes); !ok) return ok;
    }
    return buffer.empty() ? Result<void>() : store(buffer.size());
}

Result<void> RedisJournal::put_snapshot(Sequence at, const SnapshotSource& source) {
    const std::lock_guard lock(snapshot_mutex_);
    const auto kept = manifests();
    if (!kept) return std::unexpected(kept.error());
    if (!kept->newest.empty() && number(kept->newest.substr(0, kept->newest.find(' '))) > at.n) return {};
    if (auto ok = delete_unfinished(); !ok) return ok;
    std::random_device random;
    Manifest made{.at = at.n, .name = std::to_string(at.n) + "." + hex(std::uint64_t{random()} << 32 | random())};
    const auto listed = pool_.run({"HSET", keys_.unfinished, made.name, "1"});
    if (!listed) return std::unexpected(listed.error());
    if (listed->is_error()) return std::unexpected(redis::error_of(*listed));
    if (auto ok = store_parts(made.name, source, made); !ok) {
        (void)delete_unfinished();  // else whoever comes next does it
        return ok;
    }
    if (auto ok = keep(made); !ok) return ok;
    // The snapshot is kept; what is left over now is left over for the next one.
    if (auto ok = delete_unfinished(); ok) ok = trim();
    drop_results();
    return {};
}

Result<void> RedisJournal::keep(Manifest& made) {
    for (int tries = 0; tries < kTriesMax; ++tries) {
        const auto kept = manifests();
        if (!kept) return std::unexpected(kept.error());
        if (kept->newest == made.text()) return {};  // an answer was lost
        std::string before = kept->newest, dropped;
        if (!kept->newest.empty()) {
            const auto newest = Manifest::parse(kept->newest);
            if (!newest) return std::unexpected(newest.error());
            if (newest->at > made.at) return {};  // somebody was faster; ours is listed as unfinished
            // One more of the same position takes the place of the newest.
            const std::string& goes = newest->at == made.at ? kept->newest : kept->older;
            if (newest->at == made.at) before.clear();
            if (!goes.empty()) {
                const auto old = Manifest::parse(goes);
                if (!old) return std::unexpected(old.error());
                dropped = old->name;
            }
        }
        const auto reply = script(scripts().keep, {keys_.head, keys_.unfinished},
                                  {kept->newest, made.text(), before, made.name, dropped});
        if (!reply) return std::unexpected(reply.error());
        if (!reply->items.empty() && reply->items[0].text == "ok") return {};
    }
    return fail(Fault::conflict, "others keep snapshots of this journal at the same time");
}

// Parts of snapshots that the head does not name: dropped ones, and of writers that ended in the middle.
Result<void> RedisJournal::delete_unfinished() {
    const auto names = pool_.run({"HKEYS", keys_.unfinished});
    if (!names) return std::unexpected(names.error());
    if (names->is_error()) return std::unexpected(redis::error_of(*names));
    const auto slice = [&](std::string_view command, std::string_view name, std::uint64_t at) -> Result<std::int64_t> {
        Commands commands;
        commands.begin(1 + kPartsDeletedAtOnce);
        commands.word(command);
        for (std::uint64_t i = 0; i < kPartsDeletedAtOnce; ++i) commands.word(keys_.snapshot_part(name, at + i));
        const auto replies = pool_.run(commands);
        if (!replies) return std::unexpected(replies.error());
        if (replies->front().is_error()) return std::unexpected(redis::error_of(replies->front()));
        return replies->front().number;
    };
    for (const Reply& name : names->items) {
        // From the last to the first: whoever has to go on finds what is left by looking from the first.
        std::uint64_t end = 0;
        for (;; end += kPartsDeletedAtOnce) {
            const auto there = slice("EXISTS", name.text, end);
            if (!there) return std::unexpected(there.error());
            if (*there == 0) break;
        }
        while (end > 0) {
            end -= kPartsDeletedAtOnce;
            if (const auto deleted = slice("UNLINK", name.text, end); !deleted) return std::unexpected(deleted.error());
        }
        const auto done = pool_.run({"HDEL", keys_.unfinished, name.text});
        if (!done) return std::unexpected(done.error());
    }
    return {};
}

// In slices: many entries at once would stop Redis for as long.
Result<void> RedisJournal::trim() {
    for (const char* step = "slice";;) {
        const auto reply = script(scripts().trim, {keys_.head, keys_.journal}, {step});
        if (!reply) return std::unexpected(reply.error());
        if (std::string_view(step) == "rest") return {};
        if (reply->items.size() < 2 || reply->items[1].number == 0) step = "rest";
    }
}

// ------------------------------------------------------------------------------------------------------------- reading

Result<Sequence> RedisJournal::get_snapshot(Kept which, const SnapshotSink& sink) {
    const auto kept = manifests();
    if (!kept) return std::unexpected(kept.error());
    const std::string& text = which == Kept::newest ? kept->newest : kept->older;
    if (text.empty()) return Sequence{};
    const auto manifest = Manifest::parse(text);
    if (!manifest) return std::unexpected(manifest.error());
    const std::string what = "the snapshot at " + std::to_string(manifest->at);
    std::uint32_t crc = 0;
    for (std::uint64_t at = 0; at < manifest->parts; at += kPartsAtOnce) {
        Commands commands;
        for (std::uint64_t i = at; i < std::min<std::uint64_t>(at + kPartsAtOnce, manifest->parts); ++i)
            commands.add({"GET", keys_.snapshot_part(manifest->name, i)});
        const auto replies = pool_.run(commands);
        if (!replies) return std::unexpected(replies.error());
        for (const Reply& reply : *replies) {
            if (reply.is_error()) return std::unexpected(redis::error_of(reply));
            if (reply.text.size() < 4) return fail(Fault::corrupt, what + ": a part of it is missing");
            const std::string_view bytes = std::string_view(reply.text).substr(4);
            if (Reader(reply.text).u32() != crc32c(bytes))
                return fail(Fault::corrupt, what + ": a part of it is damaged (CRC)");
            crc = crc32c(bytes, crc);
            if (auto ok = sink(bytes); !ok) return std::unexpected(std::move(ok).error());
        }
    }
    if (crc != manifest->crc) return fail(Fault::corrupt, what + ": its parts do not belong together (CRC)");
    return Sequence{manifest->at};
}

}  // namespace nexus::store
