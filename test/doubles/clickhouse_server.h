#pragma once
// A real ClickHouse server (Debian's clickhouse-server) in a temporary directory, on a free port of loopback; and a proxy
// before it that does to connections what networks and sick servers do. A test that needs the server fails without it.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace nexus::test {

class ClickHouseServer {
public:
    ClickHouseServer();
    explicit ClickHouseServer(std::uint16_t port) : port_(port) {}  // one that somebody else has started
    ~ClickHouseServer();
    ClickHouseServer(const ClickHouseServer&) = delete;
    ClickHouseServer& operator=(const ClickHouseServer&) = delete;
    std::uint16_t port() const { return port_; }
    void start();  // the same data and port again
    void kill();
    // One for all tests of this program; every test uses a database of its own. That at NEXUS_CLICKHOUSE_PORT, if it is
    // set (make test-chdb).
    static ClickHouseServer& shared();
    static std::string new_database();

private:
    std::string directory_;
    std::uint16_t port_ = 0, tcp_port_ = 0;
    pid_t pid_ = -1;
};

class HttpProxy {
public:
    enum class Mode : std::uint8_t {
        pass,
        silent,      // takes everything and never answers
        refuse,      // closes at once
        error,       // answers 500 with an exception of ClickHouse
        half,        // it is done, and the answer breaks off in its middle
        lost_reply,  // it is done, and the connection ends before the answer
        slow,        // it is done, and the answer comes 600 ms later
    };
    explicit HttpProxy(std::uint16_t to);
    ~HttpProxy();
    HttpProxy(const HttpProxy&) = delete;
    HttpProxy& operator=(const HttpProxy&) = delete;
    std::uint16_t port() const { return port_; }
    void set(Mode mode);  // of the connections that are open as well
    std::uint64_t connections() const { return connections_; }

private:
    void accept_loop();
    void serve(int client);
    std::uint16_t to_, port_ = 0;
    int listener_ = -1;
    std::atomic<Mode> mode_ = Mode::pass;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> connections_ = 0;
    std::mutex mutex_;  // guards threads_
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

}  // namespace nexus::test
