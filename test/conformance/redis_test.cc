// What only the journal in Redis can meet: answers that are lost, servers that promise less, are full or forget.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "conformance/journal_rig.h"
#include "conformance/scratch_directory.h"
#include "doubles/redis_server.h"
#include "store/redis/redis_journal.h"

using namespace nexus;
using namespace nexus::test;
using store::JournalBatch;

namespace {

std::unique_ptr<RedisServer> server_with(std::vector<std::string> settings) {
    auto started = RedisServer::start(std::move(settings));
    REQUIRE_MESSAGE(started.has_value(), started.error().what);
    return std::move(*started);
}

std::unique_ptr<store::RedisJournal> journal_on(const redis::Server& server,
                                                store::Durability level = store::Durability::disk) {
    auto opened = store::RedisJournal::open({.server = server, .level = level});
    REQUIRE_MESSAGE(opened.has_value(), opened.error().what);
    return std::move(*opened);
}

JournalBatch with_body(JournalBatch batch, std::uint64_t n, std::size_t bytes) {
    batch.puts.push_back({.task = task_of(n), .body = body_of(n, bytes)});
    return batch;
}

bool tells(const Error& error, std::string_view word) {
    return error.what.find(word) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("redis");

TEST_CASE("an append whose answer was lost is stored once") {
    const auto server = server_with({"--appendfsync", "always"});
    redis::Server address = server->address();
    address.reply_limit = milliseconds(100);
    const auto journal = journal_on(address);
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    const std::vector group = {with_body(maker.next(), 1, 40), with_body(maker.next(), 2, 40)};
    server->signal(SIGSTOP);
    const auto lost = journal->append(claim, group);
    REQUIRE_FALSE(lost);
    CHECK(lost.error().fault == Fault::unreachable);
    server->signal(SIGCONT);  // what lies in its sockets is done now, once
    Result<store::Appended> again = fail(Fault::unreachable, "");
    for (int i = 0; i < 1000 && !again; ++i) again = journal->append(claim, group);
    REQUIRE_MESSAGE(again.has_value(), again.error().what);
    CHECK(again->again);
    CHECK_EQ(read_all(*journal).size(), 3);
    CHECK_EQ(journal->head()->last, maker.last());
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
}

TEST_CASE("connections that are cut and scripts that are forgotten are nobody's concern") {
    const auto server = server_with({"--appendfsync", "always"});
    const auto journal = journal_on(server->address());
    BatchMaker maker;
    auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    for (std::uint64_t round = 0; round < 6; ++round) {
        if (round % 2 == 0) server->ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
        if (round % 3 == 0) server->ask({"SCRIPT", "FLUSH"});
        REQUIRE(journal->append(claim, std::vector{with_body(maker.next(), round + 1, 70'000)}));
        CHECK(found(body(*journal, task_of(round + 1))));
        REQUIRE(journal->renew(claim, {}));
        REQUIRE(store::put_snapshot(*journal, maker.last(), "s"));
        const auto next = store::claim_now(*journal, {.name = "me", .token_hi = round + 2});
        REQUIRE(next);
        claim = *next;
    }
    CHECK_EQ(read_all(*journal).size(), 1);  // what the older snapshot does not cover, and nothing else
}

TEST_CASE("a long append goes in several parts, and on where it was cut off") {
    const auto server = server_with({"--appendfsync", "always"});
    const auto journal = journal_on(server->address());
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    BatchMaker maker;
    std::vector<JournalBatch> group;
    std::uint64_t n = 0;
    for (int i = 0; i < 6; ++i) {
        JournalBatch batch = maker.next();
        for (int k = 0; k < 1200; ++k) batch = with_body(std::move(batch), ++n, k % 100 == 0 ? 80'000 : 300);
        group.push_back(std::move(batch));
    }
    // As if the answers had been lost after the third.
    REQUIRE(journal->append(claim, std::span(group).first(3)));
    const auto rest = journal->append(claim, group);
    REQUIRE_MESSAGE(rest.has_value(), rest.error().what);
    CHECK_FALSE(rest->again);
    CHECK_EQ(read_all(*journal).size(), 6);
    const auto again = journal->append(claim, group);
    REQUIRE(again);
    CHECK(again->again);
    std::vector<TaskId> all;
    for (std::uint64_t i = 1; i <= n; ++i) all.push_back(task_of(i));
    const auto bodies = journal->bodies(store::BodyKind::body, all);
    std::uint64_t missing = 0;
    for (std::uint64_t i = 1; i <= n; ++i)
        missing += bodies[i - 1].bytes != body_of(i, (i - 1) % 1200 % 100 == 0 ? 80'000 : 300);
    CHECK_EQ(missing, 0);
    JournalBatch drops = maker.next();
    drops.drops = all;
    REQUIRE(journal->append(claim, std::vector{drops}));
    CHECK_EQ(server->ask({"KEYS", "{nexus:0}:body:*"}).items.size(), 0);
}

TEST_CASE("a server that promises less is refused with what to set, at the start and later") {
    const auto server = server_with({"--appendfsync", "everysec"});
    const auto refused = store::RedisJournal::open({.server = server->address()});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().fault == Fault::unsupported);
    CHECK(tells(refused.error(), "appendfsync always"));
    CHECK(journal_on(server->address(), store::Durability::process)->head()->level == store::Durability::process);
    server->ask({"CONFIG", "SET", "appendfsync", "always"});
    const auto journal = journal_on(server->address());
    CHECK(journal->head()->level == store::Durability::disk);
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    server->ask({"CONFIG", "SET", "appendfsync", "no"});
    server->ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    const std::vector next = {maker.next()};
    const auto waits = journal->append(claim, next);
    REQUIRE_FALSE(waits);
    CHECK(waits.error().fault == Fault::unreachable);
    CHECK(tells(waits.error(), "appendfsync is no"));
    CHECK(journal->renew(claim, {}).error().fault == Fault::unreachable);
    CHECK_EQ(read_all(*journal).size(), 1);
    server->ask({"CONFIG", "SET", "appendfsync", "always"});
    CHECK(journal->append(claim, next));
}

TEST_CASE("a server that is full takes what is under way and no more, until it has room") {
    const auto server = server_with({"--appendfsync", "always"});
    const auto journal = journal_on(server->address());
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    server->ask({"CONFIG", "SET", "maxmemory", "6mb"});
    BatchMaker maker;
    std::uint64_t n = 0;
    bool low = false;
    while (!low && n < 1000) {
        const auto done = journal->append(claim, std::vector{with_body(maker.next(), ++n, 60'000)});
        REQUIRE_MESSAGE(done.has_value(), done.error().what);
        low = done->low_on_space;
    }
    CHECK(low);
    CHECK(journal->head()->low_on_space);
    CHECK(found(body(*journal, task_of(n))));
    REQUIRE(journal->append(claim, std::vector{with_body(maker.next(), ++n, 70'000)}));
    CHECK(found(body(*journal, task_of(n))));
    REQUIRE(journal->renew(claim, {}));
    server->ask({"CONFIG", "SET", "maxmemory", "100mb"});
    CHECK_FALSE(journal->head()->low_on_space);
    const auto after = journal->append(claim, std::vector{maker.next()});
    REQUIRE(after);
    CHECK_FALSE(after->low_on_space);
}

namespace {

// What Redis has now, and that it has it again later, as after a crash between two syncs.
void keep_copy(const RedisServer& server) {
    server.ask({"COPY", "{nexus:0}:head", "copy:head", "REPLACE"});
    server.ask({"COPY", "{nexus:0}:journal", "copy:journal", "REPLACE"});
}
void roll_back(const RedisServer& server) {
    server.ask({"COPY", "copy:head", "{nexus:0}:head", "REPLACE"});
    if (server.ask({"COPY", "copy:journal", "{nexus:0}:journal", "REPLACE"}).number == 0)
        server.ask({"DEL", "{nexus:0}:journal"});
}

}  // namespace

TEST_CASE("T32: an end that Redis has lost is stored again, before anything else, with its bodies") {
    const auto server = server_with({"--appendfsync", "everysec"});
    std::vector<std::string> told;
    auto opened = store::RedisJournal::open({.server = server->address(),
                                             .level = store::Durability::process,
                                             .notice = [&](bool, std::string text) { told.push_back(text); }});
    REQUIRE(opened);
    const auto journal = std::move(*opened);
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{with_body(maker.next(), 1, 40)}));
    keep_copy(*server);
    for (std::uint64_t n = 2; n <= 5; ++n) REQUIRE(journal->append(claim, std::vector{with_body(maker.next(), n, 40)}));
    const auto stored = read_all(*journal);
    const auto lose = [&] {
        roll_back(*server);
        for (std::uint64_t n = 2; n <= 5; ++n) {
            const store::redis_key::Keys keys("nexus");
            server->ask({"HDEL", keys.bodies(task_of(n)), store::redis_key::id_bytes(task_of(n))});
        }
    };
    // Found by the next append.
    lose();
    CHECK(body(*journal, task_of(1)).state == store::Body::State::found);
    CHECK(body(*journal, task_of(3)).state == store::Body::State::unreachable);  // not lost: it comes back
    REQUIRE(journal->append(claim, std::vector{with_body(maker.next(), 6, 40)}));
    CHECK_EQ(read_all(*journal).size(), 6);
    for (std::uint64_t n = 1; n <= 6; ++n) CHECK(body(*journal, task_of(n)).bytes == body_of(n, 40));
    CHECK_EQ(journal->state().repaired, 1);
    CHECK_EQ(journal->state().batches_repaired, 4);
    REQUIRE_EQ(told.size(), 1);
    CHECK(told[0].find("4 batches") != std::string::npos);
    // Found by a renewal, when nothing is appended.
    lose();
    REQUIRE(journal->renew(claim, {}));
    CHECK_EQ(read_all(*journal).size(), 6);
    const auto again = read_all(*journal);
    CHECK(std::ranges::equal(stored, std::span(again).first(5)));
    CHECK_EQ(journal->state().repaired, 2);
    CHECK(body(*journal, task_of(999)).state == store::Body::State::missing);
}

TEST_CASE("T32: more lost than is kept, or written by another, is a conflict and nothing is written") {
    const auto server = server_with({"--appendfsync", "everysec"});
    auto opened = store::RedisJournal::open(
        {.server = server->address(), .level = store::Durability::process, .ring_bytes_max = 1});
    REQUIRE(opened);
    const auto journal = std::move(*opened);
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    keep_copy(*server);
    for (int i = 0; i < 3; ++i) REQUIRE(journal->append(claim, std::vector{maker.next()}));
    roll_back(*server);
    const auto refused = journal->append(claim, std::vector{maker.next()});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().fault == Fault::conflict);
    CHECK(tells(refused.error(), "more was lost than is kept here"));
    CHECK(journal->renew(claim, {}).error().fault == Fault::conflict);
    CHECK_EQ(read_all(*journal).size(), 1);
    CHECK(journal->state().forked > 0);
}

TEST_CASE("a claim that Redis has lost is renewed by its owner, and by nobody else") {
    const auto server = server_with({"--appendfsync", "everysec"});
    const auto journal = journal_on(server->address(), store::Durability::process);
    BatchMaker maker;
    const auto earlier = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(earlier, std::vector{maker.next()}));
    keep_copy(*server);
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 2});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    roll_back(*server);  // both the claim and the batch
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    CHECK_EQ(read_all(*journal).size(), 3);
    CHECK(journal->head()->claim == claim);
    CHECK(journal->append(earlier, std::vector{maker.next()}).error().fault == Fault::superseded);
    // Somebody else's claim stays, even when its epoch is lower.
    server->ask({"HSET", "{nexus:0}:head", "owner", "other", "epoch", "1", "claim", std::string(32, 'a') + ":1"});
    CHECK(journal->renew(claim, {}).error().fault == Fault::superseded);
}

TEST_CASE("T33: a journal that is gone is never written to") {
    const auto server = server_with({"--appendfsync", "always"});
    const auto journal = journal_on(server->address());
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    server->ask({"FLUSHALL"});
    const auto gone = journal->append(claim, std::vector{maker.next()});
    CHECK(gone.error().fault == Fault::failed);
    CHECK(tells(gone.error(), "gone"));
    CHECK(journal->renew(claim, {}).error().fault == Fault::failed);
    CHECK(journal->cluster()->empty());
    CHECK_EQ(server->ask({"DBSIZE"}).number, 0);
}

TEST_CASE("T11: with WAIT an append is confirmed when a replica has it, and a master that is alone confirms nothing") {
    const auto master = server_with({"--appendfsync", "always"});
    const auto port = master->listen();
    const std::string port_text = std::to_string(port);
    const auto first = server_with({"--appendfsync", "always"}), second = server_with({"--appendfsync", "always"});
    for (const auto* replica : {first.get(), second.get()}) replica->ask({"REPLICAOF", "127.0.0.1", port_text});
    const auto follow = [&](std::int64_t n) {
        for (int i = 0; i < 2000; ++i) {
            if (store::read_facts(master->ask({"INFO"}).text, {}).replicas == static_cast<std::uint64_t>(n))
                return true;
            ::usleep(10'000);
        }
        return false;
    };
    REQUIRE(follow(2));
    const store::RedisJournalOptions options{
        .server = master->address(), .level = store::Durability::replicated, .replicas = 1};
    const auto refused = store::RedisJournal::open(options);
    REQUIRE_FALSE(refused);
    CHECK(tells(refused.error(), "min-replicas-to-write 1"));
    master->ask({"CONFIG", "SET", "min-replicas-to-write", "1"});
    auto opened = store::RedisJournal::open(options);
    REQUIRE_MESSAGE(opened.has_value(), opened.error().what);
    const auto journal = std::move(*opened);
    CHECK(journal->state().level == store::Durability::replicated);
    BatchMaker maker;
    Result<store::Claim> claimed = fail(Fault::unreachable, "");
    for (int i = 0; i < 500 && !claimed; ++i, ::usleep(10'000))
        claimed = store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE_MESSAGE(claimed.has_value(), claimed.error().what);
    const store::Claim claim = *claimed;
    // Redis itself counts its replicas once a second.
    const auto in_the_end = [&](const std::vector<JournalBatch>& batches) {
        Result<store::Appended> done = fail(Fault::unreachable, "");
        for (int i = 0; i < 500 && !done; ++i) {
            done = journal->append(claim, batches);
            if (!done) ::usleep(10'000);
        }
        return done;
    };
    const auto with_both = in_the_end({maker.next()});
    REQUIRE_MESSAGE(with_both.has_value(), with_both.error().what);
    second->signal(SIGSTOP);                           // one may be away
    const auto with_one = in_the_end({maker.next()});  // a replica that is busy is waited for once more
    REQUIRE_MESSAGE(with_one.has_value(), with_one.error().what);
    first->signal(SIGSTOP);
    const std::vector last = {maker.next()};
    const auto alone = journal->append(claim, last);
    REQUIRE_FALSE(alone);
    CHECK(alone.error().fault == Fault::unreachable);
    CHECK(tells(alone.error(), "0 of 1 replicas"));
    first->signal(SIGCONT);
    REQUIRE(in_the_end(last));
    CHECK_EQ(read_all(*journal).size(), 3);
    second->signal(SIGCONT);
}

TEST_CASE("a user and a password, from a file that only we may read") {
    const auto server = server_with({"--appendfsync", "always", "--requirepass", "open sesame"});
    const ScratchDirectory scratch;
    const std::string path = scratch.file("password");
    const auto write = [&](const char* text, mode_t mode) {
        std::ofstream(path) << text;
        REQUIRE_EQ(::chmod(path.c_str(), mode), 0);
    };
    redis::Server address = server->address();
    CHECK(store::RedisJournal::open({.server = address}).error().fault == Fault::denied);
    address.password_file = path;
    CHECK(store::RedisJournal::open({.server = address}).error().fault == Fault::not_found);
    write("guessed\n", 0600);
    const auto wrong = store::RedisJournal::open({.server = address});
    CHECK(wrong.error().fault == Fault::denied);
    CHECK_FALSE(tells(wrong.error(), "guessed"));
    write("open sesame\n", 0644);
    CHECK(tells(store::RedisJournal::open({.server = address}).error(), "chmod 600"));
    write("open sesame\n", 0600);
    CHECK(journal_on(address)->head());
    address.address.user = "default";
    CHECK(journal_on(address)->head());
    address.address.user = "stranger";
    CHECK(store::RedisJournal::open({.server = address}).error().fault == Fault::denied);
}

TEST_CASE("TLS: a certificate that is believed, and none that is not") {
    const ScratchDirectory scratch;
    const std::string cert = scratch.file("cert.pem"), key = scratch.file("key.pem");
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout " +
        key + " -out " + cert + " 2>/dev/null";
    REQUIRE_MESSAGE(std::system(make.c_str()) == 0, "openssl is needed: apt-get install openssl");
    Result<std::unique_ptr<RedisServer>> server = fail(Fault::unreachable, "");
    std::uint16_t port = static_cast<std::uint16_t>(20'000 + ::getpid() % 20'000);
    for (int tries = 0; tries < 20 && !server; ++tries)
        server = RedisServer::start({"--appendfsync", "always", "--bind", "127.0.0.1", "--tls-port",
                                     std::to_string(++port), "--tls-cert-file", cert, "--tls-key-file", key,
                                     "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"});
    REQUIRE_MESSAGE(server.has_value(), server.error().what);
    redis::Server address{.address = {.host = "127.0.0.1", .port = port, .tls = true}, .tls = {.ca = cert}};
    address.reply_limit = seconds(20);
    address.connect_limit = seconds(20);
    const auto journal = journal_on(address);
    BatchMaker maker;
    REQUIRE(append(*journal, std::vector{with_body(maker.next(), 1, 3 << 20)}));
    CHECK(body(*journal, task_of(1)).bytes == body_of(1, 3 << 20));
    address.tls.ca.clear();
    const auto unknown = store::RedisJournal::open({.server = address});
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().fault == Fault::denied);
    CHECK(tells(unknown.error(), "not believed"));
    address.tls.ca = scratch.file("nothing");
    CHECK(store::RedisJournal::open({.server = address}).error().fault == Fault::invalid);
}

TEST_SUITE_END();
