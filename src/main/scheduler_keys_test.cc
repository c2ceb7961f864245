#include "main/scheduler_keys.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

using namespace nexus::serve;

TEST_CASE("keys are read from a file that nobody else may read, one a line") {
    char path[] = "/tmp/nexus-keys-XXXXXX";
    close(mkstemp(path));
    const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
    write("# of the old dashboards\n  first \r\n\nsecond\n");
    CHECK(keys_of_file(path).value() == std::vector<std::string>{"first", "second"});
    chmod(path, 0644);
    CHECK_FALSE(keys_of_file(path));
    chmod(path, 0600);
    write("\n# none\n");
    CHECK_FALSE(keys_of_file(path));
    unlink(path);
    CHECK_FALSE(keys_of_file(path));
    CHECK_FALSE(keys_of_file("/tmp"));
}

TEST_CASE("keys of the command line are taken from there and hidden") {
    CHECK(keys_of_text("a,b,,c") == std::vector<std::string>{"a", "b", "c"});
    std::string words[] = {
        "nexus", "serve", "--scheduler-keys", "secret,2", "--scheduler-keys=third", "--scheduler-keys-file",
        "f",     "--",    "--scheduler-keys", "theirs"};
    char* argv[10];
    for (int i = 0; i < 10; ++i) argv[i] = words[i].data();
    hide_keys(10, argv);
    CHECK(words[3] == "********");
    CHECK(words[4] == "--scheduler-keys=*****");
    CHECK(words[6] == "f");
    CHECK(words[9] == "theirs");
}
