// Names that hash alike.
#include "core/directory.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace nexus::core {
namespace {

struct Record : Named {};

// Names whose slots in a table begin within the same 65,536th of it.
std::vector<std::string> alike(std::size_t count) {
    std::vector<std::string> names;
    for (std::uint64_t n = 0; names.size() < count; ++n) {
        std::string name = "t" + std::to_string(n);
        const std::uint64_t hash = hash_bytes(name);
        if ((static_cast<std::uint32_t>(hash ^ (hash >> 32)) >> 16) == 0x4711) names.push_back(std::move(name));
    }
    return names;
}

TEST_CASE("D7: names that hash alike are told apart, and forgotten one by one") {
    const std::vector<std::string> names = alike(400);
    Directory<Record> directory(1000);
    std::vector<std::uint32_t> made;
    for (const std::string& name : names) {
        bool fresh = false;
        made.push_back(directory.obtain(name, fresh));
        REQUIRE(fresh);
        directory.retain(made.back());
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        REQUIRE_EQ(directory.find(names[i]), made[i]);
        REQUIRE_EQ(directory[made[i]].name, names[i]);
    }
    CHECK_EQ(directory.find("nobody"), kNone);
    // Every second one goes, and is pushed out by others that are idle for less long.
    for (std::size_t i = 0; i < names.size(); i += 2) directory.release(made[i]);
    for (int n = 0; n < 3000; ++n) {
        bool fresh = false;
        directory.obtain("other" + std::to_string(n), fresh);
    }
    for (std::size_t i = 0; i < names.size(); ++i) REQUIRE_EQ(directory.find(names[i]), i % 2 == 0 ? kNone : made[i]);
}

}  // namespace
}  // namespace nexus::core
