#include "worker/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

namespace nexus::worker {
namespace {

struct Sizes {
    unsigned long long read = 0, compressed = 0;
};

// Streams the file through SHA-256 and deflate; the compressed bytes are only counted.
int digest(const std::string& path) {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) {
        fmt::print(stderr, "nexus digest: {}: {}\n", path, std::strerror(errno));
        return errno == ENOENT ? 66 : 74;  // EX_NOINPUT, EX_IOERR: trying again is pointless
    }
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
    z_stream deflater{};
    if (deflateInit(&deflater, 9) != Z_OK) return 71;  // EX_OSERR
    Sizes sizes;
    static unsigned char in[1 << 16], out[1 << 16];
    int flush = Z_NO_FLUSH;
    while (flush != Z_FINISH) {
        const std::size_t n = std::fread(in, 1, sizeof in, file.get());
        if (std::ferror(file.get()) != 0) {
            deflateEnd(&deflater);
            fmt::print(stderr, "nexus digest: {}: {}\n", path, std::strerror(errno));
            return 74;
        }
        flush = n < sizeof in ? Z_FINISH : Z_NO_FLUSH;
        sizes.read += n;
        EVP_DigestUpdate(hash.get(), in, n);
        deflater.next_in = in;
        deflater.avail_in = static_cast<uInt>(n);
        do {
            deflater.next_out = out;
            deflater.avail_out = sizeof out;
            deflate(&deflater, flush);
            sizes.compressed += sizeof out - deflater.avail_out;
        } while (deflater.avail_out == 0);
    }
    deflateEnd(&deflater);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_DigestFinal_ex(hash.get(), sum, &length);
    for (unsigned int i = 0; i < length; ++i) fmt::print("{:02x}", sum[i]);
    fmt::print(" {} {} {}\n", sizes.read, sizes.compressed, path);
    return 0;
}

}  // namespace

void add_digest(CLI::App& root, int& exit_code) {
    auto path = std::make_shared<std::string>();  // lives as long as the parser's callback
    CLI::App* command = root.add_subcommand("digest", "Hash and compress one file (the work of the demonstration job)");
    command->footer("Prints: SHA-256, size, compressed size, path.\n\nExample:\n  nexus digest /etc/hosts");
    command->add_option("file", *path, "the file")->required();
    command->callback([path, &exit_code] { exit_code = digest(*path); });
}

}  // namespace nexus::worker
