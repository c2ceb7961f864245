// Batches and snapshots: the containers around the events.
#include "journal/codec.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"
#include "journal/event_codec.h"

namespace nexus::journal {
namespace {

constexpr std::uint32_t kBatchMagic = 0x424A584EU;     // "NXJB" as bytes
constexpr std::uint32_t kSnapshotMagic = 0x5353584EU;  // "NXSS" as bytes
constexpr std::size_t kBatchHeaderBytes = 32;          // magic, version, core version, count, first, chain before
constexpr std::size_t kBatchTrailerBytes = 12;         // digest, CRC-32C
constexpr std::size_t kCrcBytes = 4;

template <class T>
void store_at(std::string& out, std::size_t at, T v) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out[at + i] = static_cast<char>(v >> (8 * i));
}

// Word-wise, not hash_bytes(): the chain covers every byte of the journal and a byte-wise hash would cost more than
// the encoding itself.
std::uint64_t chain_of(std::string_view bytes) {
    std::uint64_t h = mix(0, bytes.size());
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word = 0;
        for (std::size_t i = 0; i < 8; ++i)
            word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
        h = mix(h, word);
    }
    std::uint64_t rest = 0;
    for (std::size_t i = 0; at + i < bytes.size(); ++i)
        rest |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return mix(h, rest);
}

void append_crc(std::string& out) {
    Writer(out).u32(crc32c(out));
}

// What every container of every version has: a magic number, a version after it, a CRC-32C over all before it at its
// end.
Result<void> check_container(std::string_view bytes, std::uint32_t magic, std::size_t bytes_min, const char* what) {
    if (bytes.size() < 8 + kCrcBytes)
        return fail(Fault::corrupt, std::string(what) + " is cut off at byte " + std::to_string(bytes.size()));
    Reader head(bytes);
    if (head.u32() != magic) return fail(Fault::corrupt, std::string(what) + " has a wrong magic number at byte 0");
    const std::uint32_t version = head.u32();
    const std::size_t crc_at = bytes.size() - kCrcBytes;
    if (Reader(bytes.substr(crc_at)).u32() != crc32c(bytes.substr(0, crc_at)))
        return fail(Fault::corrupt, std::string(what) + " has a wrong checksum at byte " + std::to_string(crc_at));
    if (version > kFormatVersion)
        return fail(Fault::unsupported, std::string(what) + " has format version " + std::to_string(version) +
                                            ", this release reads up to " + std::to_string(kFormatVersion));
    if (version == 0) return fail(Fault::corrupt, std::string(what) + " has format version 0 at byte 4");
    if (bytes.size() < bytes_min)
        return fail(Fault::corrupt, std::string(what) + " is cut off at byte " + std::to_string(bytes.size()));
    return {};
}

}  // namespace

BatchWriter::BatchWriter(Sequence next, std::uint64_t chain, std::uint32_t core_version)
    : first_(next), chain_(chain), core_version_(core_version) {
    MUST(next.n > 0);
    body_.resize(kBatchHeaderBytes);
}

void BatchWriter::add(const core::Event& event) {
    scratch_.clear();
    encode_after(event, last_at_, scratch_);
    Writer(body_).text(scratch_);
    last_at_ = event.at;
    ++count_;
}

std::string BatchWriter::finish(std::uint64_t digest) {
    MUST(count_ > 0);
    MUST(count_ <= UINT32_MAX);
    store_at(body_, 0, kBatchMagic);
    store_at(body_, 4, kFormatVersion);
    store_at(body_, 8, core_version_);
    store_at(body_, 12, static_cast<std::uint32_t>(count_));
    store_at(body_, 16, first_.n);
    store_at(body_, 24, chain_);
    Writer(body_).u64(digest);
    append_crc(body_);
    chain_ = chain_of(body_);
    first_.n += count_;
    count_ = 0;
    last_at_ = {};
    const std::size_t likely_bytes = body_.size();
    std::string bytes = std::move(body_);
    body_ = {};
    body_.reserve(likely_bytes);
    body_.resize(kBatchHeaderBytes);
    return bytes;
}

