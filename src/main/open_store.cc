#include "main/open_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include "base/quantity.h"
#include "base/system_clock.h"
#include "engine/ownership.h"
#include "main/configuration.h"
#include "predict/predictor.h"
#include "store/redis/redis_journal.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using engine::LogLevel;

constexpr const char* kHowToGoOn = "stop that server, or give this one another --store-prefix";
constexpr const char* kOldPredictions = "scheduler:predictions";
constexpr std::chrono::milliseconds kLook{100};
constexpr Duration kTryFirst = milliseconds(250), kTryMost = seconds(5);
constexpr engine::OwnershipTimes kOfStranger{.claim_after = milliseconds(2300)};  // it follows nothing yet

store::Durability level_of(const config::Server& settings) {
    if (settings.durability == "replicated") return store::Durability::replicated;
    return settings.durability == "disk" ? store::Durability::disk : store::Durability::process;
}

// ------------------------------------------------------------------------------------------------------- the embedded

std::string identity_file(const config::Server& settings) {
    return settings.data + "/redis.journal";
}

Answer<OpenJournal> open_embedded(const config::Server& settings, Log& log) {
    const auto closed = store::closed_journal(settings.data);
    if (!closed) return failed(closed.error(), "open " + settings.data);
    if (!closed->empty()) return closed_failure(*closed, settings);
    if (std::filesystem::exists(identity_file(settings)))
        return failed({Fault::failed_state, "it belongs to a journal in Redis"}, "open " + settings.data,
                      "give --store with the address of that server, or another --data");
    auto journal = store::SqliteJournal::open(
        {.directory = settings.data, .level = level_of(settings), .reserve_bytes = settings.reserve_bytes});
    if (!journal)
        return failed(
            journal.error(), "open " + settings.data,
            journal.error().fault == Fault::conflict ? "stop that server, or give this one another --data" : "");
    if (const auto& report = (*journal)->open_report(); report.batches_cut > 0)
        log.write(LogLevel::warning, "journal_cut",
                  fmt::format("{} torn batches at the end were set aside: {}", report.batches_cut, report.cut_reason));
    OpenJournal open{.lock = {}, .journal = std::move(*journal), .promised = settings.durability};
    open.facts = [level = settings.durability] {
        return api::StoreFacts{.level = level,
                               .meaning = level == "disk" ? "what is acknowledged survives a power cut"
                                                          : "what is acknowledged survives the end of nexus; a power "
                                                            "cut may lose the last seconds"};
    };
    return open;
}

// ------------------------------------------------------------------------------------------------------------ in Redis

// Who this data directory is, and whose journal it serves; both random, empty = not known yet.
struct Identity {
    std::string instance, cluster;
};

std::string random_name() {
    std::random_device random;
    return fmt::format("{:08x}{:08x}", random(), random());
}

Result<Identity> read_identity(const config::Server& settings) {
    Identity identity;
    if (!std::filesystem::exists(identity_file(settings))) return identity;
    const auto text = store::read_file(identity_file(settings));
    if (!text) return std::unexpected(text.error());
    std::istringstream words(*text);
    for (std::string key, value; words >> key >> value;) {
        if (key == "instance") identity.instance = value;
        if (key == "journal") identity.cluster = value;
    }
    if (identity.instance.empty()) return fail(Fault::corrupt, "has no line 'instance'; move it away to begin anew");
    return identity;
}

Result<void> write_identity(const config::Server& settings, const Identity& identity) {
    std::string text = "instance " + identity.instance + "\n";
    if (!identity.cluster.empty()) text += "journal " + identity.cluster + "\n";
    const std::string unfinished = identity_file(settings) + ".unfinished";
    if (auto ok = store::write_file_durably(unfinished, text); !ok) return ok;
    std::error_code error;
    std::filesystem::rename(unfinished, identity_file(settings), error);
    if (error) return fail(Fault::failed, "renaming " + unfinished + ": " + error.message());
    return store::sync_directory(settings.data);
}

// Machine and data directory: a copied directory on another machine is another owner.
std::string owner_name(const Identity& identity) {
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    return fmt::format("{}/{}", host, identity.instance);
}

