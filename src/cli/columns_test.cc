#include "cli/columns.h"

#include <doctest/doctest.h>

#include <array>

#include "nexus/v1/nexus.pb.h"

using namespace nexus;
using namespace nexus::cli;

namespace {

struct Thing {
    std::string name, note;
    std::int64_t ran = 0;
};

const Kind<Thing>& thing_kind() {
    static const Kind<Thing> kind{
        .columns = {{.name = "name", .value = [](const Thing& t, const Look& look) { return look.text(t.name, 5); }},
                    {.name = "ran-for",
                     .value = [](const Thing& t, const Look& look) { return look.known_span(t.ran); },
                     .right = true},
                    {.name = "note", .value = [](const Thing& t, const Look&) { return t.note; }, .sparse = true}},
        .name = [](const Thing& t) { return t.name; }};
    return kind;
}

std::vector<const Column<Thing>*> all_columns() {
    std::vector<const Column<Thing>*> columns;
    for (const auto& column : thing_kind().columns) columns.push_back(&column);
    return columns;
}

}  // namespace

TEST_CASE("N4: a line of CSV is whole, and no spreadsheet takes it for a formula") {
    CHECK_EQ(csv_line({"a", "b c", "", "1"}), "a,b c,,1\r\n");
    CHECK_EQ(csv_line({"a,b", "say \"hi\"", "two\nlines"}), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n");
    CHECK_EQ(csv_line({"=1+2", "+x", "@A1", "-x", "\tx", "-5", "-1.5", "+5"}),
             "'=1+2,'+x,'@A1,'-x,'\tx,-5,-1.5,'+5\r\n");
    CHECK_EQ(csv_line({"=\"a\",b"}), "\"'=\"\"a\"\",b\"\r\n");
}

TEST_CASE("a column is written for people or for programs, and an empty one is not in a table") {
    const std::array<Thing, 2> things{Thing{"abcdefgh", "", 1'500'000}, Thing{"", "", 0}};
    const auto people = rows_of(things, all_columns(), {.now = 0}, false);
    REQUIRE_EQ(people.size(), 3);
    CHECK(people[0] == std::vector<std::string>{"NAME", ">RAN FOR"});
    CHECK(people[1] == std::vector<std::string>{"abc..", "1.5 s"});
    CHECK(people[2] == std::vector<std::string>{"-", "-"});
    const auto programs = rows_of(things, all_columns(), {.now = 0, .plain = true}, false);
    CHECK(programs[0] == std::vector<std::string>{"name", "ran-for", "note"});
    CHECK(programs[1] == std::vector<std::string>{"abcdefgh", "1500000", ""});
    CHECK(programs[2] == std::vector<std::string>{"", "", ""});
    CHECK_EQ(rows_of(things, all_columns(), {.now = 0}, true)[0].size(), 3);
    CHECK_EQ(thing_kind().names(), "name,ran-for,note");
}

TEST_CASE("values for programs are exact") {
    const Look look{.plain = true};
    CHECK_EQ(look.calendar(1'700'000'000'123'456), "2023-11-14T22:13:20.123456Z");
    CHECK_EQ(look.calendar(0), "");
    CHECK_EQ(look.moment(1'700'000'000'000'001), "2023-11-14T22:13:20.000001Z");
    CHECK_EQ(look.count(12'345), "12345");
    CHECK_EQ(look.share(0.25), "0.2500");
    CHECK_EQ(look.span(-1), "");
}

TEST_CASE("a message as YAML has every text in quotes") {
    nexus::v1::ListAuditResponse page;
    CHECK_EQ(yaml_text(page), "\"entries\": []\n\"next_page_token\": \"\"\n");
    auto& entry = *page.add_entries();
    entry.set_author("yes: \"no\"\n# x");
    const std::string text = yaml_text(page);
    CHECK_MESSAGE(
        text.starts_with("\"entries\":\n  -\n    \"at_unix_us\": \"0\"\n    \"author\": \"yes: \\\"no\\\"\\n# x\"\n"),
        text);
}
