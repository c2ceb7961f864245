#include "worker/digest.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/ascii.h"
#include "base/must.h"

namespace nexus::worker {
namespace {

constexpr std::size_t kPieceBytes = 256 * 1024;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::unexpected<Error> file_error(const std::string& path) {
    const std::string what = path + ": " + std::strerror(errno);
    if (errno == ENOENT || errno == ENOTDIR) return fail(Fault::not_found, what);
    if (errno == EACCES || errno == EPERM) return fail(Fault::denied, what);
    if (errno == ENOSPC || errno == EDQUOT) return fail(Fault::no_space, what);
    return fail(Fault::invalid, what);
}

// zlib's stream, writing what it makes to a file when there is one.
class Compressor {
public:
    explicit Compressor(std::FILE* out) : out_(out) { MUST(deflateInit(&stream_, Z_DEFAULT_COMPRESSION) == Z_OK); }
    ~Compressor() { deflateEnd(&stream_); }
    Compressor(const Compressor&) = delete;
    Compressor& operator=(const Compressor&) = delete;

    // False when the file could not be written.
    bool add(unsigned char* bytes, std::size_t count, bool last) {
        stream_.next_in = bytes;
        stream_.avail_in = static_cast<uInt>(count);
        do {
            stream_.next_out = buffer_;
            stream_.avail_out = sizeof(buffer_);
            MUST(deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR);
            const std::size_t made = sizeof(buffer_) - stream_.avail_out;
            bytes_ += made;
            if (out_ != nullptr && std::fwrite(buffer_, 1, made, out_) != made) return false;
        } while (stream_.avail_out == 0);
        return true;
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    std::FILE* out_;
    z_stream stream_{};
    unsigned char buffer_[64 * 1024];
    std::uint64_t bytes_ = 0;
};

Result<FileDigest> digest_open_file(const std::string& path, std::FILE* in, const std::string& out_path,
                                    std::FILE* out) {
    struct stat about{};
    if (fstat(fileno(in), &about) != 0) return file_error(path);
    if (!S_ISREG(about.st_mode)) return fail(Fault::invalid, path + ": is not a regular file");
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    MUST(EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1);
    const auto compressor = std::make_unique<Compressor>(out);
    const auto piece = std::make_unique<unsigned char[]>(kPieceBytes);
    FileDigest digest;
    for (bool last = false; !last;) {
        const std::size_t got = std::fread(piece.get(), 1, kPieceBytes, in);
        if (std::ferror(in) != 0) return file_error(path);
        last = got < kPieceBytes;
        digest.bytes += got;
        MUST(EVP_DigestUpdate(hash.get(), piece.get(), got) == 1);
        if (!compressor->add(piece.get(), got, last)) return file_error(out_path);
    }
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int sum_bytes = 0;
    MUST(EVP_DigestFinal_ex(hash.get(), sum, &sum_bytes) == 1);
    digest.sha256 = hex_of({reinterpret_cast<const char*>(sum), sum_bytes});
    digest.compressed_bytes = compressor->bytes();
    return digest;
}

}  // namespace

Result<FileDigest> digest_file(const std::string& path, const std::string& out) {
    const File in(std::fopen(path.c_str(), "rbe"), std::fclose);
    if (!in) return file_error(path);
    if (out.empty()) return digest_open_file(path, in.get(), {}, nullptr);
    const std::string part = out + ".part";
    File to(std::fopen(part.c_str(), "wbe"), std::fclose);
    if (!to) return file_error(part);
    Result<FileDigest> digest = digest_open_file(path, in.get(), part, to.get());
    if (digest && std::fclose(to.release()) != 0) digest = file_error(part);
    if (digest && std::rename(part.c_str(), out.c_str()) != 0) digest = file_error(out);
    if (!digest) std::remove(part.c_str());
    return digest;
}

}  // namespace nexus::worker
