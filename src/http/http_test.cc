// Routes made from the table, and health: over the real engine with stores in memory.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <set>
#include <string>

#include "engine/runner.h"
#include "history/memory/memory_history.h"
#include "http/routes.h"
#include "http/server.h"
#include "http/target.h"
#include "store/memory/faulty_journal.h"

namespace nexus::http {
namespace {

struct Site {
    store::FaultyJournal journal{1, {}};
    history::MemoryHistory history;
    std::unique_ptr<engine::Runner> engine;
    std::unique_ptr<api::Door> door;

    Site() {
        auto started = engine::Runner::start({}, journal, history);
        REQUIRE(started.has_value());
        engine = std::move(*started);
        door = std::make_unique<api::Door>(*engine);
    }
    ~Site() { engine->stop(); }

    Response ask(api::Verb verb, const std::string& target, const std::string& body = {},
                 const std::string& key = {}) const {
        Request request{.verb = verb, .idempotency_key = key, .body = body, .from = "http:test"};
        REQUIRE(parse_target(target, request.path, request.query));
        if (!body.empty()) request.content_type = "application/json";
        const Route where = find_route(verb, request.path);
        std::promise<Response> promise;
        route(*door, where, std::move(request), [&](Response response) { promise.set_value(std::move(response)); });
        return promise.get_future().get();
    }
    Response get(const std::string& target) const { return ask(api::Verb::get, target); }
    Response post(const std::string& target, const std::string& body = {}) const {
        return ask(api::Verb::post, target, body);
    }
};

bool says(const Response& response, const std::string& text) {
    return response.body.find(text) != std::string::npos;
}

std::string id_in(const Response& response) {
    const std::size_t at = response.body.find("\"id\":\"");
    return at == std::string::npos ? "" : response.body.substr(at + 6, 36);
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
        if (std::string_view(method.name) == "http/live") continue;
        const Response response = site.ask(method.rest.verb, path);
        CHECK_FALSE(says(response, "nothing is served"));
        CHECK_NE(response.status, 405);
        CHECK_NE(response.status, 501);
    }
    std::set<std::string_view> pages{"http/live"};
    for (const std::string_view name : page_names()) pages.insert(name);
    std::set<std::string_view> rows;
    for (const api::Method& method : api::methods())
        if (method.kind == api::Kind::page) rows.insert(method.name);
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
        {api::Verb::get, "/v1/tasks?limit=1001", "", 400, "page_size"},
        {api::Verb::get, "/v1/tasks?limit=-1", "", 400, "page_size"},
        {api::Verb::get, "/v1/tasks?colour=red", "", 400, "colour"},
        {api::Verb::get, "/v1/tasks?cursor=x", "", 400, "page_token"},
        {api::Verb::get, "/v1/tasks/00000000-0000-7000-8000-00000000000a?id=x", "", 400, "path"},
        {api::Verb::post, "/v1/tasks", "{", 400, "body"},
        {api::Verb::post, "/v1/tasks", R"({"tpye":"a"})", 400, "body"},
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

// What the server sends to these bytes, until it closes the connection or has sent `enough`.
std::string talk(std::uint16_t port, const std::string& bytes, const std::string& enough = {}) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
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
    CHECK_NE(talk(port, head_of("GET /v1/live"), "event: tasks").find("event: workers"), std::string::npos);
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

}  // namespace
}  // namespace nexus::http
