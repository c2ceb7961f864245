#include "intake/entry.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "engine/body.h"

using namespace nexus;
using namespace nexus::intake;

namespace {

std::string metadata_of(const engine::Submission& item, std::string_view name) {
    for (const auto& [key, value] : item.body.metadata)
        if (key == name) return value;
    return {};
}

Entry entry_of(Fields fields) {
    return {.id = "1700000000000-3", .fields = std::move(fields)};
}

}  // namespace

TEST_CASE("X18: an entry of the old producers is a task, whatever it leaves out") {
    const auto full = to_submission(entry_of({{"id", "t 1"},
                                              {"type", "resize image"},
                                              {"payload", "{\"a\":1}"},
                                              {"priority", "7"},
                                              {"createdAt", "2020-01-01T00:00:00.000Z"},
                                              {"metadata",
                                               "{\"estimatedDurationMs\":250,\"requiredCapabilities\":[\"gpu\"],"
                                               "\"maxRetries\":2,\"timeout\":5000,\"more\":true}"},
                                              {"extra", "is ignored"}}));
    REQUIRE_MESSAGE(full.has_value(), full.error().what);
    const engine::Submission& item = full->submission;
    CHECK(full->warnings.empty());
    CHECK_EQ(item.spec.type, "resize_image");
    CHECK_EQ(item.spec.priority, 7);
    CHECK_EQ(item.body.payload, "{\"a\":1}");
    CHECK_EQ(item.body.hint, milliseconds(250));
    CHECK_EQ(item.spec.timeout, seconds(5));
    CHECK_EQ(item.spec.retry.attempts_max, 3);
    CHECK(item.spec.labels_required == core::Labels{{"capability.gpu", "true"}});
    CHECK_EQ(metadata_of(item, kOldId), "t 1");
    CHECK_EQ(metadata_of(item, kOldType), "resize image");
    CHECK_EQ(metadata_of(item, kOldCreated), "2020-01-01T00:00:00.000Z");
    CHECK_EQ(item.spec.deadline.us, 0);  // an old createdAt expires nothing
    // X3: no id: that of the entry.
    const auto least = to_submission(entry_of({{"type", ""}}));
    REQUIRE(least);
    CHECK_EQ(least->submission.spec.type, "unknown");
    CHECK_EQ(least->submission.spec.priority, 0);
    CHECK_EQ(least->submission.body.payload, "{}");
    CHECK_EQ(metadata_of(least->submission, kOldId), "1700000000000-3");
}

TEST_CASE("X9: an entry that is read again is the same task, and one id sent twice is two") {
    const Fields fields = {{"id", "same"}, {"payload", "1"}};
    const auto once = to_submission(entry_of(fields)), again = to_submission(entry_of(fields));
    const auto other = to_submission({.id = "1700000000000-4", .fields = fields});
    REQUIRE((once && again && other));
    CHECK(once->submission.task == again->submission.task);
    CHECK(once->submission.task != other->submission.task);
    CHECK_EQ(once->submission.entry, "1700000000000-3");
}

TEST_CASE("X4: of a field that is given twice the last one holds") {
    const auto read = to_submission(entry_of({{"payload", "1"}, {"type", "a"}, {"payload", "2"}, {"type", "b"}}));
    REQUIRE(read);
    CHECK_EQ(read->submission.body.payload, "2");
    CHECK_EQ(read->submission.spec.type, "b");
}

TEST_CASE("priorities keep their order, and what is none goes to the nearest with a warning") {
    struct Row {
        const char* text;
        std::uint8_t want;
        bool warns;
    };
    for (const Row& row :
         {Row{"0", 0, false}, Row{"9", 9, false}, Row{"10", 10, false}, Row{"999", 11, false}, Row{"-1", 0, true},
          Row{"11", 10, true}, Row{"900", 11, true}, Row{"high", 0, true}, Row{"4.6", 5, true}, Row{"1e400", 0, true},
          Row{"nan", 0, true}, Row{"5 ", 0, true}, Row{"99999999999999999999", 11, true}}) {
        CAPTURE(row.text);
        const auto read = to_submission(entry_of({{"priority", row.text}}));
        REQUIRE(read);
        CHECK_EQ(int(read->submission.spec.priority), int(row.want));
        CHECK_EQ(!read->warnings.empty(), row.warns);
    }
}

TEST_CASE("X1, X5, X6, X20: what cannot become a task says why, and what is only odd is taken") {
    struct Row {
        const char* name;
        Fields fields;
        const char* says;  // empty: it is taken
    };
    const std::vector<Row> rows = {
        {"X1 no fields", {}, "none of the fields"},
        {"X1 none that is known", {{"foo", "bar"}}, "none of the fields"},
        {"X2 a version is one more field", {{"version", "99"}, {"type", "a"}}, ""},
        {"payload is no JSON", {{"payload", "{a"}}, "payload: is no JSON"},
        {"payload is nested deeply", {{"payload", std::string(100'000, '[')}}, "payload: is no JSON"},
        {"X5 too large", {{"payload", "\"" + std::string(300'000, 'x') + "\""}}, "at most 262144"},
        {"X6 payload is not UTF-8", {{"payload", "\"\xff\""}}, "payload: is no JSON"},
        {"X6 id is not UTF-8", {{"id", "\xff"}}, "id: is not UTF-8"},
        {"X6 type is not UTF-8", {{"type", "\xc3("}}, "type: is not UTF-8"},
        {"long id", {{"id", std::string(1025, 'x')}}, "id: longer"},
        {"long type that is narrowed", {{"type", std::string(200, 'x')}}, ""},
        {"metadata is a list", {{"metadata", "[]"}}, "metadata: is no JSON object"},
        {"metadata is no JSON", {{"metadata", "{"}}, "metadata: is no JSON object"},
        {"metadata is too large",
         {{"metadata", "{\"a\":\"" + std::string(17'000, 'x') + "\"}"}},
         "metadata: more than"},
        {"capabilities are numbers", {{"metadata", "{\"requiredCapabilities\":[1]}"}}, "requiredCapabilities"},
        {"X20 line ends", {{"id", "a\r\nb"}, {"type", "x\r\ny"}, {"payload", "\"\\r\\n\""}}, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto read = to_submission(entry_of(row.fields));
        const bool taken = std::string_view(row.says).empty();
        REQUIRE_EQ(read.has_value(), taken);
        if (!taken) CHECK_MESSAGE(read.error().what.find(row.says) != std::string::npos, read.error().what);
    }
    const auto odd =
        to_submission(entry_of({{"metadata", "{\"estimatedDurationMs\":\"soon\",\"timeout\":-1,\"maxRetries\":-2}"}}));
    REQUIRE(odd);
    CHECK_EQ(odd->warnings.size(), 3);
    CHECK_EQ(odd->submission.spec.timeout.us, 0);
}

TEST_CASE("X10: ids of entries that no clock made") {
    for (const char* id : {"0-1", "18446744073709551615-18446744073709551615", "9999999999999-0"}) {
        CAPTURE(id);
        const auto read = to_submission({.id = id, .fields = {{"type", "a"}}});
        REQUIRE(read);
        CHECK(read->submission.task != TaskId{});
    }
    CHECK(iso_time(1'700'000'000'123) == "2023-11-14T22:13:20.123Z");
}
