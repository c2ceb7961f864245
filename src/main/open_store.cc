#include "main/open_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include "engine/ownership.h"
#include "main/configuration.h"
#include "store/redis/redis_journal.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using engine::LogLevel;

constexpr std::chrono::milliseconds kLook{100};
constexpr engine::OwnershipTimes kOfStranger{.claim_after = milliseconds(2300)};  // it follows nothing yet

store::Durability level_of(const config::Server& settings) {
    return settings.durability == "disk" ? store::Durability::disk : store::Durability::process;
}

// ------------------------------------------------------------------------------------------------------- the embedded

std::string identity_file(const config::Server& settings) {
    return settings.data + "/redis.journal";
}

Answer<OpenJournal> open_embedded(const config::Server& settings, Log& log) {
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
    OpenJournal open;
    open.journal = std::move(*journal);
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

Answer<OpenJournal> open_redis(const config::Server& settings, const StoreFlags& flags, Log& log) {
    const auto address = redis::parse_address(flags.store);
    if (!address) return failed(address.error(), "--store", "or embedded; see docs/redis.md");
    if (auto ok = store::make_private_directory(settings.data); !ok) return failed(ok.error(), "open " + settings.data);
    auto lock = store::DirectoryLock::take(settings.data + "/journal.lock");
    if (!lock)
        return failed(lock.error(), "open " + settings.data,
                      lock.error().fault == Fault::conflict ? "stop that server, or give this one another --data" : "");
    if (std::filesystem::exists(settings.data + "/journal.db"))
        return failed({Fault::failed_state, "it holds an embedded journal"}, "open " + settings.data,
                      "start without --store to go on with that one, or give another --data");
    auto identity = read_identity(settings);
    if (identity && identity->instance.empty()) {
        identity->instance = random_name();
        if (auto ok = write_identity(settings, *identity); !ok) identity = std::unexpected(std::move(ok).error());
    }
    if (!identity) return failed(identity.error(), "read " + identity_file(settings));
    const std::string where = redis::to_text(*address);
    auto journal =
        store::RedisJournal::open({.server = {.address = *address,
                                              .password_file = flags.password_file,
                                              .tls = {.ca = flags.ca, .cert = flags.cert, .key = flags.key}},
                                   .prefix = flags.prefix,
                                   .level = level_of(settings),
                                   .allow_volatile = flags.allow_volatile,
                                   .cluster = random_name(),
                                   .notice = [&log](bool bad, std::string text) {
                                       log.write(bad ? LogLevel::warning : LogLevel::info, "store", std::move(text));
                                   }});
    if (!journal)
        return failed(journal.error(), "the journal in Redis",
                      journal.error().fault == Fault::unreachable ? "is redis-server running there?" : "");
    const auto stored = (*journal)->cluster();
    if (!stored) return failed(stored.error(), where);
    if (!identity->cluster.empty() && *stored != identity->cluster)
        return failed({Fault::failed_state,
                       stored->empty() ? "the journal that " + settings.data + " belongs to is not there"
                                       : settings.data + " belongs to another journal than the one that is there"},
                      where,
                      "name the right server, prefix or database, or restore it; to begin anew, give another --data");
    OpenJournal open{.lock = std::move(*lock), .journal = std::move(*journal), .owner = owner_name(*identity)};
    if (auto ok = await_ownership(*open.journal, open.owner, log); !ok)
        return failed(ok.error(), where, "stop that server, or give this one another --store-prefix");
    const auto head = open.journal->head();
    if (!head) return failed(head.error(), where);
    open.told = fmt::format("{} ({})", where, store::name_of(head->level));
    return open;
}

}  // namespace

void add_store_flags(CLI::App& verb, StoreFlags& flags) {
    verb.add_option(
        "--store", flags.store,
        "Where the journal is kept: embedded = in the data directory, or redis://HOST:PORT, see docs/redis.md "
        "(default embedded)");
    verb.add_option("--store-prefix", flags.prefix, "How the keys in Redis begin (default nexus)");
    verb.add_option("--store-password-file", flags.password_file,
                    "File whose first line is the password for Redis; nobody else may read it");
    verb.add_option("--store-ca", flags.ca, "File of the authorities that may sign the certificate of Redis");
    verb.add_option("--store-cert", flags.cert, "File of the certificate that Redis is shown");
    verb.add_option("--store-key", flags.key, "File of that certificate's key");
    verb.add_flag("--store-volatile", flags.allow_volatile,
                  "Accept a Redis without append-only file, whose end loses every task");
}

Answer<OpenJournal> open_journal(const config::Server& settings, const StoreFlags& flags, Log& log) {
    return flags.store == "embedded" ? open_embedded(settings, log) : open_redis(settings, flags, log);
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
