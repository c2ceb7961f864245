#include "cli/text.h"

#include <doctest/doctest.h>

#include <limits>

#include "cli/output.h"

using namespace nexus::cli;

TEST_CASE("span_text") {
    static constexpr struct {
        std::int64_t us;
        std::string_view want;
    } rows[] = {{-1, "-"},
                {0, "0"},
                {850, "850 us"},
                {1'000, "1.0 ms"},
                {9'949, "9.9 ms"},
                {9'950, "10 ms"},
                {12'400, "12 ms"},
                {999'499, "999 ms"},
                {999'500, "1.0 s"},
                {3'440'000, "3.4 s"},
                {9'950'000, "10 s"},
                {59'499'999, "59 s"},
                {59'500'000, "1m00s"},
                {125'000'000, "2m05s"},
                {4'320'000'000, "1h12m"},
                {273'600'000'000, "3d04h"}};
    for (const auto& row : rows) CHECK_EQ(span_text(row.us), row.want);
    CHECK_FALSE(span_text(std::numeric_limits<std::int64_t>::max()).empty());
}

TEST_CASE("moment_text and calendar_text") {
    const std::int64_t now = 1'700'000'000'000'000;
    CHECK_EQ(moment_text(0, now), "-");
    CHECK_EQ(moment_text(now + 12'000'000, now), "in 12 s");
    CHECK_EQ(moment_text(now - 3'400'000, now), "3.4 s ago");
    CHECK_EQ(moment_text(now + 400'000, now), "now");
    CHECK_EQ(calendar_text(now), "2023-11-14 22:13:20");
    CHECK_EQ(calendar_text(0), "-");
}

TEST_CASE("counts, bytes, percents, bars") {
    CHECK_EQ(count_text(0), "0");
    CHECK_EQ(count_text(999), "999");
    CHECK_EQ(count_text(1'234'567), "1,234,567");
    CHECK_EQ(bytes_text(812), "812 B");
    CHECK_EQ(bytes_text(12'595), "12.3 KiB");
    CHECK_EQ(bytes_text(1024ULL * 1024 - 1), "1.0 MiB");
    CHECK_EQ(percent_text(0.934), "93 %");
    CHECK_EQ(percent_text(0), "0 %");
    CHECK_EQ(rate_text(0), "none yet");
    CHECK_EQ(rate_text(0.934), "93 %");
    CHECK_EQ(percent_text(0.9999), "99.9 %");
    CHECK_EQ(percent_text(1), "100 %");
    CHECK_EQ(percent_text(std::numeric_limits<double>::quiet_NaN()), "-");
    CHECK_EQ(bar_text(0.5, 8, false), "####....");
    CHECK_EQ(bar_text(2, 4, false), "####");
    CHECK_EQ(bar_text(-1, 4, false), "....");
    CHECK_EQ(bar_text(0.5, 3, true), "█▌ ");
    CHECK_EQ(columns_of(bar_text(0.3, 10, true)), 10);
}

TEST_CASE("safe_text lets nothing move the cursor") {
    CHECK_EQ(safe_text("plain"), "plain");
    CHECK_EQ(safe_text("a\x1b[2Jb"), "a?[2Jb");
    CHECK_EQ(safe_text("a\nb\tc"), "a?b?c");
    CHECK_EQ(safe_text("\xff\xfe"), "??");
    CHECK_EQ(safe_text("\xc2\x9b"
                       "1m"),
             "?1m");
    CHECK_EQ(safe_text("a\xe2\x80\xae"
                       "b"),
             "a?b");
    CHECK_EQ(safe_text("größe"), "größe");
    CHECK_EQ(safe_text("abcdefgh", 5), "abc..");
    CHECK_EQ(safe_text("größenwahn", 6), "größ..");
    CHECK_EQ(safe_text("abc", 3), "abc");
}

TEST_CASE("field N: bidi, zero-width, line separators, tags and controls never reach a terminal") {
    for (const char* bad : {"\u202e", "\u2066", "\u200b", "\u200d", "\u200f", "\u2028",     "\u2029",
                            "\ufeff", "\u00ad", "\u061c", "\u180e", "\u2060", "\U000e0041", "\U000e0001",
                            "\ufe0f", "\u009b", "\u3164", "\x1b",   "\x07",   "\x7f",       "\r"}) {
        CAPTURE(std::string(bad));
        CHECK_EQ(safe_text(std::string("a") + bad + "b"), "a?b");
    }
    CHECK_EQ(safe_lines("a\nb\x1b[2J\n\u202ec\n"), "a\nb?[2J\n?c\n");
    CHECK_EQ(safe_lines(""), "");
    const std::string long_line(1000, 'x');
    CHECK_EQ(safe_lines(long_line), long_line);
    CHECK_EQ(safe_text("\xed\xa0\xbd"), "???");
}

TEST_CASE("a table lines up, cuts and colours only when told") {
    Table table({"NAME", ">RUNS"});
    table.add({"a", "5"});
    table.add({"longer", "12,000"});
    CHECK_EQ(table.text(false), "NAME      RUNS\na            5\nlonger  12,000\n");
    CHECK_EQ(table.text(false, 6), "NAME\na\nlonger\n");
    CHECK_NE(table.text(true).find("\x1b[2m"), std::string::npos);
    CHECK_EQ(toned("x", Tone::bad, false), "x");
    CHECK_EQ(toned("x", Tone::bad, true), "\x1b[31mx\x1b[0m");
}

TEST_CASE("when something will be done is never now and never in the past") {
    CHECK_EQ(done_text(0, 5), "-");
    CHECK_EQ(done_text(5'000'000, 5'000'001), "soon");
    CHECK_EQ(done_text(5'000'000, 5'000'000), "within a second");
    CHECK_EQ(done_text(7'000'000, 5'000'000), "in 2.0 s");
}
