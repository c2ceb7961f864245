#include "base/utf8.h"

#include <doctest/doctest.h>

using nexus::is_utf8;

TEST_CASE("field D: UTF-8 is what RFC 3629 says and nothing else") {
    for (const char* fine : {"", "plain", "größe", "€", "𝄞", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xe0\xa0\x80"})
        CHECK(is_utf8(fine));
    for (const char* bad : {"\xff", "a\xc3", "\x80", "\xf5\x80\x80\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf",
                            "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xed\xa0\xbd", "\xed\xbf\xbf",
                            "\xf4\x90\x80\x80", "\xe2\x82", "\xe2\x28\xa1"})
        CHECK_FALSE(is_utf8(bad));
    CHECK_EQ(nexus::code_point("€x").value, 0x20AC);
    CHECK_EQ(nexus::code_point("€x").length, 3);
    CHECK_EQ(nexus::code_point("").length, 0);
}