// Until nobody else owns the journal, judged by what moves on our own clock. The lock on the data directory proves that
// an owner of our own name is gone.
Result<void> await_ownership(store::JournalStore& journal, const std::string& me, Log& log) {
    engine::Ownership ownership(kOfStranger);
    std::optional<store::Head> first;
    for (;;) {
        const auto begin = std::chrono::steady_clock::now();
        const auto head = journal.head();
        if (!head) return std::unexpected(head.error());
        if (!head->claim || head->owner == me || head->wish == me || head->wish == "any") return {};
        if (!first) {
            first = *head;
            log.write(LogLevel::info, "claiming", "waiting whether " + head->owner + " still owns the journal");
        }
        if (!(first->claim == head->claim) || first->last != head->last || first->beat != head->beat)
            return fail(Fault::conflict, "another server owns this journal: " + head->owner);
        const Instant at{std::chrono::duration_cast<std::chrono::microseconds>(begin.time_since_epoch()).count()};
        ownership.observed(*head, at);
        if (ownership.may_claim(at) != nullptr) return {};
        std::this_thread::sleep_for(kLook);
    }
}

// Tries until Redis answers.
Result<std::unique_ptr<store::RedisJournal>> reach_redis(const store::RedisJournalOptions& options, Duration limit,
                                                         const std::function<bool(Duration)>& pause, Log& log) {
    const std::int64_t end = system_steady_us() + limit.us;
    for (Duration wait = kTryFirst;; wait = std::min(kTryMost, Duration{wait.us * 2})) {
        auto journal = store::RedisJournal::open(options);
        if (journal || journal.error().fault != Fault::unreachable) return journal;
        const Duration left{end - system_steady_us()};
        if (left.us <= 0) return journal;
        const Duration rest = std::min(wait, left);
        log.write(LogLevel::warning, "store_away",
                  fmt::format("{}; trying again in {}, for {} more", journal.error().what, duration_text(rest),
                              duration_text(Duration{left.us / 1000 * 1000})));
        if (pause(rest)) return fail(Fault::unavailable, "stopped while it waited for Redis");
    }
}

store::RedisJournalOptions options_of(const config::Server& settings, const redis::Address& address, Log& log) {
    return {.server = {.address = address,
                       .password_file = settings.store_password_file,
                       .tls = {.ca = settings.store_ca, .cert = settings.store_cert, .key = settings.store_key}},
            .prefix = settings.store_prefix,
            .level = level_of(settings),
            .replicas = settings.store_replicas,
            .allow_volatile = settings.store_volatile,
            .cluster = random_name(),
            .notice = [&log](bool bad, std::string text) {
                log.write(bad ? LogLevel::warning : LogLevel::info, "store", std::move(text));
            }};
}

// A password in an address: anybody can see a flag, and others of the same user the environment.
Answer<void> check_secret(const config::Start& start, const redis::Address& address, Log& log) {
    if (address.password.empty()) return {};
    const auto origin = start.origins.find("server.store");
    const std::string from = origin == start.origins.end() ? std::string() : origin->second;
    if (from == "flag")
        return cli::failure(cli::kExitUsage,
                            "--store: a password does not belong on a command line, which others can see",
                            "write it into a file and name that with --store-password-file");
    if (from.starts_with("environment"))
        log.write(
            LogLevel::warning, "secret_in_environment",
            "the password in " + from.substr(from.find(' ') + 1) + " is better kept in a file: --store-password-file");
    return {};
}

api::StoreFacts facts_of(const store::RedisJournal& journal, const std::string& where) {
    store::RedisJournalState state = journal.state();
    return {.where = where,
            .level = store::name_of(state.level),
            .meaning = std::move(state.meaning),
            .wrong = std::move(state.wrong),
            .reached = state.reached,
            .reconnects = state.reconnects,
            .repaired = state.repaired,
            .forked = state.forked,
            .memory_used = state.memory_used,
            .memory_max = state.memory_max};
}

struct Home {
    store::DirectoryLock lock;
    Identity identity;
};
Answer<Home> open_home(const config::Server& settings) {
    if (auto ok = store::make_private_directory(settings.data); !ok) return failed(ok.error(), "open " + settings.data);
    auto lock = store::DirectoryLock::take(settings.data + "/journal.lock");
    if (!lock)
        return failed(lock.error(), "open " + settings.data,
                      lock.error().fault == Fault::conflict ? "stop that server, or give this one another --data" : "");
    const auto closed = store::closed_journal(settings.data);
    if (!closed) return failed(closed.error(), "open " + settings.data);
    if (!closed->empty() && !closed->starts_with(kMovedTo)) return closed_failure(*closed, settings);
    if (store::holds_journal(settings.data) && closed->empty())
        return failed({Fault::failed_state, "it holds an embedded journal"}, "open " + settings.data,
                      "start with --store embedded to go on with that one, or give another --data");
    auto identity = read_identity(settings);
    if (identity && identity->instance.empty()) {
        identity->instance = random_name();
        if (auto ok = write_identity(settings, *identity); !ok) identity = std::unexpected(std::move(ok).error());
    }
    if (!identity) return failed(identity.error(), "read " + identity_file(settings));
    return Home{.lock = std::move(*lock), .identity = *std::move(identity)};
}

