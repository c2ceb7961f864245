#include <doctest/doctest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "worker/digest.h"

using namespace nexus;
using namespace nexus::worker;

TEST_CASE("the digest of known bytes") {
    std::string folder = std::filesystem::temp_directory_path() / "digest-test-XXXXXX";
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    const std::string path = folder + "/file";
    struct Row {
        std::string bytes;
        const char* sha256;  // FIPS 180-2 examples
    };
    const Row rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (const Row& row : rows) {
        std::ofstream(path, std::ios::binary) << row.bytes;
        const std::string out = folder + "/file.z";
        const auto digest = digest_file(path, out);
        REQUIRE(digest.has_value());
        CHECK_EQ(digest->sha256, row.sha256);
        CHECK_EQ(digest->bytes, row.bytes.size());
        CHECK_EQ(digest_file(path)->compressed_bytes, digest->compressed_bytes);
        CHECK_EQ(std::filesystem::file_size(out), digest->compressed_bytes);
        std::ifstream compressed(out, std::ios::binary);
        const std::string packed{std::istreambuf_iterator<char>(compressed), {}};
        std::string back(row.bytes.size() + 1, '\0');
        uLongf size = back.size();
        REQUIRE_EQ(uncompress(reinterpret_cast<Bytef*>(back.data()), &size,
                              reinterpret_cast<const Bytef*>(packed.data()), packed.size()),
                   Z_OK);
        back.resize(size);
        CHECK(back == row.bytes);
        CHECK_FALSE(std::filesystem::exists(out + ".part"));
    }
    CHECK_EQ(digest_file(folder + "/none").error().fault, Fault::not_found);
    CHECK_EQ(digest_file(folder).error().fault, Fault::invalid);
    CHECK_EQ(digest_file(path, folder + "/no/such").error().fault, Fault::not_found);
    std::filesystem::remove_all(folder);
}
