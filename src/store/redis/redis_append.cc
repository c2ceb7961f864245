// Of RedisJournal: what the owner writes.
#include <algorithm>
#include <map>

#include "store/redis/redis_journal.h"

namespace nexus::store {

using redis::Commands, redis::Connection, redis::Reply;
using redis_key::hex;

namespace {

// A script holds up everybody else, so it is kept short; and a body that is long by itself goes ahead of it.
constexpr std::size_t kScriptBytesMax = 512 << 10;
constexpr std::size_t kScriptPutsMax = 1000;
constexpr std::size_t kLongBody = 64 << 10;
constexpr std::uint64_t kBeyondMemoryMax = 64ULL << 20;
constexpr std::chrono::seconds kLevelEvery{10};
constexpr std::string_view kReplicasWait_ms = "500";  // then it is tried again
constexpr int kTriesMax = 4;  // of one append: connection, scripts and room may each be found wanting once

}  // namespace

struct RedisJournal::Chunk {
    struct Hash {
        std::vector<std::pair<std::string, std::string_view>> puts;
        std::vector<std::string> drops;
    };
    struct Ahead {
        std::string key, field;
        std::string_view body;
    };
    std::string claim, first, end, chain_before, chain, history;
    std::vector<const JournalBatch*> batches;
    std::map<std::string, Hash> hashes;
    std::vector<Ahead> ahead;
    std::map<std::uint64_t, std::string> result_pages;  // their lines in the table
    std::size_t bytes = 0, puts = 0;