Answer<OpenJournal> open_redis(const config::Start& start, const std::function<bool(Duration)>& pause, Log& log) {
    const config::Server& settings = start.values.server;
    const auto address = redis::parse_address(settings.store);
    if (!address) return failed(address.error(), "server.store", "or embedded; see docs/redis.md");
    if (auto ok = check_secret(start, *address, log); !ok) return std::unexpected(std::move(ok).error());
    auto home = open_home(settings);
    if (!home) return std::unexpected(std::move(home).error());
    const Identity& identity = home->identity;
    const std::string where = redis::to_text(*address);
    auto journal = reach_redis(options_of(settings, *address, log), settings.store_start_limit, pause, log);
    if (!journal)
        return failed(journal.error(), "the journal in Redis",
                      journal.error().fault == Fault::unreachable ? "is redis-server running there?" : "");
    const auto stored = (*journal)->cluster(), closed = (*journal)->closed();
    if (!stored || !closed) return failed((stored ? closed : stored).error(), where);
    if (!closed->empty()) return closed_failure(*closed, settings);
    if (!identity.cluster.empty() && *stored != identity.cluster)
        return failed({Fault::failed_state,
                       stored->empty() ? "the journal that " + settings.data + " belongs to is not there"
                                       : settings.data + " belongs to another journal than the one that is there"},
                      where,
                      "name the right server, prefix or database, or restore it; to begin anew, give another --data");
    OpenJournal open{.lock = std::move(home->lock), .journal = {}, .owner = owner_name(identity)};
    if (auto ok = await_ownership(**journal, open.owner, log); !ok) return failed(ok.error(), where, kHowToGoOn);
    const std::string level = store::name_of((*journal)->state().level);
    open.told = fmt::format("{} ({})", where, level);
    // What was asked for holds at all times; more than that is given as long as the server gives it.
    open.promised = settings.durability;
    if (level_of(settings) == store::Durability::replicated)
        open.promised = fmt::format("replicated({})", settings.store_replicas);
    open.facts = [journal = journal->get(), where] { return facts_of(*journal, where); };
    log.write(LogLevel::info, "store_level",
              fmt::format("{} gives level {}: {}", where, level, (*journal)->state().meaning));
    open.journal = std::move(*journal);
    return open;
}

}  // namespace

Answer<OpenJournal> open_journal(const config::Start& start, const std::function<bool(Duration)>& pause, Log& log) {
    const config::Server& settings = start.values.server;
    return settings.store == "embedded" ? open_embedded(settings, log) : open_redis(start, pause, log);
}

std::string place_of(const config::Server& settings) {
    if (settings.store == "embedded") {
        char host[256] = {};
        if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
        std::error_code error;
        return fmt::format(
            "{} on {}",
            std::filesystem::weakly_canonical(std::filesystem::absolute(settings.data, error), error).string(), host);
    }
    const auto address = redis::parse_address(settings.store);
    return fmt::format("{} (prefix {})", address ? redis::to_text(*address) : "an address that is none",
                       settings.store_prefix);
}

Answer<config::Start> read_journal_start(const StartFlags& flags) {
    auto start = read_start(flags);
    if (!start) return start;
    const auto given = [&](const char* key) {
        const auto origin = start->origins.find(key);
        return origin != start->origins.end() && origin->second == "flag";
    };
    if (given("server.data") && !given("server.store")) start->values.server.store = "embedded";
    return start;
}

std::unexpected<cli::Failure> closed_failure(const std::string& why, const config::Server& settings) {
    const bool embedded = settings.store == "embedded";
    const std::string here = embedded ? "--data " + settings.data : "--store " + settings.store;
    if (why.starts_with(kMovedTo))
        return failed(
            {Fault::failed_state, "its journal was " + why}, place_of(settings),
            "start the server there; or, to go on here without what happened there since: nexus store reopen " + here);
    return failed({Fault::failed_state, "it holds " + why}, place_of(settings),
                  "repeat `nexus store migrate`, which begins the copy anew: what it copies from is whole");
}

Answer<std::unique_ptr<store::RedisJournal>> open_redis_journal(const config::Start& start, const RedisUse& use,
                                                                Log& log) {
    const config::Server& settings = start.values.server;
    const auto address = redis::parse_address(settings.store);
    if (!address) return failed(address.error(), "the address of Redis", "see docs/redis.md");
    if (auto ok = check_secret(start, *address, log); !ok) return std::unexpected(std::move(ok).error());
    store::RedisJournalOptions options = options_of(settings, *address, log);
    options.now = use.now;
    if (use.to_read) {
        options.level = store::Durability::process;
        options.allow_volatile = true;
        options.replicas = 0;
    }
    auto journal = store::RedisJournal::open(std::move(options));
    if (!journal)
        return failed(journal.error(), place_of(settings),
                      journal.error().fault == Fault::unreachable ? "is redis-server running there?" : "");
    return *std::move(journal);
}

