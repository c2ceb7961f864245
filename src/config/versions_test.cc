#include "config/versions.h"

#include <doctest/doctest.h>

using namespace nexus;

namespace {

core::Config edited(core::Config config, std::string_view toml) {
    const auto done = config::apply(toml, config);
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    ++config.version;
    return config;
}

}  // namespace

TEST_CASE("a version is had back by undoing what came after it") {
    std::vector<core::Config> versions{core::Config{}};
    for (const char* toml :
         {"[scheduler]\nlease = \"7s\"\nbreaker = false\npolicy = \"round-robin\"\n",
          "[[queues]]\nname = \"a.b\"\nrunning_max = 3\n[[queues]]\nname = \"c\"\npaused = true\n",
          "[queues.c]\npaused = false\n[tenants.\"x.y\"]\nshare = 4\n", "[scheduler]\nlease = \"9s\"\n[queues.d]\n",
          "queues = []\n[tenants.\"x.y\"]\nshare = 5\n"})
        versions.push_back(edited(versions.back(), toml));
    std::vector<config::Edit> newest_first;
    for (std::size_t at = versions.size() - 1; at > 0; --at) {
        newest_first.push_back(config::edit_of(versions[at - 1], versions[at]));
        CHECK_EQ(config::version_of(newest_first.back()), versions[at].version);
        core::Config config = versions.back();
        const auto done = config::undo(newest_first, config);
        REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
        CHECK(config == versions[at - 1]);
    }
}

TEST_CASE("an edit tells its changes as a person and a program read them") {
    const core::Config before;
    const core::Config after = edited(before, "[scheduler]\nlease = \"7s\"\n[queues.mail]\nrunning_max = 2\n");
    const config::Edit edit = config::edit_of(before, after);
    CHECK_EQ(edit.before, "version = 1\nscheduler.lease = \"5s\"\n");
    CHECK_EQ(edit.after,
             "version = 2\nscheduler.lease = \"7s\"\nqueues.mail.paused = false\nqueues.mail.count_fair = false\n"
             "queues.mail.running_max = 2\n");
    CHECK(config::changes_of(edit) == config::diff(before, after));
    CHECK_EQ(config::version_of({.before = "", .after = "pin task 1"}), 0);
    CHECK_EQ(config::version_of({.before = "version = 1\n", .after = "version = x\n"}), 0);
}

TEST_CASE("what is missing between two versions is told, and changes nothing") {
    const core::Config first;
    const core::Config second = edited(first, "[scheduler]\nlease = \"7s\"\n");
    const core::Config third = edited(second, "[scheduler]\nlease = \"8s\"\n");
    core::Config config = third;
    const auto gap = config::undo({config::edit_of(first, second)}, config);
    REQUIRE_FALSE(gap.has_value());
    CHECK(gap.error().fault == Fault::not_found);
    CHECK(gap.error().what == "what changed version 3 is not kept any more");
    CHECK(config == third);
    const auto unknown = config::undo(
        {{.before = "version = 2\nscheduler.gone = 1\n", .after = "version = 3\nscheduler.gone = 2\n"}}, config);
    REQUIRE_FALSE(unknown.has_value());
    CHECK(unknown.error().what.find("scheduler.gone") != std::string::npos);
    CHECK(config == third);
}
