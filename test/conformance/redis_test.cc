// What only the journal in Redis can meet: answers that are lost, servers that promise less, are full or forget.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

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
    CHECK_EQ(read_all(*journal).size(), 2);  // what the older snapshot does not cover, and nothing else
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

TEST_CASE("a journal that is gone, or has lost its end, is never written to") {
    const auto server = server_with({"--appendfsync", "always"});
    const auto journal = journal_on(server->address());
    BatchMaker maker;
    const auto claim = *store::claim_now(*journal, {.name = "me", .token_hi = 1});
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    const store::Head before = *journal->head();
    REQUIRE(journal->append(claim, std::vector{maker.next()}));
    const std::string chain = store::redis_key::hex(before.chain), next = std::to_string(before.last.n + 1);
    server->ask({"HSET", "{nexus:0}:head", "next", next, "chain", chain});
    CHECK(journal->append(claim, std::vector{maker.next()}).error().fault == Fault::conflict);
    server->ask({"FLUSHALL"});
    const auto gone = journal->append(claim, std::vector{maker.next()});
    CHECK(gone.error().fault == Fault::failed);
    CHECK(tells(gone.error(), "gone"));
    CHECK(journal->renew(claim, {}).error().fault == Fault::failed);
    CHECK(journal->cluster()->empty());
    CHECK_EQ(server->ask({"DBSIZE"}).number, 0);
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
