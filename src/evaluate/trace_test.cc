#include "evaluate/trace.h"

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <string>

using namespace nexus;
using namespace nexus::evaluate;

namespace {

constexpr const char* kHeader =
    "submit_time_s,duration_s,type,group_or_user,payload_size,req_cpu,req_mem,req_gpu,user_estimate_s,worker\n";

// A file of its own that goes with the test.
struct TemporaryFile {
    explicit TemporaryFile(const std::string& bytes) {
        path = "/tmp/nexus-trace-XXXXXX";
        const int file = mkstemp(path.data());
        REQUIRE_GE(file, 0);
        REQUIRE_EQ(::write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
        ::close(file);
    }
    ~TemporaryFile() { std::remove(path.c_str()); }
    std::string path;
};

std::string gzip(const std::string& text) {
    TemporaryFile made("");
    gzFile file = gzopen(made.path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    std::string bytes(1 << 16, '\0');
    std::FILE* raw = std::fopen(made.path.c_str(), "rb");
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), raw));
    std::fclose(raw);
    return bytes;
}

}  // namespace

TEST_CASE("rows come with their units; empty is unknown; columns may stand in any order") {
    const auto rows = parse_trace(
        std::string(kHeader) + "0,1.5,build,ann,1024,2,64,0.5,30,host-1\r\n0.25,0.0000004,test,,,,,,,\n", "t.csv");
    REQUIRE(rows);
    REQUIRE_EQ(rows->size(), 2);
    const TraceRow& full = rows->front();
    CHECK_EQ(full.run.us, 1'500'000);
    CHECK_EQ(full.type, "build");
    CHECK_EQ(full.group, "ann");
    CHECK_EQ(full.payload, 1024);
    CHECK_EQ(full.cpu_milli, 2000);
    CHECK_EQ(full.memory, 64);
    CHECK_EQ(full.gpu_milli, 500);
    CHECK_EQ(full.user_estimate.us, 30'000'000);
    CHECK_EQ(full.worker, "host-1");
    const TraceRow& bare = rows->back();
    CHECK_EQ(bare.submit.us, 250'000);
    CHECK_EQ(bare.run.us, 1);
    CHECK_EQ(bare.payload, 0);
    CHECK(bare.worker.empty());
    const predict::Features features = features_of(full);
    CHECK_EQ(features.tenant, "ann");
    CHECK_EQ(features.hint.us, 30'000'000);

    const auto turned = parse_trace("type,submit_time_s,duration_s\nx,3,4\n", "t.csv");
    REQUIRE(turned);
    CHECK_EQ(turned->front().type, "x");
    CHECK_EQ(turned->front().run.us, 4'000'000);
    CHECK_EQ(parse_trace("type,submit_time_s,duration_s\nx,3,4\nx,4,4\nx,5,bad\n", "t", 2)->size(), 2);
}

TEST_CASE("what is wrong with a trace is told by file, line and column") {
    static constexpr struct {
        const char *name, *csv, *what;
    } rows[] = {
        {"empty", "", "t.csv: empty, not even a header line"},
        {"header only", "submit_time_s,duration_s,type\n", "t.csv: no rows below the header"},
        {"missing column", "submit_time_s,type\n", "t.csv: line 1: column duration_s is missing"},
        {"twice", "type,type\n", "t.csv: line 1: column type appears twice"},
        {"short line", "submit_time_s,duration_s,type\n1,2\n", "t.csv: line 2: 2 fields, the header has 3"},
        {"long line", "submit_time_s,duration_s,type\n1,2,a,b\n", "t.csv: line 2: 4 fields, the header has 3"},
        {"not a number", "submit_time_s,duration_s,type\n0,1,a\n1,x2,a\n",
         "t.csv: line 3: column duration_s: 'x2' is not a number of 0 or more that fits"},
        {"negative", "submit_time_s,duration_s,type\n-1,2,a\n",
         "t.csv: line 2: column submit_time_s: '-1' is not a number of 0 or more that fits"},
        {"NaN", "submit_time_s,duration_s,type\n1,nan,a\n",
         "t.csv: line 2: column duration_s: 'nan' is not a number of 0 or more that fits"},
        {"beyond int64", "submit_time_s,duration_s,type\n1,1e14,a\n",
         "t.csv: line 2: column duration_s: '1e14' is not a number of 0 or more that fits"},
        {"no duration", "submit_time_s,duration_s,type\n1,0,a\n", "t.csv: line 2: column duration_s: must be above 0"},
        {"unknown duration", "submit_time_s,duration_s,type\n1,,a\n",
         "t.csv: line 2: column duration_s: must be above 0"},
        {"unsorted", "submit_time_s,duration_s,type\n5,1,a\n4,1,a\n",
         "t.csv: line 3: submit_time_s goes back; sort the trace by it"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto parsed = parse_trace(row.csv, "t.csv");
        REQUIRE_FALSE(parsed);
        CHECK_EQ(parsed.error().fault, Fault::invalid);
        CHECK_EQ(parsed.error().what, row.what);
    }
    const auto unknown = parse_trace("submit_time_s,duration_s,typ\n", "t.csv");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().what.starts_with("t.csv: line 1: unknown column 'typ'; known are submit_time_s"));
}

TEST_CASE("files: plain, gzip, absent, cut short, damaged") {
    std::string text = kHeader;
    for (int i = 0; i < 2000; ++i)
        text +=
            std::to_string(i) + "," + std::to_string(1 + i * 7919 % 977) + ",t" + std::to_string(i % 7) + ",,,,,,,\n";
    const TemporaryFile plain(text);
    CHECK_EQ(read_trace(plain.path)->size(), 2000);
    CHECK_EQ(read_trace(plain.path, 10)->size(), 10);
    const std::string packed = gzip(text);
    CHECK_EQ(read_trace(TemporaryFile(packed).path)->size(), 2000);
    CHECK_EQ(read_trace("/nowhere/at/all.csv").error().fault, Fault::not_found);
    const auto cut = read_trace(TemporaryFile(packed.substr(0, packed.size() / 2)).path);
    REQUIRE_FALSE(cut);
    CHECK_EQ(cut.error().fault, Fault::corrupt);
    CHECK(cut.error().what.ends_with("the gzip data is cut short"));
    std::string flipped = packed;
    flipped[packed.size() / 2] = static_cast<char>(flipped[packed.size() / 2] ^ 0x55);
    CHECK_EQ(read_trace(TemporaryFile(flipped).path).error().fault, Fault::corrupt);
}
