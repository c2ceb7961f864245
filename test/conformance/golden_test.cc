// Bytes that a release wrote stay readable for ever: test/golden/journal_vN.txt holds, for each kind of event and for a
// batch and a snapshot, what it means and its bytes. The file of a version is written once, by
//
//     NEXUS_WRITE_GOLDEN=1 conformance_test -ts=golden
//
// when the format version is new (docs/journal.md, "A new version"), and never again.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "journal/codec.h"
#include "journal/random_event.h"

using namespace nexus;
using namespace nexus::journal;

namespace {

std::string path_of(std::uint32_t version) {
    return std::string(NEXUS_GOLDEN_DIR) + "/journal_v" + std::to_string(version) + ".txt";
}

std::string hex(std::string_view bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        text += kDigits[static_cast<unsigned char>(c) >> 4];
        text += kDigits[static_cast<unsigned char>(c) & 15];
    }
    return text;
}

std::string unhex(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
    return bytes;
}

std::string meaning(const Batch& batch) {
    std::ostringstream text;
    text << "batch first=" << batch.first.n << " core=" << batch.core_version << " digest=" << batch.digest
         << " chain=" << batch.chain;
    for (const core::Event& event : batch.events) text << ' ' << describe(event);
    return text.str();
}

std::string meaning(const Snapshot& s) {
    std::ostringstream text;
    text << "snapshot at=" << s.at.n << " core=" << s.core_version << " digest=" << s.digest << " chain=" << s.chain
         << " sections=" << hex(s.core) << ',' << hex(s.predictor) << ',' << hex(s.engine);
    return text.str();
}

void write_golden(const std::string& path) {
    std::ofstream out(path);
    Rng rng(1);
    std::vector<int> left(std::variant_size_v<core::Fact>, 4);  // of each kind
    BatchWriter writer({1'000}, 77, 3);
    for (std::size_t done = 0; done < left.size() * 4;) {
        const core::Event event = random_event(rng, {static_cast<std::int64_t>(rng.below(1ULL << 51))});
        if (left[event.what.index()]-- <= 0) continue;
        ++done;
        std::string bytes;
        encode(event, bytes);
        out << describe(event) << '\t' << hex(bytes) << '\n';
        if (done % 8 == 0) writer.add(event);
    }
    const std::string batch = writer.finish(0x1234'5678'9abc'def0);
    out << meaning(*decode_batch(batch, 77)) << '\t' << hex(batch) << '\n';
    const Snapshot snapshot{
        .at = {1'010}, .chain = 5, .digest = 6, .core_version = 3, .core = "core", .predictor = "", .engine = "e"};
    out << meaning(snapshot) << '\t' << hex(encode_snapshot(snapshot)) << '\n';
}

// Without the members that are retired by now: what they said is read and dropped, or stands elsewhere.
std::string living(std::string meaning) {
    static const std::regex retired(R"("hold_max":-?[0-9]+,?)");
    static const std::regex last(",}");
    static const std::regex moved(R"re(("CancelRequested"(?:,"task":"[-0-9a-f]+")?,)"reason":("(?:[^"\\]|\\.)*"))re");
    meaning = std::regex_replace(std::regex_replace(meaning, retired, ""), last, "}");
    return std::regex_replace(meaning, moved, R"($1"act":{"reason":$2})");
}

}  // namespace

TEST_SUITE_BEGIN("golden");

TEST_CASE("the bytes of every released format version are read as they were meant") {
    if (::getenv("NEXUS_WRITE_GOLDEN") != nullptr && !std::ifstream(path_of(kFormatVersion)))
        write_golden(path_of(kFormatVersion));
    for (std::uint32_t version = 1; version <= kFormatVersion; ++version) {
        CAPTURE(version);
        std::ifstream in(path_of(version));
        REQUIRE(in);
        std::set<std::string> kinds;
        std::string line;
        int batches = 0, snapshots = 0;
        while (std::getline(in, line)) {
            const std::size_t tab = line.find('\t');
            REQUIRE_NE(tab, std::string::npos);
            const std::string want = living(line.substr(0, tab));
            const std::string bytes = unhex(std::string_view(line).substr(tab + 1));
            CAPTURE(want);
            if (want.starts_with("batch ")) {
                const auto batch = decode_batch(bytes, 77);
                REQUIRE(batch);
                CHECK_EQ(meaning(*batch), want);
                ++batches;
            } else if (want.starts_with("snapshot ")) {
                const auto snapshot = decode_snapshot(bytes);
                REQUIRE(snapshot);
                CHECK_EQ(meaning(*snapshot), want);
                if (version == kFormatVersion) CHECK_EQ(hex(encode_snapshot(*snapshot)), hex(bytes));
                ++snapshots;
            } else {
                const auto event = decode(bytes);
                REQUIRE(event);
                CHECK_EQ(describe(*event), want);
                kinds.insert(kind_name(*event));
                std::string again;
                encode(*event, again);
                if (version == kFormatVersion) CHECK_EQ(hex(again), hex(bytes));
            }
        }
        CHECK_EQ(batches, 1);
        CHECK_EQ(snapshots, 1);
        if (version == kFormatVersion) CHECK_EQ(kinds.size(), std::variant_size_v<core::Fact>);
    }
}

TEST_SUITE_END();