    void put(std::string key, TaskId task, std::string_view body) {
        ++puts;
        if (body.size() > kLongBody || puts > kScriptPutsMax || bytes > kScriptBytesMax) {
            ahead.push_back({std::move(key), redis_key::id_bytes(task), body});
            return;
        }
        bytes += body.size();
        hashes[std::move(key)].puts.emplace_back(redis_key::id_bytes(task), body);
    }
    void add(const JournalBatch& batch) {
        if (batch.count == 0) return;
        if (batches.empty()) {
            first = std::to_string(batch.first.n);
            chain_before = hex(batch.chain_before);
        }
        end = std::to_string(batch.first.n + batch.count);
        chain = hex(batch.chain);
        bytes += batch.bytes.size();
        batches.push_back(&batch);
    }
    bool full() const { return bytes >= kScriptBytesMax || puts >= kScriptPutsMax; }
};

// ------------------------------------------------------------------------------------------------------ the connection

// At each connect and every 10 s: what the server promises is what its operator set last.
Result<void> RedisJournal::check_level(Connection& connection) {
    if (redis::Pool::Clock::now() >= level_due_) {
        Commands commands;
        commands.add({"INFO"});
        commands.add({"CONFIG", "GET", "*appendfsync*"});
        commands.add({"CONFIG", "GET", "min-replicas-to-write"});
        const auto replies = connection.run(commands);
        if (!replies) return std::unexpected(replies.error());
        if ((*replies)[0].is_error()) return std::unexpected(redis::error_of((*replies)[0]));
        std::vector<std::string> config;
        for (const Reply* reply : {&(*replies)[1], &(*replies)[2]})
            for (const Reply& word : reply->items) config.push_back(word.text);
        ServerFacts facts = read_facts((*replies)[0].text, config);
        if (facts.loading) return fail(Fault::unreachable, "Redis reads its file");
        // How many must follow is looked at when it begins. Later each append waits for as many as it needs.
        if (owner_.size() > 0) facts.replicas = std::max(facts.replicas, options_.replicas + (options_.replicas > 0));
        const auto level = store::level_of(facts, {.level = options_.level,
                                                   .allow_volatile = options_.allow_volatile,
                                                   .replicas = options_.replicas,
                                                   .finding = options_.server.address.finding});
        tell([&](RedisJournalState& state) {
            state.wrong = level ? std::string() : level.error().what;
            if (level) state.level = *level;
            if (level) state.meaning = meaning_of(*level, facts);
            state.memory_used = facts.memory_used;
            state.memory_max = facts.memory_max;
        });
        if (level) {
            knows_flags_ = facts.knows_script_flags();
            level_ = *level;
            level_due_ = redis::Pool::Clock::now() + kLevelEvery;
        }
        if (!level && !level_refused_) note(true, "nothing is written: " + level.error().what);
        if (level && level_refused_) note(false, "the server promises again what was asked for");
        level_refused_ = level ? std::nullopt : std::optional(level.error());
    }
    if (level_refused_) return std::unexpected(*level_refused_);
    return {};
}

Result<Connection*> RedisJournal::writer() {
    if (writer_ && writer_->broken()) writer_.reset();
    if (!writer_) {
        auto opened = pool_.open();
        if (!opened) {
            if (!std::exchange(away_, true)) note(true, "the store is lost: " + opened.error().what);
            tell([](RedisJournalState& state) { state.reached = false; });
            return std::unexpected(std::move(opened).error());
        }
        tell([](RedisJournalState& state) { state.reached = true; });
        writer_ = std::move(*opened);
        level_due_ = {};
        if (std::exchange(away_, false)) {
            note(false, "the store is reached again");
            tell([](RedisJournalState& state) { ++state.reconnects; });
        }
    }
    if (auto ok = check_level(*writer_); !ok) return std::unexpected(std::move(ok).error());
    return writer_.get();
}

Result<Reply> RedisJournal::write_script(const redis_script::Script& script, std::span<const std::string_view> keys,
                                         std::span<const std::string_view> words) {
    for (int tries = 0;; ++tries) {
        auto connection = writer();
        if (!connection) return std::unexpected(std::move(connection).error());
        const bool load = tries > 0;  // the server may be another one than before, without our scripts
        Commands commands;
        if (load) commands.add({"SCRIPT", "LOAD", script.text});
        commands.begin(3 + keys.size() + words.size());
        commands.word("EVALSHA").word(script.sha1).word(std::to_string(keys.size()));
        for (const std::string_view key : keys) commands.word(key);
        for (const std::string_view word : words) commands.word(word);
        auto replies = (*connection)->run(commands);
        if (!replies && tries < 2) continue;
        if (!replies) return std::unexpected(std::move(replies).error());
        if (!load && replies->back().is_error() && replies->back().error_code() == "NOSCRIPT") continue;
        return std::move(replies->back());
    }
}

namespace {

// What a script answers instead of doing it.
Error refusal(const Reply& reply) {
    if (reply.is_error()) {
        Error error = redis::error_of(reply);
        if (error.fault == Fault::denied) error.fault = Fault::unreachable;  // until its operator allows it again
        return error;
    }
    const auto word = [&](std::size_t i) { return i < reply.items.size() ? reply.items[i].text : std::string(); };
    if (word(0) == "superseded")
        return {Fault::superseded, "the journal belongs to " + word(2) + " since epoch " + word(1)};
    if (word(0) == "gone")
        return {Fault::failed,
                "the journal is gone from Redis (emptied, evicted, or another server): start again when it is back"};
    return {Fault::failed, "a script answered '" + word(0) + "'"};
}

bool says(const Reply& reply, std::string_view word) {
    return reply.is_list() && !reply.items.empty() && reply.items[0].text == word;
}

}  // namespace

// What is sent again writes nothing, and WAIT looks at what its own connection wrote: so a renewal goes ahead.
Result<void> RedisJournal::await_replicas(const std::string& claim) {
    if (options_.replicas == 0) return {};
    const std::string_view keys[] = {keys_.head}, words[] = {claim, {}};
    const auto renewed = write_script(scripts().renew, keys, words);
    if (!renewed) return fail(Fault::unreachable, renewed.error().what);
    if (!says(*renewed, "ok")) return std::unexpected(refusal(*renewed));
    const std::string wanted = std::to_string(options_.replicas);
    const auto have = writer_->run({"WAIT", wanted, kReplicasWait_ms});
    if (!have) return std::unexpected(have.error());
    if (have->is_error()) return std::unexpected(redis::error_of(*have));
    if (have->number >= static_cast<std::int64_t>(options_.replicas)) return {};
    return fail(Fault::unreachable,
                std::to_string(have->number) + " of " + wanted + " replicas have what was written last");
}

Result<void> RedisJournal::renew(const Claim& claim, std::string_view wish) {
    const std::lock_guard lock(writer_mutex_);
    const std::string token = redis_key::text_of(claim);
    const std::string_view keys[] = {keys_.head}, words[] = {token, wish};
    for (bool repaired = false;; repaired = true) {
        const auto reply = write_script(scripts().renew, keys, words);
        if (!reply) return fail(Fault::unreachable, reply.error().what);
        Error found;
        if (!says(*reply, "ok"))
            found = refusal(*reply);
        else if (reply->items.size() > 1 && redis_key::number(reply->items[1].text) < confirmed_next_)
            found = {Fault::conflict, "the journal in Redis has lost its end: it has no more than sequence " +
                                          std::to_string(redis_key::number(reply->items[1].text) - 1)};
        else
            return await_replicas(token);
        if (repaired) return std::unexpected(std::move(found));
        if (auto ok = repair(claim, found); !ok) return ok;
    }
}

// ------------------------------------------------------------------------------------------ a server that has forgotten

void RedisJournal::remember(std::span<const JournalBatch> batches) {
    const auto now = redis::Pool::Clock::now();
    for (const JournalBatch& batch : batches) {
        if (batch.count == 0) continue;
        std::uint64_t bytes = batch.bytes.size() + sizeof batch;
        for (const auto* puts : {&batch.puts, &batch.results, &batch.taken})
            for (const BodyPut& put : *puts) bytes += put.body.size() + sizeof put;
        bytes += (batch.drops.size() + batch.untaken.size()) * sizeof(TaskId);
        ring_.push_back({.batch = batch, .bytes = bytes, .at = now});
        ring_bytes_ += bytes;
        confirmed_next_ = batch.first.n + batch.count;
    }
    const auto oldest = now - std::chrono::microseconds(options_.ring_age_max.us);
    while (!ring_.empty() && (ring_bytes_ > options_.ring_bytes_max || ring_.front().at < oldest)) {
        ring_bytes_ -= ring_.front().bytes;
        ring_.pop_front();
    }
}

// `found`: what an append or a renewal was refused with. When the server has forgotten something that is kept here, it
// gets it back; else `found` is what there is to say.
Result<void> RedisJournal::repair(const Claim& claim, const Error& found) {
    if (found.fault == Fault::superseded) return reclaim(claim);
    if (found.fault == Fault::conflict) return restore(claim, found);
    return std::unexpected(found);
}

Result<void> RedisJournal::reclaim(const Claim& claim) {
    const std::string token = redis_key::text_of(claim), epoch = std::to_string(claim.epoch);
    const std::string_view keys[] = {keys_.head}, words[] = {token, epoch, owner_};
    const auto reply = write_script(scripts().reclaim, keys, words);
    if (!reply) return fail(Fault::unreachable, reply.error().what);
    if (!says(*reply, "ok")) return std::unexpected(refusal(*reply));
    note(true, "Redis had lost our claim on the journal; it was renewed");
    return {};
}

Result<void> RedisJournal::restore(const Claim& claim, const Error& found) {
    const auto connection = writer();
    if (!connection) return fail(Fault::unreachable, connection.error().what);
    const auto ends = (*connection)->run({"HMGET", keys_.head, "next", "chain"});
    if (!ends) return std::unexpected(ends.error());
    if (ends->items.size() < 2) return fail(Fault::unreachable, "Redis does not tell where the journal ends");
    const std::uint64_t next = redis_key::number(ends->items[0].text);
    const std::string& chain = ends->items[1].text;
    if (next >= confirmed_next_) return std::unexpected(found);  // it has forgotten nothing
    const auto joins = std::ranges::find_if(ring_, [&](const Remembered& each) {
        return each.batch.first.n == next && hex(each.batch.chain_before) == chain;
    });
    if (joins == ring_.end()) {
        tell([](RedisJournalState& state) { ++state.forked; });
        return fail(Fault::conflict,
                    "the journal in Redis ends at sequence " + std::to_string(next - 1) +
                        ", and what this server stored last, up to " + std::to_string(confirmed_next_ - 1) +
                        ", cannot be joined to it: more was lost than is kept here, or another one has written. A new "
                        "start goes on from what Redis has; to have the rest, restore Redis from its copy first");
    }
    std::vector<JournalBatch> lost;
    for (auto at = joins; at != ring_.end(); ++at) lost.push_back(at->batch);
    if (auto sent = send(cut(claim, lost)); !sent) return std::unexpected(std::move(sent).error());
    tell([&](RedisJournalState& state) {
        ++state.repaired;
        state.batches_repaired += lost.size();
    });
    note(true, "Redis had lost the end of the journal; " + std::to_string(lost.size()) + " batches from sequence " +
                   std::to_string(next) + " on were stored again");
    return {};
}

// ---------------------------------------------------------------------------------------------------------- the append

std::vector<RedisJournal::Chunk> RedisJournal::cut(const Claim& claim, std::span<const JournalBatch> batches) {
    std::vector<Chunk> chunks;
    const std::lock_guard lock(results_mutex_);
    for (const JournalBatch& batch : batches) {
        if (chunks.empty() || chunks.back().full()) chunks.emplace_back().claim = redis_key::text_of(claim);
        Chunk& chunk = chunks.back();
        chunk.add(batch);
        for (const BodyPut& put : batch.puts) chunk.put(keys_.bodies(put.task), put.task, put.body);
        for (const TaskId task : batch.drops)
            chunk.hashes[keys_.bodies(task)].drops.push_back(redis_key::id_bytes(task));
        for (const BodyPut& put : batch.taken) chunk.put(keys_.taken, put.task, put.body);
        for (const TaskId task : batch.untaken) chunk.hashes[keys_.taken].drops.push_back(redis_key::id_bytes(task));
        for (const BodyPut& put : batch.results) {
            const std::uint64_t page = results_.place(put.body.size(), now());
            chunk.put(keys_.result_page(page), put.task, put.body);
            chunk.result_pages[page] = results_.value_of(page);
        }
        if (batch.history_upto.n > redis_key::number(chunk.history))
            chunk.history = std::to_string(batch.history_upto.n);
    }
    for (Chunk& chunk : chunks)
        for (const auto& [page, line] : chunk.result_pages)
            chunk.hashes[keys_.results].puts.emplace_back(std::to_string(page), line);
    return chunks;
}

// Each of its answers must be ok.
void RedisJournal::add_commands(const Chunk& chunk, Commands& out) const {
    const bool beyond = low_on_space_;
    for (const Chunk::Ahead& body : chunk.ahead) {
        out.begin(8);
        out.word("EVALSHA").word((beyond ? scripts().put_beyond : scripts().put).sha1).word("2");
        out.word(keys_.head).word(body.key).word(chunk.claim).word(body.field).word(body.body);
    }
    std::size_t words = 3 + 2 + chunk.hashes.size() + 7 + 2 * chunk.batches.size();
    bool puts = false;
    for (const auto& [key, hash] : chunk.hashes) {
        words += 2 + 2 * hash.puts.size() + hash.drops.size();
        puts = puts || !hash.puts.empty();
    }
    out.begin(words);
    // What brings no bodies may go beyond the memory's limit without being asked: it frees more than it takes.
    out.word("EVALSHA").word((beyond || !puts ? scripts().append_beyond : scripts().append).sha1);
    out.word(std::to_string(2 + chunk.hashes.size())).word(keys_.head).word(keys_.journal);
    for (const auto& [key, hash] : chunk.hashes) out.word(key);
    out.word(chunk.claim).word(chunk.first).word(chunk.end).word(chunk.chain_before).word(chunk.chain);
    out.word(chunk.history).word(std::to_string(chunk.batches.size()));
    for (const JournalBatch* batch : chunk.batches) out.word(std::to_string(batch->first.n)).word(batch->bytes);
    for (const auto& [key, hash] : chunk.hashes) {
        out.word(std::to_string(hash.puts.size()));
        for (const auto& [field, body] : hash.puts) out.word(field).word(body);
        out.word(std::to_string(hash.drops.size()));
        for (const std::string& field : hash.drops) out.word(field);
    }
}

// Whether Redis, full or not, has room for what is under way.
bool RedisJournal::note_room(const ServerFacts& facts) {
    const bool low = facts.memory_max > 0 && facts.memory_used > facts.memory_max - facts.memory_max / 20;
    if (low_on_space_.exchange(low) != low)
        note(low, low ? "Redis is at its maxmemory: no new tasks are taken" : "Redis has room again");
    return !low || (facts.knows_script_flags() && facts.memory_used < facts.memory_max + kBeyondMemoryMax);
}

Result<bool> RedisJournal::has_room(Connection& connection) {
    const auto info = connection.run({"INFO"});
    if (!info) return std::unexpected(info.error());
    return note_room(read_facts(info->text, {}));
}

// The chunk `next` is stored, or was; then `next` is the one to go on with.
Result<void> RedisJournal::take_answer(const Reply& reply, std::span<const Chunk> chunks, std::size_t& next) {
    if (says(reply, "ok") || says(reply, "again")) {
        ++next;
        return {};
    }
    if (!says(reply, "elsewhere") || reply.items.size() < 3) return std::unexpected(refusal(reply));
    // A part of what is sent again may have been stored the first time.
    for (std::size_t i = next; i < chunks.size(); ++i) {
        if (chunks[i].end != reply.items[1].text || chunks[i].chain != reply.items[2].text) continue;
        next = i + 1;
        return {};
    }
    return fail(Fault::conflict, "the batches begin at sequence " + chunks[next].first +
                                     ", but the journal in Redis ends at " +
                                     std::to_string(redis_key::number(reply.items[1].text) - 1));
}

// Sends all chunks from `next` on together and answers for each what its script did, or what kept it from being run.
Result<std::vector<Reply>> RedisJournal::send_from(Connection& connection, std::span<const Chunk> chunks, bool load) {
    Commands commands;
    const redis_script::Scripts& known = scripts();
    if (load)  // the server may be another one than before, without our scripts
        for (const auto* script : {&known.append, &known.append_beyond, &known.put, &known.put_beyond})
            commands.add({"SCRIPT", "LOAD", script->text});
    std::size_t at = commands.count();
    for (const Chunk& chunk : chunks) add_commands(chunk, commands);
    auto replies = connection.run(commands);
    if (!replies) return std::unexpected(std::move(replies).error());
    std::vector<Reply> verdicts;
    for (const Chunk& chunk : chunks) {
        const std::size_t end = at + chunk.ahead.size();  // its script
        while (at < end && says((*replies)[at], "ok")) ++at;
        verdicts.push_back(std::move((*replies)[at]));
        at = end + 1;
    }
    return verdicts;
}

Result<Appended> RedisJournal::send(std::span<const Chunk> chunks) {
    Appended appended{.again = true};
    Error last;
    std::size_t next = 0;
    for (int tries = 0; next < chunks.size(); ++tries) {
        if (tries == kTriesMax) return std::unexpected(std::move(last));
        const auto connection = writer();
        if (!connection) return fail(Fault::unreachable, connection.error().what);  // an earlier try may have done it
        if (low_on_space_) {
            const auto room = has_room(**connection);
            if (room && !*room) return fail(Fault::no_space, "Redis is beyond its maxmemory, and beyond our reserve");
        }
        const std::size_t begin = next;
        auto verdicts = send_from(**connection, chunks.subspan(begin), tries > 0);
        if (!verdicts) {
            last = std::move(verdicts).error();
            continue;
        }
        while (next < chunks.size()) {
            const Reply& verdict = (*verdicts)[next - begin];
            const bool full = verdict.error_code() == "OOM" && verdict.is_error() && !low_on_space_;
            if (full || (verdict.error_code() == "NOSCRIPT" && verdict.is_error())) {
                last = {Fault::unreachable, "Redis answers: " + verdict.text};
                if (!full) break;
                if (const auto room = has_room(**connection); room && !low_on_space_.exchange(true))
                    note(true, "Redis is at its maxmemory: no new tasks are taken");
                break;
            }
            if (says(verdict, "ok")) appended.again = false;
            if (auto ok = take_answer(verdict, chunks, next); !ok) return std::unexpected(std::move(ok).error());
        }
    }
    if (!chunks.empty())
        if (auto ok = await_replicas(chunks.front().claim); !ok) return std::unexpected(std::move(ok).error());
    appended.low_on_space = low_on_space_;
    return appended;
}

Result<Appended> RedisJournal::append(const Claim& claim, std::span<const JournalBatch> batches) {
    const auto first = std::ranges::find_if(batches, [](const JournalBatch& batch) { return batch.count > 0; });
    if (first != batches.end())  // that they follow each other; where they begin is for Redis to compare
        if (const auto ok = joins(batches, {.last = {first->first.n - 1}, .chain = {}}); !ok)
            return std::unexpected(ok.error());
    const std::lock_guard lock(writer_mutex_);
    auto appended = send(cut(claim, batches));
    // A claim and an end may both have been lost.
    for (int repairs = 0; !appended && repairs < 2; ++repairs) {
        if (auto ok = repair(claim, appended.error()); !ok) return std::unexpected(std::move(ok).error());
        appended = send(cut(claim, batches));
    }
    if (!appended) return appended;
    remember(batches);
    if (std::ranges::any_of(batches, [](const JournalBatch& batch) { return !batch.results.empty(); })) drop_results();
    return appended;
}

}  // namespace nexus::store
