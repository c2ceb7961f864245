// Routes made from the table, and health: over the real engine with stores in memory.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <set>
#include <string>

#include "http/assets.h"
#include "http/server.h"
#include "http/site_test.h"

namespace nexus::http {
namespace {

bool says(const Response& response, const std::string& text) {
    return response.body.find(text) != std::string::npos;
}

std::string id_in(const Response& response) {
    const std::size_t at = response.body.find("\"id\":\"");
    return at == std::string::npos ? "" : response.body.substr(at + 6, 36);
}

// The server's own code, beside the routes.
bool is_of_server(const api::Method& method) {
    const std::string_view name = method.name;
    return name == "http/live" || name.starts_with("http/watch") || name.starts_with("http/scheduler");
}

TEST_CASE("every path of the table leads to its row and is served; every page with code has a row") {
    const Site site;
    for (const api::Method& method : api::methods()) {
        if (method.rest.verb == api::Verb::none) continue;
        CAPTURE(method.name);
        std::string path = method.rest.path;
        for (std::size_t open = path.find('{'); open != std::string::npos; open = path.find('{'))
            path.replace(open, path.find('}') - open + 1, "x");
        CHECK_EQ(find_route(method.rest.verb, path).method, &method);
        if (is_of_server(method)) continue;
        const Response response = site.ask(method.rest.verb, path);
        CHECK_FALSE(says(response, "nothing is served"));
        CHECK_NE(response.status, 405);
        const bool reads_files = std::string_view(method.name).ends_with("/ReloadConfig");  // there are none here
        CHECK_EQ(response.status == 501, reads_files);
    }
    std::set<std::string_view> pages(page_names().begin(), page_names().end());
    std::set<std::string_view> rows;
    for (const api::Method& method : api::methods())
        if (method.kind == api::Kind::page && !is_of_server(method)) rows.insert(method.name);
    CHECK_EQ(pages, rows);
    CHECK_EQ(site.get("/v1/nothing").status, 404);
    const Response wrong = site.ask(api::Verb::remove, "/v1/tasks");
    CHECK_EQ(wrong.status, 405);
    CHECK_EQ(wrong.headers.front().second, "POST, GET, HEAD");
}

TEST_CASE("a task is submitted, found by filter, explained and cancelled over HTTP") {
    const Site site;
    const Response made = site.ask(api::Verb::post, "/v1/tasks", R"({"type":"resize","payload":"cA=="})", "k1");
    REQUIRE_EQ(made.status, 202);
    const std::string id = id_in(made);
    CHECK_EQ(made.headers.front().second, "/v1/tasks/" + id);
    CHECK(says(made, R"("durability":"disk")"));
    CHECK_EQ(id_in(site.ask(api::Verb::post, "/v1/tasks", R"({"type":"resize","payload":"cA=="})", "k1")), id);
    CHECK(says(site.get("/v1/tasks?state=waiting,running&type=resize&limit=5"), id));
    CHECK_FALSE(says(site.get("/v1/tasks?state=running"), id));
    CHECK(says(site.get("/v1/tasks/" + id + "/explain"), "summary"));
    CHECK(says(site.get("/v1/tasks/" + id + "?result=true"), "TASK_STATE_WAITING"));
    CHECK(says(site.post("/v1/tasks/" + id + ":cancel", R"({"reason":"enough"})"), "cancelled: enough"));
    CHECK_EQ(site.post("/v1/tasks/" + id + "/retry").status, 202);
}

TEST_CASE("what cannot be asked is refused with the right status") {
    const Site site;
    const struct {
        api::Verb verb;
        const char* target;
        const char* body;
        unsigned status;
        const char* says;
    } rows[] = {
        {api::Verb::get, "/v1/tasks/nonsense", "", 404, "id"},
        {api::Verb::get, "/v1/tasks?state=asleep", "", 400, "waiting"},
        {api::Verb::get, "/v1/tasks?limit=1001", "", 400, "limit"},
        {api::Verb::get, "/v1/tasks?limit=-1", "", 400, "limit"},
        {api::Verb::get, "/v1/fleet/free?labels=zone", "", 400, "'zone' is not name=value"},
        {api::Verb::get, "/v1/tasks?colour=red", "", 400, "colour"},
        {api::Verb::get, "/v1/tasks?cursor=x", "", 400, "cursor"},
        {api::Verb::get, "/v1/tasks/00000000-0000-7000-8000-00000000000a?id=x", "", 400, "path"},
        {api::Verb::post, "/v1/tasks", "{", 400, "body"},
        {api::Verb::post, "/v1/tasks", R"({"tpye":"a"})", 400, "did you mean"},
        {api::Verb::post, "/v1/tasks", "", 415, "application/json"},
        {api::Verb::post, "/v1/workers/nobody:drain", "", 404, "nobody"},
        {api::Verb::post, "/v1/workers/a:b:dance", "", 404, "cordon, uncordon, drain"},
        {api::Verb::remove, "/v1/overrides/7", "", 404, "7"},
        {api::Verb::put, "/v1/config", R"({"toml":"leese = 1"})", 400, "leese"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        const Response response = site.ask(row.verb, row.target, row.body);
        CHECK_EQ(response.status, row.status);
        CHECK_MESSAGE(says(response, row.says), response.body);
    }
}

TEST_CASE("the configuration and a queue are changed over HTTP, and the audit shows it") {
    const Site site;
    CHECK_EQ(site.ask(api::Verb::put, "/v1/queues/night", R"({"paused":true,"reason":"backup"})").status, 200);
    CHECK(says(site.get("/v1/config"), "night"));
    CHECK_EQ(site.ask(api::Verb::put, "/v1/config", R"({"etag":"99","toml":"[scheduler]\nlease = \"9s\"\n"})").status,
             409);
    CHECK(says(site.ask(api::Verb::put, "/v1/config", R"({"toml":"[scheduler]\nlease = \"9s\"\n"})"), "9s"));
    CHECK(says(site.get("/v1/audit"), "backup"));
}

TEST_CASE("metrics count the requests of each method") {
    const Site site;
    (void)site.get("/v1/status");
    (void)site.get("/v1/tasks/nonsense");
    const Response page = site.get("/metrics");
    CHECK(says(page, "nexus_requests_total{method=\"/nexus.v1.AdminService/GetStatus\",code=\"OK\"} 1"));
    CHECK(says(page, "nexus_requests_total{method=\"/nexus.v1.TaskService/Get\",code=\"INVALID_ARGUMENT\"} 1"));
    CHECK(says(page, "nexus_tasks_pending 0"));
}

int open_socket(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return socket;
}

// What the server sends to these bytes, until it closes the connection or has sent `enough`.
std::string talk(std::uint16_t port, const std::string& bytes, const std::string& enough = {}) {
    const int socket = open_socket(port);
    REQUIRE_EQ(send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    std::string got;
    char buffer[4096];
    for (ssize_t n = 1; n > 0 && (enough.empty() || got.find(enough) == std::string::npos);) {
        n = recv(socket, buffer, sizeof buffer, 0);
        if (n > 0) got.append(buffer, static_cast<std::size_t>(n));
    }
    close(socket);
    return got;
}

std::string head_of(const std::string& line, const std::string& more = {}) {
    return line + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

TEST_CASE("one connection: pages, answers and refusals, one after another") {
    const Site site;
    const auto server = Server::start({.address = "127.0.0.1:0"}, *site.door);
    REQUIRE(server.has_value());
    const std::uint16_t port = (*server)->port();
    const std::string json = "Content-Type: application/json\r\n";
    const std::string got =
        talk(port, head_of("GET /") + head_of("GET /livez") + head_of("GET /v1/status") + head_of("HEAD /v1/status") +
                       head_of("POST /v1/tasks", json + "Content-Length: 12\r\n") + R"({"type":"t"})" +
                       head_of("DELETE /v1/tasks") + head_of("GET /v1/nothing", "Connection: close\r\n"));
    std::size_t at = 0;
    for (const char* expected : {"200 OK", "</html>", "200 OK", "ok\n", "200 OK", "\"version\"", "200 OK",
                                 "202 Accepted", "Location: /v1/tasks/", "405 Method", "404 Not Found"}) {
        CAPTURE(expected);
        at = got.find(expected, at);
        REQUIRE_NE(at, std::string::npos);
    }
    CHECK_NE(talk(port, head_of("PUT /v1/policy", json + "Content-Length: 70000\r\n")).find(" 413 "),
             std::string::npos);
    CHECK_NE(talk(port, head_of("PATCH /v1/tasks", "Connection: close\r\n")).find(" 405 "), std::string::npos);
    CHECK_NE(talk(port, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").find(" 421 "),
             std::string::npos);
    CHECK_NE(talk(port, head_of("GET /v1/live"), "event: fleet").find("event: attention"), std::string::npos);
}

TEST_CASE("/readyz says no on a full disk and while stopping; /livez lives on") {
    Site site;
    CHECK_EQ(site.get("/readyz").status, 200);
    CHECK(says(site.get("/readyz?verbose"), "[+] space: "));
    site.journal.full(true);
    // The committer tells of the full disk with or just after its first refusal.
    for (int i = 0; i < 1000 && site.get("/readyz").status == 200; ++i) (void)site.post("/v1/tasks", R"({"type":"t"})");
    const Response full = site.get("/readyz?verbose");
    CHECK_EQ(full.status, 503);
    CHECK_MESSAGE(says(full, "[-] space: the disk is full"), full.body);
    CHECK_EQ(site.get("/livez").status, 200);
    site.engine->stop();
    const Response stopped = site.get("/readyz");
    CHECK_EQ(stopped.status, 503);
    CHECK(says(stopped, "stopping"));
    CHECK_EQ(site.get("/livez").status, 200);
}

// ---- the field's cases (H, M, N), on a real socket

struct Live : Site {
    std::unique_ptr<Server> server;
    explicit Live(Options options = {}) {
        options.address = "127.0.0.1:0";
        auto started = Server::start(std::move(options), *door);
        REQUIRE(started.has_value());
        server = std::move(*started);
    }
    std::string talk(const std::string& bytes, const std::string& enough = {}) const {
        return http::talk(server->port(), bytes, enough);
    }
    // The status of the answer; 0 when there is none.
    int status_of(const std::string& bytes) const {
        const std::string got = talk(bytes);
        return got.starts_with("HTTP/1.1 ") ? std::stoi(got.substr(9, 3)) : 0;
    }
};

std::string post_of(const std::string& more, const std::string& body = {}) {
    return head_of("POST /v1/tasks", "Content-Type: application/json\r\n" + more) + body;
}

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

TEST_CASE("field N: what a proxy could read in another way is refused, and nothing behind it is carried out") {
    const Live site;
    const std::string hidden =
        head_of("POST /v1/tasks", "Content-Type: application/json\r\nContent-Length: 12\r\n") + R"({"type":"t"})";
    const std::string chunk = "c\r\n{\"type\":\"t\"}\r\n0\r\n\r\n";
    const std::string rows[] = {
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 12\r\n",
        "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 12\r\nContent-Length: 12\r\n",
        "Content-Length: 12\r\nContent-Length: 13\r\n",
        "Content-Length: 12, 12\r\n",
        "Content-Length: +12\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x0c\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length:\r\n",
        "Host: localhost\r\n",
        "Content-Type: text/plain\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        "X-Odd: a\rb\r\n",
        "X Odd: a\r\n",
        "X-Odd\r\n",
        "\x01: a\r\n",
    };
    for (const std::string& row : rows) {
        CAPTURE(row);
        const std::string got = site.talk(post_of(row) + chunk + hidden);
        CHECK_MESSAGE(got.starts_with("HTTP/1.1 400 "), got);
        CHECK_EQ(count_of(got, "HTTP/1.1 "), 1);
        CHECK_NE(got.find("Connection: close"), std::string::npos);
    }
    for (const char* bad : {"c;a\nb\r\n", "0xc\r\n", "-1\r\n", "c\n", " c\r\n", "ffffffffffffffffff\r\n"}) {
        CAPTURE(bad);
        const std::string got =
            site.talk(post_of("Transfer-Encoding: chunked\r\n", bad) + "{\"type\":\"t\"}\r\n0\r\n\r\n");
        CHECK_MESSAGE((got.starts_with("HTTP/1.1 400 ") || got.starts_with("HTTP/1.1 413 ")), got);
    }
    CHECK_EQ(site.status_of("POST /v1/tasks HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    CHECK_EQ(site.status_of("GET / HTTP/1.1\r\n\r\n"), 400);
    CHECK_EQ(site.status_of("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"), 505);
    CHECK_EQ(site.status_of("GET /v1/tasks/x%2Fcancel HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
    CHECK_EQ(site.status_of("GET /v1/tasks?type=%ed%a0%bd HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
    CHECK_EQ(site.status_of(post_of("Content-Length: 15\r\n", "{\"type\":\"t\xff\xfe\xfd\"}")), 400);
    // Nothing of all that became a task.
    CHECK(says(site.get("/v1/tasks"), "\"tasks\":[]"));
    CHECK(says(site.get("/metrics"), "nexus_requests_malformed_total{port=\"http\"} "));
}

TEST_CASE("field N: a chunked body is taken, what is around its content counts, trailers change nothing") {
    const Live site;
    const std::string chunked = "Transfer-Encoding: Chunked\r\nConnection: close\r\n";
    const std::string trailer = "Idempotency-Key: of-the-trailer\r\n";
    const std::string body = "5;a=b\r\n{\"typ\r\n7\r\ne\":\"t\"}\r\n0\r\n" + trailer + "\r\n";
    CHECK_NE(site.talk(post_of(chunked, body)).find(" 202 "), std::string::npos);
    CHECK_NE(site.talk(post_of(chunked, body)).find("\"duplicate\":false"), std::string::npos);
    const std::string long_extension = "5;" + std::string(20'000, 'a') + "\r\n{\"typ\r\n";
    CHECK_EQ(site.status_of(post_of(chunked, long_extension)), 400);
    std::string many;
    for (int i = 0; i < 300; ++i) many += "1;" + std::string(100, 'a') + "\r\n \r\n";
    CHECK_EQ(site.status_of(post_of(chunked, many)), 400);
    std::string trailers = "c\r\n{\"type\":\"t\"}\r\n0\r\n";
    for (int i = 0; i < 300; ++i) trailers += "X-" + std::to_string(i) + ": " + std::string(100, 'a') + "\r\n";
    CHECK_EQ(site.status_of(post_of(chunked, trailers + "\r\n")), 400);
}

TEST_CASE("field E: behind a proxy it answers to the names that it is told") {
    Options options;
    options.hosts.emplace_back("nexus.example");
    const Live site(options);
    const auto status = [&](const std::string& target, const std::string& host) {
        return site.status_of("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
    };
    CHECK_EQ(status("/livez", "nexus.example"), 200);
    CHECK_EQ(status("/livez", "Nexus.Example:443"), 200);
    CHECK_EQ(status("https://nexus.example/livez", "nexus.example"), 200);
    CHECK_EQ(status("/livez", "localhost"), 200);
    CHECK_EQ(status("/livez", "other.nexus.example"), 421);
    CHECK_EQ(status("/livez", "nexus.example.evil.example"), 421);
    const std::string told = site.talk("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    CHECK_NE(told.find("server.http_hosts"), std::string::npos);
}

TEST_CASE("field N: the name that is announced is answered to, absolute targets too") {
    Options options;
    options.address = "127.0.0.2:0";
    const Site site;
    const auto server = Server::start(std::move(options), *site.door);
    REQUIRE(server.has_value());
    const Live other;
    const auto status = [&](const std::string& target, const std::string& host) {
        return other.status_of("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
    };
    CHECK_EQ(status("/livez", "LocalHost:7080"), 200);
    CHECK_EQ(status("/livez", "127.0.0.1"), 200);
    CHECK_EQ(status("/livez", "127.0.0.2"), 421);
    CHECK_EQ(status("/livez", "localhost:80:80"), 421);
    CHECK_EQ(status("/livez", "localhost.evil.example"), 421);
    CHECK_EQ(status("/livez", "evil@localhost"), 421);
    CHECK_EQ(status("http://localhost:7080/livez", "localhost"), 200);
    CHECK_EQ(status("HTTP://127.0.0.1", "localhost"), 200);
    CHECK_EQ(status("http://evil.example/livez", "localhost"), 421);
    CHECK_EQ(status("http://localhost/livez", "evil.example"), 421);
    CHECK_EQ(status("ftp://localhost/livez", "localhost"), 400);
    CHECK_EQ(status("*", "localhost"), 400);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons((*server)->port());
    address.sin_addr.s_addr = htonl(0x7F000002);
    REQUIRE_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string asked = "GET /livez HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n";
    REQUIRE_EQ(send(socket, asked.data(), asked.size(), MSG_NOSIGNAL), static_cast<ssize_t>(asked.size()));
    char got[64] = {};
    CHECK_GT(recv(socket, got, sizeof got - 1, 0), 0);
    CHECK(std::string_view(got).starts_with("HTTP/1.1 200 "));
    close(socket);
}

TEST_CASE("field H: JSON has every field, an error the name that the caller used, a list is one when it is empty") {
    const Site site;
    CHECK(says(site.get("/v1/tasks"), "\"tasks\":[]"));
    CHECK(says(site.get("/v1/overrides"), "\"overrides\":[]"));
    const Response made = site.post("/v1/tasks", R"({"type":"t","priority":0})");
    CHECK(says(made, "\"durability\":\"disk\""));
    CHECK(says(made, "\"duplicate\":false"));
    CHECK(says(site.get("/v1/tasks/" + id_in(made)), "\"priority\":0"));
    const struct {
        api::Verb verb;
        const char* target;
        const char* body;
        const char* field;
    } rows[] = {
        {api::Verb::get, "/v1/tasks?cursor=x", "", "cursor"},
        {api::Verb::get, "/v1/tasks?page_token=x", "", "page_token"},
        {api::Verb::get, "/v1/tasks?limit=2000", "", "limit"},
        {api::Verb::get, "/v1/tasks?state=asleep", "", "state"},
        {api::Verb::get, "/v1/decisions?task=x", "", "task"},
        {api::Verb::post, "/v1/tasks", R"({"type":"a b"})", "type"},
        {api::Verb::post, "/v1/tasks", R"({"type":"a","priority":77})", "priority"},
        {api::Verb::post, "/v1/tasks/batch", R"({"tasks":[{"type":"a b"}]})", "tasks[0].type"},
        {api::Verb::post, "/v1/tasks/batch", R"({"tasks":[{"type":"a","priority":77}]})", "tasks[0].priority"},
        {api::Verb::post, "/v1/overrides", R"({"kind":"jump"})", "kind"},
        {api::Verb::post, "/v1/overrides", R"({"kind":"hold","type":"a b"})", "type"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        const Response response = site.ask(row.verb, row.target, row.body);
        CHECK_EQ(response.status, 400);
        CHECK_MESSAGE(says(response, std::string("\"field\":\"") + row.field + "\""), response.body);
        CHECK_MESSAGE(says(response, std::string("\"detail\":\"") + row.field + ": "), response.body);
    }
}

TEST_CASE("field H: manners of HTTP: Expect, media types, Allow, large bodies, HEAD, the icon") {
    const Live site;
    // The answer to Expect comes at once, the body is sent only then.
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(site.server->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string head = post_of("Content-Length: 12\r\nExpect: 100-continue\r\nConnection: close\r\n");
    REQUIRE_EQ(send(socket, head.data(), head.size(), MSG_NOSIGNAL), static_cast<ssize_t>(head.size()));
    char got[256] = {};
    REQUIRE_GT(recv(socket, got, sizeof got - 1, 0), 0);
    CHECK_EQ(std::string_view(got), "HTTP/1.1 100 Continue\r\n\r\n");
    REQUIRE_EQ(send(socket, R"({"type":"t"})", 12, MSG_NOSIGNAL), 12);
    REQUIRE_GT(recv(socket, got, sizeof got - 1, 0), 0);
    CHECK(std::string_view(got).starts_with("HTTP/1.1 202 "));
    close(socket);
    CHECK_EQ(site.status_of(post_of("Content-Length: 3000000\r\nExpect: 100-continue\r\n")), 413);
    CHECK_EQ(site.status_of(post_of("Expect: something\r\n")), 417);

    const std::string body = R"({"type":"t"})";
    for (const char* type : {"Application/JSON", "application/json; charset=utf-8", "application/json ;x"})
        CHECK_EQ(site.status_of(
                     head_of("POST /v1/tasks",
                             std::string("Connection: close\r\nContent-Length: 12\r\nContent-Type: ") + type + "\r\n") +
                     body),
                 202);
    CHECK_EQ(
        site.status_of(head_of("POST /v1/tasks",
                               "Connection: close\r\nContent-Length: 12\r\nContent-Type: application/jsonish\r\n") +
                       body),
        415);
    CHECK_NE(site.talk(head_of("PATCH /v1/tasks")).find("Allow: GET"), std::string::npos);
    CHECK_NE(site.talk(head_of("DELETE /v1/tasks", "Connection: close\r\n")).find("Allow: "), std::string::npos);
    // All of a body that is too long can be sent, and the answer is read.
    const std::string large(3'000'000, ' ');
    CHECK_NE(site.talk(post_of("Content-Length: 3000000\r\n", large)).find(" 413 "), std::string::npos);
    const std::string stream = site.talk(head_of("HEAD /v1/live", "Connection: close\r\n"));
    CHECK_NE(stream.find("text/event-stream"), std::string::npos);
    CHECK_EQ(stream.find("event:"), std::string::npos);
    CHECK_NE(site.talk(head_of("GET /favicon.ico", "Connection: close\r\n")).find("image/svg+xml"), std::string::npos);
}

TEST_CASE("field M: idle connections give way, event streams are counted before they begin") {
    Options options;
    options.connections_max = 8;
    options.live_streams_max = 3;
    const Live site(std::move(options));
    std::vector<int> idle;
    for (int i = 0; i < 8; ++i) {
        idle.push_back(open_socket(site.server->port()));
        const std::string asked = head_of("GET /livez");
        REQUIRE_EQ(send(idle.back(), asked.data(), asked.size(), MSG_NOSIGNAL), static_cast<ssize_t>(asked.size()));
        char got[2048];
        REQUIRE_GT(recv(idle.back(), got, sizeof got, 0), 0);
    }
    CHECK_EQ(site.status_of(head_of("GET /readyz", "Connection: close\r\n")), 200);
    CHECK(says(site.get("/metrics"), "nexus_connections_cut_total{port=\"http\"} 1"));
    for (const int socket : idle) close(socket);
    std::vector<int> streams;
    for (int i = 0; i < 6; ++i) {
        streams.push_back(open_socket(site.server->port()));
        const std::string asked = head_of("GET /v1/live");
        REQUIRE_EQ(send(streams.back(), asked.data(), asked.size(), MSG_NOSIGNAL), static_cast<ssize_t>(asked.size()));
    }
    int refused = 0;
    for (const int socket : streams) {
        char got[512] = {};
        REQUIRE_GT(recv(socket, got, sizeof got - 1, 0), 0);
        refused += std::string_view(got).starts_with("HTTP/1.1 503 ") ? 1 : 0;
        close(socket);
    }
    CHECK_EQ(refused, 3);
}

TEST_CASE("field M: bodies that arrive and answers that nobody reads have a bound for all together") {
    Options options;
    options.body_bytes_max = 1 << 20;
    options.header_time_max = minutes(1);
    const Live site(std::move(options));
    std::vector<int> half;
    const std::string part = post_of("Content-Length: 1000000\r\n") + std::string(600'000, ' ');
    for (int i = 0; i < 4; ++i) {
        half.push_back(open_socket(site.server->port()));
        std::size_t sent = 0;
        while (sent < part.size()) {
            const ssize_t n = send(half.back(), part.data() + sent, part.size() - sent, MSG_NOSIGNAL);
            if (n <= 0) break;
            sent += static_cast<std::size_t>(n);
        }
    }
    // There is room for one of them. Whoever crosses the bound is told so; which ones do is a matter of when they are read.
    std::vector<pollfd> open;
    for (const int socket : half) open.push_back({.fd = socket, .events = POLLIN, .revents = 0});
    while (open.size() > 1) {
        REQUIRE_GT(poll(open.data(), open.size(), 30'000), 0);
        std::erase_if(open, [](const pollfd& one) {
            if (one.revents == 0) return false;
            char got[512] = {};
            CHECK_GT(recv(one.fd, got, sizeof got - 1, 0), 0);
            CHECK_MESSAGE(std::string_view(got).starts_with("HTTP/1.1 503 "), got);
            return true;
        });
    }
    CHECK_EQ(open.size(), 1);
    for (const int socket : half) close(socket);
}

std::string header_of(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers)
        if (key == name) return value;
    return {};
}

TEST_CASE("the page is at each of its paths, and its base tells how deep that lies") {
    const Site site;
    for (const char* path : {"/", "/index.html", "/fleet", "/tasks", "/config", "/audit", "/status", "/signin"}) {
        CAPTURE(path);
        const Response response = site.get(path);
        CHECK_EQ(response.status, 200);
        CHECK(says(response, R"(<base href="./">)"));
        CHECK_EQ(header_of(response, "Cache-Control"), "no-cache");
    }
    for (const char* path : {"/workers/a:b", "/tasks/x", "/types/x", "/queues/x", "/tenants/x", "/decisions/7"}) {
        CAPTURE(path);
        CHECK(says(site.get(path), R"(<base href="../">)"));
    }
    for (const char* path : {"/nothing", "/fleet/x", "/tasks/x/y", "/workers/", "/assets", "/assets/none.js"}) {
        CAPTURE(path);
        CHECK_EQ(site.get(path).status, 404);
    }
    CHECK_EQ(site.ask(api::Verb::post, "/fleet").status, 404);
}

TEST_CASE("a file of the page is packed for who takes that, kept for ever, and not sent twice") {
    const Live site;
    const std::string html = page_at("/");
    const std::size_t at = html.find("assets/");
    REQUIRE_NE(at, std::string::npos);
    const std::string file = "/" + html.substr(at, html.find('"', at) - at);
    const Asset* known = asset(file);
    REQUIRE_NE(known, nullptr);
    const auto ask = [&](const std::string& more) {
        return site.talk(head_of("GET " + file, more + "Connection: close\r\n"));
    };
    const std::string plain = ask("");
    CHECK_NE(plain.find("immutable"), std::string::npos);
    CHECK_NE(plain.find("Vary: Accept-Encoding"), std::string::npos);
    CHECK(plain.ends_with(known->plain));
    for (const char* takes : {"gzip", "br, GZIP;q=0.5", "gzip, deflate, br, zstd"}) {
        CAPTURE(takes);
        CHECK(ask(std::string("Accept-Encoding: ") + takes + "\r\n").ends_with(known->gzip));
    }
    for (const char* takes : {"br", "identity", "gzip;q=0", "gzip; q=0.0, br"}) {
        CAPTURE(takes);
        CHECK(ask(std::string("Accept-Encoding: ") + takes + "\r\n").ends_with(known->plain));
    }
    CHECK(ask("If-None-Match: " + known->etag + "\r\n").starts_with("HTTP/1.1 304 "));
    CHECK(ask("If-None-Match: \"other\"\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("field L: pages are full until the last one, however rare what is asked for is") {
    const Site site;
    for (int i = 0; i < 300; ++i)
        CHECK_EQ(site.post("/v1/tasks", i % 50 == 7 ? R"({"type":"rare"})" : R"({"type":"common"})").status, 202);
    std::string cursor;
    int pages = 0;
    do {
        const Response page = site.get("/v1/tasks?type=rare&limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor));
        REQUIRE_EQ(page.status, 200);
        CHECK_EQ(count_of(page.body, "\"type\":\"rare\""), 2);
        const std::size_t at = page.body.find("\"next_page_token\":\"") + 19;
        cursor = page.body.substr(at, page.body.find('"', at) - at);
        ++pages;
    } while (!cursor.empty() && pages < 100);
    CHECK_EQ(pages, 3);
}

}  // namespace
}  // namespace nexus::http
