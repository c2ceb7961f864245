#include "store/redis/redis_journal.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

namespace nexus::store {

using redis::Commands, redis::Reply;
using redis_key::hex, redis_key::number;

namespace {

constexpr int kBatchesAtOnce = 64;
constexpr std::size_t kBodiesAtOnce = 500;
constexpr std::chrono::milliseconds kLoadingLook{100};

std::string_view word_of(const Reply& reply, std::size_t i) {
    return reply.is_list() && i < reply.items.size() ? std::string_view(reply.items[i].text) : std::string_view();
}

}  // namespace

RedisJournal::RedisJournal(RedisJournalOptions options)
    : options_(std::move(options)),
      keys_(options_.prefix),
      pool_([this] {
          redis::Server server = options_.server;
          server.key = keys_.head;
          return server;
      }()),
      plain_scripts_(redis_script::make_scripts(false)),
      flagged_scripts_(redis_script::make_scripts(true)),
      results_(options_.result_age_max, options_.result_bytes_max) {}

WallTime RedisJournal::now() const {
    if (options_.now) return options_.now();
    return {std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
                .count()};
}

void RedisJournal::note(bool bad, std::string text) const {
    if (options_.notice) options_.notice(bad, std::move(text));
}

Result<std::unique_ptr<RedisJournal>> RedisJournal::open(RedisJournalOptions options) {
    if (options.prefix.empty() || options.prefix.find_first_of("{}: \t\n") != std::string::npos)
        return fail(Fault::invalid, "the prefix of the keys has no braces, colons or blanks, and is not empty");
    std::unique_ptr<RedisJournal> journal(new RedisJournal(std::move(options)));
    if (auto ok = journal->start(); !ok) return std::unexpected(std::move(ok).error());
    return journal;
}

Result<void> RedisJournal::start() {
    // A server that reads its file answers only what it is.
    const auto end = redis::Pool::Clock::now() + std::chrono::microseconds(options_.loading_max.us);
    for (bool told = false;;) {
        const auto ping = pool_.run({"PING"});
        if (!ping) return std::unexpected(ping.error());
        if (!ping->is_error()) break;
        const bool loading = ping->error_code() == "LOADING";
        if (!loading || redis::Pool::Clock::now() > end) return std::unexpected(redis::error_of(*ping));
        if (!std::exchange(told, true)) note(true, "Redis reads its file; waiting for it");
        std::this_thread::sleep_for(kLoadingLook);
    }
    {
        const std::lock_guard lock(writer_mutex_);
        if (const auto connection = writer(); !connection) return std::unexpected(connection.error());
    }
    return load_results();
}

// ------------------------------------------------------------------------------------------------------------ the head

// What is done twice does no harm: the pool may send it again.
Result<Reply> RedisJournal::script(const redis_script::Script& script, std::initializer_list<std::string_view> keys,
                                   std::initializer_list<std::string_view> words) {
    for (const bool load : {false, true}) {
        Commands commands;
        if (load) commands.add({"SCRIPT", "LOAD", script.text});
        commands.begin(3 + keys.size() + words.size());
        commands.word("EVALSHA").word(script.sha1).word(std::to_string(keys.size()));
        for (const std::string_view key : keys) commands.word(key);
        for (const std::string_view word : words) commands.word(word);
        auto replies = pool_.run(commands);
        if (!replies) return std::unexpected(std::move(replies).error());
        Reply& reply = replies->back();
        if (!load && reply.is_error() && reply.error_code() == "NOSCRIPT") continue;
        if (reply.is_error()) return std::unexpected(redis::error_of(reply));
        return std::move(reply);
    }
    return fail(Fault::failed, "Redis does not keep the scripts it is given");
}

Result<Head> RedisJournal::head() {
    Commands commands;
    commands.add(
        {"HMGET", keys_.head, "claim", "owner", "address", "wish", "beat", "next", "chain", "snapshot", "history"});
    if (low_on_space_) commands.add({"INFO"});
    auto replies = pool_.run(commands);
    if (!replies) return std::unexpected(std::move(replies).error());
    const Reply& stored = replies->front();
    if (stored.is_error()) return std::unexpected(redis::error_of(stored));
    Head head;
    head.claim = redis_key::claim_of(word_of(stored, 0));
    head.owner = word_of(stored, 1);
    head.address = word_of(stored, 2);
    head.wish = word_of(stored, 3);
    head.beat = number(word_of(stored, 4));
    head.last = {std::max<std::uint64_t>(1, number(word_of(stored, 5))) - 1};
    head.chain = number(word_of(stored, 6), 16);
    head.snapshot = {number(word_of(stored, 7).substr(0, word_of(stored, 7).find(' ')))};
    head.history = {number(word_of(stored, 8))};
    head.level = level_;
    head.renews = true;
    if (replies->size() > 1) note_room(read_facts((*replies)[1].text, {}));
    head.low_on_space = low_on_space_;
    return head;
}

Result<std::string> RedisJournal::field(std::string_view name) {
    const auto reply = pool_.run({"HGET", keys_.head, name});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    return reply->text;
}

Result<std::string> RedisJournal::cluster() {
    return field("cluster");
}

Result<std::vector<TaskId>> RedisJournal::taken() {
    const auto reply = pool_.run({"HKEYS", keys_.taken});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    std::vector<TaskId> tasks;
    for (const Reply& key : reply->items)
        if (const auto task = redis_key::task_of_bytes(key.text)) tasks.push_back(*task);
    return tasks;
}

RedisJournalState RedisJournal::state() const {
    const std::lock_guard lock(state_mutex_);
    return state_;
}

Result<Claim> RedisJournal::claim(const Head& observed, const Claimant& me) {
    const Claim claim{.token_hi = me.token_hi, .token_lo = me.token_lo, .epoch = observed.claim.epoch + 1};
    const auto reply = script(
        scripts().claim, {keys_.head},
        {std::to_string(observed.claim.epoch), redis_key::text_of(observed.claim), std::to_string(observed.last.n + 1),
         std::to_string(observed.beat), me.name, me.address, redis_key::text_of(claim), std::to_string(claim.epoch),
         options_.cluster.empty() ? hex(me.token_hi) + hex(me.token_lo) : options_.cluster});
    if (!reply) return std::unexpected(reply.error());
    if (word_of(*reply, 0) == "closed")
        return fail(Fault::failed_state, "the journal is closed: " + std::string(word_of(*reply, 1)));
    if (word_of(*reply, 0) != "ok")
        return fail(Fault::conflict,
                    "the journal has moved since it was observed; its owner is " + std::string(word_of(*reply, 1)));
    {
        const std::lock_guard lock(writer_mutex_);
        owner_ = me.name;
        ring_.clear();
        ring_bytes_ = 0;
        confirmed_next_ = observed.last.n + 1;
    }
    // Whoever had it before has put results into pages.
    if (auto ok = load_results(); !ok) return std::unexpected(std::move(ok).error());
    return claim;
}

// ------------------------------------------------------------------------------------------------------------- reading

Result<void> RedisJournal::read(Sequence after, Duration wait, const BatchVisitor& visit) {
    if (wait.us > 0) {
        const std::string limit_ms = std::to_string(std::max<std::int64_t>(1, wait.us / 1000));
        const auto reply = pool_.run(
            {"XREAD", "COUNT", "1", "BLOCK", limit_ms, "STREAMS", keys_.journal, std::to_string(after.n) + "-0"}, wait);
        if (!reply) return std::unexpected(reply.error());
        if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
        if (reply->type == Reply::Type::nil) return {};
    }
    for (std::uint64_t next = after.n + 1;;) {
        const auto reply = pool_.run(
            {"XRANGE", keys_.journal, std::to_string(next) + "-0", "+", "COUNT", std::to_string(kBatchesAtOnce)});
        if (!reply) return std::unexpected(reply.error());
        if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
        for (const Reply& entry : reply->items) {
            if (entry.items.size() != 2 || entry.items[1].items.size() < 2 || entry.items[1].items[0].text != "b")
                return fail(Fault::corrupt, "the stream " + keys_.journal +
                                                " has an entry that is no batch: " + std::string(word_of(entry, 0)));
            const std::uint64_t first = number(entry.items[0].text);
            if (auto ok = visit({first}, entry.items[1].items[1].text); !ok) return ok;
            next = first + 1;
        }
        if (reply->items.size() < kBatchesAtOnce) return {};
    }
}

// The pages of results, the newest first.
Result<std::vector<std::string>> RedisJournal::pages_of_results() {
    const auto reply = pool_.run({"HKEYS", keys_.results});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    std::vector<std::uint64_t> pages;
    for (const Reply& page : reply->items) pages.push_back(number(page.text));
    std::ranges::sort(pages, std::greater());
    std::vector<std::string> keys;
    for (const std::uint64_t page : pages) keys.push_back(keys_.result_page(page));
    return keys;
}

std::vector<Body> RedisJournal::bodies(BodyKind kind, std::span<const TaskId> tasks) {
    std::vector<Body> answers(tasks.size());
    if (tasks.empty()) return answers;
    const auto unreachable = [&](const std::string& why) {
        for (Body& answer : answers) answer = {.state = Body::State::unreachable, .bytes = {}, .why = why};
        return answers;
    };
    // A server that has forgotten the end of the journal may have had them: what it lacks then is not lost.
    const std::uint64_t confirmed = confirmed_next_;
    // Which hashes may hold them: of each task one, or of results all pages.
    std::map<std::string, std::vector<std::size_t>> of_hash;
    std::vector<std::pair<std::string, std::vector<std::size_t>>> questions;
    for (std::size_t i = 0; i < tasks.size(); ++i)
        of_hash[kind == BodyKind::body ? keys_.bodies(tasks[i]) : keys_.taken].push_back(i);
    if (kind == BodyKind::result) {
        const auto pages = pages_of_results();
        if (!pages) return unreachable(pages.error().what);
        for (const std::string& page : *pages) questions.emplace_back(page, of_hash.begin()->second);
    } else {
        questions.assign(of_hash.begin(), of_hash.end());
    }
    Commands commands;
    commands.add({"HGET", keys_.head, "next"});
    std::vector<std::span<const std::size_t>> asked;
    for (const auto& [key, all] : questions) {
        for (std::size_t at = 0; at < all.size(); at += kBodiesAtOnce) {
            asked.push_back(std::span(all).subspan(at, std::min(kBodiesAtOnce, all.size() - at)));
            commands.begin(2 + asked.back().size());
            commands.word("HMGET").word(key);
            for (const std::size_t i : asked.back()) commands.word(redis_key::id_bytes(tasks[i]));
        }
    }
    for (Body& answer : answers) answer.why = "it is not stored";
    if (asked.empty()) return answers;
    auto replies = pool_.run(commands);
    if (!replies) return unreachable(replies.error().what);
    const bool forgot = number(replies->front().text) < confirmed;
    for (std::size_t q = 0; q < asked.size(); ++q) {
        Reply& reply = (*replies)[q + 1];
        if (reply.is_error()) return unreachable(redis::error_of(reply).what);
        for (std::size_t k = 0; k < asked[q].size() && k < reply.items.size(); ++k) {
            Body& answer = answers[asked[q][k]];
            if (reply.items[k].is_text() && answer.state != Body::State::found)
                answer = {.state = Body::State::found, .bytes = std::move(reply.items[k].text), .why = {}};
        }
    }
    for (Body& answer : answers)
        if (forgot && answer.state == Body::State::missing)
            answer = {.state = Body::State::unreachable, .bytes = {}, .why = "Redis has lost the end of the journal"};
    return answers;
}

// --------------------------------------------------------------------------------------------------------- the results

Result<void> RedisJournal::load_results() {
    const auto reply = pool_.run({"HGETALL", keys_.results});
    if (!reply) return std::unexpected(reply.error());
    if (reply->is_error()) return std::unexpected(redis::error_of(*reply));
    const std::lock_guard lock(results_mutex_);
    results_.clear();
    for (std::size_t i = 0; i + 1 < reply->items.size(); i += 2)
        results_.loaded(number(reply->items[i].text), reply->items[i + 1].text);
    return {};
}

// What cannot be dropped now is due next time, too.
void RedisJournal::drop_results() {
    const std::lock_guard lock(results_mutex_);
    for (const std::uint64_t page : results_.due(now())) {
        Commands commands;
        commands.add({"UNLINK", keys_.result_page(page)});
        commands.add({"HDEL", keys_.results, std::to_string(page)});
        const auto replies = pool_.run(commands);
        if (!replies || replies->front().is_error() || replies->back().is_error()) return;
        results_.dropped(page);
    }
}

}  // namespace nexus::store