Result<BatchHead> check_batch(std::string_view bytes) {
    if (auto ok = check_container(bytes, kBatchMagic, kBatchHeaderBytes + kBatchTrailerBytes, "batch"); !ok)
        return std::unexpected(std::move(ok).error());
    Reader r(bytes.substr(8));
    BatchHead head;
    head.core_version = r.u32();
    head.count = r.u32();
    head.first.n = r.u64();
    head.chain_before = r.u64();
    head.chain = chain_of(bytes);
    if (head.count == 0) return fail(Fault::corrupt, "batch without events at byte 12");
    if (head.first.n == 0 || head.first.n > UINT64_MAX - head.count)
        return fail(Fault::corrupt, "batch with an impossible first sequence at byte 16");
    return head;
}

Result<Batch> decode_batch(std::string_view bytes, std::uint64_t chain_before) {
    const auto head = check_batch(bytes);
    if (!head) return std::unexpected(head.error());
    if (head->chain_before != chain_before)
        return fail(Fault::corrupt, "batch at sequence " + std::to_string(head->first.n) +
                                        " does not follow the batch before it (chain hash at byte 24)");
    Batch batch{
        .first = head->first, .core_version = head->core_version, .digest = 0, .chain = head->chain, .events = {}};
    const std::size_t body_end = bytes.size() - kBatchTrailerBytes;
    batch.digest = Reader(bytes.substr(body_end)).u64();
    Reader r(bytes.substr(0, body_end));
    for (std::size_t i = 0; i < kBatchHeaderBytes / 8; ++i) r.u64();
    // The smallest framed event is four bytes (length, kind, time, bitmap), so a lying count cannot make us reserve
    // much.
    batch.events.reserve(std::min<std::size_t>(head->count, body_end / 4));
    Instant before;
    for (std::uint64_t i = 0; i < head->count; ++i) {
        const std::size_t frame_at = r.position();
        const std::string_view frame = r.text();
        if (r.failed())
            return fail(Fault::corrupt,
                        "event " + std::to_string(i) + " of the batch is cut off at byte " + std::to_string(frame_at));
        auto event = decode_after(frame, before);
        if (!event)
            return std::unexpected(std::move(event).error().during(
                "event " + std::to_string(i) + " in the frame at byte " + std::to_string(frame_at)));
        before = event->at;
        batch.events.push_back(*std::move(event));
    }
    if (!r.at_end())
        return fail(Fault::corrupt, "batch has bytes after its last event at byte " + std::to_string(r.position()));
    return batch;
}

std::string encode_snapshot(const Snapshot& snapshot) {
    std::string out;
    out.reserve(snapshot.core.size() + snapshot.predictor.size() + snapshot.engine.size() + 128);
    Writer w(out);
    w.u32(kSnapshotMagic);
    w.u32(kFormatVersion);
    w.u32(snapshot.core_version);
    w.u64(snapshot.at.n);
    w.u64(snapshot.chain);
    w.u64(snapshot.digest);
    w.varint(3);
    w.text("core");
    w.text(snapshot.core);
    w.text("predictor");
    w.text(snapshot.predictor);
    w.text("engine");
    w.text(snapshot.engine);
    append_crc(out);
    return out;
}

Result<Snapshot> decode_snapshot(std::string_view bytes) {
    if (auto ok = check_container(bytes, kSnapshotMagic, 41, "snapshot"); !ok)
        return std::unexpected(std::move(ok).error());
    Reader r(bytes.substr(0, bytes.size() - kCrcBytes));
    r.u64();
    Snapshot snapshot;
    snapshot.core_version = r.u32();
    snapshot.at.n = r.u64();
    snapshot.chain = r.u64();
    snapshot.digest = r.u64();
    const std::uint64_t sections = r.count(2);
    for (std::uint64_t i = 0; i < sections && !r.failed(); ++i) {
        const std::size_t section_at = r.position();
        const std::string_view name = r.text();
        const std::string_view content = r.text();
        if (r.failed()) break;
        if (name == "core")
            snapshot.core = content;
        else if (name == "predictor")
            snapshot.predictor = content;
        else if (name == "engine")
            snapshot.engine = content;
        else
            return fail(Fault::unsupported,
                        "snapshot has a section of a newer release at byte " + std::to_string(section_at));
    }
    if (r.failed() || !r.at_end())
        return fail(Fault::corrupt, "snapshot sections are malformed at byte " + std::to_string(r.position()));
    return snapshot;
}

}  // namespace nexus::journal
