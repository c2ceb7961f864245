#pragma once
// Little-endian byte writing and reading with explicit bounds. The base of every stored format.
//
// Integers: fixed width, or LEB128 varints (`varint`, and zig-zag `svarint` for signed). Text: varint length + bytes.
// A Reader never reads past its end: the first short or malformed read sets failed() and everything after returns
// zero values, so a decoder may check once at the end. Not thread-safe.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace nexus {

// Numbers with a sign as numbers without: 0, -1, 1, -2 … are 0, 1, 2, 3 …
constexpr std::uint64_t zigzag(std::int64_t v) {
    return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t v) {
    return static_cast<std::int64_t>((v >> 1) ^ (~(v & 1) + 1));
}

class Writer {
public:
    explicit Writer(std::string& out) : out_(out) {}
    void u8(std::uint8_t v) { put(v); }
    void u32(std::uint32_t v) { put(v); }
    void u64(std::uint64_t v) { put(v); }
    // Unsigned numbers one after the other, each in as many bytes as its type has.
    template <class... Ts>
    void put(Ts... values) {
        static_assert((std::is_unsigned_v<Ts> && ...));
        grow((sizeof(Ts) + ...), [=](char* at) {
            (..., (at = little_endian(at, values)));
            return (sizeof(Ts) + ...);
        });
    }
    void varint(std::uint64_t v) { varints(v); }
    template <class... Ts>
    void varints(Ts... values) {
        static_assert((std::is_same_v<Ts, std::uint64_t> && ...));
        grow(sizeof...(values) * 10, [=](char* at) {
            char* const first = at;
            (..., (at = leb128(at, values)));
            return static_cast<std::size_t>(at - first);
        });
    }
    void svarint(std::int64_t v) { varint(zigzag(v)); }
    void f64(double v) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &v, 8);
        put(bits);
    }
    void text(std::string_view v) {
        varint(v.size());
        out_.append(v);
    }
    std::size_t size() const { return out_.size(); }

private:
    static char* leb128(char* at, std::uint64_t v) {
        for (; v >= 0x80; v >>= 7) *at++ = static_cast<char>(v | 0x80);
        *at++ = static_cast<char>(v);
        return at;
    }
    template <class T>
    static char* little_endian(char* at, T v) {
        for (std::size_t i = 0; i < sizeof(T); ++i) *at++ = static_cast<char>(v >> (8 * i));
        return at;
    }
    // Lets `fill` write at most `most` bytes at the end and say how many they were. One step where push_back takes one
    // per byte: a snapshot is millions of small numbers.
    template <class Fill>
    void grow(std::size_t most, Fill fill) {
        const std::size_t size = out_.size();
        out_.resize_and_overwrite(size + most, [&](char* bytes, std::size_t) { return size + fill(bytes + size); });
    }
    std::string& out_;
};

class Reader {
public:
    explicit Reader(std::string_view in) : in_(in) {}
    std::uint8_t u8() { return fixed<std::uint8_t>(); }
    std::uint32_t u32() { return fixed<std::uint32_t>(); }
    std::uint64_t u64() { return fixed<std::uint64_t>(); }
    std::uint64_t varint() {
        if (at_ < in_.size() && static_cast<unsigned char>(in_[at_]) < 0x80 && !failed_)
            return static_cast<unsigned char>(in_[at_++]);
        std::uint64_t v = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const std::uint8_t byte = u8();
            v |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80) return v;
        }
        failed_ = true;
        return 0;
    }
    std::int64_t svarint() { return unzigzag(varint()); }
    // What Writer::put wrote; all zero when the input ends before them.
    template <class... Ts>
    void take(Ts&... values) {
        if (failed_ || in_.size() - at_ < (sizeof(Ts) + ...)) {
            failed_ = true;
            ((values = 0), ...);
            return;
        }
        (..., (values = little_endian<Ts>()));
    }
    double f64() {
        const std::uint64_t bits = u64();
        double v = 0;
        std::memcpy(&v, &bits, 8);
        return v;
    }
    // A view into the input; valid as long as the input is.
    std::string_view text() {
        const std::uint64_t size = varint();
        if (failed_ || size > in_.size() - at_) {
            failed_ = true;
            return {};
        }
        const std::string_view v = in_.substr(at_, size);
        at_ += size;
        return v;
    }
    // A count of items of at least `item_bytes_min` bytes each, refused when the input cannot hold that many.
    std::uint64_t count(std::size_t item_bytes_min = 1) {
        const std::uint64_t n = varint();
        if (failed_ || n > (in_.size() - at_) / (item_bytes_min == 0 ? 1 : item_bytes_min)) {
            failed_ = true;
            return 0;
        }
        return n;
    }
    bool failed() const { return failed_; }
    void set_failed() { failed_ = true; }
    bool at_end() const { return at_ == in_.size(); }
    std::size_t position() const { return at_; }

private:
    template <class T>
    T fixed() {
        T v = 0;
        take(v);
        return v;
    }
    template <class T>
    T little_endian() {  // with at least as many bytes left
        T v = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i)
            v = static_cast<T>(v | static_cast<T>(static_cast<T>(static_cast<unsigned char>(in_[at_ + i])) << (8 * i)));
        at_ += sizeof(T);
        return v;
    }
    std::string_view in_;
    std::size_t at_ = 0;
    bool failed_ = false;
};

}  // namespace nexus
