#include "core/shape.h"

#include <doctest/doctest.h>

#include "core/change_test.h"
#include "core/scheduler.h"

using namespace nexus;
using namespace nexus::core;

namespace {}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("tasks that differ in a field are of another class exactly when the field's shape says so") {
    const TaskSpec spec{.type = "resize", .labels_required = {{"zone", "a"}}};
    for_each_member<TaskSpec>([&](const auto& m) {
        CAPTURE(m.name);
        constexpr bool in_class = kIn<decltype(m), kClass>;
        TaskSpec other = spec;
        change(other.*m.at);
        CHECK(!same_part<kClass>(spec, other) == in_class);
        CHECK((hash_part<kClass>(0, spec) != hash_part<kClass>(0, other)) == in_class);
        CHECK((part_of<kClass>(other).*m.at == other.*m.at) == in_class);
    });
}

TEST_CASE("every field of the configuration is in a snapshot") {
    for_each_member<Config>([&](const auto& m) {
        CAPTURE(m.name);
        Config config;
        change(config.*m.at);
        Scheduler saved(config);
        std::string bytes;
        saved.save(bytes);
        Scheduler loaded;
        REQUIRE(loaded.load(bytes).has_value());
        CHECK(loaded.config() == config);
        CHECK(loaded.config() != Config{});
    });
}

TEST_SUITE_END();