Answer<void> await_owner(store::JournalStore& journal, const std::string& me, const config::Server& settings,
                         Log& log) {
    if (auto ok = await_ownership(journal, me, log); !ok) return failed(ok.error(), place_of(settings), kHowToGoOn);
    return {};
}

Result<void> forget_journal(const config::Server& settings) {
    std::error_code error;
    std::filesystem::remove(identity_file(settings), error);
    if (error) return fail(Fault::failed, identity_file(settings) + ": " + error.message());
    return store::sync_directory(settings.data);
}

RedisDoors open_redis_doors(const config::Server& settings, store::JournalStore& journal, engine::Service& engine,
                            Log& log) {
    RedisDoors doors;
    auto* const redis = dynamic_cast<store::RedisJournal*>(&journal);
    const auto address = redis::parse_address(settings.store);
    if (redis == nullptr || !address || !settings.intake) return doors;
    if (address->finding == redis::Finding::cluster) {
        log.write(
            LogLevel::warning, "intake",
            "on a Redis Cluster no tasks are taken from nexus:tasks:pending; set server.intake = false to say so");
        return doors;
    }
    doors.pool = std::make_unique<redis::Pool>(options_of(settings, *address, log).server);
    const auto say = [&log](LogLevel level, std::string event, std::string text) { log.write(level, event, text); };
    doors.intake =
        std::make_unique<intake::Intake>(intake::Intake::Options{.keys = "{" + settings.store_prefix + ":0}:",
                                                                 .claim_after = settings.intake_claim_after,
                                                                 .marks = [redis] { return redis->taken(); },
                                                                 .log = say},
                                         *doors.pool, engine, journal);
    doors.workers = std::make_unique<intake::Workers>(
        intake::Workers::Options{
            .keys = "{" + settings.store_prefix + ":0}:", .timeout = settings.redis_worker_timeout, .log = say},
        *doors.pool, engine);
    return doors;
}

std::string learned_by_old_nexus(const config::Server& settings, Log& log) {
    const auto address = redis::parse_address(settings.store);
    if (settings.store == "embedded" || !settings.intake || !address || address->finding == redis::Finding::cluster)
        return {};
    const auto warn = [&log](const std::string& why) {
        log.write(LogLevel::warning, "old_predictions",
                  fmt::format("{} is not read, so what the old Nexus learned is not known: {}", kOldPredictions, why));
        return std::string();
    };
    redis::Pool pool(options_of(settings, *address, log).server);
    auto reply = pool.run({"GET", kOldPredictions});
    if (!reply) return warn(reply.error().what);
    if (reply->is_error()) return warn(redis::error_of(*reply).what);
    if (reply->text.empty()) return {};
    if (auto ok = predict::Predictor(nullptr).load_nexus_snapshot(reply->text); !ok) return warn(ok.error().what);
    return std::move(reply->text);
}

api::IntakeFacts facts_of(const RedisDoors& doors) {
    intake::IntakeCounts counts = doors.intake->counts();
    const intake::WorkerCounts workers = doors.workers->counts();
    return {.read = counts.read,
            .submitted = counts.submitted,
            .duplicates = counts.duplicates,
            .dead = counts.dead,
            .warnings = counts.warnings,
            .claimed = counts.claimed,
            .deleted = counts.deleted,
            .foreign = counts.foreign,
            .last_dead = std::move(counts.last_dead),
            .trouble = std::move(counts.trouble),
            .workers = workers.workers,
            .published = workers.published,
            .unheard = workers.unheard,
            .completions = workers.completions,
            .stale = workers.stale,
            .malformed = workers.malformed};
}

Answer<void> remember_journal(const config::Server& settings, store::JournalStore& journal) {
    auto* const redis = dynamic_cast<store::RedisJournal*>(&journal);
    if (redis == nullptr) return {};
    auto identity = read_identity(settings);
    if (!identity) return failed(identity.error(), "read " + identity_file(settings));
    const auto cluster = redis->cluster();
    if (!cluster) return failed(cluster.error(), "the journal in Redis");
    if (identity->cluster == *cluster) return {};
    identity->cluster = *cluster;
    if (auto ok = write_identity(settings, *identity); !ok) return failed(ok.error(), identity_file(settings));
    return {};
}

}  // namespace nexus::serve
