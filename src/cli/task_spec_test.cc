#include "cli/task_spec.h"

#include <doctest/doctest.h>

#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

using namespace nexus::cli;

namespace {

constexpr std::int64_t kNow = 1'700'000'000'000'000;

// A temporary file that is gone with the object.
class File {
public:
    explicit File(const std::string& bytes) {
        const int fd = mkstemp(path_);
        REQUIRE(fd >= 0);
        REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
        close(fd);
    }
    ~File() { unlink(path_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    const char* path() const { return path_; }

private:
    char path_[32] = "/tmp/nexus-spec-XXXXXX";
};

}  // namespace

TEST_CASE("lines of a file of tasks") {
    const auto plain = spec_from_json(
        R"({"type": "thumb", "payload": "aGk=", "priority": 0, "timeout_us": "5000", "labels_required": {"zone": "a"}})");
    REQUIRE_MESSAGE(plain.has_value(), (plain ? "" : plain.error().what));
    CHECK_EQ(plain->type(), "thumb");
    CHECK_EQ(plain->payload(), "hi");
    CHECK(plain->has_priority());
    CHECK_EQ(plain->priority(), 0);
    CHECK_EQ(plain->timeout_us(), 5000);
    CHECK_EQ(plain->labels_required().at("zone"), "a");
    const auto text = spec_from_json(R"({"type": "thumb", "payload_text": "größe", "durationHintUs": 7})");
    REQUIRE(text.has_value());
    CHECK_EQ(text->payload(), "größe");
    CHECK_EQ(text->duration_hint_us(), 7);
    CHECK_FALSE(text->has_priority());
}

TEST_CASE("field F: a line may name a program, which runs where it is submitted") {
    const auto made =
        spec_from_json(R"({"argv": ["/usr/bin/g++", "-c", "a b.cc"], "env": {"LANG": "C"}, "priority": 7})");
    REQUIRE_MESSAGE(made.has_value(), (made ? "" : made.error().what));
    CHECK_EQ(made->type(), "g__");
    CHECK_EQ(made->priority(), 7);
    CHECK_EQ(made->metadata().at("handler"), "exec");
    const auto request = nlohmann::json::parse(made->payload());
    CHECK_EQ(request["argv"], nlohmann::json({"/usr/bin/g++", "-c", "a b.cc"}));
    CHECK_EQ(request["env"]["LANG"], "C");
    CHECK_FALSE(request["cwd"].get<std::string>().empty());
    const auto elsewhere = spec_from_json(R"({"type": "build", "argv": ["make"], "cwd": "/src"})");
    REQUIRE(elsewhere.has_value());
    CHECK_EQ(elsewhere->type(), "build");
    CHECK_EQ(nlohmann::json::parse(elsewhere->payload())["cwd"], "/src");
}

TEST_CASE("lines that are refused say why") {
    static constexpr struct {
        const char* line;
        const char* says;
    } rows[] = {{"", "not a JSON object"},
                {"[]", "not a JSON object"},
                {"{", "not a JSON object"},
                {"nonsense", "not a JSON object"},
                {"{}", "type: missing"},
                {R"({"type": "a", "prioirty": 5})", "a task has no field \"prioirty\""},
                {R"({"argv": []})", "argv: not a list of strings"},
                {R"({"argv": "make all"})", "argv: not a list of strings"},
                {R"({"argv": ["a", 5]})", "argv: not a list of strings"},
                {R"({"argv": ["a\u0000b"]})", "argv: not a list of strings"},
                {R"({"argv": ["a"], "payload_text": "x"})", "exclude each other"},
                {R"({"type": "a", "cwd": "/src"})", "belong to an argv"},
                {R"({"type": "a", "priority": "high"})", "priority"},
                {R"({"type": "a", "priority": -1})", "priority"},
                {R"({"type": "a", "priority": 1e400})", ""},
                {R"({"type": 5, "payload_text": 5})", "payload_text: not a string"},
                {R"({"type": "a", "payload": "aGk=", "payload_text": "x"})", "exclude each other"},
                {R"({"type": "a", "payload": "%%%"})", ""},
                {"{\"type\": \"a\xff\"}", "not a JSON object"}};
    for (const auto& row : rows) {
        CAPTURE(row.line);
        const auto spec = spec_from_json(row.line);
        REQUIRE_FALSE(spec.has_value());
        CHECK_EQ(spec.error().exit_code, kExitUsage);
        CHECK_MESSAGE(spec.error().what.find(row.says) != std::string::npos, spec.error().what);
    }
    CHECK_FALSE(spec_from_json(std::string(100'000, '[')).has_value());
    const std::string large = R"({"type": "a", "payload_text": ")" + std::string(kPayloadBytesMax + 1, 'x') + "\"}";
    CHECK_FALSE(spec_from_json(large).has_value());
}

TEST_CASE("flags become a task") {
    SpecFlags flags;
    flags.type = "thumb";
    flags.payload = "hello";
    flags.priority = 8;
    flags.labels_required = {"zone=a", "disk=ssd=fast"};
    flags.features = {"pixels=1.5e6"};
    flags.memory = "512MiB";
    flags.custom = {"licence=2"};
    flags.run_at = "+10m";
    flags.deadline = "2023-11-14T22:13:20Z";
    flags.metadata = {"user=me"};
    const auto spec = make_spec(flags, kNow);
    REQUIRE_MESSAGE(spec.has_value(), (spec ? "" : spec.error().what));
    CHECK_EQ(spec->payload(), "hello");
    CHECK_EQ(spec->priority(), 8);
    CHECK_EQ(spec->labels_required().at("disk"), "ssd=fast");
    CHECK_EQ(spec->features().at("pixels"), 1.5e6);
    CHECK_EQ(spec->resources().memory_bytes(), 512LL << 20);
    CHECK_EQ(spec->resources().custom().at("licence"), 2);
    CHECK_EQ(spec->run_at_unix_us(), kNow + 600'000'000);
    CHECK_EQ(spec->deadline_unix_us(), kNow);
    CHECK_EQ(spec->idempotency_key().size(), 36);
    CHECK_NE(make_spec(flags, kNow)->idempotency_key(), spec->idempotency_key());
    flags.key = "mine";
    CHECK_EQ(make_spec(flags, kNow)->idempotency_key(), "mine");
}

TEST_CASE("cores are asked for as a number of them") {
    SpecFlags flags;
    flags.type = "t";
    for (const auto& [cpus, milli] : {std::pair{2.0, 2000}, {0.5, 500}, {0.001, 1}, {1.0005, 1001}}) {
        flags.cpus = cpus;
        CHECK_EQ(make_spec(flags, kNow)->resources().cpu_milli(), milli);
    }
}

TEST_CASE("a program becomes an exec request with its name as the type") {
    SpecFlags flags;
    flags.argv = {"/usr/bin/convert", "in.png", "-resize", "a \"b\"\n", "größe"};
    const auto spec = make_spec(flags, kNow);
    REQUIRE(spec.has_value());
    CHECK_EQ(spec->type(), "convert");
    CHECK_EQ(spec->metadata().at("handler"), "exec");
    const auto request = nlohmann::json::parse(spec->payload());
    CHECK_EQ(request["argv"][3], "a \"b\"\n");
    CHECK(request["cwd"].is_string());
    flags.environment = {"LANG=C", "EMPTY="};
    flags.directory = "/src";
    const File input(std::string("a\0\xff", 3));
    flags.input_file = input.path();
    const auto whole = make_spec(flags, kNow);
    REQUIRE_MESSAGE(whole.has_value(), (whole ? "" : whole.error().what));
    const auto told = nlohmann::json::parse(whole->payload());
    CHECK_EQ(told["env"], nlohmann::json({{"LANG", "C"}, {"EMPTY", ""}}));
    CHECK_EQ(told["cwd"], "/src");
    CHECK_EQ(told["stdin_base64"], "YQD/");
    flags.environment = {"LANG"};
    CHECK_FALSE(make_spec(flags, kNow).has_value());
    flags.environment.clear();
    flags.argv = {""};
    CHECK_FALSE(make_spec(flags, kNow).has_value());
    flags.argv.clear();
    flags.type = "t";
    CHECK_FALSE(make_spec(flags, kNow).has_value());  // of what program?
}

TEST_CASE("flags that do not fit together are usage failures") {
    const auto refused = [](SpecFlags flags) {
        const auto spec = make_spec(flags, kNow);
        REQUIRE_FALSE(spec.has_value());
        CHECK_EQ(spec.error().exit_code, kExitUsage);
    };
    refused({});
    refused({.type = "a", .payload = "x", .argv = {"ls"}});
    refused({.argv = {"ls", "\xff"}});
    refused({.type = "a", .memory = "5"});
    refused({.type = "a", .labels_required = {"zone"}});
    refused({.type = "a", .labels_required = {"zone=a", "zone=b"}});
    refused({.type = "a", .features = {"pixels=many"}});
    refused({.type = "a", .run_at = "tomorrow"});
    refused({.type = "a", .payload = std::string(kPayloadBytesMax + 1, 'x')});
    refused({.type = "a", .payload_file = "/nowhere/at/all"});
    refused({.type = "a", .payload_file = "/tmp"});
    refused({.type = "a", .payload_file = "/dev/zero"});
}

TEST_CASE("read_whole takes what fits") {
    const File file("some bytes");
    CHECK_EQ(*read_whole(file.path(), 100), "some bytes");
    CHECK_EQ(*read_whole(file.path(), 10), "some bytes");
    CHECK_FALSE(read_whole(file.path(), 9).has_value());
}
