#pragma once
// One connection to a ClickHouse server over HTTP, plain or TLS; opened when it is needed and again when it broke.
//
// Threads: ask() by one thread at a time, which it blocks for at most the given limit (and as long as the system takes to
// look a host's name up, where the address is no number); interrupt() by any.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nexus::history {

struct ClickHouseAddress {
    std::string host = "localhost";
    std::uint16_t port = 8123;
    bool tls = false;
    std::string database = "nexus";  // letters, digits and underscores
    std::string user = "default";    // of the server
    std::string password;            // never shown
    std::string ca_file;             // of TLS: who signs the server's certificate; empty = whom the system trusts
    std::string text() const;        // clickhouse://HOST:PORT/DATABASE: without user and password
};
// clickhouse://HOST[:PORT][/DATABASE], or clickhouses:// for TLS. Fault invalid says what was expected; a user or a
// password in it is refused, since the text is shown in many places.
Result<ClickHouseAddress> parse_clickhouse(std::string_view url);

class ClickHouseClient {
public:
    // `stop` may be set by any thread: what is being asked ends as unreachable within 0.1 s, and so does all that follows.
    ClickHouseClient(ClickHouseAddress address, const std::atomic<bool>& stop);
    ~ClickHouseClient();

    struct Question {
        std::string_view query;
        std::string_view data;    // of an INSERT: its rows, in the format that the query names
        bool in_database = true;  // false: where the database need not exist
        bool again = false;       // it changes nothing, so it may be sent twice over a connection that had gone stale
        Duration limit = seconds(5);  // for everything: connect, ask, answer
    };
    // The whole answer. Faults: unreachable (no answer, half of one, or a refusal that may pass: what was asked may have
    // been done), denied (user or password), not_found (no such database or table), no_space.
    Result<std::string> ask(const Question& question);

private:
    struct Wire;
    ClickHouseAddress address_;
    const std::atomic<bool>& stop_;
    std::unique_ptr<Wire> wire_;
};

}  // namespace nexus::history
