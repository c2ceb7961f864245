#include "process/child.h"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace nexus;
using process::Child;

namespace {

// A directory that goes away.
struct Scratch {
    Scratch() {
        std::string pattern = std::filesystem::temp_directory_path() / "child-test-XXXXXX";
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Scratch() { std::filesystem::remove_all(path); }
    std::string log() const { return path + "/log"; }
    std::string logged() const {
        std::ifstream file(log());
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::string path;
};

constexpr Duration kLong = minutes(1);  // nothing here takes as long

std::string end_of(Child& child) {
    siginfo_t end{};
    REQUIRE_EQ(waitid(P_PID, static_cast<id_t>(child.pid()), &end, WEXITED | WNOWAIT), 0);
    return child.ended().value_or("still there");
}

}  // namespace

TEST_CASE("lines come from standard output, the rest goes to the log") {
    const Scratch scratch;
    auto child = Child::start({"/bin/sh", "-c", "echo one; echo aside >&2; echo two; exit 3"}, scratch.log(), true);
    REQUIRE(child.has_value());
    CHECK_EQ(child->read_line(kLong).value_or(""), "one");
    CHECK_EQ(child->read_line(kLong).value_or(""), "two");
    const auto over = child->read_line(kLong);
    REQUIRE_FALSE(over.has_value());
    CHECK_EQ(over.error().what, "it ended");
    CHECK_EQ(end_of(*child), "exit code 3");
    CHECK_EQ(child->pid(), -1);
    CHECK_EQ(scratch.logged(), "aside\n");
}

TEST_CASE("both streams go to the log when nobody reads") {
    const Scratch scratch;
    auto child = Child::start({"/bin/sh", "-c", "echo out; echo err >&2; kill -9 $$"}, scratch.log(), false);
    REQUIRE(child.has_value());
    CHECK_EQ(end_of(*child), "signal 9");
    CHECK_EQ(scratch.logged(), "out\nerr\n");
}

TEST_CASE("nothing is left of a child whose owner is gone") {
    const Scratch scratch;
    pid_t pid = 0;
    {
        auto child = Child::start({"/bin/sh", "-c", "echo up; exec sleep 1000"}, scratch.log(), true);
        REQUIRE(child.has_value());
        CHECK_EQ(child->read_line(kLong).value_or(""), "up");
        pid = child->pid();
        Child moved = std::move(*child);
        CHECK_EQ(moved.pid(), pid);
        CHECK_FALSE(moved.ended().has_value());
    }
    CHECK_EQ(kill(pid, 0), -1);
    CHECK_EQ(errno, ESRCH);
}

TEST_CASE("what cannot be started says why") {
    const Scratch scratch;
    const auto missing = Child::start({"/no/such/program"}, scratch.log(), false);
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().fault == Fault::not_found);
    CHECK_EQ(missing.error().what, "/no/such/program: not found");
    CHECK_FALSE(Child::start({"/bin/true"}, scratch.path, false).has_value());  // the log is a directory
}
