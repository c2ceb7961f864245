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

namespace nexus {

class Writer {
public:
    explicit Writer(std::string& out) : out_(out) {}
    void u8(std::uint8_t v) { out_.push_back(static_cast<char>(v)); }
    void u32(std::uint32_t v) { fixed(v); }
    void u64(std::uint64_t v) { fixed(v); }
    void varint(std::uint64_t v) {
        while (v >= 0x80) {
            out_.push_back(static_cast<char>(v | 0x80));
            v >>= 7;
        }
        out_.push_back(static_cast<char>(v));
    }
    void svarint(std::int64_t v) {
        varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63));
    }
    void f64(double v) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &v, 8);
        fixed(bits);
    }
    void text(std::string_view v) {
        varint(v.size());
        out_.append(v);
    }
    std::size_t size() const { return out_.size(); }

private:
    template <class T>
    void fixed(T v) {
        char bytes[sizeof(T)];
        for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(v >> (8 * i));
        out_.append(bytes, sizeof(T));
    }
    std::string& out_;
};

class Reader {
public:
    explicit Reader(std::string_view in) : in_(in) {}
    std::uint8_t u8() { return static_cast<std::uint8_t>(fixed<std::uint8_t>()); }
    std::uint32_t u32() { return fixed<std::uint32_t>(); }
    std::uint64_t u64() { return fixed<std::uint64_t>(); }
    std::uint64_t varint() {
        std::uint64_t v = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const std::uint8_t byte = u8();
            v |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80) return v;
        }
        failed_ = true;
        return 0;
    }
    std::int64_t svarint() {
        const std::uint64_t v = varint();
        return static_cast<std::int64_t>((v >> 1) ^ (~(v & 1) + 1));
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
        if (failed_ || in_.size() - at_ < sizeof(T)) {
            failed_ = true;
            return 0;
        }
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
