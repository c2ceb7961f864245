#include "core/shape.h"

#include <doctest/doctest.h>

#include "core/scheduler.h"

using namespace nexus;
using namespace nexus::core;

namespace {

template <class T>
void change(T& v) {
    if constexpr (Shaped<T>) {
        bool changed = false;
        for_each_member<T>([&](const auto& m) {
            if (!std::exchange(changed, true)) change(v.*m.at);
        });
    } else if constexpr (std::is_enum_v<T>) {
        v = static_cast<T>(2);
    } else if constexpr (std::same_as<T, bool>) {
        v = !v;
    } else if constexpr (std::is_integral_v<T>) {
        v = static_cast<T>(v + 1);
    } else if constexpr (requires { v.us; }) {
        v.us += 1'000'000;
    } else if constexpr (requires { v.hi; }) {
        v.lo += 1;
    } else if constexpr (std::same_as<T, std::string>) {
        v += 'x';
    } else if constexpr (requires { v.first; }) {
        change(v.first);
    } else {
        change(v.emplace_back());
    }
}

}  // namespace

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
