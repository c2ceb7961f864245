#include "worker/exec.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <future>
#include <string>

using namespace nexus;
using namespace nexus::worker;

namespace {

struct StopSwitch {
    int fd = eventfd(0, EFD_CLOEXEC);
    ~StopSwitch() { close(fd); }
    void press() const {
        const std::uint64_t one = 1;
        REQUIRE(write(fd, &one, sizeof one) == sizeof one);
    }
};

Result<ExecResult> shell(const std::string& script, const ExecRules& rules = {}, int stop_fd = -1) {
    const StopSwitch never;
    const ExecRequest request{.argv = {"/bin/sh", "-c", script}, .cwd = {}, .env = {}};
    return run_program(request, "/bin/sh", rules, stop_fd < 0 ? never.fd : stop_fd, {"NEXUS_TASK_ID=t"});
}

}  // namespace

TEST_CASE("a program's output, exit code and signal are told") {
    struct Row {
        const char* script;
        int exit_code, signal;
        const char *out, *err;
    };
    const Row rows[] = {
        {"echo hello", 0, 0, "hello\n", ""},
        {"echo oops >&2; exit 3", 3, 0, "", "oops\n"},
        {"kill -9 $$", -1, SIGKILL, "", ""},
        {"cat", 0, 0, "", ""},  // its input is empty
        {"printf '%s' \"$NEXUS_TASK_ID\"", 0, 0, "t", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.script);
        const auto done = shell(row.script);
        REQUIRE(done.has_value());
        CHECK(done->exit_code == row.exit_code);
        CHECK(done->signal == row.signal);
        CHECK(done->out == row.out);
        CHECK(done->err == row.err);
        CHECK(!done->stopped);
        CHECK(done->max_rss_bytes > 0);
    }
}

TEST_CASE("an argument is never read by a shell") {
    const ExecRequest request{.argv = {"/bin/echo", "$(id); `id` && *"}};
    const StopSwitch stop;
    const auto done = run_program(request, "/bin/echo", {}, stop.fd, {});
    REQUIRE(done.has_value());
    CHECK(done->out == "$(id); `id` && *\n");
}

TEST_CASE("output is captured up to its bound and the rest is swallowed") {
    ExecRules rules;
    rules.output_bytes_max = 1000;
    const auto done = shell("head -c 300000 /dev/zero | tr '\\0' x", rules);
    REQUIRE(done.has_value());
    CHECK(done->exit_code == 0);
    CHECK(done->out == std::string(1000, 'x'));
    CHECK(done->truncated);
}

TEST_CASE("stopping ends the whole process group, grandchildren too, also when they ignore SIGTERM") {
    ExecRules rules;
    rules.kill_grace = milliseconds(50);
    const StopSwitch stop;
    int ends[2];
    REQUIRE(pipe(ends) == 0);  // the grandchild's copy of the write end closes when it dies
    auto running = std::async(std::launch::async, [&] {
        return shell("trap '' TERM; (trap '' TERM; echo ready >&" + std::to_string(ends[1]) +
                         "; while :; do sleep 1; done) & wait",
                     rules, stop.fd);
    });
    char ready[6] = {};
    REQUIRE(read(ends[0], ready, 5) > 0);
    stop.press();
    const auto done = running.get();
    REQUIRE(done.has_value());
    CHECK(done->stopped);
    CHECK(done->signal == SIGKILL);
    close(ends[1]);
    char rest[8];
    CHECK(read(ends[0], rest, sizeof rest) <= 1);  // at most the line's end, then end of file: nobody holds it open
    close(ends[0]);
}

TEST_CASE("only allowed variables reach the program") {
    setenv("NEXUS_TEST_SECRET", "hidden", 1);
    setenv("NEXUS_TEST_SHOWN", "shown", 1);
    ExecRules rules;
    rules.env = {"NEXUS_TEST_SHOWN"};
    const auto done = shell("env", rules);
    REQUIRE(done.has_value());
    CHECK(done->out.find("NEXUS_TEST_SHOWN=shown") != std::string::npos);
    CHECK(done->out.find("SECRET") == std::string::npos);
}

TEST_CASE("find_program finds, and refuses what the rules do not name") {
    struct Row {
        const char* program;
        std::vector<std::string> allowed;
        const char* path;  // nullptr: refused
        Fault fault;
    };
    const Row rows[] = {
        {"/bin/sh", {}, "/bin/sh", {}},
        {"/bin/sh", {"/bin/*"}, "/bin/sh", {}},
        {"/bin/../bin/sh", {"/bin/sh"}, "/bin/sh", {}},
        {"/bin/sh", {"/usr/bin/convert"}, nullptr, Fault::denied},
        {"/usr/bin/../../bin/sh", {"/usr/bin/*"}, nullptr, Fault::denied},
        {"no-such-program-here", {}, nullptr, Fault::not_found},
    };
    for (const Row& row : rows) {
        CAPTURE(row.program);
        ExecRules rules;
        rules.programs = row.allowed;
        const auto found = find_program({.argv = {row.program}, .cwd = "/"}, rules);
        REQUIRE(found.has_value() == (row.path != nullptr));
        if (found)
            CHECK(*found == row.path);
        else
            CHECK(found.error().fault == row.fault);
    }
}

TEST_CASE("a program that cannot start is an error that says why") {
    const StopSwitch stop;
    CHECK(run_program({.argv = {"/no/such"}}, "/no/such", {}, stop.fd, {}).error().fault == Fault::not_found);
    CHECK(run_program({.argv = {"/bin/sh"}, .cwd = "/no/such"}, "/bin/sh", {}, stop.fd, {})
              .error()
              .what.find("/no/such") != std::string::npos);
    CHECK(run_program({.argv = {"/etc/hosts"}}, "/etc/hosts", {}, stop.fd, {}).error().fault == Fault::denied);
}

TEST_CASE("an exec request is parsed strictly") {
    CHECK(parse_exec_request(R"({"argv":["a","b"],"cwd":"/x","env":{"A":"1"}})")->argv.size() == 2);
    for (const char* bad : {"", "[]", "{}", R"({"argv":[]})", R"({"argv":"ls"})", R"({"argv":[1]})", R"({"argv":[""]})",
                            "{\"argv\":[\"a\\u0000b\"]}"}) {
        CAPTURE(bad);
        CHECK(parse_exec_request(bad).error().fault == Fault::invalid);
    }
}
