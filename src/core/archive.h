#pragma once
// Saving and loading by one description: a(x, y, z) writes the fields to bytes, or reads them back in the same order.
// A struct takes part by a function fields(a, value) beside it.
//
// A number is the varint of its word, which is small for what is frequent: of 32 bits one more than its value, so that
// kNone is 0; an Instant so that kNever is 0; else zig-zag where it has a sign.

#include <deque>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/shape.h"
#include "base/units.h"
#include "core/heap.h"

namespace nexus::core {

namespace words {

template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
std::uint64_t word_of(T v) {
    if constexpr (std::is_same_v<T, std::uint32_t>)
        return static_cast<std::uint32_t>(v + 1);
    else if constexpr (std::is_signed_v<T>)
        return zigzag(v);
    else
        return static_cast<std::uint64_t>(v);
}
inline std::uint64_t word_of(WorkerNo v) {
    return word_of(v.n);
}
inline std::uint64_t word_of(Duration v) {
    return zigzag(v.us);
}
inline std::uint64_t word_of(WallTime v) {
    return zigzag(v.us);
}
inline std::uint64_t word_of(Instant v) {
    return zigzag(v.us) + 2;
}
template <class Tag>
std::uint64_t word_of(Number<Tag> v) {
    return v.n;
}

template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
void set(T& v, std::uint64_t word) {
    if constexpr (std::is_same_v<T, std::uint32_t>)
        v = static_cast<T>(word - 1);
    else if constexpr (std::is_signed_v<T>)
        v = static_cast<T>(unzigzag(word));
    else
        v = static_cast<T>(word);
}
inline void set(WorkerNo& v, std::uint64_t word) {
    set(v.n, word);
}
inline void set(Duration& v, std::uint64_t word) {
    v.us = unzigzag(word);
}
inline void set(WallTime& v, std::uint64_t word) {
    v.us = unzigzag(word);
}
inline void set(Instant& v, std::uint64_t word) {
    v.us = unzigzag(word - 2);
}
template <class Tag>
void set(Number<Tag>& v, std::uint64_t word) {
    v.n = word;
}

template <class T>
concept Numeric = requires(const T& v) { word_of(v); };

}  // namespace words

template <bool Reading>
class Archive {
public:
    static constexpr bool kReading = Reading;
    using Stream = std::conditional_t<Reading, Reader, Writer>;
    // `version`: of the core whose bytes these are.
    Archive(Stream& stream, std::uint64_t version) : stream_(stream), version_(version) {}

    bool since(std::uint64_t version) const { return version_ >= version; }

    template <class... Ts>
    void operator()(Ts&... values) {
        if constexpr (!Reading && (words::Numeric<Ts> && ...))
            stream_.varints(words::word_of(values)...);  // one step, not one per number
        else
            (one(values), ...);
    }
    // The same, of all members of T but `Elsewhere` of them: a forgotten one does not compile.
    template <class T, std::size_t Elsewhere = 0, class... Ts>
    void all(Ts&... values) {
        static_assert(sizeof...(Ts) + Elsewhere == member_count<T>(), "a field is not saved");
        (*this)(values...);
    }
    // Words of random bits, of which a varint would take ten bytes.
    template <class... Ts>
    void fixed(Ts&... words) {
        static_assert((std::is_same_v<Ts, std::uint64_t> && ...));
        if constexpr (Reading)
            stream_.take(words...);
        else
            stream_.put(words...);
    }
    // What was read cannot be.
    void refuse() {
        if constexpr (Reading) stream_.set_failed();
    }

private:
    template <class T>
    void one(T& v) {
        if constexpr (!words::Numeric<T>)
            fields(*this, v);
        else if constexpr (Reading)
            words::set(v, stream_.varint());
        else
            stream_.varint(words::word_of(v));
    }
    friend void fields(Archive& a, std::string& v) {
        if constexpr (Reading)
            v = std::string(a.stream_.text());
        else
            a.stream_.text(v);
    }
    template <class T>
    friend void fields(Archive& a, std::vector<T>& v) {
        a.sequence(v);
    }
    template <class T>
    friend void fields(Archive& a, std::deque<T>& v) {
        a.sequence(v);
    }
    template <class A, class B>
    friend void fields(Archive& a, std::pair<A, B>& v) {
        a(v.first, v.second);
    }
    template <class T>
    friend void fields(Archive& a, Heap<T>& v) {
        a.sequence(v.raw());
    }
    template <class Tag>
    friend void fields(Archive& a, Id128<Tag>& v) {
        a.fixed(v.hi, v.lo);
    }

    template <class Sequence>
    void sequence(Sequence& v) {
        if constexpr (Reading) {
            v.clear();
            v.resize(stream_.count());
        } else {
            stream_.varint(v.size());
        }
        for (auto& item : v) one(item);
    }
    Stream& stream_;
    std::uint64_t version_;
};

}  // namespace nexus::core
